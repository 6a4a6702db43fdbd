"""One training that changes its framework twice: PyTorch, then JAX, then PyTorch again.

The network of `digits.py` takes 200 steps in PyTorch, is saved, takes 200 in JAX, is saved, and
takes 200 in PyTorch; beside it, the same network takes 600 in PyTorch alone. Each part takes its
gradients with what its framework has. Each move is a file, which is verified: the bits are the
same, and steps from it are right on both sides.

Install: pip install -c constraints.txt '.[jax,torch,checkpoint,docs]'
"""

import tempfile
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from extras import needs

with needs("jax,torch,checkpoint,docs"):
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax
    import torch
    import typer
    from digits import Digits, Precision, Task, Weights, inside_domain, make_task, mean_loss, scores
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter
    from plots import prepare
    from rich.console import Console
    from rich.progress import Progress
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # sklearn brings it

    from adamax_checkpoint import Checkpoint, Group, load, save
    from adamax_checkpoint.optax import from_optax, to_optax, tree_of
    from adamax_checkpoint.torch import from_state_dict, to_state_dict, to_torch
    from adamax_checkpoint.verify import verify
    from adamax_core import Hyperparameters, init
    from adamax_jax import adamax_transform
    from adamax_torch import Adamax

See = Callable[[Weights], object]
"""Is given the weights after each step."""

Part = Callable[[Checkpoint, list[Digits], See], Checkpoint]
"""A part of a training: from a checkpoint, over some batches, to the next checkpoint."""


def in_torch(start: Checkpoint, batches: list[Digits], see: See) -> Checkpoint:
    """PyTorch's training loop, from a checkpoint to the next."""
    weights = {
        name: to_torch(array).requires_grad_() for name, array in (start.params or {}).items()
    }
    optimizer = Adamax(weights.items())
    optimizer.load_state_dict(to_state_dict(start, optimizer.state_dict()))
    for images, labels in batches:
        optimizer.zero_grad()
        logits = scores(weights, torch.from_numpy(images), torch.tanh)
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels))
        loss.backward()  # type: ignore[no-untyped-call]  # torch's has no types
        optimizer.step()
        see({name: weight.detach().clone().numpy() for name, weight in weights.items()})
    return from_state_dict(optimizer.state_dict(), params=weights)


def in_jax(start: Checkpoint, batches: list[Digits], see: See) -> Checkpoint:
    """The same in JAX, inside a jitted step."""
    hp = start.groups[0].hyperparameters
    optimizer = adamax_transform(hp.lr, *hp.betas, hp.eps, weight_decay=hp.weight_decay)
    weights: Any = tree_of(start.params or {}, like=start.params)
    state = to_optax(start, optimizer.init(weights))

    def loss(weights: Any, digits: Digits) -> Any:
        logits = scores(weights, digits.images, jnp.tanh)
        return optax.softmax_cross_entropy_with_integer_labels(logits, digits.labels).mean()

    @jax.jit
    def step(weights: Any, state: Any, digits: Digits) -> tuple[Any, Any]:
        grads = jax.grad(loss)(weights, digits)
        updates, state = optimizer.update(grads, state, weights)
        return optax.apply_updates(weights, updates), state

    for digits in batches:
        weights, state = step(weights, state, digits)
        see({name: np.asarray(weight) for name, weight in weights.items()})
    return from_optax(state, start.groups, weights)


def moved(checkpoint: Checkpoint, file: Path) -> Checkpoint:
    """Save a checkpoint, load it, and verify that it is the same and goes on in both frameworks."""
    save(file, checkpoint)
    found = load(file)
    print(f"moved after step {max(found.state.step.values())}: {verify(checkpoint, found)}")
    return found


def train(task: Task, hp: Hyperparameters, parts: list[Part], see: See) -> Checkpoint:
    """Train in parts of equal length, each from the file that the one before has left."""
    state = init(task.weights)
    checkpoint = Checkpoint(state, (Group(tuple(task.weights), hp),), task.weights)
    cuts = np.linspace(0, len(task.batches), len(parts) + 1).astype(int)
    with tempfile.TemporaryDirectory() as folder:
        for index, (part, (first, end)) in enumerate(zip(parts, pairwise(cuts), strict=True)):
            if index:
                checkpoint = moved(checkpoint, Path(folder, f"part{index}.safetensors"))
            checkpoint = part(checkpoint, task.batches[first:end], see)
    return checkpoint


