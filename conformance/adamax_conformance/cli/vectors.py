"""``adamax-conformance vectors``: the language-neutral vectors, made, looked at, given away."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from adamax_conformance.cli.app import Exit, app, progress, stop

vectors = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="The language-neutral vectors: runs of steps as JSON, and what may come out of them.",
)
app.add_typer(vectors, name="vectors")

_TASK = "broken variants"


@vectors.command()
def generate(
    out: Annotated[
        Path | None, typer.Option(help="Where to write them; their place in the package if left.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 where a file would change.")
    ] = False,
) -> None:
    """Make the files again: new ids come in, intervals and kills are computed anew.

    The inputs of a published id never change: to replace them, retire the id in `ids.lock`.

    Example: adamax-conformance vectors generate --check
    """
    from adamax_conformance.variants import WRONG  # noqa: PLC0415 - makes every variant
    from adamax_conformance.vectors.generate import generated  # noqa: PLC0415 - the same
    from adamax_conformance.vectors.vector import FOLDER  # noqa: PLC0415 - the same

    try:
        with progress() as task:
            files = generated(advance=task(_TASK, len(WRONG)))
    except ValueError as error:
        raise stop(str(error), Exit.NOT_CONFORMANT) from None
    folder = out or FOLDER
    if check:
        changed = _changed(files, folder)
        if changed:
            raise stop(
                f"not as they are generated: {', '.join(changed)}; run `vectors generate`",
                Exit.NOT_CONFORMANT,
            )
        typer.echo(f"{len(files)} files are as they are generated")
        return
    _write(files, folder)


def _changed(files: Mapping[str, str], folder: Path) -> list[str]:
    """Those that are not in the folder, not like this there, or too many there."""
    from adamax_conformance.vectors.vector import read  # noqa: PLC0415 - the judge's arithmetic

    there = {
        name: (folder / name).read_text(encoding="utf-8")
        for name in {*files, *read(folder)}
        if (folder / name).exists()
    }
    return sorted(name for name in {*files, *there} if files.get(name) != there.get(name))


def _write(files: Mapping[str, str], folder: Path) -> None:
    """Write what is new or changed, and take away a file of which nothing is left."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        changed = _changed(files, folder)
        for name in changed:
            if name in files:
                (folder / name).write_text(files[name], encoding="utf-8")
            else:
                (folder / name).unlink()
    except OSError as error:
        raise stop(f"the vectors cannot be written: {error}", Exit.USAGE) from None
    typer.echo(f"{len(changed)} of {len(files)} files changed in {folder}")


@vectors.command()
def lint(
    folder: Annotated[
        Path | None, typer.Argument(help="A folder of vectors; those of the package if left out.")
    ] = None,
) -> None:
    """Look for mistakes in the files: schema, ids, digests, intervals, formatting.

    Example: adamax-conformance vectors lint
    """
    from adamax_conformance.vectors.lint import problems  # noqa: PLC0415 - the judge's arithmetic
    from adamax_conformance.vectors.vector import FOLDER, load  # noqa: PLC0415 - the same

    folder = folder or FOLDER
    if not folder.is_dir():
        raise stop(f"{folder} is no folder", Exit.USAGE)
    found = problems(folder)
    for problem in found:
        typer.echo(problem)
    if found:
        raise typer.Exit(Exit.NOT_CONFORMANT)
    typer.echo(f"{len(load(folder))} vectors, nothing wrong")


@vectors.command()
def export(
    target: Annotated[Path, typer.Argument(metavar="DIR", help="Made where it does not exist.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also into a folder that is not empty.")
    ] = False,
) -> None:
    """Write the vectors, their schemas and a one-page guide into a folder, for any language.

    Example: adamax-conformance vectors export adamax-vectors
    """
    from adamax_conformance.vectors.export import export as write  # noqa: PLC0415 - reads schemas

    try:
        names = write(target, force=force)
    except OSError as error:
        raise stop(str(error), Exit.USAGE) from None
    typer.echo(f"{len(names)} files in {target}; begin with GUIDE.md")


@vectors.command()
def adopt(
    repro: Annotated[
        Path, typer.Argument(metavar="REPRO.json", help="What `fuzz` wrote of a failure.")
    ],
    name: Annotated[
        str, typer.Option("--id", help="CLAUSE/name, such as A-5/eps-of-a-tail; ids are for ever.")
    ],
    note: Annotated[str, typer.Option(help="Why the vector exists.")],
    into: Annotated[
        Path | None,
        typer.Option(help="A folder of vectors; that of the package, for a commit, if left out."),
    ] = None,
) -> None:
    """Make a vector of a failure that the fuzzer found, so that nobody makes the mistake again.

    It is added to the file of its clause, and its id to ids.lock, from where it never goes again.
    Exit codes: 0 added, 2 the id is taken, the run too long, or a file cannot be used.

    Example: adamax-conformance vectors adopt repro.json --id A-5/found --note "A tail of three."
    """
    from adamax_conformance.fuzz.repro import load  # noqa: PLC0415 - the judge's arithmetic
    from adamax_conformance.variants import WRONG  # noqa: PLC0415 - makes every variant
    from adamax_conformance.vectors.generate import adopt as taken  # noqa: PLC0415 - the same
    from adamax_conformance.vectors.generate import adopted  # noqa: PLC0415 - the same
    from adamax_conformance.vectors.vector import FOLDER  # noqa: PLC0415 - the same

    try:
        vector = adopted(load(repro).trial, name, note)
        folder = into or FOLDER
        with progress() as task:
            advance = task(_TASK, len(WRONG))
            vector, files = taken(vector, folder, variants=WRONG, advance=advance)
        for changed, text in files.items():
            (folder / changed).write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise stop(str(error), Exit.USAGE) from None
    typer.echo(f"{vector.id} is in {folder}; it kills {len(vector.kills)} variants")
