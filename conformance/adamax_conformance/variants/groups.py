"""Parameter groups: exemption from decay, and hyperparameters of each group (A-10)."""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, NamedTuple

from adamax_conformance.variants.variant import BASE, Family, each_alone
from adamax_core import Hyperparameters

FAMILY = Family("groups", "parameter groups")


class Grouped(NamedTuple):
    """The reference's state, and the names of parameters exempt from decay."""

    state: Any
    undecayed: tuple[str, ...] = ()


def _exempt(name: str, undecayed: Collection[str], _params: Any) -> bool:
    return name in undecayed


def grouped(
    exempt: Callable[[str, Collection[str], Any], bool],
) -> Callable[..., Any]:
    """Return a step in which parameters with ``exempt(name, undecayed, params)`` do not decay."""

    def step(p: Any, g: Any, s: Grouped, hp: Hyperparameters) -> Any:
        undecayed = {k: exempt(k, s.undecayed, p) for k in p}
        stepped, state = each_alone(
            p, g, s.state, lambda k: replace(hp, weight_decay=0.0) if undecayed[k] else hp
        )
        return stepped, s._replace(state=state)

    return step


GROUPED = replace(
    BASE,
    init=lambda p, hp, undecayed=(), **more: Grouped(BASE.init(p, hp, **more), tuple(undecayed)),
    load=lambda p, hp, saved: Grouped(BASE.load(p, hp, saved)),
    moments=lambda s: BASE.moments(s.state),
    step=grouped(_exempt),
    features=(*BASE.features, "undecayed"),
)
"""The reference with two groups: with decay and without."""


@FAMILY.wrong_one("exemption-ignored", "A-10", base=GROUPED)
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Every parameter decays: the hyperparameters of the first group are used for all."""
    return grouped(lambda _name, _undecayed, _p: False)(p, g, s, hp)


@FAMILY.wrong_one("exempt-by-a-part-of-the-name", "A-10", base=GROUPED)
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Exempts every parameter whose name begins with that of an exempt one."""
    return grouped(lambda name, undecayed, _p: name.startswith(tuple(undecayed)))(p, g, s, hp)


@FAMILY.wrong_one("nothing-decays-where-one-is-exempt", "A-10", base=GROUPED)
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """The hyperparameters of the last group are used for all."""
    return grouped(lambda _name, undecayed, _p: bool(undecayed))(p, g, s, hp)


@FAMILY.wrong_one("exemption-inverted", "A-10", base=GROUPED)
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """The mask the other way round: the exempt parameters decay, and they alone."""
    return grouped(lambda name, undecayed, _p: bool(undecayed) and name not in undecayed)(
        p, g, s, hp
    )


@FAMILY.wrong_one("exemption-by-rank", "A-2", base=GROUPED)
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Vectors never decay, as is the custom with biases, asked or not."""
    return grouped(lambda name, _undecayed, p: p[name].ndim < 2)(p, g, s, hp)  # noqa: PLR2004 - vectors have one


@FAMILY.wrong_one("exempt-parameters-not-stepped", "A-10", base=GROUPED)
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Takes the exempt parameters away from the optimizer altogether."""
    return GROUPED.step(p, {k: v for k, v in g.items() if k not in s.undecayed}, s, hp)


@FAMILY.wrong_one("exempt-parameters-get-the-gradient", "A-10", base=GROUPED)
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """optax.masked: the update of an exempt parameter is its raw gradient."""
    stepped, new = GROUPED.step(p, g, s, hp)
    raw = {k: (p[k] + g[k]).astype(p[k].dtype) for k in s.undecayed if k in g}
    return {**stepped, **raw}, new


@FAMILY.wrong_one("exemption-for-one-step", "A-10", base=GROUPED)
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Forgets the groups after the first step."""
    stepped, new = GROUPED.step(p, g, s, hp)
    return stepped, new._replace(undecayed=())


@FAMILY.wrong_one("exemption-of-coupled-decay-alone", "A-10", base=GROUPED)
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Decoupled decay reaches the exempt parameters too."""
    return grouped(lambda name, undecayed, _p: name in undecayed and not hp.decoupled_weight_decay)(
        p, g, s, hp
    )


@FAMILY.right_one("groups-stepped-one-after-the-other", base=GROUPED)
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Two groups, a call of the optimizer each."""
    return grouped(_exempt)(p, g, s, hp)
