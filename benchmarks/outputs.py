"""Where a benchmark writes its figures, looked at before anything is measured."""

from pathlib import Path

import typer
from matplotlib.backend_bases import FigureCanvasBase


def require_writable(json: Path | None, picture: Path | None) -> None:
    """Make the folders of both, and leave everything else as it is.

    Raises:
        typer.BadParameter: one cannot be written, or matplotlib does not know the picture's kind.
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
