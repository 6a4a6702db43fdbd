"""`torchopt.adamax`, the functional optimizer of TorchOpt, as a subject.

It keeps the moments in lists, in the order of the sorted names.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import optree
import torch
import torchopt
from torch import Tensor

from adamax_conformance.subject.backend import Arrays, FunctionalBackend, Moments, Steps
from adamax_conformance.subjects.glue.defaults import default_eps
from adamax_conformance.subjects.glue.saved import name_of_norm, one_count
from adamax_conformance.subjects.glue.torch import as_gradient, to_numpy, to_torch
from adamax_conformance.subjects.glue.versions import versions
from adamax_core import Hyperparameters

_DEVIATIONS = {
    **dict.fromkeys(
        ("S-2", "S-3/late-first-gradient", "S-3/step-of-nothing"),
        "a missing gradient loses the norm: the parameter moves by its first moment",
    ),
    "S-3/loaded-counts": "there is one count for all",
    **dict.fromkeys(
        (
            "S-5/float32-gradients",
            "S-5/not-rounded-first",
            "S-5/float64-gradients",
            "S-5/other-gradients[float16]",
            "S-5/other-gradients[bfloat16]",
            "S-5/small-eps[bfloat16]",
            "S-5/beyond-the-range",
            "S-5/bfloat16-beyond-the-range",
        ),
        "the parameters are promoted to the dtype of the gradients",
    ),
    **dict.fromkeys(
        (
            "S-5/float16-gradients",
            "S-5/other-gradients[float32]",
            "S-5/other-gradients[float64]",
            "S-5/small-eps[float32]",
            "S-5/small-eps[float64]",
        ),
        "|g| + eps is computed in the dtype of the gradient",
    ),
    "S-8/adam": "Adam's state is a tree of the same shape, and steps without an error",
    "S-10/shape": "a gradient of another shape broadcasts",
    **dict.fromkeys(
        ("N-1/zero-first-gradient[float16]", "N-7/small[float16]"),
        "eps rounds to zero in float16: 0 / 0",
    ),
    **dict.fromkeys(
        (
            "N-3/last-places[float64]",
            "N-3/every-beta1[float64]",
            "N-3/any-beta1[float64]",
            "N-3/late[float64]",
            "N-3/correction-alone[float64]",
        ),
        "1 - b1**t cancels in float64",
    ),
    **dict.fromkeys(
        (
            "H-1/infinite",
            "H-1/between-steps",
            "H-2/infinite",
            "H-2/between-steps",
            "H-4/infinite",
            "H-4/between-steps",
        ),
        "infinity passes the checks",
    ),
    **dict.fromkeys(
        ("D-3/beta1", "D-3/weight-decay", "D-3/any-scale", "D-3/every-beta1"),
        "b1 and the weight decay must be numbers: tensors raise TypeError",
    ),
    "D-3/at-zero": "a weight decay of zero is left out, and so is its derivative",
}

State = tuple[tuple[Any, ...], tuple[str, ...]]
"""The states of the chain of transformations, and the sorted names."""


def _tensors(arrays: Arrays) -> dict[str, Tensor]:
    return {name: to_torch(array) for name, array in arrays.items()}


def _rule(hp: Hyperparameters) -> Any:
    return torchopt.adamax(hp.lr, hp.betas, hp.eps, hp.weight_decay)


def _updated(
    params: dict[str, Tensor], grads: Mapping[str, Tensor | None], chain: Any, hp: Hyperparameters
) -> tuple[dict[str, Tensor], Any]:
    updates, chain = _rule(hp).update(dict(grads), chain, params=params, inplace=False)
    return torchopt.apply_updates(params, updates, inplace=False), chain


def _init(params: Arrays, hp: Hyperparameters) -> State:
    return _rule(hp).init(_tensors(params)), tuple(sorted(params))


def _step(params: Arrays, grads: Arrays, state: State, hp: Hyperparameters) -> tuple[Arrays, State]:
    chain, names = state
    given = {name: as_gradient(grads[name]) if name in grads else None for name in params}
    stepped, chain = _updated(_tensors(params), given, chain, hp)
    return {name: to_numpy(param) for name, param in stepped.items()}, (chain, names)


def _place(chain: tuple[Any, ...]) -> int:
    return next(place for place, part in enumerate(chain) if hasattr(part, "mu"))


def _moments(state: State) -> dict[str, Moments]:
    chain, names = state
    slots = chain[_place(chain)]
    return {
        # The norm may be None.
        name: Moments(slots.t - 1, to_numpy(m), np.asarray(u) if u is None else to_numpy(u))
        for name, m, u in zip(names, slots.mu, slots.nu, strict=True)
    }


def _with(state: State, count: int, mu: Mapping[str, Tensor], nu: Mapping[str, Tensor]) -> State:
    chain, names = state
    place = _place(chain)
    slots = type(chain[place])(
        [mu[name] for name in names], [nu[name] for name in names], count + 1
    )
    return (*chain[:place], slots, *chain[place + 1 :]), names


def _load(params: Arrays, hp: Hyperparameters, saved: Mapping[str, Arrays]) -> State:
    """Return a state with these moments; the square of Adam takes the norm's place."""
    norm = name_of_norm(saved)
    mu, nu = (
        {name: to_torch(slot[part]).clone() for name, slot in saved.items()}
        for part in ("exp_avg", norm)
    )
    return _with(_init(params, hp), one_count(saved), mu, nu)


def _vjp(wrt: str, steps: Steps) -> Any:
    """Return the derivative of the parameters after some steps, by autograd."""
    params, grads, saved, hp, cotangents = steps
    inputs: dict[str, Any] = {
        "params": _tensors(params),
        "grads": [_tensors(each) for each in grads],
        "exp_avg": _tensors({name: slot.exp_avg for name, slot in saved.items()}),
        "exp_inf": _tensors({name: slot.exp_inf for name, slot in saved.items()}),
        "beta1": torch.tensor(hp.betas[0], dtype=torch.float64),
        "beta2": torch.tensor(hp.betas[1], dtype=torch.float64),
        **{
            name: torch.tensor(getattr(hp, name), dtype=torch.float64)
            for name in ("lr", "eps", "weight_decay")
        },
    }
    leaves, tree = optree.tree_flatten(inputs[wrt])
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    inputs[wrt] = optree.tree_unflatten(tree, leaves)
    if wrt in ("lr", "eps", "weight_decay"):
        hp = replace(hp, **{wrt: inputs[wrt]})
    if wrt in ("beta1", "beta2"):
        hp = replace(hp, betas=(inputs["beta1"], inputs["beta2"]))
    count = max(slot.step for slot in saved.values())
    chain, _ = _with(_init(params, hp), count, inputs["exp_avg"], inputs["exp_inf"])
    last = inputs["params"]
    for each in inputs["grads"]:
        last, chain = _updated(last, each, chain, hp)
    ends = [last[name] for name in cotangents]
    slopes = torch.autograd.grad(ends, leaves, list(_tensors(cotangents).values()))
    return optree.tree_unflatten(tree, [to_numpy(slope) for slope in slopes])


def backend() -> FunctionalBackend:
    """Return the backend of the stock optimizer."""
    return FunctionalBackend(
        "torchopt",
        init=_init,
        step=_step,
        moments=_moments,
        load=_load,
        vjp=_vjp,
        features=["weight_decay", "load", "sparse", "vjp"],
        dtypes=["float16", "bfloat16", "float32", "float64"],
        language="Python",
        packages=versions("torchopt", "torch"),
        default_eps=default_eps(torchopt.adamax),
        deviations=_DEVIATIONS,
    )
