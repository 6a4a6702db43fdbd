"""``adamax-conformance vectors``: generate, check and export the language-neutral vectors."""

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from adamax_conformance.cli.app import Exit, app, progress, stop

vectors = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="The language-neutral vectors: runs of steps and their allowed results, as JSON Lines.",
)
app.add_typer(vectors, name="vectors")


def _generated() -> str:
    """Return the text of the file of vectors; stop if it would lose or change a published id."""
    from adamax_conformance.variants import WRONG  # noqa: PLC0415 - makes every variant
    from adamax_conformance.vectors.generate import generated, require_kept  # noqa: PLC0415 - same
    from adamax_conformance.vectors.vector import dump  # noqa: PLC0415 - the same

    with progress() as task:
        new = generated(advance=task("wrong variants", len(WRONG)))
    try:
        require_kept(new)
    except ValueError as error:
        raise stop(str(error), Exit.NOT_CONFORMANT) from None
    return dump(new)


@vectors.command()
def generate() -> None:
    """Rewrite the file of vectors: add new ids, and recompute intervals and kills.

    The inputs of a published id never change, and no id is lost.

    Example: adamax-conformance vectors generate
    """
    from adamax_conformance.vectors import FILE  # noqa: PLC0415 - the judge's arithmetic

    text = _generated()
    FILE.write_text(text, encoding="utf-8")
    typer.echo(f"{len(text.splitlines())} vectors in {FILE}")


@vectors.command()
def check() -> None:
    """Exit with 1 unless the file of vectors is what `generate` would write.

    Example: adamax-conformance vectors check
    """
    from adamax_conformance.vectors import FILE  # noqa: PLC0415 - the judge's arithmetic

    new, old = _generated().splitlines(), FILE.read_text(encoding="utf-8").splitlines()
    if changed := sorted({json.loads(line)["id"] for line in {*new} ^ {*old}}):
        raise stop(
            f"not as generated: {', '.join(changed)}; run `adamax-conformance vectors generate`",
            Exit.NOT_CONFORMANT,
        )
    typer.echo(f"{len(old)} vectors are as generated")


@vectors.command()
def export(
    target: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder; created if it does not exist.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Write even if the folder is not empty.")
    ] = False,
) -> None:
    """Write the vectors, their schemas and a one-page guide into a folder, for any language.

    Example: adamax-conformance vectors export adamax-vectors
    """
    from adamax_conformance.exchange import schemas  # noqa: PLC0415 - the judge's arithmetic
    from adamax_conformance.vectors import FILE  # noqa: PLC0415 - the same

    folder = Path(schemas.__path__[0])
    names = [FILE, FILE.with_name("GUIDE.md")]
    names += [folder / f"{name}.schema.json" for name in ("vector", "run")]
    try:
        if target.exists() and any(target.iterdir()) and not force:
            raise FileExistsError(f"{target} is not empty: choose another folder, or use --force")
        target.mkdir(parents=True, exist_ok=True)
        for source in names:
            shutil.copyfile(source, target / source.name)
    except OSError as error:
        raise stop(str(error), Exit.USAGE) from None
    typer.echo(f"{len(names)} files in {target}; begin with GUIDE.md")
