"""``adamax-conformance fuzz``: judge a backend by random examples."""

import shlex
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
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
    found,
    progress,
    require_new,
    stop,
)
from adamax_conformance.spec.formats import DTYPES
from adamax_conformance.subject.printable import printable

if TYPE_CHECKING:
    from adamax_conformance.fuzz import Fuzzed


@app.command()
def fuzz(
    name: Name,
    examples: Annotated[
        int, typer.Option(min=1, help="Judge at least this many examples in each dtype.")
    ] = 100,
    elements: Annotated[
        int, typer.Option(min=0, help="Step at least this many elements in each dtype.")
    ] = 0,
    dtype: Annotated[
        list[str] | None,
        typer.Option(help=f"Only this dtype of {', '.join(DTYPES)}; may be repeated."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the examples.")] = 0,
    stateful: Annotated[
        bool,
        typer.Option(
            "--stateful",
            help="Draw sessions: any interleaving of steps, missing gradients, saving, loading, "
            "and changes of hyperparameters.",
        ),
    ] = False,
    timeout: Timeout = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write a failure to this file, for `replay`; it must not exist.  "
            "[default: repro.json, or the next free number]"
        ),
    ] = None,
) -> None:
    """Judge a backend by examples that Hypothesis draws, until one fails.

    Shapes, layouts, dtypes, hyperparameters, magnitudes from subnormal to the largest finite
    number, special values, missing gradients, sequences of steps. A failure is shrunk, printed with
    its exact numbers and written to a file. The same seed draws the same examples.

    Exit codes:

    - 0 no failure
    - 1 a failure
    - 2 usage: an unknown name, a dtype that the backend does not take
    - 3 adapter broken: it cannot be imported, or cannot take one step

    Example: adamax-conformance fuzz 'torch?foreach=true' --elements 200000
    """
    # Heavy imports stay out of --help.
    from adamax_conformance.check import check  # noqa: PLC0415 - as above
    from adamax_conformance.fuzz import fuzz as series  # noqa: PLC0415 - as above
    from adamax_conformance.fuzz.repro import Repro, explained, save, versions  # noqa: PLC0415 - as above

    path = _free(out)
    backend = found(name, timeout)
    if broken := check(backend, cases=["S-1/zero"]).broken:
        raise stop(f"{name}: {broken}", Exit.BROKEN)
    chosen = dtype or [each for each in DTYPES if each in backend.dtypes]
    fuzzed: list[Fuzzed] = []
    with progress() as task:
        for each in dict.fromkeys(chosen):
            advance = task(f"{name} {each}", examples)
            try:
                fuzzed += series(
                    backend,
                    dtypes=[each],
                    examples=examples,
                    elements=elements,
                    seed=seed,
                    stateful=stateful,
                    advance=partial(_advance, advance),
                )
            except ValueError as error:
                raise stop(str(error), Exit.USAGE) from None
            if fuzzed[-1].failure is not None:
                break
    Console().print(_table(name, seed, fuzzed))
    last = fuzzed[-1]
    if last.failure is None:
        typer.echo(f"{name}: no failure (seed {seed})")
        return
    options = ["--dtype", last.dtype, "--examples", str(examples), "--seed", str(seed)]
    options += ["--stateful"] * stateful
    command = f"adamax-conformance fuzz {shlex.join([name, *options])}"
    typer.echo(f"{name}: wrong in {last.dtype}, example {last.examples + 1} of seed {seed}")
    if last.trial is None:
        typer.echo(last.failure.message)
        raise typer.Exit(Exit.NOT_CONFORMANT)
    for line in explained(last.trial, last.failure):
        typer.echo(line)
    try:
        save(Repro(name, last.trial, last.failure, command, versions()), path)
    except OSError as error:
        raise stop(f"cannot write the run: {error}", Exit.USAGE) from None
    typer.echo(f"judge it again: adamax-conformance replay {shlex.quote(str(path))}")
    raise typer.Exit(Exit.NOT_CONFORMANT)


def _free(out: Path | None) -> Path:
    """Return the path for a failure: the given one, or the first free default."""
    if out is None:
        names = (Path(f"repro-{n}.json" if n else "repro.json") for n in count())
        out = next(path for path in names if not path.exists())
    require_new(out)
    return out


def _advance(by_one: Callable[[], None], _elements: int) -> None:
    by_one()


def _table(name: str, seed: int, fuzzed: Sequence["Fuzzed"]) -> Table:
    table = Table(title=Text(f"{printable(name)}, seed {seed}"))
    table.add_column("dtype")
    for heading in ("examples", "elements", "seconds"):
        table.add_column(heading, justify="right")
    for each in fuzzed:
        table.add_row(each.dtype, f"{each.examples:,}", f"{each.elements:,}", f"{each.seconds:.1f}")
    return table
