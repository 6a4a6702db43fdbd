"""One network, four trainers, one curve: the same Adamax on handwritten digits.

A network of 64, 32 and 10 units learns the 8 x 8 digits that scikit-learn ships, four times from the
same weights by the same batches: with the reference, with both adapters, and with the Adamax that
PyTorch ships. Every framework takes its own gradients, so each trainer is what a user would write.

The weights after every step are all that a trainer gives, and one function measures them all, in
float64: whatever differs between two curves is then a difference of weights, not of measuring.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import Progress
from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # it has no types
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]  # the same

import adamax_core
from adamax_core.hyperparameters import require
from adamax_jax import adamax_transform
from adamax_torch import Adamax

INPUTS, HIDDEN, CLASSES = 64, 32, 10
BATCH_SIZE = 64

Array = npt.NDArray[np.floating[Any]]
Weights = dict[str, Array]


class Digits(NamedTuple):
    """Images of shape ``(n, 64)`` with values from 0 to 1, and labels ``(n,)`` from 0 to 9."""

    images: Array
    labels: npt.NDArray[np.int64]


class Task(NamedTuple):
    """What all trainers share: where they start, the batches in their order, and how they end up.

    The weights and the batches are in the precision of the training, `train` and `test` in float64.
    """

    weights: Weights
    batches: list[Digits]
    train: Digits
    test: Digits


class Run(NamedTuple):
    """What a trainer came to: the training loss before the first step and after every one."""

    losses: Array
    accuracy: float


Trainer = Callable[[Task, adamax_core.Hyperparameters], Iterator[Weights]]
"""Yields the weights after each batch."""


def make_task(seed: int, epochs: int, dtype: str) -> Task:
    """Split the digits, draw the weights and the order of the batches, all from one seed."""
    rng = np.random.default_rng(seed)
    images, labels = load_digits(return_X_y=True)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images / 16.0, labels.astype(np.int64), stratify=labels, random_state=seed
    )
    weights = {
        "w1": rng.normal(0, INPUTS**-0.5, (INPUTS, HIDDEN)),
        "b1": np.zeros(HIDDEN),
        "w2": rng.normal(0, HIDDEN**-0.5, (HIDDEN, CLASSES)),
        "b2": np.zeros(CLASSES),
    }
    size = len(train_labels)
    orders = (rng.permutation(size) for _ in range(epochs))
    cuts = range(BATCH_SIZE, size, BATCH_SIZE)
    return Task(
        {name: weight.astype(dtype) for name, weight in weights.items()},
        [
            Digits(train_images[rows].astype(dtype), train_labels[rows])
            for order in orders
            for rows in np.split(order, cuts)
        ],
        Digits(train_images, train_labels),
        Digits(test_images, test_labels),
    )


def scores(weights: dict[str, Any], images: Any, tanh: Callable[[Any], Any]) -> Any:
    """The network, for arrays of every framework: only the name of ``tanh`` is not the same."""
    return tanh(images @ weights["w1"] + weights["b1"]) @ weights["w2"] + weights["b2"]


def log_softmax(logits: Array) -> Array:
    """Logarithms of the probabilities; the largest score is taken off, so nothing overflows."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def mean_loss(weights: Weights, digits: Digits) -> float:
    """Softmax cross-entropy: the mean surprise at the true labels."""
    log_probabilities = log_softmax(scores(weights, digits.images, np.tanh))
    return -float(log_probabilities[np.arange(len(digits.labels)), digits.labels].mean())


def accuracy(weights: Weights, digits: Digits) -> float:
    """The fraction of digits whose largest score is that of the true label."""
    return float((scores(weights, digits.images, np.tanh).argmax(axis=1) == digits.labels).mean())


def backpropagate(weights: Weights, digits: Digits) -> Weights:
    """The gradient of `mean_loss` by the chain rule, from the scores back to the images."""
    images, labels = digits
    hidden = np.tanh(images @ weights["w1"] + weights["b1"])
    d_scores = np.exp(log_softmax(hidden @ weights["w2"] + weights["b2"]))
    d_scores[np.arange(len(labels)), labels] -= 1
    d_scores /= len(labels)
    d_hidden = d_scores @ weights["w2"].T * (1 - hidden**2)
    return {
        "w1": images.T @ d_hidden,
        "b1": d_hidden.sum(axis=0),
        "w2": hidden.T @ d_scores,
        "b2": d_scores.sum(axis=0),
    }


