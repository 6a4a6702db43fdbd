"""`adamax_transform` in optax's world: chains, schedules, transformations, state, errors."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adamax_core import Hyperparameters
from adamax_jax import AdamaxState, adamax_transform
from adamax_jax.rule import bias_correction, decay

LAST = 2**31 - 1
SETTINGS = [
    Hyperparameters(),
    Hyperparameters(0.25, (0.5, 0.75), 0.125, 0.01),
    Hyperparameters(0.1, (0.3, 0.999), 1e-3, 0.01, maximize=True),
    Hyperparameters(0.1, (0.0, 0.0), 1e-3, 0.1, decoupled_weight_decay=True),
]


class Layer(NamedTuple):
    weight: Any
    bias: Any


def transform(hp: Hyperparameters, **options: Any) -> optax.GradientTransformationExtraArgs:
    return adamax_transform(
        hp.lr,
        *hp.betas,
        hp.eps,
        weight_decay=hp.weight_decay,
        decoupled_weight_decay=hp.decoupled_weight_decay,
        maximize=hp.maximize,
        **options,
    )


def run(optimizer: Any, params: Any, *grads: Any) -> tuple[Any, Any]:
    """The parameters and the state after a step for each of the gradients."""
    state = optimizer.init(params)
    for grad in grads:
        updates, state = optimizer.update(grad, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def bits(tree: Any) -> list[tuple[str, Any, bytes]]:
    return [
        (jax.tree_util.keystr(path), leaf.dtype, np.asarray(leaf).tobytes())
        for path, leaf in jax.tree.leaves_with_path(tree)
    ]


def example(dtype: Any = jnp.float32) -> dict[str, Any]:
    return {
        "layer": Layer(jnp.array([[1, -2], [0.5, 3]], dtype), jnp.array(-1, dtype)),
        "rest": [jnp.zeros((0, 2), dtype), (jnp.array([4], dtype),)],
    }


@pytest.mark.parametrize("hp", SETTINGS)
@pytest.mark.parametrize("jit", [False, True])
def test_float64_is_within_the_counted_roundings_of_the_exact_rule(
    hp: Hyperparameters,
    jit: bool,
    followed: Callable[..., Any],
    follow: Callable[..., Any],
    assert_within: Callable[..., None],
) -> None:
    rng = np.random.default_rng(1)
    start, *grads = rng.normal(size=(5, 8))
    exact = [followed(Fraction(x), Fraction(0), Fraction(0), 0) for x in start]
    with jax.enable_x64(True):
        optimizer = transform(hp)
        update = jax.jit(optimizer.update) if jit else optimizer.update
        params = jnp.array(start)
        state = optimizer.init(params)
        for grad in grads:
            updates, state = update(jnp.array(grad), state, params)
            params = optax.apply_updates(params, updates)
            exact = [
                follow(at, g, hp, Fraction(1, 2**53)) for at, g in zip(exact, grad, strict=True)
            ]
            for values, name in ((params, "param"), (state.mu, "exp_avg"), (state.nu, "exp_inf")):
                right = [getattr(at, name) for at in exact]
                bounds = [getattr(at, "d_" + name) for at in exact]
                assert_within(values.tolist(), right, bounds)


def test_the_first_update_in_float32_is_within_two_ulp(ulps: Callable[..., Fraction]) -> None:
    """optax.adamax is off by 108 units here, with b1 = 0.999."""
    grads = np.random.default_rng(2).normal(size=64).astype(np.float32)
    optimizer = adamax_transform(0.125, b1=0.999, eps=0.0)
    updates, _ = optimizer.update(jnp.array(grads), optimizer.init(jnp.array(grads)))
    for update, grad in zip(updates.tolist(), grads, strict=True):
        assert ulps(update, Fraction(-1, 8) * (1 if grad > 0 else -1), 24) <= 2


def test_it_chains_with_clipping() -> None:
    clipped = optax.chain(optax.clip(0.5), adamax_transform(0.25, eps=0.125))
    grads = jnp.array([3.0, -0.25, -7.0])
    start = jnp.zeros(3)
    chained, _ = run(clipped, start, grads, -grads)
    by_hand = (jnp.clip(grads, -0.5, 0.5), jnp.clip(-grads, -0.5, 0.5))
    alone, _ = run(adamax_transform(0.25, eps=0.125), start, *by_hand)
    assert bits(chained) == bits(alone)


def test_a_schedule_is_given_the_number_of_updates_so_far() -> None:
    seen = []

    def schedule(count: jax.Array) -> jax.Array:
        seen.append(int(count))
        return 0.5 / (count + 1)

    one = jnp.ones(1)
    params, _ = run(adamax_transform(schedule, eps=0.0), jnp.zeros(1), one, None, one)
    assert seen == [0, 1, 2]
    by_hand, _ = run(adamax_transform(lambda t: jnp.array([0.5, 9.0, 0.5 / 3])[t], eps=0.0),
                     jnp.zeros(1), one, None, one)  # fmt: skip
    assert params == by_hand


def test_jit_traces_once_for_all_steps() -> None:
    optimizer = adamax_transform(lambda count: 0.1 / (count + 1), weight_decay=0.1)
    traces: list[None] = []

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        traces.append(None)
        updates, state = optimizer.update(params, state, params)
        return optax.apply_updates(params, updates), state

    params = example()
    state = optimizer.init(params)
    for _ in range(4):
        params, state = step(params, state)
    assert len(traces) == 1
    assert state.steps == (4, 4, 4, 4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
def test_scan_carries_the_state(dtype: str) -> None:
    optimizer = adamax_transform(0.1, weight_decay=0.1, state_dtype=jnp.float32)
    params = example(dtype)

    @jax.jit
    def step(carry: Any, scale: Any) -> Any:
        params, state = carry
        grads = jax.tree.map(lambda p: (p * scale).astype(p.dtype), params)
        updates, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), None

    scales = jnp.array([1.0, -0.5, 2.0])
    scanned, _ = jax.lax.scan(step, (params, optimizer.init(params)), scales)
    looped = (params, optimizer.init(params))
    for scale in scales:
        looped, _ = step(looped, scale)
    assert bits(scanned) == bits(looped)
    assert scanned[1].steps == (3, 3, 3, 3)


def test_vmap_goes_over_learning_rates() -> None:
    params = jnp.array([1.0, -2.0])
    rates = jnp.array([0.0, 0.125, 0.5])

    def first_update(lr: Any) -> Any:
        optimizer = adamax_transform(lr, eps=0.0, b1=0.0)
        return optimizer.update(params, optimizer.init(params), params)[0]

    assert jax.vmap(first_update)(rates).tolist() == [[0, 0], [-0.125, 0.125], [-0.5, 0.5]]


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("name", ["p", "g1", "g2", "g3", "lr", "b1", "b2", "eps", "wd"])
def test_three_steps_are_differentiable(
    name: str,
    decoupled: bool,
    three_steps: dict[str, float],
    derivative: Callable[[str, bool], tuple[Fraction, Fraction]],
    assert_within: Callable[..., None],
) -> None:
    def final(value: Any) -> Any:
        at = three_steps | {name: value}
        optimizer = adamax_transform(
            at["lr"],
            at["b1"],
            at["b2"],
            at["eps"],
            weight_decay=at["wd"],
            decoupled_weight_decay=decoupled,
        )
        grads = (jnp.asarray(at[key]) for key in ("g1", "g2", "g3"))
        return run(optimizer, jnp.asarray(at["p"]), *grads)[0]

    with jax.enable_x64(True):
        slope = float(jax.grad(final)(three_steps[name]))
    exact, bound = derivative(name, decoupled)
    assert_within([slope], [exact], [bound])


@pytest.mark.parametrize("name", ["b1", "weight_decay", "learning_rate", "eps", "b2"])
def test_the_derivative_at_the_lower_end_of_a_domain_is_finite(name: str) -> None:
    def final(value: Any) -> Any:
        optimizer = adamax_transform(**{name: value})
        return run(optimizer, jnp.array(1.0), jnp.array(0.5), jnp.array(-1.0))[0]

    assert jnp.isfinite(jax.grad(final)(0.0))


@pytest.mark.parametrize("hp", SETTINGS)
def test_complex_parameters_are_pairs_of_reals(hp: Hyperparameters) -> None:
    rng = np.random.default_rng(3)
    pairs = [rng.normal(size=8).astype(np.float32) for _ in range(4)]
    real, real_state = run(transform(hp), *map(jnp.array, pairs))
    whole, state = run(transform(hp), *(jnp.array(pair.view(np.complex64)) for pair in pairs))
    assert whole.dtype == state.mu.dtype == state.nu.dtype == jnp.complex64
    for one, other in ((whole, real), (state.mu, real_state.mu), (state.nu, real_state.nu)):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("hp", SETTINGS)
def test_half_precision_is_the_float32_update_rounded_once(hp: Hyperparameters, dtype: Any) -> None:
    half = jnp.array([1, -2, 0, 3], dtype)
    grads = jnp.array([0.3, 1.7, 0, -2.5], dtype)
    outcomes = []
    for params in (half, half.astype(jnp.float32)):
        optimizer = transform(hp)
        outcomes.append(
            optimizer.update(grads.astype(params.dtype), optimizer.init(params), params)
        )
    (update, state), (wide, wide_state) = outcomes
    assert update.dtype == state.mu.dtype == state.nu.dtype == dtype
    assert bits(update) == bits(wide.astype(dtype))
    assert bits(state.mu) == bits(wide_state.mu.astype(dtype))
    assert bits(state.nu) == bits(wide_state.nu.astype(dtype))


@pytest.mark.parametrize(
    ("dtype", "state_dtype", "expected"),
    [
        ("bfloat16", "float32", "float32"),
        ("float32", "bfloat16", "bfloat16"),
        ("float16", None, "float16"),
        ("complex64", "float32", "complex64"),
    ],
)
def test_state_dtype_is_that_of_the_parts_and_stays(
    dtype: str, state_dtype: Any, expected: str
) -> None:
    params = example(dtype)
    optimizer = adamax_transform(state_dtype=state_dtype)
    after, state = run(optimizer, params, params, params)
    assert {leaf.dtype.name for leaf in jax.tree.leaves((state.mu, state.nu))} == {expected}
    assert {leaf.dtype.name for leaf in jax.tree.leaves(after)} == {dtype}


def test_moments_keep_their_dtype_whatever_that_of_the_gradients() -> None:
    params = jnp.ones(2, jnp.bfloat16)
    after, state = run(adamax_transform(), params, jnp.ones(2, jnp.float32))
    assert after.dtype == state.mu.dtype == state.nu.dtype == jnp.bfloat16


def test_a_float32_state_lets_the_norm_of_bfloat16_decay() -> None:
    """After 0.999^256 = 0.774; in bfloat16 0.999 u rounds back to u."""
    norms = []
    for dtype in (jnp.bfloat16, jnp.float32):
        optimizer = adamax_transform(state_dtype=dtype)
        zero = jnp.zeros((), jnp.bfloat16)
        _, state = run(optimizer, zero, zero + 1)
        for _ in range(256):
            _, state = jax.jit(optimizer.update)(zero, state, zero)
        norms.append(float(state.nu))
    assert norms[0] == 1
    assert 0.774 < norms[1] < 0.775


def test_a_missing_gradient_leaves_its_leaf_and_its_count() -> None:
    optimizer = adamax_transform(weight_decay=0.1)
    params = example()
    _, before = run(optimizer, params, params)
    grads = params | {"layer": Layer(None, jnp.array(1.0))}
    updates, state = optimizer.update(grads, before, params)
    assert not updates["layer"].weight.any()
    assert updates["layer"].weight.shape == (2, 2)
    assert state.steps == (1, 2, 2, 2)
    assert state.count == 2
    assert bits(state.mu["layer"].weight) == bits(before.mu["layer"].weight)
    assert bits(state.nu["layer"].weight) == bits(before.nu["layer"].weight)


def test_a_first_gradient_at_the_second_step_is_a_first_step() -> None:
    one = jnp.ones(1)
    params = {"early": one, "late": one}
    both, _ = run(adamax_transform(), params, {"early": one, "late": None}, params)
    alone, _ = run(adamax_transform(), one, one)
    assert both["late"] == alone
    assert both["early"] < alone


def test_counts_saturate() -> None:
    params = {"last": jnp.ones(1), "before": jnp.ones(1)}
    optimizer = adamax_transform(0.25, b1=0.5, eps=0.0)
    state = optimizer.init(params)._replace(
        steps=(jnp.int32(LAST - 1), jnp.int32(LAST)), count=jnp.int32(LAST)
    )
    updates, state = optimizer.update(params, state, params)
    assert state.steps == (LAST, LAST)
    assert state.count == LAST
    # The correction is one by now: m = 1/2 and u = 1.
    assert jax.tree.leaves(updates) == [-0.125, -0.125]


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize(
    "mask",
    [
        {"layer": Layer(True, False), "rest": [False, (False,)]},
        {"layer": Layer(True, False), "rest": False},
        lambda params: jax.tree.map(lambda p: p.ndim == 2 and p.size > 0, params),
    ],
    ids=["tree", "prefix", "function"],
)
def test_a_mask_leaves_out_the_decay_and_not_the_step(decoupled: bool, mask: Any) -> None:
    def options(weight_decay: float) -> dict[str, Any]:
        return {"weight_decay": weight_decay, "decoupled_weight_decay": decoupled}

    params = example()
    grads = jax.tree.map(lambda p: 1 - p, params)
    masked = run(adamax_transform(**options(0.25), mask=mask), params, grads, grads)
    decayed = run(adamax_transform(**options(0.25)), params, grads, grads)
    plain = run(adamax_transform(**options(0.0)), params, grads, grads)
    assert bits(masked[0]["layer"].weight) == bits(decayed[0]["layer"].weight)
    assert bits(masked[0]["layer"].bias) == bits(plain[0]["layer"].bias)
    assert bits(masked[0]["rest"]) == bits(plain[0]["rest"])
    assert bits(decayed[0]["layer"]) != bits(plain[0]["layer"])


def test_without_decay_the_parameters_are_not_needed() -> None:
    params = example()
    optimizer = adamax_transform()
    state = optimizer.init(params)
    assert bits(optimizer.update(params, state)) == bits(optimizer.update(params, state, params))


def test_an_empty_tree_steps_to_an_empty_tree() -> None:
    optimizer = adamax_transform()
    updates, state = optimizer.update({}, optimizer.init({}), {})
    assert updates == state.mu == state.nu == {}


def test_inputs_are_not_changed() -> None:
    params, grads = (jax.tree.map(np.array, example()) for _ in range(2))
    optimizer = adamax_transform(weight_decay=0.1, maximize=True)
    before = bits((params, grads))
    optimizer.update(grads, optimizer.init(params), params)
    assert bits((params, grads)) == before


@pytest.mark.parametrize("learning_rate", [0.125, lambda count: 0.125 * (count + 1)])
def test_inject_hyperparams_makes_them_arrays(learning_rate: Any) -> None:
    params = example()
    injected = optax.inject_hyperparams(adamax_transform)(
        learning_rate=learning_rate, b1=0.75, b2=0.875, eps=0.25
    )
    state = injected.init(params)
    one, state = jax.jit(injected.update)(params, state, params)
    assert state.hyperparams["learning_rate"] == 0.125
    plain = adamax_transform(0.125, b1=0.75, b2=0.875, eps=0.25)
    expected, _ = jax.jit(plain.update)(params, plain.init(params), params)
    # All is exact on these numbers but two bias corrections, each within 4 units of roundoff (N-3),
    # and two roundings after each.
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(expected), strict=True):
        assert (abs(left - right) <= 12 * 2.0**-24 * abs(right)).all()


def test_a_static_weight_decay_of_zero_needs_no_parameters() -> None:
    """An injected decay is a traced array of unknown value; a static one is a number."""
    params = example()
    injected = optax.inject_hyperparams(adamax_transform, static_args=("weight_decay",))(0.125)
    updates, _ = injected.update(params, injected.init(params))
    assert float(updates["layer"].bias) > 0


def test_the_initial_state_is_zero_with_int32_counts() -> None:
    state = adamax_transform().init(example())
    assert isinstance(state, AdamaxState)
    assert len(state.steps) == 4
    assert {(each.shape, each.dtype.name) for each in (state.count, *state.steps)} == {
        ((), "int32")
    }
    assert not any(leaf.any() for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize("b1", [0.0, 0.5, 0.9])
def test_the_derivative_by_b1_is_continuous_where_the_formula_changes(b1: float) -> None:
    """At the first step c = 1 - b1 whatever b1 is."""
    slope = jax.grad(lambda b: bias_correction(decay(b), jnp.array(1)))(jnp.float32(b1))
    assert float(slope) == -1


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.complex64])
def test_strict_promotion_is_supported(dtype: Any) -> None:
    params = jnp.ones(2, dtype)
    with jax.numpy_dtype_promotion("strict"):
        _, state = run(adamax_transform(weight_decay=0.1), params, params, params)
    assert state.mu.dtype == dtype


def test_a_decay_that_is_known_to_be_zero_reads_no_parameter() -> None:
    _, state = run(adamax_transform(weight_decay=jnp.float32(0)), jnp.array([jnp.inf]), jnp.ones(1))
    assert np.isfinite(state.mu).all()
