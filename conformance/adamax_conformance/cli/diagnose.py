"""``adamax-conformance diagnose``: find a backend's dialect, and the effect on its steps."""

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adamax_conformance.cli.app import (
    Exit,
    Name,
    Timeout,
    app,
    errors,
    found,
    stdout_to_stderr,
    stop,
)
from adamax_conformance.subject.printable import printable
from adamax_core import Hyperparameters

if TYPE_CHECKING:
    from adamax_conformance.dialects import Cost, Diagnosis, Dialect


class Form(StrEnum):
    """Output formats of a diagnosis."""

    PRETTY = "pretty"
    JSON = "json"


_DEFAULT = Hyperparameters()
_COST = "For the cost, with --scale or --plot."
_SCALES = tuple(10.0**exponent for exponent in range(-12, 1))


@app.command()
def diagnose(
    name: Name,
    dtype: Annotated[
        str | None,
        typer.Option(help="Probe in this dtype; by default the widest of the backend."),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(help="Print the dialect's step sizes for gradients of this size, as 1e-6."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=10_000, help=f"Number of steps. {_COST}")] = 100,
    beta1: Annotated[float, typer.Option(help=_COST)] = _DEFAULT.betas[0],
    beta2: Annotated[float, typer.Option(help=_COST)] = _DEFAULT.betas[1],
    eps: Annotated[
        float | None,
        typer.Option(
            help="Of the backend and of the specification; by default its own default, if it "
            f"declares one, over the specification's {_DEFAULT.eps:g}. {_COST}"
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Plot the cost at scales from 1e-12 to 1 into this file: of this dialect, or, if "
            "it is canonical, of all that are in use."
        ),
    ] = None,
    timeout: Timeout = None,
    output: Annotated[Form, typer.Option("--format", help="Output format.")] = Form.PRETTY,
) -> None:
    """Name the dialect of Adamax that a backend computes, axis by axis.

    Exit codes:

    - 0 canonical
    - 1 another dialect, or not Adamax
    - 2 usage: an unknown name, a framework that is not installed
    - 3 adapter broken: it cannot be imported, or cannot take one step

    Example: adamax-conformance diagnose optax --scale 1e-6
    """
    from adamax_conformance.dialects import cost  # noqa: PLC0415 - keeps --help fast
    from adamax_conformance.dialects import diagnose as look  # noqa: PLC0415 - keeps --help fast

    backend = found(name, timeout)
    try:
        hp = Hyperparameters(betas=(beta1, beta2), eps=_DEFAULT.eps if eps is None else eps)
        own = getattr(backend, "default_eps", None) if eps is None else eps
        with stdout_to_stderr():
            diagnosis = look(backend, dtype=dtype)
        costs: list[Cost] = []
        if scale is not None and diagnosis.dialect is not None:
            costs = cost(diagnosis.dialect, scale, steps, hp, eps=own)
    except ValueError as error:
        raise stop(str(error), Exit.USAGE) from None
    if output is Form.JSON:
        document = diagnosis.as_dict() | {
            "cost": [{"step": c.step, "here": float(c.here), "path": float(c.path)} for c in costs]
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        _show(diagnosis, Console())
        if scale is not None:
            _show_costs(diagnosis, scale, hp, own, costs, Console())
    if plot is not None:
        try:
            _plot(diagnosis, steps, hp, own, plot)
        except (ValueError, OSError) as error:
            raise stop(f"cannot write the plot: {error}", Exit.USAGE) from None
        errors.print(f"plot written to {plot}", markup=False)
    if diagnosis.broken:
        raise typer.Exit(Exit.BROKEN)
    raise typer.Exit(Exit.CONFORMANT if diagnosis.canonical else Exit.NOT_CONFORMANT)


def _show(diagnosis: "Diagnosis", console: Console) -> None:
    if diagnosis.axes:
        table = Table(
            title=Text(f"Dialect of {printable(diagnosis.backend)}, probed in {diagnosis.dtype}")
        )
        for heading in ("", "axis", "found", "specification", "formula"):
            table.add_column(heading, overflow="fold")
        for axis in diagnosis.axes:
            mark, style = ("≠", "red") if axis.deviates else ("✓", "green")
            if axis.found != axis.specified and not axis.deviates:
                mark, style = "·", "dim"
            cells = (mark, f"{axis.clause}  {axis.axis}", axis.found, axis.specified, axis.note)
            table.add_row(*map(Text, cells), style=style)
        console.print(table)
    console.print(Text(str(diagnosis)), soft_wrap=True)


def _show_costs(
    diagnosis: "Diagnosis",
    scale: float,
    hp: Hyperparameters,
    own: float | None,
    costs: Sequence["Cost"],
    console: Console,
) -> None:
    if diagnosis.dialect is None:
        console.print("Its cost is unknown, since its rule is unknown.")
        return
    if all(each.here == each.path == 1 for each in costs):
        console.print(
            "When it minimizes without weight decay, its steps are those of the specification, for "
            "gradients of any size."
        )
        return
    beta1, beta2 = hp.betas
    table = Table(
        title="Step size relative to the specification: normal gradients with standard deviation "
        f"{scale:g}, betas ({beta1:g}, {beta2:g}), {_eps(hp, own)}"
    )
    for heading in ("step", "this step", "minus 1", "all so far", "minus 1"):
        table.add_column(heading, justify="right")
    for each in costs:
        ratios = [text for r in each[1:] for text in (f"{float(r):.6g}", f"{float(r - 1):+.1e}")]
        table.add_row(str(each.step), *ratios)
    console.print(table)


def _eps(hp: Hyperparameters, own: float | None) -> str:
    """Return the eps of the backend in words, and that of the specification, if it is another."""
    same = own is None or own == hp.eps
    return f"eps {hp.eps:g}" if same else f"eps {own:g} over {hp.eps:g}"


def _plot(
    diagnosis: "Diagnosis", steps: int, hp: Hyperparameters, own: float | None, path: Path
) -> None:
    """Plot the path of a dialect relative to the specification, by the scale of the gradients.

    Raises:
        ValueError: matplotlib is not installed, or the rule of the backend is unknown.
    """
    from adamax_conformance.dialects import KNOWN_AS, Dialect, cost  # noqa: PLC0415 - keeps --help fast

    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - only a plot needs it
    except ModuleNotFoundError:
        raise ValueError(
            "--plot needs matplotlib, which is not installed: pip install matplotlib"
        ) from None
    if diagnosis.dialect is None:
        raise ValueError(f"nothing to plot: {diagnosis}")
    canonical, dialects = Dialect(), [diagnosis.dialect]
    if diagnosis.dialect == canonical and own in (None, hp.eps):
        dialects = [Dialect(*known) for known in KNOWN_AS if Dialect(*known) != canonical]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(1, color="black", linestyle="--", label="the specification")
    for dialect in dialects:
        ratios = [float(cost(dialect, scale, steps, hp, eps=own)[-1].path) for scale in _SCALES]
        axes.plot(_SCALES, ratios, marker=".", label=_label(dialect))
    beta1, beta2 = hp.betas
    axes.set(
        title=f"Distance after {steps} steps, betas ({beta1:g}, {beta2:g}), {_eps(hp, own)}",
        xscale="log",
        yscale="log",
        xlabel="standard deviation of the gradients",
        ylabel="distance relative to the specification",
    )
    axes.legend()
    figure.savefig(path)


def _label(dialect: "Dialect") -> str:
    """Return a label such as ``Keras, ...: eps outside``."""
    from adamax_conformance.dialects.axes import CORRECTION  # noqa: PLC0415 - keeps --help fast

    who = ", ".join([*dialect.known_as[:1], *(["..."] if dialect.known_as[1:] else [])])
    corrected = dialect.correction == CORRECTION.specified
    rule = f"eps {dialect.eps}" + ("" if corrected else f", correction {dialect.correction}")
    return f"{who}: {rule}" if who else rule
