"""Check the output files of a benchmark before it measures."""

from pathlib import Path

import typer
from matplotlib.backend_bases import FigureCanvasBase


def require_writable(json: Path | None, picture: Path | None) -> None:
    """Create the folders of both files; raise unless both can be written.

    Raises:
        typer.BadParameter: a file cannot be written, or matplotlib does not support its format.
    """
    for path in filter(None, (json, picture)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            there = path.exists()
            path.open("ab").close()
            if not there:
                path.unlink()
        except OSError as error:
            raise typer.BadParameter(f"cannot write {path}: {error.strerror}") from error
    kinds = FigureCanvasBase.filetypes
    if picture and picture.suffix.removeprefix(".").lower() not in kinds:
        raise typer.BadParameter(f"cannot draw {picture}: it may end in .{', .'.join(kinds)}")
