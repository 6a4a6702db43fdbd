"""The cases of `cpu_step.py`, the most important first."""

from dataclasses import dataclass

from problem import Odd

from adamax_fused.threads import usable

CORES = usable()

REMEMBERED = ("ours", "torch loop", "torch foreach", "torch Adam fused")
"""Candidates of the memory measurement, and of the odd and busy cases."""
OTHER_WAYS = ("ours loop", "ours foreach")
MOST = ("ours", "step_", "torch loop", "torch foreach", "torch Adam fused", "optax", "limit")
# Compiling a step of 500 tensors takes a minute and a half.
ALL_BUT_COMPILED = (*MOST, *OTHER_WAYS, "keras", "torchopt")
ALL = (*ALL_BUT_COMPILED, "torch compiled")
# Each candidate of GPT-2 holds 1.5 GB or more; two more would slow all down on 24 GB.
ALL_THAT_FIT = (*MOST, *OTHER_WAYS, "torch compiled")
FEW = ("ours", "torch loop", "torch Adam fused", "limit")

_ODD: dict[Odd, str] = {
    "missing": "a gradient missing",
    "transposed": "a gradient transposed",
    "sharded": "DTensors",
}


@dataclass(frozen=True)
class Case:
    """The shapes, candidates and rounds of one case.

    Attributes:
        shapes: a key of `SHAPES`.
        candidates: keys of `CANDIDATES`.
        builds: number of builds.
        rounds: number of rounds for each build.
        dtype: dtype of parameters, gradients and moments.
        threads: number of threads.
        cold: each turn is a single step, however short.
        odd: deviation from the usual case.
        busy: as many other processes compute as there are CPUs.
    """

    shapes: str
    candidates: tuple[str, ...]
    builds: int
    rounds: int
    dtype: str = "float32"
    threads: int = CORES
    cold: bool = False
    odd: Odd = ""
    busy: bool = False

    @property
    def subject(self) -> str:
        """A description of the problem.

        >>> Case("500 of 256", FEW, 1, 1, odd="missing").subject
        '500 of 256, a gradient missing'
        """
        others = [_ODD[self.odd]] if self.odd else []
        others += [name for name in ("cold", "busy") if getattr(self, name)]
        return ", ".join([self.shapes, *others])

    @property
    def name(self) -> str:
        """The name of the case."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.subject}, {self.dtype}, {threads}"

    @property
    def plain(self) -> bool:
        """Does the case differ from the default only in its shapes? Goals and plots use these."""
        return self.subject == self.shapes and self.dtype == "float32"


def cases(threads: list[int]) -> list[Case]:
    """All cases with the largest number of threads; with fewer, those that show scaling."""
    most = max(threads)
    fewer = sorted(set(threads) - {most}, reverse=True)
    return [
        Case("one of 20 million", ALL, 4, 10, threads=most),
        Case("GPT-2 small", ALL_THAT_FIT, 2, 10, threads=most),
        Case("500 of 256", ALL_BUT_COMPILED, 4, 6, threads=most),
        Case("one of 1 million", (*MOST, *OTHER_WAYS), 4, 10, threads=most),
        Case("500 of 256", REMEMBERED, 4, 10, threads=most, odd="missing"),
        Case("500 of 16 by 16", REMEMBERED, 4, 10, threads=most, odd="transposed"),
        Case("50 of 256", REMEMBERED, 4, 10, threads=most, odd="sharded"),
        *(Case(f"one of {size}", REMEMBERED, 2, 15, threads=most, busy=True) for size in _BUSY),
        Case("one of 100 million", FEW, 1, 10, threads=most),
        Case("one of 10 million", MOST, 2, 10, threads=most),
        *(Case(f"one of {size}", MOST, 2, 10, threads=most) for size in _SMALL),
        Case("500 of 256", MOST, 2, 20, threads=most, cold=True),
        Case("ResNet-50", MOST, 2, 6, threads=most),
        Case("ViT-B/16", MOST, 1, 6, threads=most),
        Case("one of 20 million", MOST, 1, 6, "bfloat16", most),
        Case("GPT-2 small", MOST, 1, 4, "bfloat16", most),
        Case("500 of 256", MOST, 1, 6, "bfloat16", most),
        *(Case("one of 20 million", MOST, 1, 6, threads=each) for each in fewer),
        *(Case("GPT-2 small", MOST, 1, 4, threads=each) for each in fewer),
    ]


_BUSY = ("1 thousand", "100 thousand", "300 thousand", "1 million", "10 million")
_SMALL = ("1 thousand", "10 thousand", "100 thousand")
