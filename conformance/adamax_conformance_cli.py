"""The console script: run the command line of the judge, or say what to install for it."""

import sys
from typing import NoReturn

from adamax_conformance_supervisor import supervise


def main() -> NoReturn:
    """Run ``adamax-conformance``; without the packages of its extra, exit with 2 and say so."""
    supervise(_run)


def _run() -> None:
    try:
        from adamax_conformance.cli import main as run  # noqa: PLC0415 - to say what is missing
    except ModuleNotFoundError as error:
        if (error.name or "adamax").startswith("adamax"):
            raise
        sys.exit(_missing(error.name or ""))
    run()


def _missing(package: str) -> int:
    sys.stderr.write(
        f"adamax-conformance needs {package}, which is not installed; from a checkout: "
        "pip install -c constraints.txt '.[conformance]'\n"
    )
    return 2
