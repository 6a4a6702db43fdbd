"""`adamax_transform`, the specification as an `optax.GradientTransformationExtraArgs`.

It differs from optax.adamax and optax.adamaxw (0.2.8) in this:

1. `maximize` and coupled weight decay are arguments, and decoupled decay is one (A-1, A-2, A-8).
2. Steps are counted for each parameter (S-3), in `steps`, besides optax's one `count`. A gradient
   of None leaves its parameter, its moments and its steps as they are (S-2); optax loses the
   moments and raises at the next update. Leaves that are not floating point are not trained.
3. The bias correction keeps its digits: optax's is off by 108 units in the last place at the first
   step with b1 = 0.999 in float32 (N-3).
4. float16 and bfloat16 are computed in float32 and rounded once; a zero first gradient in float16
   gives no NaN (N-1).
5. Moments keep their dtype whatever that of the gradients (S-5); `state_dtype` chooses it (S-6).
6. Complex parameters are pairs of reals; optax takes the modulus (A-9).
7. Hyperparameters outside their domains are a ValueError (H-1 to H-4); tracers pass unseen.
8. The state of another transformation, Adam's among them, is refused (S-8).
9. The moments are sharded as their parameters are, under ``jax.jit(init)`` too (S-11).
10. Outside ``jax.jit`` all leaves are stepped by one program, compiled once for each structure of
    the trees, where optax runs an operation at a time.

JAX's gradient of a real function of a complex parameter is the conjugate of the direction of
ascent: conjugate it, as for every optax optimizer, before it comes here.
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
    require_scalar,
    require_state,
)


def adamax_transform(
    learning_rate: optax.ScalarOrSchedule = 2e-3,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    *,
    weight_decay: Scalar | None = None,
    decoupled_weight_decay: bool = False,
    mask: Any | Callable[[Any], Any] | None = None,
    maximize: bool = False,
    state_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Adamax, as docs/spec.md has it: Adam with the infinity norm (Kingma and Ba, 2015, 7.1).

    .. math::
        m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t, \quad
        u_t = \max(\beta_2 u_{t-1}, |g_t| + \epsilon), \quad
        \Delta_t = - \frac{\alpha}{1 - \beta_1^t} \frac{m_t}{u_t}

    Args:
        learning_rate: ``0 <= learning_rate < inf``; a number, a 0-d array, or a schedule of the
            number of updates so far, whose values are taken as they are, as under `jax.jit`.
        b1: decay rate of the first moment, ``0 <= b1 < 1``.
        b2: decay rate of the infinity norm, ``0 <= b2 < 1``.
        eps: added to ``|g|`` inside the maximum, ``0 <= eps < inf``.
        weight_decay: ``0 <= weight_decay < inf``, zero when None; where it is not zero, `update`
            needs the parameters.
        decoupled_weight_decay: shrink the parameters by ``learning_rate * weight_decay`` instead of
            adding ``weight_decay`` times the parameter to the gradient.
        mask: tree of booleans, a prefix of the parameters', or a function that makes one of them:
            where False, weight decay is left out. The leaf takes its step all the same: this is not
            `optax.masked`, which lets the raw gradient of a masked leaf through.
        maximize: ascend.
        state_dtype: dtype of the moments (of their parts, for complex parameters), or its name; the
            parameter's when None.

    Returns:
        A transformation. Updates have the dtypes of the parameters; of the moments where `update`
        is not given the parameters.

    Raises:
        ValueError: a hyperparameter outside its domain; shows value and domain.
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
    # None, so that optax.inject_hyperparams makes no array of a decay that nobody named.
    weight_decay = require_number("weight_decay", 0.0 if weight_decay is None else weight_decay)
    if not callable(learning_rate):
        learning_rate = require_number("learning_rate", learning_rate)
    if state_dtype is not None:
        require_real_dtype(state_dtype)
    # A traced decay may be anything; a decay that is known to be zero reads no parameter.
    decays = isinstance(weight_decay, jax.core.Tracer) or weight_decay != 0

    def init_fn(params: Any) -> AdamaxState:
        require_parameters(params)
        return zero_state(params, state_dtype)

    def update_fn(
        updates: Any, state: AdamaxState, params: Any = None, **_extra: Any
    ) -> tuple[Any, AdamaxState]:
        if decays and params is None:
            raise ValueError(
                "where weight_decay is not zero, or is traced, adamax_transform needs the "
                "parameters: update(grads, state, params). (optax.inject_hyperparams traces what "
                "it is given; leave weight_decay out, or name it among static_args.)"
            )
        require_state(state)
        treedef, slots = matched(updates, state, params)
        leaves = [leaf for leaf in slots if leaf is not None]
        lr = learning_rate
        if callable(lr):
            lr = require_scalar("learning_rate", lr(state.count))
        count, stepped = _steppers(leaves)(
            _columns(Leaf, _without_none(leaves)),
            state.count,
            Hyper(lr, rate, b2, eps, weight_decay),
            treedef=jax.tree.structure(state.mu),
            decays=decayed(mask, params) if decays else False,
            decoupled=decoupled_weight_decay,
            maximize=maximize,
        )
        # What is not trained gets its gradient back, None or float0.
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
    """A step of all leaves, whose parts come and go as lists, which JAX passes fastest.

    `decays` says of each leaf, or of all, whether weight decay reaches it.
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


# Outside jit one program for all leaves, where each operation would be one for each leaf; leaves
# are checked while it is traced, once for each structure. Inside an outer jit it leaves no trace.
_compiled = jax.jit(
    _advance, static_argnames=("treedef", "decays", "decoupled", "maximize"), inline=True
)


def _columns(kind: Any, rows: list[Any]) -> Any:
    """A tuple of lists, of a list of tuples of that kind."""
    return kind(*([row[part] for row in rows] for part in range(len(kind._fields))))


def _steppers(leaves: list[Leaf]) -> Callable[..., Any]:
    """One program for all leaves, unless they live on several devices: then one for each."""
    arrays = [leaf.param for leaf in leaves]
    places = [each.sharding.device_set for each in arrays if not isinstance(each, jax.core.Tracer)]
    return _compiled if all(place == places[0] for place in places) else _advance


def _without_none(leaves: list[Leaf]) -> list[Leaf]:
    """Outside jit, an array for each missing gradient, so that one program has all patterns."""
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
