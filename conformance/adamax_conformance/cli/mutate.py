"""``adamax-conformance mutate``: score the suite by the wrong and right variants it classifies."""

import json
import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adamax_conformance.cli.app import Exit, app, progress, stop

if TYPE_CHECKING:
    from adamax_conformance.score import Outcome, Score


class Format(StrEnum):
    """Output formats of the score."""

    PRETTY = "pretty"
    JSON = "json"


@app.command()
def mutate(
    family: Annotated[
        list[str] | None,
        typer.Option(help="Only this family of variants, such as eps; may be repeated."),
    ] = None,
    dtype: Annotated[
        list[str] | None, typer.Option(help="Only this dtype; may be repeated.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes; by default that of processors.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="Output format.")] = (Format.PRETTY),
    verbose: Annotated[
        bool, typer.Option("--verbose", help="List every variant, and each proof in full.")
    ] = False,
) -> None:
    """Judge the judge: it must catch wrong variants, each by its clause, and accept right ones.

    Exit codes:

    - 0 perfect
    - 1 a wrong variant survives or is caught by another clause, or a right one is rejected
    - 2 usage: an unknown family or dtype
    - 3 void: a control survives, so the score means nothing

    Example: adamax-conformance mutate --family eps --dtype float32
    """
    # This import creates two hundred backends.
    from adamax_conformance.score import mutate as judged  # noqa: PLC0415 - see above
    from adamax_conformance.score import plan  # noqa: PLC0415 - see above

    try:
        jobs = plan(family, dtype)
    except ValueError as error:
        raise stop(str(error), Exit.USAGE) from None
    if not jobs:
        raise stop("no variant of these families has these dtypes", Exit.USAGE)
    with progress() as task:
        advance = task("variants", len(jobs))
        score = judged(jobs, workers=workers or os.cpu_count() or 1, advance=advance)
    if output is Format.JSON:
        sys.stdout.write(json.dumps({"version": 1, **score.as_dict()}, indent=1) + "\n")
    else:
        _show(score, Console(width=None if sys.stdout.isatty() else 120), verbose=verbose)
    raise typer.Exit(_code(score))


def _code(score: "Score") -> Exit:
    if score.void:
        return Exit.BROKEN
    return Exit.CONFORMANT if score.perfect else Exit.NOT_CONFORMANT


def _show(score: "Score", console: Console, *, verbose: bool) -> None:
    """Print the table of families, the proofs, the bad outcomes, and the totals."""
    from adamax_conformance.score import Kind, Score  # noqa: PLC0415 - as above
    from adamax_conformance.variants import FAMILIES  # noqa: PLC0415 - as above

    table = Table(header_style="bold", title="Wrong and right variants", title_style="bold")
    table.add_column("family", no_wrap=True)
    for name in (
        "wrong",
        "killed by their clause",
        "in dtypes",
        "proved equal",
        "right",
        "accepted",
    ):
        table.add_column(name, justify="right")
    for family in FAMILIES:
        mine = Score(tuple(each for each in score.outcomes if each.family == family.name))
        if not mine.outcomes:
            continue
        wrong, killed = (mine.ids(Kind.WRONG, good=good) for good in (None, True))
        right, accepted = (mine.ids(Kind.RIGHT, good=good) for good in (None, True))
        differing, equal = (
            sum(each.kind is kind for each in mine.outcomes) for kind in (Kind.WRONG, Kind.EQUAL)
        )
        table.add_row(
            family.title,
            str(len(wrong)),
            Text(str(len(killed)), "green" if killed == wrong else "bold red"),
            str(differing),
            str(equal),
            str(len(right)),
            Text(str(len(accepted)), "green" if accepted == right else "bold red"),
        )
    console.print(table)
    if verbose:
        for each in score.outcomes:
            mark = "✓" if each.good else "✗"
            console.print(Text(f"  {mark} {each.kind:<8}{each.id}[{each.dtype}]"))
    _show_proofs([each for each in score.outcomes if each.kind is Kind.EQUAL], console)
    for each in score.bad:
        console.print(Text(f"✗ {each.kind} {each.id}[{each.dtype}]: {each.why}", "red"))
    console.print(Text(score.sentence, "bold green" if score.perfect else "bold red"))


def _show_proofs(equal: "list[Outcome]", console: Console) -> None:
    """Print each proof once, with the variants and dtypes that it covers."""
    if not equal:
        return
    console.print(Text("\nEqual to the rule, and not rejected by the suite:", "bold"))
    proofs: dict[str, dict[str, list[str]]] = {}
    for each in equal:
        proofs.setdefault(each.proof, {}).setdefault(each.id, []).append(each.dtype)
    for proof, about in proofs.items():
        which = "; ".join(f"{id_} in {', '.join(dtypes)}" for id_, dtypes in about.items())
        console.print(Text.assemble(("  ≡ ", "yellow"), which, "\n    ", (proof, "bright_black")))
    console.print()
