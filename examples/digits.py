"""One network, four trainers, one curve: the same Adamax on handwritten digits.

A network of 64, 32 and 10 units learns the 8 x 8 digits that scikit-learn ships, four times from
the same weights by the same batches: with the reference, with both adapters, and with the Adamax
that PyTorch ships. Every trainer is what a user of that framework would write, and takes its
gradients with what the framework has.

The weights after every step are all that a trainer gives, and one function measures them all, in
float64: where two curves differ, their weights do, and not the way they are measured.

Install: pip install -c constraints.txt '.[jax,torch,docs]'
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from extras import needs

with needs("jax,torch,docs"):
    import jax
    import jax.numpy as jnp
    import numpy as np
    import numpy.typing as npt
    import optax
    import torch
    import typer
    from digits_curves import REFERENCE, Run, draw, largest_difference
    from plots import prepare
    from rich.console import Console
    from rich.progress import Progress
    from sklearn.datasets import load_digits
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # sklearn brings it

    import adamax_core
    from adamax_core.hyperparameters import require
    from adamax_jax import adamax_transform
    from adamax_torch import Adamax

INPUTS, HIDDEN, CLASSES = 64, 32, 10
TRAIN_SIZE, BATCH_SIZE = 1347, 64

Array = npt.NDArray[np.floating[Any]]
Weights = dict[str, Array]


class Digits(NamedTuple):
    """Images of shape ``(n, 64)`` with values from 0 to 1, and labels ``(n,)`` from 0 to 9."""

    images: Array
    labels: npt.NDArray[np.int64]


class Task(NamedTuple):
    """The data that all trainers share: initial weights, ordered batches, and evaluation sets.

    The weights and the batches are in the precision of the training, `train` and `test` in float64.
    """

    weights: Weights
    batches: list[Digits]
    train: Digits
    test: Digits


Trainer = Callable[[Task, adamax_core.Hyperparameters], Iterator[Weights]]
"""Yields the weights after each batch."""


def make_task(seed: int, epochs: int, dtype: str) -> Task:
    """Split the digits, draw the weights and the order of the batches, all from one seed."""
    rng = np.random.default_rng(seed)
    images, labels = load_digits(return_X_y=True)
    shuffled = rng.permutation(len(labels))
    images, labels = images[shuffled] / 16, labels[shuffled].astype(np.int64)
    train = Digits(images[:TRAIN_SIZE], labels[:TRAIN_SIZE])
    test = Digits(images[TRAIN_SIZE:], labels[TRAIN_SIZE:])
    weights = {
        "w1": rng.normal(0, INPUTS**-0.5, (INPUTS, HIDDEN)),
        "b1": np.zeros(HIDDEN),
        "w2": rng.normal(0, HIDDEN**-0.5, (HIDDEN, CLASSES)),
        "b2": np.zeros(CLASSES),
    }
    orders = (rng.permutation(TRAIN_SIZE) for _ in range(epochs))
    cuts = range(BATCH_SIZE, TRAIN_SIZE, BATCH_SIZE)
    return Task(
        {name: weight.astype(dtype) for name, weight in weights.items()},
        [
            Digits(train.images[rows].astype(dtype), train.labels[rows])
            for order in orders
            for rows in np.split(order, cuts)
        ],
        train,
        test,
    )


def scores(weights: dict[str, Any], images: Any, tanh: Callable[[Any], Any]) -> Any:
    """The network for arrays of every framework; only ``tanh`` differs."""
    return tanh(images @ weights["w1"] + weights["b1"]) @ weights["w2"] + weights["b2"]


def log_softmax(logits: Array) -> Array:
    """Log-softmax; subtracts the largest score, so that it does not overflow."""
    shifted: Array = logits - logits.max(axis=1, keepdims=True)
    total: Array = np.exp(shifted).sum(axis=1, keepdims=True)
    return shifted - np.log(total)


def mean_loss(weights: Weights, digits: Digits) -> float:
    """Mean softmax cross-entropy at the true labels."""
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

    def loss(weights: Any, digits: Digits) -> Any:
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
    """PyTorch's training loop; ours and theirs differ only in the optimizer class."""
    # torch.tensor copies: the steps are in place, and the other trainers need the first weights.
    weights = {name: torch.tensor(w, requires_grad=True) for name, w in task.weights.items()}
    optimizer = optimizer_class(weights.values(), hp.lr, hp.betas, hp.eps, hp.weight_decay)
    for digits in task.batches:
        images, labels = map(torch.from_numpy, digits)
        optimizer.zero_grad()
        logits = scores(weights, images, torch.tanh)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's has no types
        optimizer.step()
        yield {name: weight.detach().clone().numpy() for name, weight in weights.items()}


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
    """Train, and evaluate the weights after every step; calls `tick` at each."""
    weights, losses = task.weights, [mean_loss(task.weights, task.train)]
    for weights in trainer(task, hp):
        losses.append(mean_loss(weights, task.train))
        tick()
    return Run(np.array(losses), accuracy(weights, task.test))


