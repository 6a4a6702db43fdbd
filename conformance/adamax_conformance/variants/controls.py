"""Controls: grossly wrong implementations, which the suite must catch.

If one survives, the score of the variants means nothing, and the run is void.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from adamax_conformance.variants.variant import BASE, Variant, made, sentence


@dataclass(frozen=True, kw_only=True)
class Control(Variant):
    """An implementation that the suite must catch.

    Attributes:
        clauses: clauses that must all catch it.
    """

    clauses: tuple[str, ...]


CONTROLS: list[Control] = []


def _control(variant_id: str, *clauses: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(step: Callable[..., Any]) -> Callable[..., Any]:
        backend = made(variant_id, {"step": step}, BASE)
        CONTROLS.append(
            Control(
                id=variant_id,
                family="controls",
                does=sentence(step),
                backend=backend,
                clauses=clauses,
            )
        )
        return step

    return register


@_control("idle", "A-3", "A-4", "A-5", "A-7")
def _(p: Any, _g: Any, s: Any, _hp: Any) -> Any:
    """Does nothing."""
    return dict(p), s


@_control("frozen", "A-6", "A-7")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Keeps the right moments and leaves the parameters where they are."""
    return dict(p), BASE.step(p, g, s, hp)[1]


@_control("random", "A-4", "A-5", "A-6", "A-7")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Counts, and makes up the rest."""
    random = np.random.default_rng(0)
    _, new = BASE.step(p, g, s, hp)

    def noise(arrays: Any) -> Any:
        return {k: random.normal(size=v.shape).astype(v.dtype) for k, v in arrays.items()}

    return noise(p), new._replace(exp_avg=noise(new.exp_avg), exp_inf=noise(new.exp_inf))
