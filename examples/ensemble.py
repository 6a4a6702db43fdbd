"""Sixteen models trained at once: `torch.func.vmap` over `adamax_torch.functional`.

Each model is a small network for the handwritten digits of scikit-learn, with weights and a
learning rate of its own. Parameters and state are stacked, a row a model; gradient and step are
written for one model, and `vmap` does all sixteen in the time of a few.
"""

from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.functional import cross_entropy

from adamax_torch import functional
from adamax_torch.functional import Hyperparameters, State

MODELS, TRAIN_SIZE, BATCH_SIZE = 16, 1347, 64

Digits = tuple[Tensor, Tensor]


def split(seed: int) -> tuple[Digits, Digits]:
    """Images ``(n, 64)`` from 0 to 1 and labels ``(n,)``, to train with and to test with."""
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    x, y = torch.tensor(images, dtype=torch.float32)[order] / 16, torch.tensor(labels)[order]
    return (x[:TRAIN_SIZE], y[:TRAIN_SIZE]), (x[TRAIN_SIZE:], y[TRAIN_SIZE:])


def network() -> nn.Module:
    """One model, with new weights."""
    return nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))


def train_all(train: Digits, lrs: Tensor, epochs: int, seed: int, *, quiet: bool) -> Any:
    """The stacked parameters of a model for each learning rate, after so many epochs."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        params, _ = stack_module_state([network() for _ in lrs])
    one = network()

    def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(functional_call(one, params, (x,)), y)

    def step(params: Any, state: State, lr: Tensor, x: Tensor, y: Tensor) -> Any:
        return functional.step(params, grad(loss)(params, x, y), state, Hyperparameters(lr))

    # A row of the first three for each model; the batch is the same for all.
    step_all = vmap(step, in_dims=(0, 0, 0, None, None))
    params = {name: param.detach() for name, param in params.items()}
    state = vmap(functional.init)(params)
    x, y = train
    generator = torch.Generator().manual_seed(seed)
    for _ in track(range(epochs), "16 models", console=Console(stderr=True), disable=quiet):
        for rows in torch.split(torch.randperm(len(y), generator=generator), BATCH_SIZE):
            params, state = step_all(params, state, lrs, x[rows], y[rows])
    return params


def accuracies(params: Any, test: Digits) -> Any:
    """Of each model, on images that none has seen."""
    one = network()
    scores = vmap(lambda params: functional_call(one, params, (test[0],)))(params)
    return (scores.argmax(-1) == test[1]).double().mean(-1)


def draw(lrs: Tensor, found: Tensor) -> Figure:
    """Accuracy over learning rate."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(lrs, found, "o-")
    axes.set(
        xscale="log",
        ylim=(0, 1),
        xlabel="learning rate",
        ylabel="accuracy on the test set",
        title="One Adamax, sixteen learning rates, trained at once",
    )
    axes.grid(alpha=0.3)
    return figure


def drawable(plot: Path | None) -> Path | None:
    """Refuse what no plot can be written as, before anyone waits for it."""
    if plot is not None and plot.suffix not in (".png", ".pdf", ".svg"):
        raise typer.BadParameter(f"{plot} ends in none of .png, .pdf, .svg")
    return plot


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def main(
    *,
    plot: Annotated[
        Path | None, typer.Option(callback=drawable, help="Where a plot goes (.png, .pdf, .svg).")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Decides split, weights and batches.")] = 0,
) -> None:
    """Train sixteen models at once, each with a learning rate of its own.

    Printed is the accuracy of each on the test set.
    """
    train, test = split(seed)
    lrs = torch.logspace(-5, 0, MODELS, dtype=torch.float64)
    quiet = not Console(stderr=True).is_terminal
    found: Tensor = accuracies(train_all(train, lrs, epochs, seed, quiet=quiet), test)
    table = Table("learning rate", "test accuracy")
    for lr, accuracy in zip(lrs.tolist(), found.tolist(), strict=True):
        table.add_row(f"{lr:.1e}", f"{accuracy:.1%}")
    Console().print(table)
    if plot is not None:
        draw(lrs, found).savefig(plot)
        print(f"plot: {plot}")


if __name__ == "__main__":
    app()
