"""``adamax-conformance init``: the file that a kernel in another language begins with."""

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
        Path, typer.Argument(metavar="[DIR]", help="Where to; made where it is not there.")
    ] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace a file of this name.")] = False,
) -> None:
    """Write a harness that speaks the protocol of the judge: put your kernel into it.

    One file, without dependencies, that is conformant as it is. What to run next is printed.
    The protocol is in protocol/protocol.md of the installed package.

    Example: adamax-conformance init --lang rust kernels
    """
    skeleton = SKELETONS[lang.value]
    target = folder / skeleton.file
    if folder.exists() and not folder.is_dir():
        raise stop(f"{folder} is no folder: the file goes into one", Exit.USAGE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with target.open("w" if force else "x", encoding="utf-8") as file:
            file.write(skeleton.source)
    except FileExistsError:
        raise stop(f"{target} is there already: --force replaces it", Exit.USAGE) from None
    except OSError as error:
        raise stop(f"{target} cannot be written: {error}", Exit.USAGE) from None
    enter = "" if folder == Path() else f"  cd {folder}\n"
    build = f"  {skeleton.build}\n" if skeleton.build else ""
    sys.stdout.write(
        f"{target}: put your kernel where it says so. Then:\n"
        f"{enter}{build}  adamax-conformance check 'cmd:{skeleton.run}'\n"
    )