def train_numpy(task: Task, hp: adamax_core.Hyperparameters) -> Iterator[Weights]:
    """The reference: plain functions from weights and state to new weights and new state."""
    weights, state = task.weights, adamax_core.init(task.weights)
    for digits in task.batches:
        grads = backpropagate(weights, digits)
        weights, state = adamax_core.step(weights, grads, state, hp)
        yield weights


def train_jax(task: Task, hp: adamax_core.Hyperparameters) -> Iterator[Weights]:
    """The JAX adapter, where optax users expect an optimizer: inside a jitted step."""
    optimizer = adamax_transform(hp.lr, *hp.betas, hp.eps, weight_decay=hp.weight_decay)

    def loss(weights: Any, digits: Digits) -> jax.Array:
        logits = scores(weights, digits.images, jnp.tanh)
        return optax.softmax_cross_entropy_with_integer_labels(logits, digits.labels).mean()

    @jax.jit
    def step(weights: Any, state: Any, digits: Digits) -> tuple[Any, Any]:
        grads = jax.grad(loss)(weights, digits)
        updates, state = optimizer.update(grads, state, weights)
        return optax.apply_updates(weights, updates), state

    weights: Any = task.weights
    state = optimizer.init(weights)
    for digits in task.batches:
        weights, state = step(weights, state, digits)
        yield {name: np.asarray(weight) for name, weight in weights.items()}


def train_torch(
    optimizer_class: Callable[..., torch.optim.Optimizer],
    task: Task,
    hp: adamax_core.Hyperparameters,
) -> Iterator[Weights]:
    """PyTorch's loop; the optimizer's class is all in which ours and theirs differ."""
    # torch.tensor copies: the steps are in place, and the other trainers need the first weights.
    weights = {name: torch.tensor(w, requires_grad=True) for name, w in task.weights.items()}
    optimizer = optimizer_class(weights.values(), hp.lr, hp.betas, hp.eps, hp.weight_decay)
    for digits in task.batches:
        images, labels = map(torch.from_numpy, digits)
        optimizer.zero_grad()
        logits = scores(weights, images, torch.tanh)
        torch.nn.functional.cross_entropy(logits, labels).backward()
        optimizer.step()
        yield {name: weight.detach().clone().numpy() for name, weight in weights.items()}


REFERENCE = "NumPy reference"
TRAINERS: dict[str, Trainer] = {
    REFERENCE: train_numpy,
    "JAX adapter": train_jax,
    "PyTorch adapter": partial(train_torch, Adamax),
    "torch.optim.Adamax": partial(train_torch, torch.optim.Adamax),
}


def measure(
    trainer: Trainer,
    task: Task,
    hp: adamax_core.Hyperparameters,
    tick: Callable[[], object] = lambda: None,
) -> Run:
    """Train, and look at the weights after every step; `tick` is called at each."""
    weights, losses = task.weights, [mean_loss(task.weights, task.train)]
    for weights in trainer(task, hp):
        losses.append(mean_loss(weights, task.train))
        tick()
    return Run(np.array(losses), accuracy(weights, task.test))


