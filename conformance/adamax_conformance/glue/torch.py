"""Any class with the constructor of `torch.optim.Adamax` as a backend.

Gradients share their memory with the arrays of the judge, so that a change to them is seen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from adamax_conformance.backend import Arrays, FunctionalBackend, Moments, SparseGradient
from adamax_conformance.formats import DTYPES
from adamax_core import Hyperparameters

MakeOptimizer = Callable[..., Optimizer]


@dataclass
class Training:
    """An optimizer and the parameters that it has: in PyTorch, the state of a training."""

    optimizer: Optimizer
    params: dict[str, Tensor]


def to_torch(array: Any) -> Tensor:
    """A tensor on the same memory; bfloat16 goes by its bits."""
    array = np.asarray(array)
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def to_numpy(tensor: Tensor) -> Any:
    """An array of its own."""
    tensor = tensor.detach().clone()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def options_of(hp: Hyperparameters, *, decoupled: bool) -> dict[str, Any]:
    """The constructor's arguments; what a class may not know is left out unless it is asked for."""
    options: dict[str, Any] = {
        "lr": hp.lr,
        "betas": hp.betas,
        "eps": hp.eps,
        "weight_decay": hp.weight_decay,
        "maximize": hp.maximize,
    }
    return options | ({"decoupled_weight_decay": hp.decoupled_weight_decay} if decoupled else {})


def torch_backend(
    name: str,
    make: MakeOptimizer,
    *,
    features: Sequence[str],
    dtypes: Sequence[str] = DTYPES,
    deviations: Mapping[str, str] | None = None,
    **variant: Any,
) -> FunctionalBackend:
    """A backend that makes an optimizer with `make(groups, **options, **variant)`.

    Args:
        name: how reports call it, before the variant.
        make: the optimizer's class.
        features: see `adamax_conformance.backend.FEATURES`; ``vjp`` comes with
            ``differentiable=True``.
        dtypes: of parameters.
        deviations: known deviations, with reasons.
        **variant: further arguments of the constructor, such as ``foreach=True``.
    """
    decoupled = "decoupled_weight_decay" in features
    query = "&".join(f"{key}={str(value).lower()}" for key, value in variant.items())

    def init(
        params: Arrays,
        hp: Hyperparameters,
        undecayed: Sequence[str] = (),
        state_dtype: str | None = None,
    ) -> Training:
        tensors = {key: to_torch(array) for key, array in params.items()}
        options = options_of(hp, decoupled=decoupled) | variant
        if state_dtype is not None:
            options["state_dtype"] = getattr(torch, state_dtype)
        exempt = {"params": [tensors[key] for key in undecayed], "weight_decay": 0.0}
        groups = [
            {"params": [tensor for key, tensor in tensors.items() if key not in undecayed]},
            *([exempt] if undecayed else []),
        ]
        return Training(make(groups, **options), tensors)

    def step(
        params: Arrays, grads: Arrays, state: Training, hp: Hyperparameters
    ) -> tuple[Arrays, Training]:
        state.optimizer.param_groups[0].update(options_of(hp, decoupled=decoupled))
        for group in state.optimizer.param_groups[1:]:
            group.update(options_of(hp, decoupled=decoupled) | {"weight_decay": 0.0})
        for key, tensor in state.params.items():
            tensor.detach_().copy_(to_torch(params[key]))
            tensor.grad = None
            if key in grads:
                _set_grad(tensor, grads[key])
        state.optimizer.step()
        return {key: to_numpy(tensor) for key, tensor in state.params.items()}, state

    def moments(state: Training) -> dict[str, Moments]:
        return {key: _moments(state, tensor) for key, tensor in state.params.items()}

    def load(params: Arrays, hp: Hyperparameters, saved: Mapping[str, Arrays]) -> Training:
        training = init(params, hp)
        # The step is saved as a number, which every version of torch can load.
        slots = {
            index: {
                field: value if field == "step" else to_torch(value).clone()
                for field, value in saved[key].items()
            }
            for index, key in enumerate(params)
        }
        groups = training.optimizer.state_dict()["param_groups"]
        training.optimizer.load_state_dict({"state": slots, "param_groups": groups})
        return training

    def placement() -> tuple[Any, Any]:
        param = torch.zeros(3, device="meta")
        param.grad = torch.zeros(3, device="meta")
        optimizer = make([param], **variant)
        optimizer.step()
        devices = {optimizer.state[param][field].device for field in ("exp_avg", "exp_inf")}
        return {param.device}, devices

    return FunctionalBackend(
        f"{name}?{query}" if query else name,
        init=init,
        step=step,
        moments=moments,
        load=load,
        vjp=lambda *args: _vjp(make, decoupled, variant, *args),
        placement=placement,
        dtypes=dtypes,
        features=[*features, *(["vjp"] if variant.get("differentiable") else [])],
        deviations=deviations or {},
    )


