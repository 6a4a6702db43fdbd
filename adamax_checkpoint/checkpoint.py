"""The content of a checkpoint, and the one place that validates it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from adamax_core import Hyperparameters, State

Array = Any

DTYPES = {
    np.dtype(each): code
    for each, code in (
        (np.float16, "F16"),
        (ml_dtypes.bfloat16, "BF16"),
        (np.float32, "F32"),
        (np.float64, "F64"),
        (np.complex64, "F32"),
        (np.complex128, "F64"),
    )
}
"""The dtypes of parameters and moments, and how a file calls their real parts."""

CANONICAL = "canonical"
EPS_OUTSIDE = "eps=outside"
DIALECTS = (CANONICAL, EPS_OUTSIDE)
"""The dialects whose state a checkpoint may hold, by their names in `adamax_conformance`."""

REFUSED = {
    "eps=in-the-decay": "its norm has a floor of eps / (1 - beta2), at the defaults 1000 eps, "
    "and does not tell a gradient from the floor (Paddle)",
    "eps=none": "its norm is that of eps=outside, but its steps divide by the norm alone; to go on "
    "with eps all the same, give the dialect eps=outside (MXNet, the paper)",
    "bias-correction=none": "its moments are those of eps=outside, but its steps are not "
    "corrected; to go on with correction all the same, give the dialect eps=outside (MLX)",
}
"""Other dialects, and why their state is not converted."""

MOST_STEPS = 2**63
"""Counts are saved as int64."""

_MOST_INT32 = 2**31 - 1


class CheckpointError(ValueError):
    """A checkpoint is not valid; the message gives the value, what is right, and the remedy."""


class NotVerifiedError(CheckpointError):
    """Two states differ, or a step from one is outside of its bounds; the message says where."""


class Group(NamedTuple):
    """Parameters with the same hyperparameters.

    Attributes:
        names: the names of the parameters, in the order of the optimizer.
        hyperparameters: those of the last step.
    """

    names: tuple[str, ...]
    hyperparameters: Hyperparameters


@dataclass(frozen=True)
class Checkpoint:
    """The state of Adamax for named parameters; validated.

    Attributes:
        state: three dicts by the names of parameters: ``step``, Python integers from 0 to below
            2^63; ``exp_avg`` and ``exp_inf``, NumPy arrays of one shape, both real or both complex.
            The dtypes are float16, bfloat16 (of ml_dtypes), float32, float64, complex64 and
            complex128. No element of a norm is below zero.
        groups: the hyperparameters as Python numbers; each parameter is in one group.
        params: the parameters themselves by name, of the shapes and kinds of the moments; or None.
        dialect: ``canonical``, or ``eps=outside`` for the state of Keras and others.
        verified: how a conversion was verified, one line; empty if it was not.

    Raises:
        CheckpointError: a name, shape, dtype or count is not valid, or a name is missing or left
            over; the message gives the value, what is right, and the remedy.
        TypeError: `groups` has something else than `Group`.

    >>> w = np.ones(2)
    >>> state = State({"w": 3}, {"w": w}, {"w": w})
    >>> Checkpoint(state, (Group(("w",), Hyperparameters()),)).names
    ('w',)
    >>> Checkpoint(state, (Group(("b",), Hyperparameters()),))
    Traceback (most recent call last):
    adamax_checkpoint.checkpoint.CheckpointError: the groups and the state have different \
