"""``adamax-conformance explain``: the words of a clause or case, its bound, and what it catches."""

import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from pylatexenc.latex2text import LatexNodes2Text
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

from adamax_conformance.bounds.oracle import decimal
from adamax_conformance.cases import CASES
from adamax_conformance.cases.case import Case
from adamax_conformance.cli.app import Exit, app, complete_case, complete_clause, stop
from adamax_conformance.spec.clauses import CLAUSES, HOW_RIGHT, Clause

if TYPE_CHECKING:
    from adamax_conformance.variants import Variant, Wrong


@app.command()
def explain(
    name: Annotated[
        str,
        typer.Argument(
            metavar="CASE|CLAUSE|VARIANT",
            help="A clause such as A-5, a case such as A-5/decays or 'A-5/decays[float32]', or a "
            "variant that a report names, such as nesterov.",
            autocompletion=lambda incomplete: (
                complete_clause(incomplete) + complete_case(incomplete)
            ),
        ),
    ],
) -> None:
    """Explain a clause or a case: its words, how its bound is derived, which variants it kills.

    Or explain a variant: what it does, and the clause that it violates.

    Example: adamax-conformance explain 'A-5/decays[bfloat16]'
    """
    from adamax_conformance.cli import explanation as about  # noqa: PLC0415 - makes every variant
    from adamax_conformance.variants import Variant  # noqa: PLC0415 - as above

    # A pipe has no width.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    try:
        found = about.find(name)
    except LookupError as error:
        raise stop(str(error), Exit.USAGE) from None
    if isinstance(found, Clause):
        _clause(console, found)
        console.print("\n[bold]Cases[/bold]")
        for case in CASES:
            if case.clause == found.id:
                console.print(f"  {escape(case.id)}  {escape(case.note)}")
        console.print("\n[bold]Wrong variants that it must catch[/bold]")
        for variant in about.aimed_at(found.id):
            console.print(f"  {variant.id}  {escape(variant.does)}")
        if not about.aimed_at(found.id):
            console.print("  none: the variants derive from the reference, which has one device")
        console.print("\n[bold]How right is right[/bold]")
        console.print(_text(HOW_RIGHT))
    elif isinstance(found, Variant):
        _variant(console, found)
    else:
        _case(console, *found)


def _text(words: str) -> Markdown:
    """Return text of the document with its formulas in plain characters."""
    plain = LatexNodes2Text(math_mode="text").latex_to_text
    return Markdown(re.sub(r"\$[^$]*\$", lambda formula: plain(formula[0]), words))


def _clause(console: Console, clause: Clause) -> None:
    binds = "required" if clause.required else "only for backends with the feature"
    console.print(f"[bold]{clause.id} {escape(clause.title)}[/bold] ({binds})")
    console.print(_text(clause.words))


def _variant(console: Console, variant: "Variant") -> None:
    from adamax_conformance.variants import Control, Wrong  # noqa: PLC0415 - as above

    console.print(f"[bold]{escape(variant.id)}[/bold]  {escape(variant.does)}")
    if isinstance(variant, Wrong):
        console.print(f"A wrong variant of the reference, in {', '.join(variant.dtypes)}.")
        for dtypes, why in _proofs(variant):
            console.print(f"In {dtypes} it equals the rule: {escape(why)}")
        console.print("\n[bold]The clause that it violates[/bold]")
        _clause(console, next(clause for clause in CLAUSES if clause.id == variant.clause))
    elif isinstance(variant, Control):
        console.print("A control: if the judge accepts it, no score means anything.")
    else:
        console.print("A right variant of the reference: the judge must accept it.")


def _proofs(variant: "Wrong") -> Iterator[tuple[str, str]]:
    """Yield each reason why the variant equals the rule in some dtypes, with those."""
    for why in dict.fromkeys(variant.proofs.values()):
        yield ", ".join(dtype for dtype, each in variant.proofs.items() if each == why), why


def _case(console: Console, case: Case, dtype: str) -> None:
    from adamax_conformance.cli.explanation import caught, example  # noqa: PLC0415 - as above

    console.print(f"[bold]{escape(case.id)}[/bold]  {escape(case.note)}")
    console.print(f"dtypes: {', '.join(case.dtypes)}")
    if case.features:
        console.print(f"needs: {', '.join(sorted(case.features))}")
    console.print()
    _clause(console, next(clause for clause in CLAUSES if clause.id == case.clause))
    shown = example(case, dtype)
    if shown is not None:
        console.print(
            f"\n[bold]The bound[/bold], for {escape(shown.where)} in step 1, in {dtype}; "
            "w is half a unit in the last place"
        )
        table = Table.grid(padding=(0, 2))
        for each in shown.lines:
            counted = "" if each.roundings is None else f"{decimal(each.roundings, 3)} w of it"
            numbers = decimal(each.value, 9), f"± {decimal(each.error, 3)}", counted
            table.add_row(f"  {escape(each.text)}", *numbers)
        console.print(table)
    console.print(f"\n[bold]Wrong variants that it kills[/bold] in {dtype}")
    killed = caught(case, dtype)
    for variant in killed:
        console.print(f"  {variant.id} ({variant.clause})  {escape(variant.does)}")
    if not killed:
        console.print("  none")
