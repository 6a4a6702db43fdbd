"""Any class with the constructor of `torch.optim.Adamax` as a backend.

Gradients share memory with the arrays of the judge, so that the judge sees a change to them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from adamax_conformance.spec.formats import DTYPES
from adamax_conformance.subject.backend import Arrays, Moments, SparseGradient, Steps
from adamax_core import Hyperparameters

MakeOptimizer = Callable[..., Optimizer]


@dataclass
class TorchState:
    """An optimizer and its parameters."""

    optimizer: Optimizer
    params: dict[str, Tensor]


def chosen(**options: bool | None) -> dict[str, bool]:
    """Return the options that differ from their default: None for foreach and fused, else False."""
    ways = ("foreach", "fused")
    return {
        name: value
        for name, value in options.items()
        if value or (value is not None and name in ways)
    }


def to_torch(array: Any) -> Tensor:
    """Return a tensor that shares the array's memory; bfloat16 is passed as its bits.

    PyTorch has no strides below zero: an array that has some is copied.
    """
    array = np.asarray(array)
    if any(stride < 0 for stride in array.strides):
        array = array.copy()
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def to_numpy(tensor: Tensor) -> Any:
    """Return a copy of the tensor as an array."""
    tensor = tensor.detach().clone()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


@dataclass(frozen=True)
class TorchBackend:
    """A backend that creates an optimizer with `make(groups, **options, **variant)`.

    The options are ``lr``, ``betas`` and ``eps``, and ``weight_decay``, ``maximize`` and
    ``decoupled_weight_decay`` if they are offered; each step sets them in every group anew. For
    ``state_dtype`` the constructor gets a `torch.dtype`; for ``undecayed`` these parameters are a
    second group, whose weight decay is zero. The moments are ``step``, ``exp_avg`` and ``exp_inf``
    in the state of each parameter.

    Attributes:
        base: its name in reports, without the variant.
        make: the optimizer's class.
        offers: see `adamax_conformance.subject.backend.FEATURES`; the variant
            ``differentiable=True`` adds ``vjp``.
        dtypes: dtypes of parameters.
        deviations: known deviations, with reasons.
        language: the language that its rule is written in, for reports.
        packages: versions of the packages whose step it takes, by name, for reports.
        default_eps: the eps where its user names none, for reports.
        variant: further arguments of the constructor, such as ``foreach=True``.

    >>> from adamax_conformance import check
    >>> mine = TorchBackend("mine", torch.optim.Adamax, offers=["weight_decay"])
    >>> check(mine, clauses=["A-5"], dtypes=["float32"]).failed_clauses
    ()
    """

    base: str
    make: MakeOptimizer
    offers: Sequence[str]
    dtypes: Collection[str] = DTYPES
    deviations: Mapping[str, str] = field(default_factory=dict)
    language: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    default_eps: float | None = None
    variant: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The base name, and the variant as a query."""
        query = "&".join(f"{key}={str(value).lower()}" for key, value in self.variant.items())
        return f"{self.base}?{query}" if query else self.base

    @property
    def features(self) -> Collection[str]:
        """The features that this variant offers."""
        return [*self.offers, *(["vjp"] if self.variant.get("differentiable") else [])]

    def _options(self, hp: Hyperparameters) -> dict[str, Any]:
        """Return the constructor's arguments, without those of features that it does not offer."""
        optional = ("weight_decay", "maximize", "decoupled_weight_decay")
        names = ["lr", "betas", "eps", *(name for name in optional if name in self.offers)]
        return {name: getattr(hp, name) for name in names}

    def init(
        self,
        params: Arrays,
        hp: Hyperparameters,
        undecayed: Sequence[str] = (),
        state_dtype: str | None = None,
    ) -> TorchState:
        """Create an optimizer of new tensors; parameters exempt from decay form a second group."""
        tensors = {key: to_torch(array) for key, array in params.items()}
        options = self._options(hp) | dict(self.variant)
        if state_dtype is not None:
            options["state_dtype"] = getattr(torch, state_dtype)
        exempt = {"params": [tensors[key] for key in undecayed], "weight_decay": 0.0}
        groups = [
            {"params": [tensor for key, tensor in tensors.items() if key not in undecayed]},
            *([exempt] if undecayed else []),
        ]
        return TorchState(self.make(groups, **options), tensors)

    def step(
        self, params: Arrays, grads: Arrays, state: TorchState, hp: Hyperparameters
    ) -> tuple[Arrays, TorchState]:
        """Set hyperparameters, parameters and gradients, and step."""
        for index, group in enumerate(state.optimizer.param_groups):
            group.update(self._options(hp) | ({"weight_decay": 0.0} if index else {}))
        for key, tensor in state.params.items():
            tensor.detach_().copy_(to_torch(params[key]))
            tensor.grad = None
            if key in grads:
                set_gradient(tensor, as_gradient(grads[key]))
        state.optimizer.step()
        return {key: to_numpy(tensor) for key, tensor in state.params.items()}, state

    def moments(self, state: TorchState) -> dict[str, Moments]:
        """Return the moments in the optimizer's state."""
        return {key: _moments(state, tensor) for key, tensor in state.params.items()}

    def load(self, params: Arrays, hp: Hyperparameters, saved: Mapping[str, Arrays]) -> TorchState:
        """Return a fresh optimizer that has loaded a state dict with these slots."""
        fresh = self.init(params, hp)
        # The step is saved as a number, which every version of torch can load.
        slots = {
            index: {
                name: value if name == "step" else to_torch(value).clone()
                for name, value in saved[key].items()
            }
            for index, key in enumerate(params)
        }
        groups = fresh.optimizer.state_dict()["param_groups"]
        fresh.optimizer.load_state_dict({"state": slots, "param_groups": groups})
        return fresh

    def vjp(self, wrt: str, steps: Steps) -> Any:
        """Return the derivative of the parameters after some steps, by autograd."""
        params, grads, saved, hp, cotangents = steps

        def variables(arrays: Arrays, what: str) -> dict[str, Tensor]:
            return {k: to_torch(a).clone().requires_grad_(wrt == what) for k, a in arrays.items()}

        scalars = self._options(hp) | dict(zip(("beta1", "beta2"), hp.betas, strict=True))
        if wrt in scalars:
            scalars[wrt] = torch.tensor(scalars[wrt], dtype=torch.float64, requires_grad=True)
        series = [variables(each, "grads") for each in grads]
        named = {
            "params": variables(params, "params"),
            "exp_avg": variables({k: slot.exp_avg for k, slot in saved.items()}, "exp_avg"),
            "exp_inf": variables({k: slot.exp_inf for k, slot in saved.items()}, "exp_inf"),
        }
        # Copies, since an optimizer must not update a leaf of the graph in place.
        tensors = {key: leaf.clone() for key, leaf in named["params"].items()}
        options = {name: scalars[name] for name in self._options(hp)}
        options["betas"] = (scalars["beta1"], scalars["beta2"])
        optimizer = self.make(list(tensors.values()), **options, **self.variant)
        for key, tensor in tensors.items():
            optimizer.state[tensor] = {
                "step": torch.tensor(float(saved[key].step)),
                **{name: named[name][key].clone() for name in ("exp_avg", "exp_inf")},
            }
        for each in series:
            for key, tensor in tensors.items():
                tensor.grad = each[key]
            optimizer.step()

        groups = series if wrt == "grads" else [named.get(wrt) or {wrt: scalars[wrt]}]
        slopes = iter(
            torch.autograd.grad(
                list(tensors.values()),
                [tensor for group in groups for tensor in group.values()],
                [to_torch(cotangents[key]) for key in tensors],
            )
        )
        found = [{key: to_numpy(next(slopes)) for key in group} for group in groups]
        if wrt == "grads":
            return found
        return found[0] if wrt in named else found[0][wrt]


def as_gradient(grad: Any) -> Tensor:
    """Convert a gradient of the judge to PyTorch; a sparse one stays in coordinate form."""
    if isinstance(grad, SparseGradient):
        indices, values = torch.from_numpy(grad.indices), to_torch(grad.values)
        return torch.sparse_coo_tensor(indices[None], values, grad.shape, check_invariants=True)
    return to_torch(grad)


def set_gradient(tensor: Tensor, grad: Tensor) -> None:
    """Set the gradient of a tensor, which may have another dtype."""
    # PyTorch refuses a gradient whose dtype differs from grad_dtype, by default the tensor's.
    if grad.is_floating_point() or grad.dtype == tensor.dtype:
        tensor.grad_dtype = grad.dtype
    tensor.grad = grad


def _moments(state: TorchState, tensor: Tensor) -> Moments:
    slot = state.optimizer.state.get(tensor)
    if not slot:
        # PyTorch creates the state of a parameter at its first step.
        dtype = state.optimizer.param_groups[0].get("state_dtype")
        zero = to_numpy(torch.zeros_like(tensor, dtype=dtype))
        return Moments(0, zero, zero)
    return Moments(int(slot["step"]), to_numpy(slot["exp_avg"]), to_numpy(slot["exp_inf"]))
