"""The command ``adamax-conformance``: one file for each subcommand, and `app`, which they share."""

from adamax_conformance.cli import (
    check,
    diagnose,
    explain,
    fuzz,
    init,
    list_,
    mutate,
    render,
    replay,
    serve,
    vectors,
)
from adamax_conformance.cli.app import Exit, app, main

__all__ = [
    "Exit",
    "app",
    "check",
    "diagnose",
    "explain",
    "fuzz",
    "init",
    "list_",
    "main",
    "mutate",
    "render",
    "replay",
    "serve",
    "vectors",
]
