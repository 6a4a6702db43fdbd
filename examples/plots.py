"""The output file of an example's plot."""

from pathlib import Path

import typer

FORMATS = (".png", ".pdf", ".svg")


def prepare(plot: Path) -> None:
    """Create the folder and check that the plot can be written, before the example runs."""
    if plot.suffix not in FORMATS:
        message = f"{plot} ends in none of {', '.join(FORMATS)}"
        raise typer.BadParameter(message, param_hint="'--plot'")
    try:
        plot.parent.mkdir(parents=True, exist_ok=True)
        with plot.open("ab"):
            pass
    except OSError as error:
        message = f"cannot write {plot} ({error.filename}: {error.strerror})"
        raise typer.BadParameter(message, param_hint="'--plot'") from error
