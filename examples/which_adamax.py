"""Does it matter which Adamax it is? One small training with each, at two gradient scales.

A logistic regression learns from the same weights by the same batches, with the rule and the
default eps of each implementation that calls itself Adamax. Adamax divides by the size of the
gradients, so a loss that is multiplied by a constant should change nothing; what changes is how
large eps is beside them. `--eps` gives all the same eps, which shows what the rule alone does.

Install: pip install -c constraints.txt '.[conformance,docs]'
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from extras import needs

with needs("conformance,docs"):
    import numpy as np
    import numpy.typing as npt
    import typer
    from matplotlib.figure import Figure
    from plots import prepare

    from adamax_conformance.dialects import Dialect
    from adamax_core import Hyperparameters, init, step

SCALES = (1.0, 1e-6)
FEATURES, EXAMPLES, BATCH = 20, 512, 32
HP = Hyperparameters(lr=1e-2)
WHICH = {
    "torch.optim": (Dialect(), 1e-8),
    "TorchOpt": (Dialect(), 1e-6),
    "Keras": (Dialect("outside"), 1e-7),
    "pymc": (Dialect("outside"), 1e-8),
    "Paddle": (Dialect("in the decay"), 1e-8),
    "MXNet": (Dialect("none"), 0.0),
    "MLX": (Dialect("outside", "none"), 1e-8),
}
"""The rule and the default eps of some implementations; the scoreboard has more."""

app = typer.Typer(add_completion=False)

Array = npt.NDArray[np.float64]


def problem(seed: int) -> tuple[Array, Array]:
    """Return inputs ``(512, 20)`` and labels ``(512,)`` of -1 and 1, nearly divided by a plane."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(EXAMPLES, FEATURES))
    noise = rng.normal(size=EXAMPLES)
    return inputs, np.sign(inputs @ rng.normal(size=FEATURES) + noise)


def loss(weights: Array, inputs: Array, labels: Array) -> float:
    """Return the mean logistic loss."""
    return float(np.logaddexp(0, -labels * (inputs @ weights)).mean())


def train(rule: Dialect, eps: float, scale: float, steps: int, seed: int = 0) -> list[float]:
    """Return the loss before the first step and after each, of a loss that `scale` multiplies."""
    inputs, labels = problem(seed)
    order = np.random.default_rng(seed + 1)
    weights: Any = np.zeros(FEATURES)
    hp = replace(HP, eps=eps)
    state = init(weights)
    losses = [loss(weights, inputs, labels)]
    for _ in range(steps):
        batch = order.choice(EXAMPLES, BATCH, replace=False)
        x, y = inputs[batch], labels[batch]
        slope = -y / (1 + np.exp(y * (x @ weights)))
        grads = scale * (slope @ x) / BATCH
        weights, state = step(weights, grads, state, hp, rule=rule)
        losses.append(loss(weights, inputs, labels))
    return losses


@app.command()
def main(
    plot: Annotated[Path, typer.Option(help="Where to draw.")] = Path("which_adamax.png"),
    steps: Annotated[int, typer.Option(min=1, help="Number of steps.")] = 150,
    eps: Annotated[
        float | None, typer.Option(min=0, help="One eps for all; by default, that of each.")
    ] = None,
) -> None:
    """Train with each at each scale, print the last losses, and draw the curves."""
    prepare(plot)
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, len(SCALES), sharey=True)
    for panel, scale in zip(panels, SCALES, strict=True):
        for number, (who, (rule, own)) in enumerate(WHICH.items()):
            given = own if eps is None else eps
            label = f"{who}, eps {given:g}" if rule.eps != "none" else f"{who}, no eps"
            losses = train(rule, given, scale, steps)
            print(f"gradients of scale {scale:g}, {label:<22} loss {losses[-1]:.4f}")
            # Each thinner than the one below it, so that all can be seen where they agree.
            panel.plot(losses, label=label, linewidth=7 - number)
        panel.set(title=f"gradients of scale {scale:g}", xlabel="step")
    panels[0].set_ylabel("loss")
    panels[-1].legend()
    figure.savefig(plot)


if __name__ == "__main__":
    app()
