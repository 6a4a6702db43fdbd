"""Skeletons: one-file programs that speak the protocol, one for each language; `init` writes them.

Each is conformant as it is, in float32 and float64. Replace its marked function, ``kernel``, with
the kernel to judge. A skeleton needs only the standard library of its language.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import NamedTuple


class Skeleton(NamedTuple):
    """The skeleton for one language.

    Attributes:
        file: name of the file.
        build: command that builds it, in its folder; empty if it needs no build.
        run: command that runs it.
    """

    file: str
    build: str
    run: str

    @property
    def source(self) -> str:
        """The content of the file."""
        return (files(__name__) / self.file).read_text(encoding="utf-8")


SKELETONS: Mapping[str, Skeleton] = {
    "python": Skeleton("adamax_harness.py", "", "python3 adamax_harness.py"),
    "javascript": Skeleton("adamax_harness.mjs", "", "node adamax_harness.mjs"),
    "c++": Skeleton(
        "adamax_harness.cpp",
        "g++ -std=c++17 -O2 -ffp-contract=off -o adamax_harness adamax_harness.cpp",
        "./adamax_harness",
    ),
    "rust": Skeleton("adamax_harness.rs", "rustc -O adamax_harness.rs", "./adamax_harness"),
}
"""Skeletons by language."""
