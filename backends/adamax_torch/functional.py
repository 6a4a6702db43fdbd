"""The specification as pure functions on pytrees, for ``torch.func`` and autograd.

The functions do not change their arguments, so `torch.func.grad`, ``jvp``, ``vmap`` and
`torch.compile` transform a step, and autograd differentiates any number of steps with respect to
parameters, gradients, state, and each hyperparameter that is a tensor. Combine them with
``torch.func.functional_call`` to differentiate through the training of a module: autograd does not
allow its parameters, which are leaves, to change in place.

Trees are optree's: dicts, lists, tuples, named tuples, or a single tensor. A gradient of None is
missing: that parameter and its state stay unchanged (S-2).
"""

import math
from collections.abc import Callable

import optree
import torch
from torch import Tensor

from adamax_core import Hyperparameters, State
from adamax_core.hyperparameters import as_float
from adamax_core.transform import STEP, UPDATE, require_arguments
from adamax_core.trees import Tree, flatten_like, leaf_names
from adamax_torch.precision import STEP_DTYPE, moment_dtype, narrowed, real_dtype, widened
from adamax_torch.rule import Hyper, Scalar, adamax, scalar
from adamax_torch.validation import (
    require_count,
    require_fit,
    require_moment,
    require_steppable,
)

__all__ = ["Hyperparameters", "State", "init", "step", "update"]


def init(params: Tree, state_dtype: torch.dtype | str | None = None) -> State:
    """The state before the first step: all zero (S-1).

    Counts are zero-dimensional float64 tensors, exact to 2^53, on the devices of the parameters.

    Args:
        params: tree of floating-point or complex tensors.
        state_dtype: dtype of the moments (of their parts, for complex parameters), or its name;
            None means the dtype of each parameter.

    Raises:
        TypeError: a parameter is neither floating point nor complex; names the leaf. Or
            `state_dtype` is not a real floating-point dtype.

    >>> init({"w": torch.ones(2, dtype=torch.float16)}, state_dtype=torch.float32).exp_inf
    {'w': tensor([0., 0.])}
    """
    if state_dtype is not None:
        real_dtype(state_dtype)  # raises also for a tree without leaves
    for name, param in zip(leaf_names("params", params), optree.tree_leaves(params), strict=True):
        require_steppable(name, param)

    def zeros(param: Tensor) -> Tensor:
        return torch.zeros_like(param, dtype=moment_dtype(param, state_dtype))

    return State(
        step=optree.tree_map(lambda p: torch.zeros((), dtype=STEP_DTYPE, device=p.device), params),
        exp_avg=optree.tree_map(zeros, params),
        exp_inf=optree.tree_map(zeros, params),
    )


def update(
    grads: Tree, state: State, params: Tree, hyperparameters: Hyperparameters
) -> tuple[Tree, State]:
    """The updates to add to the parameters, in their dtypes, and the new state.

    Adding an update rounds once more than `step` does; prefer `step` in half precision.

    Args:
        grads: tree of tensors; None where a gradient is missing.
        state: from `init` or from the last step.
        params: tree of tensors.
        hyperparameters: for this step; they may change from step to step (H-6).

    Raises:
        ValueError: a structure or shape differs; names the leaf and both shapes. Or a
            hyperparameter is outside its domain.
        TypeError: a leaf is not a dense tensor, or its dtype kind differs; names the leaf. Or
            arguments are swapped; shows the order.

    >>> params = {"w": torch.tensor([1.0, 2.0]), "b": torch.tensor(0.5)}
    >>> grads = {"w": torch.tensor([3.0, -4.0]), "b": None}
    >>> updates, state = update(grads, init(params), params, Hyperparameters(lr=0.125))
    >>> updates["b"], state.step["w"]
    (tensor(0.), tensor(1., dtype=torch.float64))
    """

    def finish(_param: Tensor, update: Tensor) -> Tensor:
        return update

    require_arguments(UPDATE, params, grads, state, hyperparameters)
    return _transform(params, grads, state, hyperparameters, finish, torch.zeros_like)


def step(
    params: Tree, grads: Tree, state: State, hyperparameters: Hyperparameters
) -> tuple[Tree, State]:
    """The parameters after one step, rounded once to their dtypes, and the new state.

    Arguments and errors are those of `update`.

    >>> def after_a_step(lr):
    ...     params = torch.tensor([1.0, -1.0])
    ...     params, _ = step(params, torch.ones(2), init(params), Hyperparameters(lr, eps=0.0))
    ...     return params.sum()
    >>> torch.func.grad(after_a_step)(torch.tensor(0.5))
    tensor(-2.)
    """
    require_arguments(STEP, params, grads, state, hyperparameters)
    return _transform(params, grads, state, hyperparameters, torch.add, lambda param: param)


def _transform(
    params: Tree,
    grads: Tree,
    state: State,
    hyperparameters: Hyperparameters,
    finish: Callable[[Tensor, Tensor], Tensor],
    untouched: Callable[[Tensor], Tensor],
) -> tuple[Tree, State]:
    hyper = _hyper(hyperparameters)
    leaves, treedef = optree.tree_flatten(params)
    trees = {"grads": grads, **state._asdict()}
    columns = (flatten_like(params, treedef, tree, what) for what, tree in trees.items())

    def one(
        name: str,
        param: Tensor,
        grad: Tensor | None,
        step: Tensor,
        exp_avg: Tensor,
        exp_inf: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        require_steppable(name, param)
        require_count(step, name)
        require_moment("exp_avg", exp_avg, param, name)
        require_moment("exp_inf", exp_inf, param, name)
        if grad is None:
            return untouched(param), step, exp_avg, exp_inf
        require_fit(param, grad, name)
        p, g, m, u = widened(param, grad, exp_avg, exp_inf)
        step = step + 1
        update, m, u = adamax(p, g, m, u, step, hyper)
        new = narrowed(finish(p, update), param)
        return new, step, narrowed(m, exp_avg), narrowed(u, exp_inf)

    rows = zip(leaf_names("params", params), leaves, *columns, strict=True)
    results = list(zip(*(one(*row) for row in rows), strict=True)) or [()] * 4
    stepped, *new = (optree.tree_unflatten(treedef, column) for column in results)
    return stepped, State(*new)


def _hyper(hyperparameters: Hyperparameters) -> Hyper:
    hyperparameters.validate()
    beta1, beta2 = hyperparameters.betas
    return Hyper(
        _scalar("lr", hyperparameters.lr),
        _scalar("beta1", beta1, below=1),
        _scalar("beta2", beta2, below=1),
        _scalar("eps", hyperparameters.eps),
        _scalar("weight_decay", hyperparameters.weight_decay),
        hyperparameters.maximize,
        hyperparameters.decoupled_weight_decay,
    )


def _scalar(name: str, value: Scalar, below: float = math.inf) -> Scalar:
    return scalar(value) if isinstance(value, Tensor) else as_float(name, value, below=below)
