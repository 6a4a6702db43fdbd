"""Learning the learning rate and the weight decay, by the derivative through a whole training.

A network learns handwritten digits for a few dozen steps of Adamax. The loss on images that it was
not trained with is a function of the two hyperparameters, and autograd differentiates it through
all the steps (`adamax_torch.functional` and `torch.func.functional_call`). So Adamax, the optimizer
this time, descends it.

Install: pip install -c constraints.txt '.[torch,docs]'
"""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, NamedTuple

from extras import needs

with needs("torch,docs"):
    import torch
    import typer
    from matplotlib.figure import Figure
    from plots import prepare
    from rich.console import Console
    from rich.progress import track
    from sklearn.datasets import load_digits
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # sklearn brings it
    from torch import Tensor, nn
    from torch.func import functional_call
    from torch.nn.functional import cross_entropy

    from adamax_torch import Adamax, functional
    from adamax_torch.functional import Hyperparameters

# Few images to train with, so that decay has something to do.
TRAIN_SIZE, VALIDATION_SIZE = 100, 700

# Wrong on purpose: the learning rate is too small, the decay too large.
FIRST_LR, FIRST_WEIGHT_DECAY = 1e-3, 1.0

Digits = tuple[Tensor, Tensor]


class Task(NamedTuple):
    """The initial weights, and the images for training, validation and test."""

    module: nn.Module
    train: Digits
    validation: Digits
    test: Digits


class Outer(NamedTuple):
    """One step of the outer descent: the hyperparameters, and the losses after a training."""

    lr: float
    weight_decay: float
    validation: float
    test: float


def make_task(seed: int) -> Task:
    """Split the digits and draw the weights, all from one seed."""
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    x, y = torch.tensor(images)[order] / 16, torch.tensor(labels)[order]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)).double()
    ends = (0, TRAIN_SIZE, TRAIN_SIZE + VALIDATION_SIZE, len(y))
    parts = [(x[a:b], y[a:b]) for a, b in pairwise(ends)]
    return Task(module, *parts)


def loss(task: Task, params: dict[str, Tensor], digits: Digits) -> Tensor:
    """Mean cross-entropy of the network with these parameters."""
    return cross_entropy(functional_call(task.module, params, (digits[0],)), digits[1])


def trained(task: Task, lr: Tensor, weight_decay: Tensor, steps: int) -> dict[str, Tensor]:
    """The parameters after training, as a differentiable function."""
    params = {name: param.detach() for name, param in task.module.named_parameters()}
    state = functional.init(params)
    hp = Hyperparameters(lr, weight_decay=weight_decay, decoupled_weight_decay=True)
    for _ in range(steps):
        grads = torch.func.grad(lambda at: loss(task, at, task.train))(params)
        params, state = functional.step(params, grads, state, hp)
    return params


def tune(task: Task, outer_steps: int, steps: int, *, quiet: bool) -> list[Outer]:
    """Descend the validation loss in the logarithms, which keep both positive."""
    logs = torch.tensor([FIRST_LR, FIRST_WEIGHT_DECAY], dtype=torch.float64).log().requires_grad_()
    # Small betas: the derivative changes by orders of magnitude during the descent.
    optimizer = Adamax([logs], lr=0.25, betas=(0.5, 0.75))
    path = []
    for _ in track(range(outer_steps), "tuning", console=Console(stderr=True), disable=quiet):
        lr, weight_decay = logs.exp()
        params = trained(task, lr, weight_decay, steps)
        validation = loss(task, params, task.validation)
        test = loss(task, params, task.test)
        path.append(Outer(lr.item(), weight_decay.item(), validation.item(), test.item()))
        (logs.grad,) = torch.autograd.grad(validation, logs)
        optimizer.step()
    return path


def draw(path: list[Outer]) -> Figure:
    """The losses over the outer steps, and below them the hyperparameters."""
    figure = Figure(figsize=(7, 6), dpi=150, layout="constrained")
    losses, hyperparameters = figure.subplots(2, sharex=True)
    losses.plot([at.validation for at in path], "o-", label="validation, which is descended")
    losses.plot([at.test for at in path], "s--", label="test, which nothing sees", markersize=4)
    losses.set(ylabel="loss after the training", title="A training is differentiated, and tuned")
    hyperparameters.plot([at.lr for at in path], "o-", label="learning rate")
    hyperparameters.plot([at.weight_decay for at in path], "s--", label="weight decay")
    hyperparameters.set(yscale="log", xlabel="outer step", ylabel="hyperparameter")
    for axes in (losses, hyperparameters):
        axes.grid(color="#eeeeee")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return figure


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def main(
    *,
    plot: Annotated[
        Path | None,
        typer.Option(help="Where a plot goes (.png, .pdf or .svg); its folder is made."),
    ] = None,
    outer_steps: Annotated[int, typer.Option(min=1, help="Trainings, one after the other.")] = 30,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each training.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Decides the split and the weights.")] = 0,
) -> None:
    """Tune learning rate and weight decay by the derivative through a training.

    Printed are both, and the loss that a training with them comes to, on images to tune with and on
    images that nothing has seen.
    """
    if plot is not None:
        prepare(plot)
    # Threads do not help for arrays this small, and on a busy machine they slow the run down.
    with threadpool_limits(1):
        path = tune(make_task(seed), outer_steps, steps, quiet=not Console(stderr=True).is_terminal)
    print("outer step  learning rate  weight decay  validation loss  test loss")
    for index, (lr, decay, validation, test) in enumerate(path):
        print(f"{index:10}  {lr:13.3g}  {decay:12.3g}  {validation:15.4f}  {test:9.4f}")
    if plot is not None:
        draw(path).savefig(plot)
        print(f"plot: {plot}")


if __name__ == "__main__":
    app()
