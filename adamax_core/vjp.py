"""The reference derivative of one step in closed form: its vector-Jacobian product.

A cotangent is the derivative of a scalar, such as the loss of a later step, with respect to a
number. `step_vjp` maps cotangents of a step's results to cotangents of its arguments; called for
each step, last step first, it differentiates a whole run. `pull_back` has the formulas; read it
beside `adamax_core.rule`, from the last line to the first. `step_vjp` handles trees, dtypes,
complex numbers and missing gradients, as `adamax_core.transform` does for the step.

At a kink the derivative is one subgradient (D-4): slope 0 for ``|g|`` at zero, and the slope of
``|g| + eps`` where it equals ``beta2 u``. Where the step itself is 0 / 0 (N-6) it is NaN.
"""

from typing import Any, NamedTuple

import numpy as np
import optree

from adamax_core import rule
from adamax_core.arrays import Array, as_array, narrow, widen, zeros
from adamax_core.hyperparameters import Hyperparameters
from adamax_core.transform import State, matched, require_arguments
from adamax_core.trees import Tree


class Cotangents(NamedTuple):
    """Cotangents of the parameters and moments at one point of a run.

    Each is a tree with the structure of the parameters; its arrays have their shapes and kinds.
    None, for a leaf or for a whole tree, means zero.
    """

    params: Tree
    exp_avg: Tree = None
    exp_inf: Tree = None


class Derivatives(NamedTuple):
    """Cotangents of every input of one step.

    Arrays have the dtypes of their originals, but at least float32 (complex64): half precision
    lacks the range for derivatives and the precision for their sums. The scalars are sums over all
    elements: zero-dimensional, in the dtype that computed the leaves.

    Attributes:
        params: tree of the parameters before the step.
        grads: tree of the gradients; None where the gradient is missing.
        exp_avg: tree of the first moments before the step.
        exp_inf: tree of the infinity norms before the step.
        lr: scalar, as are those below.
        beta1: through the first moment and through the bias correction.
        beta2: through the infinity norm.
        eps: through the infinity norm.
        weight_decay: coupled or decoupled, as the hyperparameters say.
    """

    params: Tree
    grads: Tree
    exp_avg: Tree
    exp_inf: Tree
    lr: Any
    beta1: Any
    beta2: Any
    eps: Any
    weight_decay: Any

    @property
    def before(self) -> Cotangents:
        """The cotangents to pass to `step_vjp` for the previous step."""
        return Cotangents(self.params, self.exp_avg, self.exp_inf)


def pull_back(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_inf: Array,
    step: int,
    hyperparameters: Hyperparameters,
    cotangents: Cotangents,
) -> Derivatives:
    """The derivative for real arrays of one shape, without rounding to a storage dtype.

    `cotangents` are arrays of that shape. ``d_x`` is the cotangent of ``x``.
    """
    xp = param.__array_namespace__()
    lr, (beta1, beta2) = hyperparameters.lr, hyperparameters.betas
    decay, decoupled = hyperparameters.weight_decay, hyperparameters.decoupled_weight_decay
    g = rule.sign(grad, hyperparameters.maximize)
    g = g if decoupled else rule.coupled_decay(g, param, decay)
    t = rule.count(step)
    m = rule.first_moment(exp_avg, g, beta1)
    u = rule.infinity_norm(exp_inf, g, beta2, hyperparameters.eps)
    c = rule.bias_correction(beta1, t)
    d_param, d_m, d_u = cotangents

    # p <- p - lr / c * m / u, and A-6: c = 1 - beta1^t
    d_size, ratio = -d_param, m / u
    d_m = d_m + d_size * (lr / c) / u
    d_u = d_u - d_size * (lr / c) * ratio / u
    d_lr = d_size * ratio / c
    d_beta1 = d_size * ratio * (lr / c * (t * beta1 ** (t - 1) / c))
    # u <- max(beta2 u, |g| + eps); ties go to the second
    decayed = u > abs(g) + hyperparameters.eps
    none = xp.zeros_like(param)
    d_past, d_eps = xp.where(decayed, d_u, none), xp.where(decayed, none, d_u)
    d_g = d_eps * xp.sign(g)
    # m <- beta1 m + (1 - beta1) g
    d_g = d_g + (1 - beta1) * d_m
    d_beta1 = d_beta1 + d_m * (exp_avg - g)
    # p <- p - lr weight_decay p, or A-2: g <- g + weight_decay p
    if decoupled:
        d_lr = d_lr + d_size * decay * param
        d_decay = d_size * lr * param
        d_param = d_param + d_size * lr * decay
    else:
        d_decay = d_g * param
        d_param = rule.coupled_decay(d_param, d_g, decay)  # the same sum, transposed
    return Derivatives(
        params=d_param,
        grads=rule.sign(d_g, hyperparameters.maximize),  # g <- -g
        exp_avg=beta1 * d_m,
        exp_inf=beta2 * d_past,
        lr=xp.sum(d_lr),
        beta1=xp.sum(d_beta1),
        beta2=xp.sum(d_past * exp_inf),
        eps=xp.sum(d_eps),
        weight_decay=xp.sum(d_decay),
    )


