"""`adamax_transform`, the specification as an `optax.GradientTransformationExtraArgs`.

It differs from optax.adamax and optax.adamaxw (0.2.8) in:

1. `maximize`, coupled and decoupled weight decay are arguments (A-1, A-2, A-8).
2. Each parameter counts its own steps in `steps` (S-3), besides optax's single `count`. A gradient
   of None leaves its parameter, moments and steps unchanged (S-2); optax loses the moments and
   raises at the next update. Leaves that are not floating point are not trained.
3. The bias correction does not cancel; optax's is off by 108 ulp at the first step with b1 = 0.999
   in float32 (N-3).
4. float16 and bfloat16 are computed in float32 and rounded once; a zero first gradient in float16
   does not give NaN (N-1).
5. Moments keep their dtype, whatever the dtype of the gradients (S-5); `state_dtype` sets it (S-6).
6. Complex parameters are pairs of reals; optax uses the modulus (A-9).
7. Hyperparameters outside their domains raise a ValueError (H-1 to H-4); tracers pass unchecked.
8. The state of another transformation, such as Adam's, raises a TypeError (S-8).
9. Moments have the sharding of their parameters, also under ``jax.jit(init)`` (S-11).
10. Outside ``jax.jit`` one program steps all leaves, compiled once for each tree structure; optax
    dispatches one operation at a time.

For complex parameters, pass the conjugate of JAX's gradient, as for every optax optimizer: JAX's
gradient of a real function is the conjugate of the direction of ascent.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adamax_core.arrays import require_real_dtype
from adamax_jax.leaf import Leaf, Stepped, increment, step_leaf
from adamax_jax.rule import Hyper, Scalar, decay
from adamax_jax.state import AdamaxState, zero_state
from adamax_jax.validation import (
    decayed,
    matched,
    require_fit,
    require_number,
    require_parameters,
    require_schedule,
    require_state,
    scheduled,
)


def adamax_transform(
    learning_rate: optax.ScalarOrSchedule = 2e-3,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    *,
    weight_decay: optax.ScalarOrSchedule | None = None,
    decoupled_weight_decay: bool = False,
    mask: Any | Callable[[Any], Any] | None = None,
    maximize: bool = False,
    state_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Adamax, as docs/spec.md defines it: Adam with the infinity norm (Kingma and Ba, 2015, 7.1).

    .. math::
        m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t, \quad
        u_t = \max(\beta_2 u_{t-1}, |g_t| + \epsilon), \quad
        \Delta_t = - \frac{\alpha}{1 - \beta_1^t} \frac{m_t}{u_t}

    Args:
        learning_rate: ``0 <= learning_rate < inf``; a number, a 0-d array, or a schedule of the
            number of updates so far. The values of a schedule are not validated.
        b1: decay rate of the first moment, ``0 <= b1 < 1``.
        b2: decay rate of the infinity norm, ``0 <= b2 < 1``.
        eps: added to ``|g|`` inside the maximum, ``0 <= eps < inf``.
        weight_decay: ``0 <= weight_decay < inf``, or a schedule, as for `learning_rate`; None means
            zero; if not zero, `update` needs the parameters.
        decoupled_weight_decay: shrink the parameters by ``learning_rate * weight_decay`` instead of
            adding ``weight_decay`` times the parameter to the gradient.
        mask: tree of booleans, a prefix of the parameters', or a function of the parameters that
            returns one: False turns weight decay off. The leaf still takes its step, unlike with
            `optax.masked`, which passes the raw gradient of a masked leaf through.
        maximize: ascend.
        state_dtype: dtype of the moments (of their parts, for complex parameters), or its name;
            None means the parameter's.

    Returns:
        A transformation. Updates have the dtypes of the parameters, or of the moments if `update`
        does not get the parameters.

    Raises:
        ValueError: a hyperparameter is outside its domain; shows value and domain.
        TypeError: a hyperparameter is not a number, or `state_dtype` not a floating-point dtype.

    >>> optimizer = optax.chain(optax.clip_by_global_norm(1.0), adamax_transform(0.5))
    >>> params = {"w": jnp.array([1.0, -1.0])}
    >>> state = optimizer.init(params)
    >>> updates, state = optimizer.update({"w": jnp.array([0.3, -0.4])}, state, params)
    >>> optax.apply_updates(params, updates)["w"].round(4)
    Array([ 0.5, -0.5], dtype=float32)
    """
    rate = decay(require_number("b1", b1, below=1))
    b2 = require_number("b2", b2, below=1)
    eps = require_number("eps", eps)
    # The default is None, since optax.inject_hyperparams would turn 0.0 into a traced array.
    weight_decay = require_schedule("weight_decay", 0.0 if weight_decay is None else weight_decay)
    learning_rate = require_schedule("learning_rate", learning_rate)
    if state_dtype is not None:
        require_real_dtype(state_dtype)
    # A decay that is traced or a schedule may be nonzero; with one known to be zero, parameters are
    # not read.
    decays = isinstance(weight_decay, jax.core.Tracer) or weight_decay != 0

    def init_fn(params: Any) -> AdamaxState:
        require_parameters(params)
        return zero_state(params, state_dtype)

    def update_fn(
        updates: Any, state: AdamaxState, params: Any = None, **_extra: Any
    ) -> tuple[Any, AdamaxState]:
        if decays and params is None:
            raise ValueError(
                "if weight_decay is not zero, or is traced, adamax_transform needs the parameters: "
                "call update(grads, state, params). (optax.inject_hyperparams traces its "
                "arguments: leave weight_decay out, or name it in static_args.)"
            )
        require_state(state)
        treedef, slots = matched(updates, state, params)
        leaves = [leaf for leaf in slots if leaf is not None]
        lr = scheduled("learning_rate", learning_rate, state.count)
        wd = scheduled("weight_decay", weight_decay, state.count)
        count, stepped = _steppers(leaves)(
            _columns(Leaf, _without_none(leaves)),
            state.count,
            Hyper(lr, rate, b2, eps, wd),
            treedef=jax.tree.structure(state.mu),
            decays=decayed(mask, params) if decays else False,
            decoupled=decoupled_weight_decay,
            maximize=maximize,
        )
        # The update of an untrained leaf is its gradient, None or float0.
        update, mu, nu = map(iter, stepped[:3])
        given = zip(treedef.flatten_up_to(updates), slots, strict=True)
        deltas = [grad if slot is None else next(update) for grad, slot in given]
        mu, nu = (treedef.unflatten(slot and next(each) for slot in slots) for each in (mu, nu))
        steps = tuple(stepped.steps) if leaves else state.steps
        return treedef.unflatten(deltas), AdamaxState(count, mu, nu, steps)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _advance(
    columns: Any,
    count: jax.Array,
    hyper: Hyper,
    *,
    treedef: Any,
    decays: bool | tuple[bool, ...],
    decoupled: bool,
    maximize: bool,
) -> tuple[jax.Array, Stepped]:
    """Step all leaves, passed and returned as lists of their parts, which JAX flattens fastest.

    `decays` says for each leaf, or for all, whether weight decay applies.
    """
    leaves = [Leaf(*parts) for parts in zip(*columns, strict=True)]
    require_fit(treedef, leaves)
    hyper = jax.tree.map(lambda number: jnp.asarray(number, float), hyper)
    kept = decays if isinstance(decays, tuple) else [decays] * len(leaves)
    stepped = [
        step_leaf(leaf, hyper, decays=each, decoupled=decoupled, maximize=maximize)
        for leaf, each in zip(leaves, kept, strict=True)
    ]
    return increment(count), _columns(Stepped, stepped)


