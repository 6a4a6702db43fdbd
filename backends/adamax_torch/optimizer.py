"""`Adamax`, a drop-in for `torch.optim.Adamax` that computes the specification.

It differs from torch.optim.Adamax (2.13) in this:

1. The step is counted in float64, so it does not stick at 2^24 (S-7).
2. The bias correction keeps its digits for every beta1 (N-3).
3. float16 and bfloat16 are computed in float32 and stored once; a zero first gradient in float16
   gives no NaN (N-1).
4. ``differentiable=True`` works through any number of steps (D-1), and lr, betas, eps and weight
   decay may be tensors that require a gradient (D-3).
5. An infinite hyperparameter, and NaN in any of them, is a ValueError (H-1 to H-4).
6. State of another optimizer is refused by `load_state_dict` instead of failing at the next step
   (S-8), a gradient that does not fit before anything is changed (S-10).
7. ``decoupled_weight_decay`` (A-8) and ``state_dtype`` (S-6) are new.
"""

import functools
from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from adamax_torch.foreach import adamax_
from adamax_torch.rule import Hyper, Scalar, adamax
from adamax_torch.validation import (
    require_fit,
    require_group,
    require_hyperparameters,
    require_slot,
)

STEP_DTYPE = torch.float64
"""Exact to 2^53, and what torch.optim.Adamax can add one to."""

_MOMENTS = ("exp_avg", "exp_inf")


