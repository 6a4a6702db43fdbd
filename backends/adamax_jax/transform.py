"""`adamax_transform`, the specification as an `optax.GradientTransformationExtraArgs`.

It differs from optax.adamax and optax.adamaxw (0.2.8) in this:

1. `maximize` and coupled weight decay are arguments, and decoupled decay is one (A-1, A-2, A-8).
2. Steps are counted for each parameter (S-3), and a gradient of None leaves its parameter, its
   moments and its count as they are (S-2); optax loses the moments and raises at the next update.
3. The bias correction keeps its digits: optax's is off by 108 units in the last place at the first
   step with b1 = 0.999 in float32 (N-3).
4. float16 and bfloat16 are computed in float32 and rounded once; a zero first gradient in float16
   gives no NaN (N-1).
5. Moments keep their dtype whatever that of the gradients (S-5); `state_dtype` chooses it (S-6).
6. Complex parameters are pairs of reals; optax takes the modulus (A-9).
7. Hyperparameters outside their domains are a ValueError (H-1 to H-4); tracers pass unseen.
8. The state of another transformation, Adam's among them, is refused (S-8).
9. The moments are sharded as their parameters are, under ``jax.jit(init)`` too (S-11).

JAX's gradient of a real function of a complex parameter is the conjugate of the direction of
ascent: conjugate it, as for every optax optimizer, before it comes here.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental.shard_alike import shard_alike

from adamax_core.arrays import require_real_dtype
from adamax_core.hyperparameters import require
from adamax_jax.rule import Hyper, Scalar, adamax, bias_correction

_LAST = np.iinfo(np.int32).max


class AdamaxState(NamedTuple):
    """The state of `adamax_transform`.

    Attributes:
        count: int32 ``(number of leaves,)``, the steps of each parameter in the order of
            `jax.tree.leaves`; stays at 2^31 - 1 when it gets there.
        mu: first moments, a tree like the parameters.
        nu: infinity norms, a tree like the parameters.
        clock: int32, the updates so far: what a learning rate schedule is given.
    """

    count: jax.Array  # type: ignore[assignment]  # optax's name, which hides tuple.count
    mu: Any
    nu: Any
    clock: jax.Array


def adamax_transform(
    learning_rate: optax.ScalarOrSchedule = 2e-3,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    *,
    weight_decay: Scalar = 0.0,
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
            number of updates so far.
        b1: decay rate of the first moment, ``0 <= b1 < 1``.
        b2: decay rate of the infinity norm, ``0 <= b2 < 1``.
        eps: added to ``|g|`` inside the maximum, ``0 <= eps < inf``.
        weight_decay: ``0 <= weight_decay < inf``; `update` then needs the parameters.
        decoupled_weight_decay: shrink the parameters by ``learning_rate * weight_decay`` instead of
            adding ``weight_decay`` times the parameter to the gradient.
        mask: tree of booleans, a prefix of the parameters', or a function that makes one: where
            False, weight decay is left out. The leaf takes its step all the same: this is not
            `optax.masked`, which lets the raw gradient of a masked leaf through.
        maximize: ascend.
        state_dtype: dtype of the moments (of their parts, for complex parameters); the
            parameter's when None.

    Returns:
        A transformation. Updates have the dtypes of the parameters; of the moments where `update`
        is not given the parameters.

    Raises:
        ValueError: a hyperparameter outside its domain; shows value and domain.

    >>> optimizer = optax.chain(optax.clip_by_global_norm(1.0), adamax_transform(0.5))
    >>> params = {"w": jnp.array([1.0, -1.0])}
    >>> state = optimizer.init(params)
    >>> updates, state = optimizer.update({"w": jnp.array([0.3, -0.4])}, state, params)
    >>> optax.apply_updates(params, updates)["w"].round(4)
    Array([ 0.5, -0.5], dtype=float32)
    """
    _require_concrete("b1", b1, below=1)
    _require_concrete("b2", b2, below=1)
    _require_concrete("eps", eps)
    _require_concrete("weight_decay", weight_decay)
    if not callable(learning_rate):
        _require_concrete("learning_rate", learning_rate)
    if state_dtype is not None:
        require_real_dtype(state_dtype)
    # A traced decay may be anything; a decay that is known to be zero reads no parameter.
    decays = isinstance(weight_decay, jax.core.Tracer) or float(weight_decay) != 0

    def init_fn(params: Any) -> AdamaxState:
        _require_parameters(params)
        return AdamaxState(
            count=jnp.zeros(len(jax.tree.leaves(params)), jnp.int32),
            mu=jax.tree.map(lambda p: _zeros(p, state_dtype), params),
            nu=jax.tree.map(lambda p: _zeros(p, state_dtype), params),
            clock=jnp.zeros((), jnp.int32),
        )

    def update_fn(
        updates: Any, state: AdamaxState, params: Any = None, **_extra: Any
    ) -> tuple[Any, AdamaxState]:
        if decays and params is None:
            raise ValueError(
                "where weight_decay is not zero, or is traced, adamax_transform needs the "
                "parameters: update(grads, state, params)"
            )
        treedef, grads, targets, mus, nus = _matched(updates, state, params)
        lr = learning_rate(state.clock) if callable(learning_rate) else learning_rate
        _require_concrete("learning_rate", lr)
        hyper = Hyper(lr, b1, b2, eps, weight_decay, maximize, decoupled_weight_decay)
        present = np.array([grad is not None for grad in grads], bool)
        count = jnp.where(present & (state.count < _LAST), state.count + 1, state.count)
        # A parameter that has taken no step has no correction: one, so that nothing is 0 / 0.
        correction = bias_correction(b1, jnp.maximum(count, 1))
        exempt = _exempt(mask, treedef, targets) if decays else [True] * len(targets)

        stepped = [
            (jnp.zeros_like(target), mu, nu)
            if grad is None
            else _leaf(target, grad, mu, nu, correction[index], hyper, decays=not exempt[index])
            for index, (target, grad, mu, nu) in enumerate(
                zip(targets, grads, mus, nus, strict=True)
            )
        ]
        return treedef.unflatten([delta for delta, _, _ in stepped]), AdamaxState(
            count=count,
            mu=treedef.unflatten([mu for _, mu, _ in stepped]),
            nu=treedef.unflatten([nu for _, _, nu in stepped]),
            clock=jnp.where(state.clock < _LAST, state.clock + 1, state.clock),
        )

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _matched(updates: Any, state: Any, params: Any) -> tuple[Any, list[Any], Any, Any, Any]:
    """The structure of the state, and the leaves of gradients, parameters and moments in it.

    Where there are no parameters the first moments stand for them. Raises before anything is done.
    """
    _require_state(state)
    treedef: Any = jax.tree.structure(state.mu)
    mus, nus = jax.tree.leaves(state.mu), jax.tree.leaves(state.nu)
    targets = mus if params is None else _leaves_like(treedef, params, "params")
    grads = _leaves_like(treedef, updates, "grads")
    _require_fit(treedef, "grads", grads, "params", targets)
    _require_fit(treedef, "params", targets, "state.mu", mus)
    _require_fit(treedef, "params", targets, "state.nu", nus)
    return treedef, grads, targets, mus, nus