def measure_all(task: Task, hp: adamax_core.Hyperparameters, dtype: str) -> dict[str, Run]:
    """Run every trainer, by name; shows a progress bar on standard error if it is a terminal."""
    console = Console(stderr=True)
    runs = {}
    with (
        # Threads do not help for arrays this small; idle ones would block the others.
        threadpool_limits(1),
        # Else JAX converts float64 to float32.
        jax.enable_x64(dtype == "float64"),
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        for name, trainer in TRAINERS.items():
            bar = progress.add_task(f"{name:18}", total=len(task.batches))
            runs[name] = measure(trainer, task, hp, partial(progress.advance, bar))
    return runs


def report(runs: dict[str, Run]) -> None:
    """Print a line for each trainer, and the largest difference between two curves."""
    print(f"{'trainer':18}  {'final loss':>10}  test accuracy")
    for name, run in runs.items():
        print(f"{name:18}  {run.losses[-1]:10.8f}  {run.accuracy:13.2%}")
    print(f"largest difference between any two loss curves: {largest_difference(runs):.2e}")
    print("(the loss is that on the whole training set, after every step)")


class Precision(StrEnum):
    """The choices of ``--dtype``."""

    float32 = "float32"
    float64 = "float64"


def inside_domain(param: typer.CallbackParam, value: float) -> float:
    """Raise for a learning rate that is useless for this network."""
    try:
        # Adamax changes a weight by about lr: a first step of 1 would swamp the initial weights.
        require(str(param.name), value, below=1)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return value


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def main(
    *,
    plot: Annotated[
        Path, typer.Option(help="Where the plot goes (.png, .pdf or .svg); its folder is made.")
    ] = Path("out/digits.png"),
    epochs: Annotated[
        int, typer.Option(min=1, help=f"Passes over the {TRAIN_SIZE} training images.")
    ] = 20,
    lr: Annotated[
        float,
        typer.Option(callback=inside_domain, help="About how far a step moves a weight, below 1."),
    ] = 1e-2,
    weight_decay: Annotated[
        float,
        typer.Option(callback=inside_domain, help="Times the weight, added to the gradient."),
    ] = 0.0,
    dtype: Annotated[
        Precision, typer.Option(help="What weights, gradients and state are stored in.")
    ] = Precision.float32,
    seed: Annotated[
        int, typer.Option(min=0, help="Decides the split, the first weights and the batches.")
    ] = 0,
) -> None:
    """Train one network with four Adamaxes and see whether they agree.

    A network of 64, 32 and 10 units learns handwritten digits four times, from the same weights by
    the same batches: with the NumPy reference, the JAX adapter, the PyTorch adapter, and
    torch.optim.Adamax. Printed are each one's final loss on the training set and accuracy on the
    test set, and the largest difference between any two loss curves.

    What to look for: implementations of one rule differ by rounding alone, about 1e-7 in float32,
    and that is all but gone with --dtype float64. A difference that stays is one of the rule. (A
    large --lr makes a training that magnifies rounding, but still less of it with float64.)
    """
    prepare(plot)
    task = make_task(seed, epochs, dtype)
    runs = measure_all(task, adamax_core.Hyperparameters(lr=lr, weight_decay=weight_decay), dtype)
    report(runs)
    draw(runs, dtype).savefig(plot)
    print(f"plot: {plot}")


if __name__ == "__main__":
    app()
