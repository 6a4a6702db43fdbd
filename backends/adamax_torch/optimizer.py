"""`Adamax`, a drop-in for `torch.optim.Adamax` that computes the specification.

It differs from torch.optim.Adamax (2.13) in this:

1. The step is counted in float64, so it does not stick at 2^24 (S-7).
2. The bias correction keeps its digits for every beta1 (N-3).
3. float16 and bfloat16 are computed in float32 and stored once; a zero first gradient in float16
   gives no NaN (N-1), and ``capturable`` does not overflow on the way (N-8).
4. ``differentiable=True`` works through any number of steps (D-1); lr, betas, eps and weight decay
   may be tensors that require a gradient (D-3). On parameters that are leaves, such as those of a
   module, it is an error that says what to do instead: `adamax_torch.functional`.
5. An infinite hyperparameter is a ValueError, and one that is set outside its domain later (H-1 to
   H-4).
6. State of another optimizer is refused by `load_state_dict` instead of failing at the next step
   (S-8), a gradient that does not fit before anything is changed (S-10). Gradients of another dtype
   of the same kind are taken (S-5).
7. What is loaded is copied: the steps of one optimizer leave the state of another alone (S-4).
8. ``capturable=True`` works on every device that has float64, a processor too, and `torch.compile`
   sees one graph in `step`.
9. ``decoupled_weight_decay`` (A-8) and ``state_dtype`` (S-6) are new.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT, _default_to_fused_or_foreach

from adamax_torch import fusable
from adamax_torch.foreach import step_many
from adamax_torch.loading import checked, own_moments, require_dict
from adamax_torch.plan import Plan, made
from adamax_torch.precision import (
    STEP_DTYPE,
    compute_dtype,
    moment_dtype,
    narrowed,
    store,
    widened,
)
from adamax_torch.rule import Hyper, Scalar, adamax, scalar
from adamax_torch.slices import Tensors, at_once, slices
from adamax_torch.validation import (
    MOMENTS,
    require_hyperparameters,
    require_near,
    require_no_leaf,
    require_step,
)
from adamax_torch.watch import Slots, is_plain


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
        foreach: one call for many tensors; faster where launching is what costs. When None, where
            torch.optim would: for plain tensors on an accelerator.
        maximize: ascend.
        differentiable: let autograd go through `step`, any number of times; parameters may then be
            no leaves. They still change in place, so a loss whose graph is needed after the step
            has to be computed of ``param.clone()``.
        capturable: keep the step on the parameter's device, and never read it from there.
        fused: one pass over memory, by the compiled kernel of `adamax_fused`, for dense tensors of
            every dtype on a processor. When None, wherever that
            can be had, and neither ``foreach`` nor another way was asked for; True demands it.
        decoupled_weight_decay: shrink the parameter by ``lr * weight_decay`` instead.
        state_dtype: dtype of the moments (of their parts, for complex parameters); the
            parameter's when None. float32 lets them decay where parameters are in half precision.

    Raises:
        ValueError: a hyperparameter outside its domain; shows value and domain.
        RuntimeError: two ways of stepping that exclude each other, or ``fused=True`` where it
            cannot be had; says why.

    >>> w = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
    >>> optimizer = Adamax([w], lr=0.5)
    >>> (w * torch.tensor([3.0, -4.0])).sum().backward()
    >>> optimizer.step()
    >>> w.data
    tensor([ 0.5000, -0.5000])
    """

    # How the kernel stepped each group last time; not of the state, which is saved and copied.
    _plans: Sequence[Plan | None] = ()

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
        defaults = {
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
        }
        require_hyperparameters(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, its hyperparameters checked as the constructor's are."""
        if isinstance(param_group, dict):
            require_hyperparameters(self.defaults | param_group)
        super().add_param_group(param_group)
        try:
            fusable.prepare(f"group {len(self.param_groups) - 1}", self.param_groups[-1])
        except RuntimeError:
            self.param_groups.pop()
            raise

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._plans = ()
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
                    # A copy: the base class takes that of the optimizer it was saved from.
                    step = torch.as_tensor(slot["step"], dtype=STEP_DTYPE, device=device)
                    slot["step"] = step.clone()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` gave, here or in torch.optim.Adamax.

        Raises:
            ValueError: the state is another optimizer's, or of another shape; names the parameter
                and what it holds. Nothing is changed then.
        """
        require_dict(state_dict)
        loaded: dict[str, Any] = {}

        def check(_: Optimizer, given: dict[str, Any]) -> dict[str, Any]:
            loaded.update(checked(given, self.param_groups))
            return loaded

        def own(_: Optimizer) -> None:
            for param, name, moment in own_moments(loaded, self.param_groups):
                self.state[param][name] = moment

        # Between the hooks of the user: what is checked is what theirs return, and theirs see the
        # state as it will be.
        handles = (
            self.register_load_state_dict_pre_hook(check),
            self.register_load_state_dict_post_hook(own, prepend=True),
        )
        try:
            super().load_state_dict(state_dict)
        finally:
            for handle in handles:
                handle.remove()

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
        # Older versions have none: an error where a step that is not capturable is being captured.
        check = getattr(self, "_accelerator_graph_capture_health_check", None)
        if check is not None:
            check()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        plans = self._require_ready()
        for index, group in enumerate(self.param_groups):
            with torch.set_grad_enabled(bool(group["differentiable"])):
                plans[index] = self._step_group(group, plans[index])
        if not torch.compiler.is_compiling():
            self._plans = plans
        return loss

    def _require_ready(self) -> list[Plan | None]:
        """Raise, before anything is changed, unless every parameter can take its step.

        Returns:
            For each group how the kernel stepped it last time, where that is how it steps it now.
        """
        plans: list[Plan | None] = []
        watched, known = fusable.watched(), self._plans
        if not watched:
            self._plans = ()  # one that was found not to hold is never asked again
        asked = any(known) and not watched and is_plain(self.state)
        slots = Slots(self.state) if asked else None
        for index, group in enumerate(self.param_groups):
            require_hyperparameters(group)
            scalars = {name: group[name] for name in ("lr", "eps", "weight_decay")}
            scalars["beta1"], scalars["beta2"] = group["betas"]
            tensors = {name: value for name, value in scalars.items() if isinstance(value, Tensor)}
            plan = known[index] if index < len(known) else None
            if plan is not None and slots is not None and fusable.chosen(group):
                # Where one is, all are: on the processor.
                for param in islice(group["params"], 1):
                    require_near(param, tensors, f"group {index}, parameter 0")
                if plan.holds(group["params"], slots):
                    plans.append(plan)
                    continue
            plans.append(None)
            self._require_group(f"group {index}", group, tensors)
        return plans

    def _require_group(
        self, name: str, group: dict[str, Any], tensors: Mapping[str, Tensor]
    ) -> None:
        """Raise unless the parameters of a group can take their step, each by what it has."""
        rows = {}
        for position, param in enumerate(group["params"]):
            grad = _gradient(param)
            if grad is None:
                continue
            where = f"{name}, parameter {position}"
            if group["differentiable"]:
                require_no_leaf(param, where)
            # A graph is captured of a state that it guards itself.
            slot = None if torch.compiler.is_compiling() else self.state.get(param)
            require_step(param, grad, slot, where)
            require_near(param, tensors, where)
            if group["fused"]:
                held = [slot[each] for each in (*MOMENTS, "step")] if slot else []
                rows[where] = [param, grad, *held]
        fusable.require(group, rows)

    def _step_group(self, group: dict[str, Any], plan: Plan | None) -> Plan | None:
        """Returns how the kernel steps this group, if it does."""
        if plan is not None:
            plan.step(group)
            return plan
        params: list[Tensor] = []
        grads: list[Tensor] = []
        exp_avgs: list[Tensor] = []
        exp_infs: list[Tensor] = []
        steps: list[Tensor] = []
        self._init_group(group, params, grads, exp_avgs, exp_infs, steps)
        if not params:
            return None
        together = list(map(Tensors, params, grads, exp_avgs, exp_infs))
        if fusable.chosen(group):
            plan = made(together, steps, self.state)
            if plan is not None:
                plan.step(group)
                return plan if plan.lasts else None
        # Where reading a tensor would wait for the device, or end a graph, it stays a tensor.
        unread = group["capturable"] or torch.compiler.is_compiling()
        keep = unread or group["differentiable"]
        beta1, beta2 = group["betas"]
        hyper = Hyper(
            _scalar(group["lr"], keep),
            _scalar(beta1, keep),
            _scalar(beta2, keep),
            _scalar(group["eps"], keep),
            _scalar(group["weight_decay"], keep),
            group["maximize"],
            group["decoupled_weight_decay"],
        )
        foreach = group["foreach"]
        if foreach is None:
            _, foreach = _default_to_fused_or_foreach(
                params, group["differentiable"], use_fused=False
            )
        if foreach:
            torch._foreach_add_(steps, 1)
            counts = [step if unread else float(step) for step in steps]
            step_many(zip(together, counts, strict=True), hyper)
            return None
        for tensors, step in zip(together, steps, strict=True):
            # Not step.add_(1): TorchDynamo takes a float64 of no dimension for a constant.
            torch._foreach_add_([step], 1)
            if group["differentiable"]:
                # A copy, since autograd may save it, and the next step changes it.
                self._step_through(tensors, step.clone() if unread else float(step), hyper)
            else:
                _step_one(tensors, step if unread else float(step), hyper)
        return None

    def _init_group(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        grads: list[Tensor],
        exp_avgs: list[Tensor],
        exp_infs: list[Tensor],
        steps: list[Tensor],
    ) -> None:
        """Fill the lists with what takes part in this step; torch.compile knows this name."""
        for param in group["params"]:
            grad = _gradient(param)
            if grad is None:
                continue
            slot: dict[str, Any] = self.state[param]
            if not slot:
                device = param.device if group["capturable"] else "cpu"
                # Not zeros, of which a fake tensor would not know the value.
                slot["step"] = torch.tensor(0.0, dtype=STEP_DTYPE, device=device)
                for name in MOMENTS:
                    slot[name] = torch.zeros_like(
                        param,
                        dtype=moment_dtype(param, group["state_dtype"]),
                        memory_format=torch.preserve_format,
                    )
            params.append(param)
            grads.append(grad)
            exp_avgs.append(slot["exp_avg"])
            exp_infs.append(slot["exp_inf"])
            steps.append(slot["step"])

    def _step_through(self, tensors: Tensors, step: float | Tensor, hyper: Hyper) -> None:
        """A step that autograd goes through: it may save what would change in place."""
        param, grad, exp_avg, exp_inf = tensors
        p, g, m, u = widened(param.clone(), grad, exp_avg, exp_inf)
        update, m, u = adamax(p, g, m, u, step, hyper)
        store(p + update, param)
        self.state[param].update(exp_avg=narrowed(m, exp_avg), exp_inf=narrowed(u, exp_inf))


def _step_one(tensors: Tensors, step: float | Tensor, hyper: Hyper) -> None:
    elements = tensors.param.numel()
    wide = {tensor.dtype for tensor in tensors} == {compute_dtype(*(t.dtype for t in tensors))}
    for part in slices(tensors, at_once(tensors.param.device, elements, wide=wide)):
        p, g, m, u = widened(*part)
        update, m, u = adamax(p, g, m, u, step, hyper)
        for old, new in ((part.param, p + update), (part.exp_avg, m), (part.exp_inf, u)):
            store(new, old)


def _gradient(param: Tensor) -> Tensor | None:
    """The gradient; a differentiable optimizer's parameter has one though it is no leaf."""
    if param.is_leaf:
        return param.grad
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
        return param.grad


def _scalar(value: Scalar, keep: bool) -> Scalar:
    """A number wherever it may be read, else what `scalar` makes of a tensor."""
    if not isinstance(value, Tensor):
        return float(value)  # also of NumPy's, which would compute in their own precision
    if keep or value.requires_grad or value.device.type != "cpu":
        return scalar(value)
    return value.item()