parameters; only in the groups: b; only in the state: w. Give both the same names
    """

    state: State
    groups: tuple[Group, ...]
    params: Mapping[str, Array] | None = None
    dialect: str = CANONICAL
    verified: str = ""

    def __post_init__(self) -> None:
        # As a file has them, so that what is loaded is equal.
        object.__setattr__(self, "groups", tuple(map(_plain, self.groups)))
        if not isinstance(self.verified, str) or not f"{self.verified}.".isprintable():
            raise CheckpointError(f"verified = {self.verified!r} is not one line of text")
        if self.dialect not in DIALECTS:
            reason = REFUSED.get(self.dialect, "it is not known")
            raise CheckpointError(
                f"the dialect {self.dialect!r} is not one of {', '.join(DIALECTS)}: {reason}"
            )
        names = self.names
        if repeated := [name for name, times in Counter(names).items() if times > 1]:
            raise CheckpointError(f"{', '.join(repeated)}: in more than one group; name each once")
        for name in names:
            require_name(name)
        trees = self.state._asdict() | ({} if self.params is None else {"params": self.params})
        for what, tree in trees.items():
            require_same(names, tree, "the groups", "the state" if what == "step" else what)
        for name in names:
            require_step(name, self.state.step[name])
            require_alike(
                name, {what: tree[name] for what, tree in trees.items() if what != "step"}
            )
            require_norm(name, self.state.exp_inf[name])

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters, group by group."""
        return tuple(name for group in self.groups for name in group.names)

    def arrays(self) -> dict[str, Array]:
        """The arrays by the names that they have in a file, ``NAME.exp_avg`` and so on.

        Counts are zero-dimensional int64 arrays.
        """
        fields: dict[str, Mapping[str, Array]] = {
            "exp_avg": self.state.exp_avg,
            "exp_inf": self.state.exp_inf,
            "param": self.params or {},
            "step": {name: np.asarray(step, np.int64) for name, step in self.state.step.items()},
        }
        return {
            f"{name}.{field}": tree[name]
            for name in self.names
            for field, tree in fields.items()
            if name in tree
        }


def _plain(group: Any) -> Group:
    """The group with names as a tuple and hyperparameters as Python numbers."""
    require_group(group)
    hp = group.hyperparameters.numbers()
    lr, beta1, beta2, eps, decay = map(float, (hp.lr, *hp.betas, hp.eps, hp.weight_decay))
    plain = Hyperparameters(
        lr,
        (beta1, beta2),
        eps,
        decay,
        maximize=bool(hp.maximize),
        decoupled_weight_decay=bool(hp.decoupled_weight_decay),
    )
    return Group(tuple(group.names), plain)


def require_group(given: Any) -> None:
    """Raise a TypeError unless this is a `Group` of names and hyperparameters."""
    names: Any
    hyperparameters: Any
    names, hyperparameters = given if isinstance(given, Group) else ("", None)
    if isinstance(names, str) or not isinstance(hyperparameters, Hyperparameters):
        raise TypeError(
            f"expected a Group of a tuple of names and Hyperparameters, not {given!r}: give a list "
            "of Group, or, where all parameters have the same, Hyperparameters"
        )


def one_group(
    names: Iterable[str], hyperparameters: Hyperparameters | Group | Iterable[Group]
) -> tuple[Group, ...]:
    """The groups that were given, or one group of all names.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(hyperparameters, Hyperparameters):
        return (Group(tuple(names), hyperparameters),)
    # A single group is a tuple of names and hyperparameters.
    given: Any = [hyperparameters] if isinstance(hyperparameters, Group) else hyperparameters
    groups = tuple(given) if isinstance(given, Iterable) else (given,)
    for group in groups:
        require_group(group)
    return groups


def require_name(name: str) -> None:
    """Raise unless a name is text that no program can take for a path outside of a folder.

    >>> require_name("encoder/layers.0.weight")
    >>> require_name("../w")
    Traceback (most recent call last):
    adamax_checkpoint.checkpoint.CheckpointError: the parameter name '../w' has the path part \
'..': rename the parameter
    """
    if not isinstance(name, str) or not name or not name.isprintable():
        raise CheckpointError(
            f"the parameter name {name!r} is not a text of printable characters: rename the "
            "parameter"
        )
    for part in re.split(r"[/\\]", name):
        if part in ("", ".", ".."):
            raise CheckpointError(
                f"the parameter name {name!r} has the path part {part!r}: rename the parameter"
            )


def require_same(one: Iterable[str], other: Iterable[str], first: str, second: str) -> None:
    """Raise unless both sides have the same names; the message lists what is left over on each.

    >>> require_same(["a", "b"], ["b"], "the model", "the file")
    Traceback (most recent call last):
    adamax_checkpoint.checkpoint.CheckpointError: the model and the file have different \
parameters; only in the model: a. Give both the same names
    """
    mine, theirs = set(one), set(other)
    sides = ((first, mine - theirs), (second, theirs - mine))
    left = [f"only in {what}: {', '.join(sorted(names))}" for what, names in sides if names]
    if left:
        raise CheckpointError(
            f"{first} and {second} have different parameters; {'; '.join(left)}. Give both the "
            "same names"
        )


def require_checkpoint(given: Any) -> None:
    """Raise a TypeError unless this is a `Checkpoint`.

    >>> require_checkpoint({"state": {}})
    Traceback (most recent call last):
    TypeError: expected a Checkpoint, not a dict: make one with from_state_dict, from_optax, \