RUNS: dict[str, list[Part]] = {
    "PyTorch alone": [in_torch],
    "PyTorch, JAX, PyTorch": [in_torch, in_jax, in_torch],
}


def measure(task: Task, hp: Hyperparameters, dtype: str) -> dict[str, list[float]]:
    """The loss on the training set before the first step and after each, of both runs."""
    console = Console(stderr=True)
    losses: dict[str, list[float]] = {}
    with (
        # Threads do not help for arrays this small; idle ones would block the others.
        threadpool_limits(1),
        # Else JAX converts float64 to float32.
        jax.enable_x64(dtype == "float64"),
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        for name, parts in RUNS.items():
            bar = progress.add_task(f"{name:21}", total=len(task.batches))
            found = losses[name] = [mean_loss(task.weights, task.train)]

            def see(weights: Weights, into: list[float], tick: Callable[[], object]) -> None:
                into.append(mean_loss(weights, task.train))
                tick()

            train(task, hp, parts, partial(see, into=found, tick=partial(progress.advance, bar)))
    return losses


def draw(losses: dict[str, list[float]], dtype: str) -> Figure:
    """Both losses, and their difference; the part in JAX is shaded."""
    # A Figure of its own, without pyplot, needs no display: Agg draws it.
    figure = Figure(figsize=(10, 4), dpi=150, layout="constrained")
    curves, distance = figure.subplots(1, 2)
    alone, switched = losses
    curves.plot(losses[alone], label=alone, color="#bbbbbb", linewidth=6)
    curves.plot(losses[switched], label=switched, color="#000000", linewidth=1.6)
    curves.set(title="Handwritten digits: one training in two frameworks", ylabel="training loss")
    curves.set_yscale("log")
    curves.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    curves.yaxis.set_major_formatter("{x:g}")
    curves.yaxis.set_minor_formatter(NullFormatter())
    difference = np.abs(np.subtract(losses[switched], losses[alone]))
    # Dots: zero distances, which a log axis cannot show, would interrupt a line.
    distance.plot(difference, ".", color="#000000", markersize=3, label="difference")
    roundoff = float(np.finfo(dtype).eps) / 2
    label = f"unit roundoff of {dtype}"
    distance.axhline(roundoff, color="#777777", linewidth=1.2, linestyle=":", label=label)
    distance.set(title="Their distance", ylabel="difference of training loss")
    distance.set_yscale("log")
    distance.set_ylim(roundoff / 1e3, 1e2 * max(roundoff, difference.max()))
    last = len(difference) - 1
    for axes in (curves, distance):
        axes.axvspan(last / 3, last * 2 / 3, color="#56b4e9", alpha=0.2, label="in JAX")
        axes.set_xlabel("step")
        axes.margins(x=0.02)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return figure


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def main(
    *,
    plot: Annotated[
        Path, typer.Option(help="Where the plot goes (.png, .pdf or .svg); its folder is made.")
    ] = Path("out/switch.png"),
    steps: Annotated[int, typer.Option(min=1, help="Steps of each of the three parts.")] = 200,
    lr: Annotated[
        float,
        typer.Option(callback=inside_domain, help="About how far a step moves a weight, below 1."),
    ] = 1e-2,
    dtype: Annotated[
        Precision, typer.Option(help="What weights, gradients and state are stored in.")
    ] = Precision.float32,
    seed: Annotated[
        int, typer.Option(min=0, help="Decides the split, the first weights and the batches.")
    ] = 0,
) -> None:
    """Train a network in PyTorch, go on in JAX, and come back, beside PyTorch alone.

    Printed are how each move was verified, both final losses, and the largest difference between
    the two loss curves.

    What to look for: nothing happens where the framework changes. The curves differ by rounding
    alone, about 1e-7 in float32 and about 1e-16 with --dtype float64, since each framework sums in
    an order of its own. State that is lost or wrong would bend the curve.
    """
    prepare(plot)
    task = make_task(seed, epochs=-(-3 * steps // 22), dtype=dtype)
    task = task._replace(batches=task.batches[: 3 * steps])
    losses = measure(task, Hyperparameters(lr=lr), dtype)
    for name, curve in losses.items():
        print(f"{name:21}  final loss {curve[-1]:10.8f}")
    alone, switched = losses.values()
    largest = np.abs(np.subtract(alone, switched)).max()
    print(f"largest difference between the two loss curves: {largest:.2e}")
    draw(losses, dtype).savefig(plot)
    print(f"plot: {plot}")


if __name__ == "__main__":
    app()
