"""The plot of `cpu_step.py`."""

import sys
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import matplotlib as mpl
from candidates import CANDIDATES
from cases import Case
from matplotlib.lines import Line2D
from shapes import SHAPES
from turns import Timing

MODELS = ("ResNet-50", "ViT-B/16", "GPT-2 small")

_COLORS = dict(zip(CANDIDATES, mpl.colormaps["tab20"].colors, strict=False))  # type: ignore[attr-defined]  # it has
# The limit is black, as the reference for the others.
_STYLES = {name: {"color": color} for name, color in _COLORS.items()} | {"limit": {"color": "k"}}


def plot(timings: Mapping[Case, Timing], path: Path) -> None:
    """Time per parameter over size, and models against the limit of memory.

    Leaves out what was not timed; without any suitable timing it draws nothing. Prints the timed
    cases that it does not draw.

    Args:
        timings: timings of cases with the same number of threads.
        path: output file.
    """
    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of what draws

    plain = {case.shapes: timing for case, timing in timings.items() if case.plain}
    singles = {shapes: each for shapes, each in plain.items() if shapes.startswith("one of")}
    models = {shapes: plain[shapes] for shapes in MODELS if shapes in plain}
    drawn = singles | models
    left_out = [case.name for case in timings if not (case.plain and case.shapes in drawn)]
    if left_out:
        print(f"not drawn: {'; '.join(left_out)}", file=sys.stderr)
    if not drawn:
        print(f"nothing to draw, so {path} is not written", file=sys.stderr)
        return
    panels = [(draw, what) for draw, what in ((_sizes, singles), (_models, models)) if what]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(6 * len(panels), 5), layout="constrained", squeeze=False
    )
    for (draw, what), each in zip(panels, axes[0], strict=True):
        draw(each, what)
    handles = [
        Line2D([], [], marker="s", linestyle="none", label=name, **style)
        for name, style in _STYLES.items()
        if any(name in each.seconds for each in drawn.values())
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _sizes(axes: Any, singles: Mapping[str, Timing]) -> None:
    for name, style in _STYLES.items():
        points = sorted(
            (prod(SHAPES[shapes][0]), each.median(name))
            for shapes, each in singles.items()
            if name in each.seconds
        )
        axes.plot(
            [size for size, _ in points],
            [1e9 * seconds / size for size, seconds in points],
            "--" if name == "limit" else "-",
            marker="o",
            markersize=4,
            **style,
        )
    axes.set(xscale="log", yscale="log", xlabel="parameters, in one tensor")
    axes.set(ylabel="nanoseconds per parameter", title="a step of one tensor")
    axes.grid(alpha=0.3, which="both")


def _models(axes: Any, models: Mapping[str, Timing]) -> None:
    left = 0.0
    middles = []
    for timing in models.values():
        present = [name for name in CANDIDATES if name != "limit" and name in timing.seconds]
        for place, name in enumerate(present):
            ratio = timing.ratio(name, "limit").median
            bar = axes.bar(left + place, ratio, width=0.85, **_STYLES[name])
            axes.bar_label(bar, [f"{ratio:.2f}"], fontsize=7, rotation=90, padding=2)
        middles.append(left + (len(present) - 1) / 2)
        left += len(present) + 1
    axes.set_xticks(middles, list(models))
    axes.axhline(1, color="black", linestyle="--", linewidth=1)
    axes.set(yscale="log", ylabel="time over that of the memory limit", title="a step of a model")
    axes.yaxis.set_major_formatter("{x:g}")
    bottom, top = axes.get_ylim()
    axes.set_ylim(min(bottom, 0.7), 1.3 * top)  # room for the numbers
