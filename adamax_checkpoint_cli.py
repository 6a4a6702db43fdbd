"""The console script: run the command line of checkpoints, or say what to install for it.

It is outside of the package, which cannot be imported without the packages of its extra.
"""

import sys


def main() -> None:
    """Run ``adamax-checkpoint``; without the packages of its extra, exit with 2 and say so."""
    try:
        from adamax_checkpoint.cli import main as run  # noqa: PLC0415 - to say what is missing
    except ModuleNotFoundError as error:
        if (error.name or "adamax").startswith("adamax"):
            raise
        sys.stderr.write(
            f"adamax-checkpoint needs {error.name}, which is not installed; from a checkout: "
            "pip install -c constraints.txt '.[checkpoint]'\n"
        )
        sys.exit(2)
    run()
