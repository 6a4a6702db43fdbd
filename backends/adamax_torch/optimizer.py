"""`Adamax`, a drop-in replacement for `torch.optim.Adamax` that computes the specification.

It differs from torch.optim.Adamax (2.13) in:

1. Counts are float64, so they do not stick at 2^24 (S-7).
2. The bias correction does not cancel for any beta1 (N-3).
3. float16 and bfloat16 are computed in float32 and rounded once: a zero first gradient in float16
   does not give NaN (N-1), and ``capturable`` does not overflow in between (N-8).
4. ``differentiable=True`` works through any number of steps (D-1); lr, betas, eps and weight decay
   may be tensors that require a gradient (D-3). For leaf parameters, such as those of a module, it
   raises and recommends `adamax_torch.functional`.
5. An infinite hyperparameter raises a ValueError; so does one set outside its domain later (H-1 to
   H-4).
6. `load_state_dict` rejects the state of another optimizer (S-8), and `step` rejects a mismatched
   gradient before it changes anything (S-10). A gradient may have another dtype of the same kind
   (S-5).
7. Loading copies the state: steps of one optimizer do not change that of another (S-4).
8. ``capturable=True`` works on every device with float64, CPUs included, and `torch.compile`
   captures `step` in one graph.
9. ``decoupled_weight_decay`` (A-8) and ``state_dtype`` (S-6) are new.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from adamax_torch import fused
from adamax_torch.foreach import count_, step_many
from adamax_torch.gather import Slots, gather
from adamax_torch.loading import checked, own_state, require_dict
from adamax_torch.precision import STEP_DTYPE, moment_dtype, narrowed, store, widened
from adamax_torch.rule import Hyper, Scalar, adamax, scalar
from adamax_torch.single import count_one, step_each
from adamax_torch.tensors import Columns, Kind, look, sorted_out
from adamax_torch.validation import require_hyperparameters

Loss = TypeVar("Loss")


class Adamax(Optimizer):
    r"""Adamax, as docs/spec.md defines it: Adam with the infinity norm (Kingma and Ba, 2015, 7.1).

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
        foreach: on an accelerator, step many tensors in one launch; False steps one by one, which
            takes less memory. On a CPU small tensors are batched in any case. Setting it to True or
            False also turns the fused kernel off, unless ``fused=True``.
        maximize: ascend.
        differentiable: let autograd differentiate `step`, any number of times; parameters must not
            be leaves then. They still change in place: compute a loss whose graph is needed after
            the step from ``param.clone()``.
        capturable: keep the count on the parameter's device, and never read its value.
        fused: step CPU tensors in one pass over memory, with the compiled kernel of `adamax_fused`.
            None uses the kernel if it is usable and neither ``foreach``, ``differentiable`` nor
            ``capturable`` is set; True requires it.
        decoupled_weight_decay: shrink the parameter by ``lr * weight_decay`` instead.
        state_dtype: dtype of the moments (of their parts, for complex parameters), or its name;
            None means the parameter's. float32 lets the moments of half precision decay.

    Raises:
        ValueError: a hyperparameter is outside its domain; shows value and domain.
        TypeError: a hyperparameter is not a number, or `state_dtype` not a floating-point dtype.
        RuntimeError: options exclude each other, or ``fused=True`` but the kernel is not usable;
            gives the reason.

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
        state_dtype: torch.dtype | str | None = None,
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
        """Add a group; validates its hyperparameters as the constructor does."""
        if isinstance(param_group, dict):
            require_hyperparameters(self.defaults | param_group)
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for position, param in enumerate(group["params"] if group["fused"] else []):
            own = look(param)
            moment = (own[0], moment_dtype(param, group["state_dtype"]), *own[2:])
            if reason := fused.obstacle((own, own, moment, moment)):
                self.param_groups.pop()
                where = f"group {len(self.param_groups)}, parameter {position}"
                raise RuntimeError(f"{where}: fused=True, but {reason}")

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            # Options that torch.optim.Adamax, or an older version, does not save.
            for option in ("foreach", "fused", "state_dtype"):
                group.setdefault(option, None)
            for option in ("maximize", "differentiable", "capturable", "decoupled_weight_decay"):
                group.setdefault(option, False)
            for param in group["params"]:
                slot = self.state.get(param)
                if slot:
                    device = param.device if group["capturable"] else "cpu"
                    # A copy: the base class shares the count with the optimizer that saved it.
                    step = torch.as_tensor(slot["step"], dtype=STEP_DTYPE, device=device)
                    slot["step"] = step.clone()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the `state_dict` of this class or of torch.optim.Adamax.

        Raises:
            ValueError: the state is another optimizer's, or has another shape; names the parameter
                and what was saved. Nothing has changed then.
        """
        require_dict(state_dict)
        loaded: dict[str, Any] = {}

        def check(_: Optimizer, given: dict[str, Any]) -> dict[str, Any]:
            loaded.update(checked(given, self.param_groups))
            return loaded

        def own(_: Optimizer) -> None:
            for param, name, value in own_state(loaded, self.param_groups):
                # `__setstate__` has chosen the device of the count.
                device = self.state[param][name].device
                self.state[param][name] = value.to(device)

        # Run after the user's pre-hooks and before their post-hooks: check what the former return,
        # and show the latter the final state.
        handles = (
            self.register_load_state_dict_pre_hook(check),
            self.register_load_state_dict_post_hook(own, prepend=True),
        )
        try:
            # Copies made in inference mode could not be stepped outside of it.
            with torch.inference_mode(mode=False):
                super().load_state_dict(state_dict)
        finally:
            for handle in handles:
                handle.remove()

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], Loss]) -> Loss: ...
    def step(self, closure: Callable[[], Loss] | None = None) -> Loss | None:
        """Take one step.

        Args:
            closure: reevaluates the model and returns the loss, which `step` returns.

        Raises:
            ValueError: a hyperparameter or a count is outside its domain.
            RuntimeError: a gradient is sparse, or its shape or dtype kind differs from its
                parameter's; or ``fused=True`` but the kernel is not usable. No parameter or state
                has changed then.
        """
        # Raises if a step that is not capturable is being captured; older versions lack it.
        check = getattr(self, "_accelerator_graph_capture_health_check", None)
        if check is not None:
            check()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if torch.compiler.is_compiling():
            for group in self.param_groups:
                self._capture_group(group)
            return loss
        groups = self.param_groups
        ready = [self._ready(f"group {index}", group) for index, group in enumerate(groups)]
        for group, (columns, kinds, new, by_kernel) in zip(groups, ready, strict=True):
            self._keep(new)
            if columns.params:
                with torch.set_grad_enabled(bool(group["differentiable"])):
                    self._step_group(group, columns, kinds, by_kernel=by_kernel)
        return loss

    def _ready(self, name: str, group: dict[str, Any]) -> tuple[Columns, set[Kind], Slots, bool]:
        """Gather and validate a group; return also whether the kernel steps it.

        Raises if a parameter cannot be stepped; changes nothing.
        """
        columns, kinds, new = gather(name, group, self.state)
        if not _kernel_chosen(group):
            return columns, kinds, new, False
        reason = next(filter(None, map(fused.obstacle, kinds)), None)
        if reason and group["fused"]:
            raise RuntimeError(f"{name}: fused=True, but {reason}")
        return columns, kinds, new, reason is None

    def _keep(self, new: Slots) -> None:
        for param, slot in new.items():
            self.state[param].update(slot)

    def _init_group(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        grads: list[Tensor],
        exp_avgs: list[Tensor],
        exp_infs: list[Tensor],
        steps: list[Tensor],
    ) -> None:
        """Fill the lists with the tensors of a captured step.

        torch.compile recognizes this name and runs the method eagerly, so no graph creates state.
        """
        columns, _, new = gather("the group", group, self.state)
        self._keep(new)
        for column, filled in zip((params, grads, exp_avgs, exp_infs, steps), columns, strict=True):
            column.extend(filled)

    def _capture_group(self, group: dict[str, Any]) -> None:
        """A step for torch.compile to capture: row by row, since the compiler fuses the loop."""
        require_hyperparameters(group)
        params: list[Tensor] = []
        grads: list[Tensor] = []
        exp_avgs: list[Tensor] = []
        exp_infs: list[Tensor] = []
        steps: list[Tensor] = []
        self._init_group(group, params, grads, exp_avgs, exp_infs, steps)
        columns = Columns(params, grads, exp_avgs, exp_infs, steps)
        hyper = _hyper(group, keep=True)
        with torch.set_grad_enabled(bool(group["differentiable"])):
            if group["differentiable"]:
                self._step_through(columns, hyper, unread=True)
            else:
                step_each(columns, hyper, unread=True)

    def _step_group(
        self, group: dict[str, Any], columns: Columns, kinds: set[Kind], *, by_kernel: bool
    ) -> None:
        # Do not read tensors whose value would have to be awaited from the device.
        unread = group["capturable"]
        hyper = _hyper(group, keep=unread or group["differentiable"])
        if group["differentiable"]:
            self._step_through(columns, hyper, unread=unread)
            return
        plain, odd = sorted_out(columns, kinds, by_kernel=by_kernel)
        if odd.params:
            step_each(odd, hyper, unread=unread)
        if by_kernel and plain.params:
            fused.step_(plain, hyper)
        elif plain.params:
            count_(plain.steps)
            counts = plain.steps if unread else [step.item() for step in plain.steps]
            together = group["foreach"] is not False
            step_many(plain, counts, hyper, together=together, alike=len(kinds) == 1)

    def _step_through(self, columns: Columns, hyper: Hyper, *, unread: bool) -> None:
        """A differentiable step. Out of place, since autograd may save its operands."""
        for param, grad, exp_avg, exp_inf, step in zip(*columns, strict=True):
            count_one(step)
            # A copy: autograd may save it, and the next step changes the count in place.
            count = step.clone() if unread else float(step)
            p, g, m, u = widened(param.clone(), grad, exp_avg, exp_inf)
            update, m, u = adamax(p, g, m, u, count, hyper)
            store(p + update, param)
            self.state[param].update(exp_avg=narrowed(m, exp_avg), exp_inf=narrowed(u, exp_inf))


def _kernel_chosen(group: Mapping[str, Any]) -> bool:
    """Does the group require the fused kernel, or leave the choice open?"""
    if group["fused"] is None:
        ways = group["foreach"] is not None or group["differentiable"] or group["capturable"]
        return not ways
    return bool(group["fused"])


def _hyper(group: Mapping[str, Any], *, keep: bool) -> Hyper:
    """The hyperparameters of a group; `keep` leaves tensors unread."""
    beta1, beta2 = group["betas"]
    return Hyper(
        _scalar(group["lr"], keep),
        _scalar(beta1, keep),
        _scalar(beta2, keep),
        _scalar(group["eps"], keep),
        _scalar(group["weight_decay"], keep),
        group["maximize"],
        group["decoupled_weight_decay"],
    )


def _scalar(value: Scalar, keep: bool) -> Scalar:
    """A Python number if the value may be read, else a tensor converted by `scalar`."""
    if not isinstance(value, Tensor) or keep or value.requires_grad or value.device.type != "cpu":
        return scalar(value)
    return value.item()