class Adamax(Optimizer):
    r"""Adamax, as docs/spec.md has it: Adam with the infinity norm (Kingma and Ba, 2015, 7.1).

    .. math::
        m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t, \quad
        u_t = \max(\beta_2 u_{t-1}, |g_t| + \epsilon), \quad
        \theta_t = \theta_{t-1} - \frac{\gamma}{1 - \beta_1^t} \frac{m_t}{u_t}

    Args:
        params: parameters, named parameters, or dicts of groups, as for every torch optimizer.
        lr: learning rate, ``0 <= lr < inf``; a number or a tensor of one element.
        betas: decay rates of the first moment and the infinity norm, each ``0 <= beta < 1``.
        eps: added to ``|g|`` inside the maximum, ``0 <= eps < inf``.
        weight_decay: ``0 <= weight_decay < inf``, added to the gradient times the parameter.
        foreach: one call for many tensors; faster where launching is what costs. Default: no.
        maximize: ascend.
        differentiable: let autograd go through `step`, any number of times; parameters may then be
            no leaves. They still change in place, so a loss whose graph is needed after the step
            has to be computed of ``param.clone()``.
        capturable: keep the step on the parameter's device, and never read it from there.
        fused: there is no fused kernel in this version; ``True`` is refused.
        decoupled_weight_decay: shrink the parameter by ``lr * weight_decay`` instead.
        state_dtype: dtype of the moments (of their parts, for complex parameters); the
            parameter's when None. float32 lets them decay where parameters are in half precision.

    Raises:
        ValueError: a hyperparameter outside its domain; shows value and domain.
        RuntimeError: ``foreach`` with ``differentiable``, or ``fused``.

    >>> w = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
    >>> optimizer = Adamax([w], lr=0.5)
    >>> (w * torch.tensor([3.0, -4.0])).sum().backward()
    >>> optimizer.step()
    >>> w.data
    tensor([ 0.5000, -0.5000])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Scalar = 2e-3,
        betas: tuple[Scalar, Scalar] = (0.9, 0.999),
        eps: Scalar = 1e-8,
        weight_decay: Scalar = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        state_dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
                "fused": fused,
                "decoupled_weight_decay": decoupled_weight_decay,
                "state_dtype": state_dtype,
            },
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, its hyperparameters checked as the constructor's are."""
        if isinstance(param_group, dict):
            require_hyperparameters(self.defaults | param_group)
        super().add_param_group(param_group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            # What torch.optim.Adamax, or an older one, does not store.
            for option in ("foreach", "fused", "state_dtype"):
                group.setdefault(option, None)
            for option in ("maximize", "differentiable", "capturable", "decoupled_weight_decay"):
                group.setdefault(option, False)
            for param in group["params"]:
                slot = self.state.get(param)
                if slot:
                    device = param.device if group["capturable"] else "cpu"
                    slot["step"] = torch.as_tensor(slot["step"], dtype=STEP_DTYPE, device=device)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` gave, here or in torch.optim.Adamax.

        Raises:
            ValueError: the state is another optimizer's, or of another shape; names the parameter
                and what it holds. Nothing is changed then.
        """
        params = [param for group in self.param_groups for param in group["params"]]
        indices = [index for group in state_dict["param_groups"] for index in group["params"]]
        # Where the two differ in length, the base class says so.
        saved = dict(zip(indices, params, strict=False))
        for index, slot in state_dict["state"].items():
            require_slot(slot, saved.get(index), f"parameter {index}")
        for index, group in enumerate(state_dict["param_groups"]):
            require_group(group, f"group {index}")
        # What the saved groups do not know, such as those of torch.optim.Adamax, stays as it is.
        pairs = zip(self.param_groups, state_dict["param_groups"], strict=False)
        groups = [{**ours, **theirs} for ours, theirs in pairs]
        for group in groups:
            require_hyperparameters(group)
        if len(groups) == len(state_dict["param_groups"]):
            state_dict = {**state_dict, "param_groups": groups}
        super().load_state_dict(state_dict)
        # The base class has cast the moments to the dtypes of the parameters.
        dtypes = {
            id(param): _moment_dtype(param, group)
            for group in self.param_groups
            for param in group["params"]
        }
        for index, param in saved.items():
            dtype = dtypes[id(param)]
            if dtype == param.dtype or index not in state_dict["state"]:
                continue
            for name in _MOMENTS:
                given: Tensor = state_dict["state"][index][name]
                self.state[param][name] = given.to(device=param.device, dtype=dtype, copy=True)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step.

        Args:
            closure: evaluates the model again and returns the loss, which is returned.

        Raises:
            ValueError: a hyperparameter was set outside its domain.
            RuntimeError: a gradient is sparse, or of another shape or dtype kind than its
                parameter. No parameter and no state has been changed then.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for index, group in enumerate(self.param_groups):
            require_hyperparameters(group)
            for position, param in enumerate(group["params"]):
                where = f"group {index}, parameter {position}"
                require_fit(param, where, differentiable=group["differentiable"])
        for group in self.param_groups:
            with torch.set_grad_enabled(bool(group["differentiable"])):
                self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        hyper = Hyper(
            _scalar(group["lr"]),
            _scalar(beta1),
            _scalar(beta2),
            _scalar(group["eps"]),
            _scalar(group["weight_decay"]),
            group["maximize"],
            group["decoupled_weight_decay"],
        )
        params = [param for param in group["params"] if param.grad is not None]
        for param in params:
            slot = self._slot(param, group)
            slot["step"] = slot["step"] + 1
        if group["foreach"]:
            self._step_many(params, hyper, group)
            return
        for param in params:
            self._step_one(param, hyper, group)

    def _step_one(self, param: Tensor, hyper: Hyper, group: dict[str, Any]) -> None:
        slot = self.state[param]
        # Autograd may save the parameter, which changes in place, and the moments: it gets a copy
        # of the one, and the others are replaced, not overwritten.
        old = param.clone() if group["differentiable"] else param
        p, g, m, u = _widened(old, param.grad, slot["exp_avg"], slot["exp_inf"])
        p, m, u = adamax(p, g, m, u, _count(slot["step"], group), hyper)
        param.copy_(_narrowed(p, param))
        for name, moment in (("exp_avg", m), ("exp_inf", u)):
            if group["differentiable"]:
                slot[name] = _narrowed(moment, slot[name])
            else:
                slot[name].copy_(_narrowed(moment, slot[name]))

    def _step_many(self, params: list[Tensor], hyper: Hyper, group: dict[str, Any]) -> None:
        buckets: dict[tuple[torch.device, torch.dtype], list[tuple[Tensor, list[Tensor]]]] = {}
        for param in params:
            slot = self.state[param]
            wide = _widened(param, param.grad, slot["exp_avg"], slot["exp_inf"])
            buckets.setdefault((param.device, wide[0].dtype), []).append((param, wide))
        for bucket in buckets.values():
            p, g, m, u = (list(each) for each in zip(*(wide for _, wide in bucket), strict=True))
            steps = [_count(self.state[param]["step"], group) for param, _ in bucket]
            adamax_(p, g, m, u, steps, hyper)
            for (param, _), *new in zip(bucket, p, m, u, strict=True):
                slot = self.state[param]
                for old, value in zip((param, slot["exp_avg"], slot["exp_inf"]), new, strict=True):
                    # Where nothing had to be widened, the result is in place already.
                    if value.data_ptr() != old.data_ptr():
                        old.copy_(_narrowed(value, old))

    def _slot(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        slot: dict[str, Any] = self.state[param]
        if not slot:
            device = param.device if group["capturable"] else "cpu"
            slot["step"] = torch.zeros((), dtype=STEP_DTYPE, device=device)
            for name in _MOMENTS:
                slot[name] = torch.zeros_like(
                    param,
                    dtype=_moment_dtype(param, group),
                    memory_format=torch.preserve_format,
                )
        return slot


def _moment_dtype(param: Tensor, group: dict[str, Any]) -> torch.dtype:
    """What the moments of a parameter are kept in; `state_dtype` is that of the parts."""
    dtype: torch.dtype = group["state_dtype"] or param.dtype
    return dtype.to_complex() if param.is_complex() else dtype


def _scalar(value: Scalar) -> Scalar:
    """A number wherever it may be read; else a tensor of no dimension, which broadcasts to none."""
    if not isinstance(value, Tensor):
        return value
    if value.requires_grad or value.device.type != "cpu" or torch.compiler.is_compiling():
        return value.reshape(())
    return value.item()


def _count(step: Tensor, group: dict[str, Any]) -> float | Tensor:
    """The step as a number, or left on its device where reading it would wait for the device."""
    return step if group["capturable"] else float(step)


def _widened(*tensors: Any) -> list[Tensor]:
    """All in one dtype of at least float32, complex ones as pairs of reals."""
    dtypes = (tensor.dtype for tensor in tensors)
    dtype = functools.reduce(torch.promote_types, dtypes, torch.float32)
    # A gradient that autograd has conjugated, and not yet computed, cannot be seen as reals.
    wide = (tensor.to(dtype).resolve_conj() for tensor in tensors)
    return [torch.view_as_real(each) if each.is_complex() else each for each in wide]


def _narrowed(tensor: Tensor, like: Tensor) -> Tensor:
    whole = torch.view_as_complex(tensor) if like.is_complex() else tensor
    return whole.to(like.dtype)