def _leaf(
    target: jax.Array,
    grad: jax.Array,
    mu: jax.Array,
    nu: jax.Array,
    correction: jax.Array,
    hyper: Hyper,
    *,
    decays: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One leaf: widened, stepped, and each result rounded once to the dtype it is stored in."""
    # NumPy's promotion: JAX refuses its own in the strict mode, which is about implicit ones.
    dtypes = (target.dtype, grad.dtype, mu.dtype, nu.dtype)
    dtype = functools.reduce(np.promote_types, dtypes, np.dtype(np.float32))
    real = jnp.zeros((), dtype).real.dtype
    p, g, m, v = (_pairs(array.astype(dtype)) for array in (target, grad, mu, nu))
    lr, b1, b2, eps, weight_decay = (
        each.astype(real) if isinstance(each, jax.Array) else each for each in hyper[:5]
    )
    same = Hyper(lr, b1, b2, eps, weight_decay, hyper.maximize, hyper.decoupled)
    update, m, v = adamax(p if decays else None, g, m, v, correction.astype(real), same)
    return _stored(update, target), _stored(m, mu), _stored(v, nu)


def _pairs(array: jax.Array) -> jax.Array:
    if not jnp.iscomplexobj(array):
        return array
    return jnp.stack([array.real, array.imag], axis=-1)


def _stored(array: jax.Array, like: jax.Array) -> jax.Array:
    if jnp.iscomplexobj(like):
        array = jax.lax.complex(array[..., 0], array[..., 1])
    return array.astype(like.dtype)


def _zeros(param: Any, dtype: Any) -> jax.Array:
    param = jnp.asarray(param)
    if dtype is not None and jnp.iscomplexobj(param):
        dtype = jnp.result_type(dtype, jnp.complex64)
    dtype = param.dtype if dtype is None else dtype
    zeros: jax.Array
    if isinstance(param, jax.core.Tracer):
        # Zeros depend on nothing, so under jit they would land on one device, whole (S-11).
        _, zeros = shard_alike(param, jnp.zeros_like(param, dtype=dtype))  # type: ignore[no-untyped-call]  # not typed
    else:
        # Nothing to compile, and committed to its devices only where the parameter is.
        device = param.sharding if param.committed else None
        zeros = jax.device_put(np.zeros(param.shape, dtype), device)
    return zeros


def _exempt(mask: Any, treedef: Any, params: list[Any]) -> list[bool]:
    """For each leaf whether weight decay is left out."""
    if mask is None:
        return [False] * len(params)
    tree = treedef.unflatten(params)
    chosen = mask(tree) if callable(mask) else mask
    try:
        spread = jax.tree.map(lambda keep, part: [keep] * len(jax.tree.leaves(part)), chosen, tree)
    except ValueError as error:
        raise ValueError(f"mask is not a prefix of the parameters: {error}") from error
    flags = jax.tree.leaves(spread)
    if bad := [flag for flag in flags if not isinstance(flag, bool | np.bool_)]:
        raise ValueError(f"mask has {bad[0]!r} for a leaf; it has True or False")
    return [not flag for flag in flags]


def _require_concrete(name: str, value: Any, below: float = np.inf) -> None:
    if isinstance(value, jax.core.Tracer):
        return
    if np.ndim(value):
        raise ValueError(f"{name} has shape {np.shape(value)}; it is a number or a 0-d array")
    require(
        name, value if isinstance(value, float | int) else np.asarray(value).item(), below=below
    )


def _require_parameters(params: Any) -> None:
    for path, leaf in jax.tree.leaves_with_path(params):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            raise TypeError(
                f"params{jax.tree_util.keystr(path)} has dtype {jnp.result_type(leaf)}; "
                "parameters are floating point or complex"
            )


def _require_state(state: Any) -> None:
    if not isinstance(state, AdamaxState):
        raise TypeError(
            f"the state is {type(state).__name__}, not AdamaxState: use the state that init of "
            "this transformation gave; that of another optimizer, such as Adam, means other things"
        )


def _leaves_like(treedef: Any, tree: Any, what: str) -> list[Any]:
    """The leaves of a tree of the structure of the state, None for a missing one."""
    try:
        leaves: list[Any] = treedef.flatten_up_to(tree)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{what} does not have the structure of the parameters: {error}\n"
            f"  parameters: {treedef}\n  {what}: {jax.tree.structure(tree)}"
        ) from error
    if what == "params" and any(leaf is None for leaf in leaves):
        raise ValueError("params has None where the state has a parameter")
    return [None if leaf is None else jnp.asarray(leaf) for leaf in leaves]


def _require_fit(treedef: Any, what: str, leaves: list[Any], to: str, targets: list[Any]) -> None:
    """Raise unless each leaf that is there has the shape and the kind of its target."""
    for index, (leaf, target) in enumerate(zip(leaves, targets, strict=True)):
        if leaf is None:
            continue
        if leaf.shape != target.shape:
            path = _path(treedef, index)
            raise ValueError(
                f"{what}{path} has shape {leaf.shape}, but {to}{path} has shape {target.shape}"
            )
        same_kind = jnp.iscomplexobj(leaf) == jnp.iscomplexobj(target)
        if not same_kind or not jnp.issubdtype(leaf.dtype, jnp.inexact):
            path = _path(treedef, index)
            raise TypeError(
                f"{what}{path} has dtype {leaf.dtype}, but {to}{path} has dtype {target.dtype}"
            )


def _path(treedef: Any, index: int) -> str:
    """The way to a leaf, for an error: nobody waits for it otherwise."""
    numbered = treedef.unflatten(range(treedef.num_leaves))
    return jax.tree_util.keystr(jax.tree.leaves_with_path(numbered)[index][0])