def measure_all(task: Task, hp: adamax_core.Hyperparameters, dtype: str) -> dict[str, Run]:
    """Every trainer's run, by name; a bar shows the way on standard error, if anyone looks there."""
    console = Console(stderr=True)
    runs = {}
    with (
        jax.enable_x64(dtype == "float64"),  # else JAX makes float32 of every float64
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        for name, trainer in TRAINERS.items():
            bar = progress.add_task(f"{name:18}", total=len(task.batches))
            runs[name] = measure(trainer, task, hp, partial(progress.advance, bar))
    return runs


def largest_difference(runs: dict[str, Run]) -> float:
    """Between any two of the curves, at any step."""
    return max(
        float(np.abs(one.losses - other.losses).max())
        for one, other in combinations(runs.values(), 2)
    )


# Okabe and Ito's colours, which colour-blind readers can tell apart. Each line is thinner than the
# one it is drawn on, so that all four are seen where they are one.
LINES: dict[str, dict[str, Any]] = {
    REFERENCE: {"color": "#bbbbbb", "linewidth": 8},
    "JAX adapter": {"color": "#56b4e9", "linewidth": 5},
    "PyTorch adapter": {"color": "#000000", "linewidth": 2.2},
    "torch.optim.Adamax": {"color": "#e69f00", "linewidth": 1.4, "dashes": (4, 3)},
}


def draw(runs: dict[str, Run], dtype: str) -> Figure:
    """The curves, and how far each is from the reference."""
    # A Figure of its own needs no display: without pyplot, Agg draws.
    figure = Figure(figsize=(10, 4), dpi=150, layout="constrained")
    curves, differences = figure.subplots(1, 2)
    draw_curves(curves, runs)
    draw_differences(differences, runs, dtype)
    return figure


def draw_curves(axes: Axes, runs: dict[str, Run]) -> None:
    """The four losses, on top of each other."""
    for name, run in runs.items():
        axes.plot(run.losses, label=name, **LINES[name])
    axes.set(title="Four trainers, one curve", xlabel="step", ylabel="training loss")
    axes.set_yscale("log")
    axes.legend(frameon=False)


def draw_differences(axes: Axes, runs: dict[str, Run], dtype: str) -> None:
    """The distance of the others to the reference, and the unit roundoff to compare it with."""
    for name, run in runs.items():
        if name != REFERENCE:
            distance = np.abs(run.losses - runs[REFERENCE].losses)
            axes.plot(np.where(distance > 0, distance, np.nan), label=name, **LINES[name])
    axes.axhline(float(np.finfo(dtype).eps) / 2, color="#777777", linewidth=1)
    axes.set(title=f"Distance to the reference, {dtype}", xlabel="step", ylabel="difference")
    axes.set_yscale("log")
    axes.legend(frameon=False)


def report(runs: dict[str, Run]) -> None:
    """Print a line for each trainer, and how far apart the furthest two curves ever are."""
    print(f"{'trainer':18}  {'final loss':>10}  test accuracy")
    for name, run in runs.items():
        print(f"{name:18}  {run.losses[-1]:10.8f}  {run.accuracy:13.2%}")
    print(f"largest difference between any two loss curves: {largest_difference(runs):.2e}")


class Precision(StrEnum):
    """The choices of ``--dtype``."""

    float32 = "float32"
    float64 = "float64"


def inside_domain(param: typer.CallbackParam, value: float) -> float:
    """Refuse a number that no training of this network makes sense with."""
    try:
        # Adamax moves a weight by about lr: at one, the first step would bury the initial weights.
        require(str(param.name), value, below=1)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return value


def prepare(plot: Path) -> None:
    """Make the folder and see whether the plot can be written, before anyone waits for it."""
    formats = Figure().canvas.get_supported_filetypes()
    if plot.suffix[1:].lower() not in formats:
        raise typer.BadParameter(f"{plot} does not end in one of: {', '.join(sorted(formats))}")
    try:
        plot.parent.mkdir(parents=True, exist_ok=True)
        with plot.open("ab"):
            pass
    except OSError as error:
        raise typer.BadParameter(f"cannot write {plot}: {error.strerror}") from error


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def main(
    plot: Annotated[Path, typer.Option(help="where the plot goes; its folder is made")] = Path(
        "out/digits.png"
    ),
    epochs: Annotated[int, typer.Option(min=1, help="passes over the 1347 training images")] = 20,
    lr: Annotated[float, typer.Option(callback=inside_domain, help="learning rate, below 1")] = 1e-2,
    weight_decay: Annotated[
        float, typer.Option(callback=inside_domain, help="coupled decay: added to the gradient")
    ] = 0.0,
    dtype: Annotated[Precision, typer.Option(help="what the training computes in")] = (
        Precision.float32
    ),
    seed: Annotated[int, typer.Option(min=0, help="of the split, the weights, the order")] = 0,
) -> None:
    """Train one network with four Adamaxes and see whether they agree.
    """
    prepare(plot)
    task = make_task(seed, epochs, dtype)
    runs = measure_all(task, adamax_core.Hyperparameters(lr=lr, weight_decay=weight_decay), dtype)
    report(runs)
    draw(runs, dtype).savefig(plot)
    print(f"plot: {plot}")


if __name__ == "__main__":
    app()
