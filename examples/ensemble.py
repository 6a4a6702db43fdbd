"""Sixteen models trained at once: `torch.func.vmap` over `adamax_torch.functional`.

Each model is a small network for the handwritten digits of scikit-learn, with weights and a
learning rate of its own. Parameters and state are stacked, a row a model; gradient and step are
written for one model, and `vmap` does all sixteen. What comes out is how well Adamax learns over
five decades of learning rates, from one training.

Install: pip install -c constraints.txt '.[torch,docs]'
"""

from pathlib import Path
from typing import Annotated, Any

from extras import needs

with needs("torch,docs"):
    import torch
    import typer
    from matplotlib.figure import Figure
    from plots import prepare
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table
    from sklearn.datasets import load_digits
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # sklearn brings it
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


def batches(train: Digits, epochs: int, seed: int) -> list[Digits]:
    """Yield batches of all images, in a new order for each epoch."""
    x, y = train
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(y), generator=generator) for _ in range(epochs)]
    return [(x[rows], y[rows]) for order in orders for rows in torch.split(order, BATCH_SIZE)]


def network() -> nn.Module:
    """One model, with new weights."""
    return nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))


# The structure of the network, without weights; each call passes them.
with torch.device("meta"):
    STRUCTURE = network()


def start(models: int, seed: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """The first weights of so many models, stacked."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        params, _ = stack_module_state([network() for _ in range(models)])
    return {name: param.detach().to(dtype) for name, param in params.items()}


def scores(params: dict[str, Tensor], x: Tensor) -> Any:
    """The scores of one model for images."""
    return functional_call(STRUCTURE, params, (x,))


def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of one model."""
    return cross_entropy(scores(params, x), y)


def step(params: Any, state: State, lr: Tensor, x: Tensor, y: Tensor) -> Any:
    """One step of one model: its new parameters and state."""
    return functional.step(params, grad(loss)(params, x, y), state, Hyperparameters(lr))


def train_all(train: Digits, lrs: Tensor, epochs: int, seed: int, *, quiet: bool) -> Any:
    """The stacked parameters of a model for each learning rate, in the dtype of the images."""
    params: Any = start(len(lrs), seed, train[0].dtype)
    state = vmap(functional.init)(params)
    # A row of the first three for each model; the batch is the same for all.
    step_all = vmap(step, in_dims=(0, 0, 0, None, None))
    console, title = Console(stderr=True), f"{len(lrs)} models"
    for x, y in track(batches(train, epochs, seed), title, console=console, disable=quiet):
        params, state = step_all(params, state, lrs, x, y)
    return params


def losses(params: Any, digits: Digits) -> Any:
    """The loss of each model on all these digits."""
    return vmap(loss, in_dims=(0, None, None))(params, *digits)


def accuracies(params: Any, digits: Digits) -> Any:
    """The accuracy of each model on these digits."""
    found = vmap(scores, in_dims=(0, None))(params, digits[0]).argmax(-1)
    return (found == digits[1]).double().mean(-1)


def draw(lrs: Tensor, params: Any, train: Digits, test: Digits) -> Figure:
    """Losses over the learning rate, and below them accuracies."""
    figure = Figure(figsize=(7, 6), dpi=150, layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    for axes, measure in ((above, losses), (below, accuracies)):
        axes.plot(lrs, measure(params, train), "o-", label="training set")
        axes.plot(lrs, measure(params, test), "s--", label="test set", markersize=4)
        axes.grid(color="#eeeeee")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    title = f"One Adamax, {len(lrs)} learning rates, trained at once"
    above.set(xscale="log", yscale="log", ylabel="loss", title=title)
    below.set(ylim=(0, 1.02), xlabel="learning rate", ylabel="accuracy")
    return figure


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def main(
    *,
    plot: Annotated[
        Path | None,
        typer.Option(help="Where a plot goes (.png, .pdf or .svg); its folder is made."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Decides split, weights and batches.")] = 0,
) -> None:
    """Train sixteen models at once, each with a learning rate of its own.

    Prints the training loss and the test accuracy of each model.
    """
    if plot is not None:
        prepare(plot)
    train, test = split(seed)
    lrs = torch.logspace(-5, 0, MODELS, dtype=torch.float64)
    # Threads do not help for arrays this small, and on a busy machine they slow the run down.
    with threadpool_limits(1):
        params = train_all(train, lrs, epochs, seed, quiet=not Console(stderr=True).is_terminal)
        columns = lrs, losses(params, train), accuracies(params, test)
    table = Table("learning rate", "training loss", "test accuracy")
    for lr, final, accuracy in zip(*(column.tolist() for column in columns), strict=True):
        table.add_row(f"{lr:.1e}", f"{final:.4f}", f"{accuracy:.1%}")
    Console().print(table)
    if plot is not None:
        draw(lrs, params, train, test).savefig(plot)
        print(f"plot: {plot}")


if __name__ == "__main__":
    app()