def _set_grad(tensor: Tensor, grad: Any) -> None:
    if isinstance(grad, SparseGradient):
        indices, values = torch.from_numpy(grad.indices), to_torch(grad.values)
        tensor.grad = torch.sparse_coo_tensor(
            indices[None], values, grad.shape, check_invariants=True
        )
        return
    value = to_torch(grad)
    # PyTorch refuses a gradient of another dtype unless it is told to expect one.
    if value.dtype != tensor.dtype and value.is_floating_point():
        tensor.grad_dtype = value.dtype
    tensor.grad = value


def _moments(state: Training, tensor: Tensor) -> Moments:
    slot = state.optimizer.state.get(tensor)
    if not slot:
        # PyTorch makes the state of a parameter at its first step.
        dtype = state.optimizer.param_groups[0].get("state_dtype")
        zero = to_numpy(torch.zeros_like(tensor, dtype=dtype))
        return Moments(0, zero, zero)
    return Moments(int(slot["step"]), to_numpy(slot["exp_avg"]), to_numpy(slot["exp_inf"]))


def _vjp(
    make: MakeOptimizer,
    decoupled: bool,
    variant: Mapping[str, Any],
    wrt: str,
    params: Arrays,
    grads: Sequence[Arrays],
    saved: Mapping[str, Moments],
    hp: Hyperparameters,
    cotangents: Arrays,
) -> Any:
    """The derivative of the parameters after some steps, by autograd through the steps."""

    def variables(arrays: Arrays, what: str) -> dict[str, Tensor]:
        return {k: to_torch(a).clone().requires_grad_(wrt == what) for k, a in arrays.items()}

    leaves = variables(params, "params")
    series = [variables(each, "grads") for each in grads]
    exp_avgs = variables({k: slot.exp_avg for k, slot in saved.items()}, "exp_avg")
    exp_infs = variables({k: slot.exp_inf for k, slot in saved.items()}, "exp_inf")
    options = options_of(hp, decoupled=decoupled)
    scalars = dict(zip(("beta1", "beta2"), hp.betas, strict=True)) | options
    if wrt in scalars:
        scalars[wrt] = torch.tensor(scalars[wrt], dtype=torch.float64, requires_grad=True)
    options = {k: scalars[k] for k in options} | {"betas": (scalars["beta1"], scalars["beta2"])}

    tensors = {k: leaf.clone() for k, leaf in leaves.items()}
    optimizer = make(list(tensors.values()), **options, **variant)
    for key, tensor in tensors.items():
        # A copy: an optimizer that updates its state in place may do so.
        optimizer.state[tensor] = {
            "step": torch.tensor(float(saved[key].step)),
            "exp_avg": exp_avgs[key].clone(),
            "exp_inf": exp_infs[key].clone(),
        }
    for each in series:
        for key, tensor in tensors.items():
            tensor.grad = each[key]
        optimizer.step()
    named = {"params": leaves, "exp_avg": exp_avgs, "exp_inf": exp_infs}
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
