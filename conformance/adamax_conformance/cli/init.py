"""``adamax-conformance init``: write a harness for a kernel in another language."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from adamax_conformance.cli.app import Exit, app, stop
from adamax_conformance.protocol.skeletons import SKELETONS

Language = StrEnum("Language", [(name.upper(), name) for name in SKELETONS])  # type: ignore[misc]  # the names are those of a mapping


@app.command()
def init(
    lang: Annotated[Language, typer.Option(help="The language of the kernel.")],
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="The folder; created if it does not exist.")
    ] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a harness that speaks the protocol of the judge: put your kernel into it.

    It is one file without dependencies, and conformant as it is. The command prints what to run
    next. The protocol is in protocol/protocol.md of the installed package.

    Example: adamax-conformance init --lang rust kernels
    """
    skeleton = SKELETONS[lang.value]
    target = folder / skeleton.file
    if folder.exists() and not folder.is_dir():
        raise stop(f"{folder} is not a folder: give the folder for the file", Exit.USAGE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with target.open("w" if force else "x", encoding="utf-8") as file:
            file.write(skeleton.source)
    except FileExistsError:
        raise stop(f"{target} already exists: --force overwrites it", Exit.USAGE) from None
    except OSError as error:
        raise stop(f"cannot write {target}: {error}", Exit.USAGE) from None
    enter = "" if folder == Path() else f"  cd {folder}\n"
    build = f"  {skeleton.build}\n" if skeleton.build else ""
    sys.stdout.write(
        f"{target}: put your kernel where the file says so, then run:\n"
        f"{enter}{build}  adamax-conformance check 'cmd:{skeleton.run}'\n"
    )