# Outside jit this is one program for all leaves, instead of one for each operation and leaf.
# Tracing validates the leaves, once for each structure. An outer jit inlines it.
_compiled = jax.jit(
    _advance, static_argnames=("treedef", "decays", "decoupled", "maximize"), inline=True
)


def _columns(kind: Any, rows: list[Any]) -> Any:
    """Transpose a list of named tuples into one named tuple of lists."""
    return kind(*([row[part] for row in rows] for part in range(len(kind._fields))))


def _steppers(leaves: list[Leaf]) -> Callable[..., Any]:
    """Choose one program for all leaves, or, if they are on several devices, one for each leaf."""
    arrays = [leaf.param for leaf in leaves]
    places = [each.sharding.device_set for each in arrays if not isinstance(each, jax.core.Tracer)]
    return _compiled if all(place == places[0] for place in places) else _advance


def _without_none(leaves: list[Leaf]) -> list[Leaf]:
    """Outside jit, replace missing gradients by arrays, so that one program serves all patterns."""
    if all(leaf.grad is not None for leaf in leaves) or any(
        isinstance(each, jax.core.Tracer) for each in jax.tree.leaves(leaves)
    ):
        return leaves
    return [
        leaf._replace(
            grad=leaf.param if leaf.grad is None else leaf.grad,
            present=np.bool_(leaf.grad is not None),
        )
        for leaf in leaves
    ]
