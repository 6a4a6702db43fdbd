"""The specification as pure functions on pytrees, out of place: for ``torch.func`` and autograd.

Nothing that is given is changed, so `torch.func.grad`, ``jvp``, ``vmap`` and `torch.compile` go
through a step, and autograd through any number of them, with respect to everything: parameters,
gradients, state, and each hyperparameter that is a tensor. With ``torch.func.functional_call`` this
is how to differentiate through the training of a module, whose own parameters autograd does not
let change in place.

Trees are what optree understands: dicts, lists, tuples, named tuples, or a single tensor. A
gradient of None is a missing one: that parameter and its state stay as they are (S-2).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import optree
import torch
from torch import Tensor

import adamax_core
from adamax_torch.precision import STEP_DTYPE, moment_dtype, narrowed, widened
from adamax_torch.rule import Hyper, adamax, scalar
from adamax_torch.validation import (
    require_count,
    require_fit,
    require_moment,
    require_scalars,
    require_state_dtype,
    require_steppable,
)

Tree = Any


class State(NamedTuple):
    """The optimizer's state: three trees of the structure of the parameters.

    Attributes:
        step: number of steps that each parameter has taken; float64 tensors of no dimension, exact
            to 2^53, on the device of the parameter.
        exp_avg: first moment ``m``, shape of the parameter.
        exp_inf: infinity norm ``u``, shape of the parameter, never negative.
    """

    step: Tree
    exp_avg: Tree
    exp_inf: Tree


@dataclass(frozen=True)
class Hyperparameters(adamax_core.Hyperparameters):
    """`adamax_core.Hyperparameters` that may be tensors of one element, to be differentiated.

    A value that cannot be read, under ``vmap``, on a device or while a graph is captured, is taken
    to be inside its domain.

    Raises:
        ValueError: a value outside its domain, or a tensor of several elements.
        TypeError: a value that is not a number.

    >>> Hyperparameters(lr=torch.tensor(2.0, requires_grad=True)).betas
    (0.9, 0.999)
    """

    def validate(self) -> None:
        """Raise unless every value that can be read is inside its domain."""
        require_scalars(self.lr, self.betas, self.eps, self.weight_decay)


def init(params: Tree, state_dtype: torch.dtype | None = None) -> State:
    """The state before the first step: all zero (S-1).

    Args:
        params: tree of floating-point or complex tensors.
        state_dtype: dtype of the moments (of their parts, for complex parameters); that of each
            parameter when None.

    Raises:
        RuntimeError: a parameter is neither floating point nor complex; names the leaf.
        ValueError: `state_dtype` is not a real floating-point dtype.

    >>> init({"w": torch.ones(2, dtype=torch.float16)}, state_dtype=torch.float32).exp_inf
    {'w': tensor([0., 0.])}
    """
    require_state_dtype(state_dtype)
    for name, param in zip(_names("params", params), optree.tree_leaves(params), strict=True):
        require_steppable(name, param)

    def zeros(param: Tensor) -> Tensor:
        return torch.zeros_like(param, dtype=moment_dtype(param, state_dtype))

    return State(
        step=optree.tree_map(lambda p: torch.zeros((), dtype=STEP_DTYPE, device=p.device), params),
        exp_avg=optree.tree_map(zeros, params),
        exp_inf=optree.tree_map(zeros, params),
    )


def update(
    grads: Tree, state: State, params: Tree, hyperparameters: adamax_core.Hyperparameters
) -> tuple[Tree, State]:
    """The updates to add to the parameters, in their dtypes, and the new state.

    Adding an update rounds once more than `step` does; prefer `step` in half precision.

    Args:
        grads: tree of tensors; None where a gradient is missing.
        state: from `init` or from the last step.
        params: tree of tensors.
        hyperparameters: those of this step; they may change from step to step (H-6).

    Raises:
        ValueError: a structure does not fit, a moment does not fit its parameter (names the leaf),
            or a hyperparameter is outside its domain.
        RuntimeError: a gradient is sparse, or does not fit its parameter; names the leaf.
        TypeError: `state` is no `State`, or `hyperparameters` are none.

    >>> params = {"w": torch.tensor([1.0, 2.0]), "b": torch.tensor(0.5)}
    >>> grads = {"w": torch.tensor([3.0, -4.0]), "b": None}
    >>> updates, state = update(grads, init(params), params, Hyperparameters(lr=0.125))
    >>> updates["b"], state.step["w"]
    (tensor(0.), tensor(1., dtype=torch.float64))
    """

    def finish(_param: Tensor, update: Tensor) -> Tensor:
        return update

    return _transform(params, grads, state, hyperparameters, finish, torch.zeros_like)


def step(
    params: Tree, grads: Tree, state: State, hyperparameters: adamax_core.Hyperparameters
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
    return _transform(params, grads, state, hyperparameters, torch.add, lambda param: param)


def _transform(
    params: Tree,
    grads: Tree,
    state: State,
    hyperparameters: adamax_core.Hyperparameters,
    finish: Callable[[Tensor, Tensor], Tensor],
    untouched: Callable[[Tensor], Tensor],
) -> tuple[Tree, State]:
    if not isinstance(state, State):
        raise TypeError(f"state is {type(state).__name__}, not State: it comes from init or a step")
    hyper = _hyper(hyperparameters)
    leaves, treedef = optree.tree_flatten(params)
    trees = {"grads": grads, **state._asdict()}
    columns = (_flatten_like(params, treedef, tree, what) for what, tree in trees.items())

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

    rows = zip(_names("params", params), leaves, *columns, strict=True)
    results = list(zip(*(one(*row) for row in rows), strict=True)) or [()] * 4
    stepped, *new = (optree.tree_unflatten(treedef, column) for column in results)
    return stepped, State(*new)


def _hyper(hyperparameters: adamax_core.Hyperparameters) -> Hyper:
    if not isinstance(hyperparameters, adamax_core.Hyperparameters):
        raise TypeError(f"hyperparameters is {type(hyperparameters).__name__}, not Hyperparameters")
    lr, betas, eps = hyperparameters.lr, hyperparameters.betas, hyperparameters.eps
    require_scalars(lr, betas, eps, hyperparameters.weight_decay)
    beta1, beta2 = betas

    return Hyper(
        scalar(lr),
        scalar(beta1),
        scalar(beta2),
        scalar(eps),
        scalar(hyperparameters.weight_decay),
        hyperparameters.maximize,
        hyperparameters.decoupled_weight_decay,
    )


def _names(what: str, tree: Tree) -> list[str]:
    """How a leaf is reached: ``params['w']``."""
    return [accessor.codify(what) for accessor in optree.tree_accessors(tree)]


def _flatten_like(params: Tree, treedef: optree.PyTreeSpec, tree: Tree, what: str) -> list[Any]:
    """The leaves of `tree`, which has the structure of `params` but may have None for a leaf."""
    try:
        return treedef.flatten_up_to(tree)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{what} does not have the structure of params: {error}\n"
            f"  params: {optree.tree_structure(params)}\n"
            f"  {what}: {optree.tree_structure(tree, none_is_leaf=True)}"
        ) from error
