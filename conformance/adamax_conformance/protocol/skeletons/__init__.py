"""A program that speaks the protocol, in one file, for each of some languages: what `init` writes.

Each is conformant as it is, in float32 and float64, and has one marked function, ``kernel``, to be
replaced by the kernel that is to be judged. None needs a library beyond its language's own.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import NamedTuple


class Skeleton(NamedTuple):
    """What there is for a language.

    Attributes:
        file: name of the file.
        build: the command that builds it, in its folder; empty where none is needed.
        run: the command that runs it.
    """

    file: str
    build: str
    run: str

    @property
    def source(self) -> str:
        """The text of the file."""
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
"""By the name of the language."""
