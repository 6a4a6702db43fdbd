"""The figures of `cpu_step.py`, to look at."""

from collections.abc import Mapping
from math import prod
from pathlib import Path

import matplotlib as mpl
from candidates import CANDIDATES
from matplotlib.lines import Line2D
from shapes import SHAPES
from turns import Timing

MODELS = ("ResNet-50", "ViT-B/16", "GPT-2 small")


def plot(timings: Mapping[str, Timing], path: Path) -> None:
    """Time per parameter over size, and models against the limit of memory.

    Args:
        timings: by shapes, in float32 and with all threads.
        path: where to.
    """
    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of what draws

    figure, (sizes, models) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    colors = dict(zip(CANDIDATES, mpl.colormaps["tab10"].colors, strict=True))  # type: ignore[attr-defined]  # it has
    # The limit is what the others are seen against.
    styles = {name: {"color": color} for name, color in colors.items()}
    styles["limit"] = {"color": "black"}

    singles = {name: each for name, each in timings.items() if name.startswith("one of")}
    for name in CANDIDATES:
        points = [
            (prod(SHAPES[shapes][0]), each.median(name))
            for shapes, each in singles.items()
            if name in each.seconds
        ]
        if not points:
            continue
        points.sort()
        sizes.plot(
            [size for size, _ in points],
            [1e9 * seconds / size for size, seconds in points],
            "--" if name == "limit" else "-",
            marker="o",
            markersize=4,
            **styles[name],
        )
    sizes.set(xscale="log", yscale="log", xlabel="parameters, in one tensor")
    sizes.set(ylabel="nanoseconds per parameter", title="a step of one tensor")
    sizes.grid(alpha=0.3, which="both")

    shown = [shapes for shapes in MODELS if shapes in timings]
    names = [
        name
        for name in CANDIDATES
        if name != "limit" and any(name in timings[shapes].seconds for shapes in shown)
    ]
    left = 0.0
    middles = []
    for shapes in shown:
        present = [name for name in names if name in timings[shapes].seconds]
        for place, name in enumerate(present):
            ratio = timings[shapes].ratio(name, "limit").median
            bar = models.bar(left + place, ratio, width=0.85, **styles[name])
            models.bar_label(bar, [f"{ratio:.2f}"], fontsize=7, rotation=90, padding=2)
        middles.append(left + (len(present) - 1) / 2)
        left += len(present) + 1
    models.set_xticks(middles, shown)
    models.axhline(1, color="black", linestyle="--", linewidth=1)
    models.set(yscale="log", ylabel="time over that of the memory limit", title="a step of a model")
    models.yaxis.set_major_formatter("{x:g}")
    bottom, top = models.get_ylim()
    models.set_ylim(min(bottom, 0.7), 1.3 * top)  # room for the numbers

    handles = [
        Line2D([], [], marker="s", linestyle="none", label=name, **styles[name])
        for name in CANDIDATES
        if any(name in each.seconds for each in timings.values())
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