from_state or from_keras
    """
    if not isinstance(given, Checkpoint):
        raise TypeError(
            f"expected a Checkpoint, not a {type(given).__name__}: make one with from_state_dict, "
            "from_optax, from_state or from_keras"
        )


def require_canonical(checkpoint: Checkpoint) -> None:
    """Raise unless this is a checkpoint, and its dialect that of the specification."""
    require_checkpoint(checkpoint)
    if checkpoint.dialect != CANONICAL:
        raise CheckpointError(
            f"the state is of the dialect {checkpoint.dialect}, but torch and optax are "
            f"{CANONICAL}: convert it with to_dialect(checkpoint, {CANONICAL!r}), or with "
            f"adamax-checkpoint convert --dialect {CANONICAL}"
        )


def as_count(name: str, step: Any) -> int:
    """A count of steps, in any form of a number, as a Python integer.

    >>> as_count("w", np.float32(3))
    3
    >>> as_count("w", 2.7)
    Traceback (most recent call last):
    adamax_checkpoint.checkpoint.CheckpointError: w: step = 2.7 is not an integer: give the number \
of steps taken
    """
    number = step.item() if hasattr(step, "item") and np.ndim(step) == 0 else step
    try:
        count = int(number)
    except (TypeError, ValueError, OverflowError):
        count = None
    if count is None or count != number:
        raise _not_an_integer(name, number)
    return count


def require_int32_count(count: int) -> None:
    """Raise unless int32 holds this count of steps: those of optax and Keras are of that dtype."""
    if count > _MOST_INT32:
        raise CheckpointError(f"a count of {count} steps is above 2**31 - 1, the most of int32")


def require_step(name: str, step: Any) -> None:
    """Raise unless a count of steps is an integer that int64 can hold."""
    if not isinstance(step, int | np.integer) or isinstance(step, bool):
        raise _not_an_integer(name, step)
    if not 0 <= step < MOST_STEPS:
        raise CheckpointError(
            f"{name}: step = {step} is outside its domain 0 <= step < 2**63: give the number of "
            "steps taken"
        )


def _not_an_integer(name: str, step: Any) -> CheckpointError:
    return CheckpointError(
        f"{name}: step = {step!r} is not an integer: give the number of steps taken"
    )


def require_alike(name: str, arrays: Mapping[str, Array]) -> None:
    """Raise unless arrays of one parameter have one shape and one kind, and dtypes of `DTYPES`."""
    first = next(iter(arrays))
    for what, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype not in DTYPES:
            given = getattr(array, "dtype", type(array).__name__)
            raise CheckpointError(
                f"{name}: {what} is {given}; it must be a NumPy array of one of "
                f"{', '.join(map(str, DTYPES))}: convert it"
            )
        if array.shape != arrays[first].shape:
            raise CheckpointError(
                f"{name}: {what} has shape {array.shape}, {first} has {arrays[first].shape}: "
                "give arrays of one parameter"
            )
        if (array.dtype.kind == "c") != (arrays[first].dtype.kind == "c"):
            raise CheckpointError(
                f"{name}: {what} has dtype {array.dtype}, {first} has {arrays[first].dtype}: "
                "a complex parameter has complex moments"
            )


def require_norm(name: str, norm: Array) -> None:
    """Raise if a norm has an element below zero. NaN of either sign passes, and so does -0.0.

    >>> require_norm("w", np.array([-1.0]))
    Traceback (most recent call last):
    adamax_checkpoint.checkpoint.CheckpointError: w: exp_inf has elements below zero, which a norm \
has not: were exp_avg and exp_inf exchanged?
    """
    for part in (norm.real, norm.imag) if norm.dtype.kind == "c" else (norm,):
        # Comparing float16 or bfloat16 is slow, so look first for a sign, as that of an integer.
        signs = part.view(f"i{part.itemsize}") < 0
        with np.errstate(invalid="ignore"):  # bfloat16 warns of each NaN
            negative = signs.any() and (part < 0).any()
        if negative:
            raise CheckpointError(
                f"{name}: exp_inf has elements below zero, which a norm has not: were exp_avg and "
                "exp_inf exchanged?"
            )