def step_vjp(
    params: Tree,
    grads: Tree,
    state: State,
    hyperparameters: Hyperparameters,
    cotangents: Cotangents,
) -> Derivatives:
    """The derivative of `adamax_core.step`: cotangents of its arguments from those of its results.

    Gradients are independent inputs; their dependence on the parameters is the caller's. A
    parameter without a gradient passes its cotangents on unchanged. A complex number is a pair of
    reals, and its cotangent is the pair of their cotangents: PyTorch's convention; JAX's is the
    conjugate. Rationals give rationals.

    Args:
        params: tree of arrays, before the step.
        grads: tree of arrays; None where a gradient is missing.
        state: the state before the step.
        hyperparameters: those of the step.
        cotangents: of the parameters and the moments after the step.

    Raises:
        ValueError: a structure or shape differs; names the leaf and both shapes.
        TypeError: a dtype kind differs; names the leaf. Or an argument has the wrong type.

    >>> from fractions import Fraction
    >>> import numpy as np
    >>> from adamax_core import init
    >>> hp = Hyperparameters(lr=Fraction(1, 8), betas=(Fraction(3, 4), Fraction(7, 8)), eps=1)
    >>> params, grads = np.array([Fraction(0)]), np.array([Fraction(3)])
    >>> found = step_vjp(params, grads, init(params), hp, Cotangents(np.array([Fraction(1)])))
    >>> found.lr, found.eps, found.grads  # p = -lr g / (|g| + eps)
    (Fraction(-3, 4), Fraction(3, 128), array([Fraction(-1, 128)], dtype=object))
    """
    call = "step_vjp(params, grads, state, hyperparameters, cotangents)"
    require_arguments(call, params, grads, state, hyperparameters)
    if not isinstance(cotangents, Cotangents):
        raise TypeError(f"cotangents is {type(cotangents).__name__}, not Cotangents: call {call}")
    zero = optree.tree_map(lambda _: None, params)
    others = {"grads": grads} | {
        f"cotangents.{name}": zero if tree is None else tree
        for name, tree in cotangents._asdict().items()
    }
    treedef, leaves = matched(params, state, others)
    hyperparameters = hyperparameters.numbers()

    def one(
        param: Array, step: int, exp_avg: Array, exp_inf: Array, grad: Array, *after: Array
    ) -> Derivatives:
        after = tuple(zeros(param) if each is None else as_array(each) for each in after)
        if grad is None:
            d_param, d_m, d_u = after
            return Derivatives(d_param, None, d_m, d_u, 0, 0, 0, 0, 0)
        originals = (param, as_array(grad), as_array(exp_avg), as_array(exp_inf))
        # As for the step: infinity and NaN are specified results.
        with np.errstate(all="ignore"):
            p, g, m, u, *d_after = widen(*originals, *after)
            found = pull_back(p, g, m, u, int(step), hyperparameters, Cotangents(*d_after))
            arrays = (
                narrow(cotangent, _at_least_float32(original))
                for cotangent, original in zip(found[:4], originals, strict=True)
            )
            return Derivatives._make([*arrays, *found[4:]])

    found = [one(*leaf) for leaf in leaves]
    trees = (optree.tree_unflatten(treedef, [leaf[index] for leaf in found]) for index in range(4))
    scalars = (sum(leaf[index] for leaf in found) for index in range(4, 9))
    return Derivatives(*trees, *scalars)


def _at_least_float32(array: Array) -> Array:
    xp = array.__array_namespace__()
    return xp.astype(array, xp.result_type(array.dtype, xp.float32), copy=False)
