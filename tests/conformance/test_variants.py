"""The judge is judged: wrong rules are rejected for the right clause, right ones accepted."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

import adamax_core
from adamax_conformance import FunctionalBackend, Moments, check
from adamax_conformance.clauses import CLAUSES
from adamax_conformance.formats import FLOATS, WITH_COMPLEX
from adamax_core import CANONICAL, Hyperparameters, State
from adamax_core import rule as lines
from adamax_core.conformance import backend as reference

WIDE = ("float32", "float64")
# What a rule can be wrong in; hyperparameters and derivatives are not its business.
RULE = tuple(clause.id for clause in CLAUSES if clause.id[0] in "ASN" and clause.id != "S-11")
LINES = tuple(clause for clause in RULE if clause[0] == "A")


BASE = reference()


class Wrong(NamedTuple):
    """A backend that is wrong on purpose, the clause that says so, and where it can be told."""

    name: str
    clause: str
    backend: FunctionalBackend
    dtypes: tuple[str, ...] = FLOATS


def dialect(name: str, clause: str, dtypes: tuple[str, ...] = FLOATS, **changed: Any) -> Wrong:
    """The canonical rule with one line replaced."""
    return Wrong(name, clause, reference(CANONICAL._replace(**changed), name), dtypes)


def wrapped(
    name: str,
    clause: str,
    step: Callable[..., Any] | None = None,
    dtypes: tuple[str, ...] = FLOATS,
    **parts: Any,
) -> Wrong:
    """The reference with another way of stepping round it: `step(params, grads, state, hp)`."""
    backend = replace(BASE, name=name, **({"step": step} if step else {}), **parts)  # type: ignore[arg-type]  # mypy mixes up the fields of a ** argument
    return Wrong(name, clause, backend, dtypes)


def decay_then_sign(p: Any, g: Any, s: Any, hp: Any) -> Any:
    if not (hp.maximize and hp.weight_decay) or hp.decoupled_weight_decay:
        return BASE.step(p, g, s, hp)
    decayed = {k: -(g[k] + hp.weight_decay * p[k]).astype(g[k].dtype) for k in g}
    return BASE.step(p, decayed, s, replace(hp, maximize=False, weight_decay=0.0))


def always_coupled(p: Any, g: Any, s: Any, hp: Any) -> Any:
    return BASE.step(p, g, s, replace(hp, decoupled_weight_decay=False))


def always_decoupled(p: Any, g: Any, s: Any, hp: Any) -> Any:
    return BASE.step(p, g, s, replace(hp, decoupled_weight_decay=True))


def decay_after_the_step(p: Any, g: Any, s: Any, hp: Any) -> Any:
    if not hp.decoupled_weight_decay:
        return BASE.step(p, g, s, hp)
    stepped, s = BASE.step(p, g, s, replace(hp, weight_decay=0.0))
    factor = 1 - hp.lr * hp.weight_decay
    return {k: (factor * stepped[k]).astype(p[k].dtype) for k in p}, s


def missing_is_zero(p: Any, g: Any, s: Any, hp: Any) -> Any:
    return BASE.step(p, {k: g.get(k, np.zeros_like(p[k])) for k in p}, s, hp)


def missing_freezes_step_only(p: Any, g: Any, s: Any, hp: Any) -> Any:
    stepped, s = missing_is_zero(p, g, s, hp)
    return {k: stepped[k] if k in g else p[k] for k in p}, s


def one_count_for_all(p: Any, g: Any, s: State, hp: Any) -> Any:
    common = max(s.step.values())
    counted = s._replace(step={k: common if k in g else s.step[k] for k in s.step})
    return BASE.step(p, g, counted, hp)


def gradient_rewritten(p: Any, g: Any, s: Any, hp: Any) -> Any:
    result = BASE.step(p, g, s, hp)
    for k, grad in g.items():
        np.add(grad, np.asarray(hp.weight_decay * p[k]).astype(grad.dtype), out=grad)
    return result


def gradient_scaled(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Only where nothing else makes a copy of it first."""
    result = BASE.step(p, g, s, hp)
    for grad in g.values() if not (hp.maximize or hp.weight_decay) else ():
        np.multiply(grad, np.asarray(0.5, grad.dtype), out=grad)
    return result


def decoupled_without_gradient(p: Any, g: Any, s: Any, hp: Any) -> Any:
    stepped, s = BASE.step(p, g, s, hp)
    shrink = 1 - hp.lr * hp.weight_decay * hp.decoupled_weight_decay
    return {k: stepped[k] if k in g else (shrink * p[k]).astype(p[k].dtype) for k in p}, s


def counts_without_gradients(p: Any, g: Any, s: State, hp: Any) -> Any:
    stepped, s = BASE.step(p, g, s, hp)
    return stepped, s if g else s._replace(step={k: t + 1 for k, t in s.step.items()})


def modes_frozen(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Sign and decay as they were when the state was made, which carries them."""
    made, state = s
    hp = replace(hp, maximize=made.maximize, weight_decay=made.weight_decay)
    stepped, state = BASE.step(p, g, state, hp)
    return stepped, (made, state)


def reshaped(p: Any, g: Any, s: Any, hp: Any) -> Any:
    fits = {k: v.reshape(p[k].shape) if v.size == p[k].size else v for k, v in g.items()}
    return BASE.step(p, fits, s, hp)


def truncated(p: Any, g: Any, s: Any, hp: Any) -> Any:
    cast = {k: v.astype(p[k].dtype) if v.dtype.kind in "ib" else v for k, v in g.items()}
    return BASE.step(p, cast, s, hp)


def other_dtypes_dropped(p: Any, g: Any, s: Any, hp: Any) -> Any:
    same = {k: v if v.dtype == p[k].dtype else v * 0 for k, v in g.items()}
    return BASE.step(p, same, s, hp)


def moments_promoted(p: Any, g: Any, s: State, hp: Any) -> Any:
    stepped, s = BASE.step(p, g, s, hp)
    wide = {k: m.astype(np.result_type(m.dtype, np.float32)) for k, m in s.exp_avg.items()}
    return stepped, s._replace(exp_avg=wide)


def counted_in_float32(p: Any, g: Any, s: State, hp: Any) -> Any:
    stepped, s = BASE.step(p, g, s, hp)
    return stepped, s._replace(step={k: int(np.float32(t)) for k, t in s.step.items()})


def wrapping_int32(p: Any, g: Any, s: State, hp: Any) -> Any:
    stepped, s = BASE.step(p, g, s, hp)
    wrapped_round = {k: (t + 2**31) % 2**32 - 2**31 for k, t in s.step.items()}
    return stepped, s._replace(step=wrapped_round)


def broadcasting(p: Any, g: Any, s: Any, hp: Any) -> Any:
    return BASE.step(p, {k: np.broadcast_to(g[k], p[k].shape) for k in g}, s, hp)


def finite_only(p: Any, g: Any, s: Any, hp: Any) -> Any:
    clean = {k: np.where(np.isinf(v), 0, v).astype(v.dtype) for k, v in g.items()}
    return BASE.step(p, clean, s, hp)


def tail_forgotten(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """A vectorised loop without its remainder, for arrays of more than eight elements."""
    stepped, new = BASE.step(p, g, s, hp)
    for k, param in stepped.items():
        if param.ndim == 1 and param.size > 8 and k in g:
            done = param.size // 8 * 8
            param[done:] = p[k][done:]
    return stepped, new


def modulus(p: Any, g: Any, s: State, hp: Any) -> Any:
    stepped, new = BASE.step(p, g, s, hp)
    for k in g:
        if g[k].dtype.kind == "c":
            size = np.maximum(hp.betas[1] * s.exp_inf[k].real, np.abs(g[k]) + hp.eps)
            new.exp_inf[k] = (size + 1j * size).astype(g[k].dtype)
    return stepped, new


def started_at(value: float) -> Callable[..., State]:
    def init(params: Any, hp: Hyperparameters, state_dtype: str | None = None) -> State:
        state: State = BASE.init(params, hp, state_dtype=state_dtype)
        return state._replace(
            exp_inf={k: u + u.dtype.type(value) for k, u in state.exp_inf.items()}
        )

    return init


def lenient_load(params: Any, hp: Any, saved: Any) -> Any:
    renamed = {
        k: {("exp_inf" if f == "exp_avg_sq" else f): v for f, v in slot.items()}
        for k, slot in saved.items()
    }
    return BASE.load(params, hp, renamed)


def state_dtype_ignored(params: Any, hp: Any, state_dtype: Any = None) -> Any:
    del state_dtype
    return BASE.init(params, hp)


def in_storage(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Every operation rounded to the dtype of the parameters, as most frameworks do it."""
    (b1, b2), new_p, (step, m, u) = (
        hp.betas,
        dict(p),
        (dict(s.step), dict(s.exp_avg), dict(s.exp_inf)),
    )
    with np.errstate(all="ignore"):
        for k in g:
            as_stored = p[k].dtype.type
            grad = -g[k] if hp.maximize else g[k]
            decay, decoupled = as_stored(hp.weight_decay), hp.decoupled_weight_decay
            if hp.weight_decay and not decoupled:
                grad = grad + decay * p[k]
            step[k] += 1
            m[k] = as_stored(b1) * m[k] + as_stored(1 - b1) * grad
            u[k] = np.maximum(as_stored(b2) * u[k], abs(grad) + as_stored(hp.eps))
            size = as_stored(hp.lr / lines.bias_correction(b1, step[k]))
            new_p[k] = p[k] - size * (m[k] / u[k])
            if hp.weight_decay and decoupled:
                new_p[k] = new_p[k] - as_stored(hp.lr) * decay * p[k]
    return new_p, State(step, m, u)


def printed_correction(beta1: float, step: int) -> float:
    return 1 - beta1**step


WRONG = [
    dialect("maximize ignored", "A-1", sign=lambda g, _maximize: g),
    dialect("sign reversed", "A-4", sign=lambda g, maximize: g if maximize else -g),
    dialect("decay ignored", "A-2", coupled_decay=lambda g, _p, _wd: g),
    dialect("decay doubled", "A-2", coupled_decay=lambda g, p, wd: g + 2 * wd * p),
    dialect("decay subtracted", "A-2", coupled_decay=lambda g, p, wd: g - wd * p),
    dialect("decay reads 0 inf", "A-2", coupled_decay=lambda g, p, wd: g + wd * p),
    wrapped("decay before the sign", "A-2", decay_then_sign),
    wrapped("decoupled where coupled is asked", "A-2", always_decoupled),
    dialect("counts by two", "A-3", count=lambda step: step + 2),
    dialect("does not count", "A-3", count=lambda step: max(step, 1)),
    dialect("moment not weighted", "A-4", first_moment=lambda m, g, b1: b1 * m + g),
    dialect("moment weights swapped", "A-4", first_moment=lambda m, g, b1: (1 - b1) * m + b1 * g),
    dialect("moment of |g|", "A-4", first_moment=lambda m, g, b1: b1 * m + (1 - b1) * abs(g)),
    dialect("scalar 1 - beta1 in half", "A-4", WIDE,
            first_moment=lambda m, g, b1: b1 * m + float(np.float16(1 - b1)) * g),
    dialect("eps outside", "A-5",
            infinity_norm=lambda u, g, b2, _eps: np.maximum(b2 * u, abs(g))),
    dialect("eps in the decay", "A-5",
            infinity_norm=lambda u, g, b2, eps: np.maximum(b2 * u + eps, abs(g))),
    dialect("eps on the maximum", "A-5",
            infinity_norm=lambda u, g, b2, eps: np.maximum(b2 * u, abs(g)) + eps),
    dialect("eps as a floor", "A-5",
            infinity_norm=lambda u, g, b2, eps: np.maximum(np.maximum(b2 * u, abs(g)), eps)),
    dialect("eps squared", "A-5",
            infinity_norm=lambda u, g, b2, eps: np.maximum(b2 * u, abs(g) + eps / 2)),
    dialect("norm without abs", "A-5",
            infinity_norm=lambda u, g, b2, eps: np.maximum(b2 * u, g + eps)),
    dialect("norm that adds", "A-5",
            infinity_norm=lambda u, g, b2, eps: b2 * u + (1 - b2) * (abs(g) + eps)),
    dialect("norm of Adam", "A-5",
            infinity_norm=lambda u, g, b2, eps: np.sqrt(b2 * u * u + (1 - b2) * g * g) + eps),
    dialect("norm never decays", "A-5",
            infinity_norm=lambda u, g, _b2, eps: np.maximum(u, abs(g) + eps)),
    dialect("norm corrected", "A-7",
            displacement=lambda m, u, lr, c: lr / c * (m / (2 * u))),
    dialect("step upwards", "A-7", displacement=lambda m, u, lr, c: -lr / c * (m / u)),
    dialect("second eps", "A-7", displacement=lambda m, u, lr, c: lr / c * (m / (u + 0.25))),
    dialect("sign of the moment", "A-7", displacement=lambda m, _u, lr, c: lr / c * np.sign(m)),
    dialect("no correction", "A-6", bias_correction=lambda _b1, _step: 1.0),
    dialect("square root of the correction", "A-6",
            bias_correction=lambda b1, step: math.sqrt(1 - b1**step)),
    dialect("correction one early", "A-6",
            bias_correction=lambda b1, step: 1 - b1 ** max(step - 1, 1)),
    dialect("correction one late", "A-6", bias_correction=lambda b1, step: 1 - b1 ** (step + 1)),
    dialect("correction multiplied", "A-6", displacement=lambda m, u, lr, c: lr * c * (m / u)),
    wrapped("coupled where decoupled is asked", "A-8", always_coupled),
    wrapped("decoupled decay of the new parameter", "A-8", decay_after_the_step),
    dialect("decoupled decay without lr", "A-8", decoupled_decay=lambda p, _lr, wd: wd * p),
    wrapped("modulus of complex numbers", "A-9", modulus, ("complex64", "complex128")),
    wrapped("norm starts at one", "S-1", init=started_at(1.0)),
    wrapped("missing gradient is zero", "S-2", missing_is_zero),
    wrapped("missing gradient decays the moments", "S-2", missing_freezes_step_only),
    wrapped("one count for all parameters", "S-3", one_count_for_all),
    wrapped("gradient rewritten", "S-4", gradient_rewritten, ("bfloat16", "float32", "float64")),
    wrapped("gradient scaled in place", "S-4", gradient_scaled, ("bfloat16", "float32", "float64")),
    wrapped("decoupled decay without a gradient", "S-2", decoupled_without_gradient, ("float32",)),
    wrapped("counts without gradients", "S-2", counts_without_gradients, ("float32",)),
    wrapped("modes frozen", "H-6", modes_frozen, ("float32",),
            init=lambda p, hp, **more: (hp, BASE.init(p, hp, **more)),
            load=lambda p, hp, saved: (hp, BASE.load(p, hp, saved)),
            moments=lambda s: BASE.moments(s[1])),
    wrapped("gradients reshaped", "S-10", reshaped),
    wrapped("integer gradients cast", "S-10", truncated),
    wrapped("gradients of other dtypes dropped", "S-5", other_dtypes_dropped,
            ("float16", "bfloat16", "float32")),
    dialect("no correction after the eighth step", "A-6", WIDE, bias_correction=lambda b1, step: (
        1.0 if 9 <= step <= 900 else lines.bias_correction(b1, step))),
    dialect("printed correction in float32 for some betas", "N-3", ("float32",),
            bias_correction=lambda b1, step: (
                lines.bias_correction(b1, step) if b1 == 0.999
                else float(np.float32(1) - np.float32(b1) ** np.float32(step)))),
    wrapped("moments promoted", "S-5", moments_promoted, ("float16", "bfloat16")),
    wrapped("state_dtype ignored", "S-6", None, ("float16", "bfloat16"), init=state_dtype_ignored),
    wrapped("count in float32", "S-7", counted_in_float32),
    wrapped("count in wrapping int32", "S-7", wrapping_int32, ("float32",)),
    wrapped("Adam's state taken", "S-8", load=lenient_load),
    wrapped("tail forgotten", "S-9", tail_forgotten),
    wrapped("gradients broadcast", "S-10", broadcasting),
    wrapped("half precision arithmetic", "N-1", in_storage, ("float16",)),
    dialect("printed correction", "N-3", ("float64",), bias_correction=printed_correction),
    dialect("correction in float32", "N-3", ("float32",),
            bias_correction=lambda b1, step: float(1 - np.float32(b1) ** np.float32(step))),
    wrapped("infinite gradients skipped", "N-4", finite_only),
    dialect("NaN dropped by the maximum", "N-5",
            infinity_norm=lambda u, g, b2, eps: np.fmax(b2 * u, abs(g) + eps)),
    dialect("zero over zero is zero", "N-6",
            displacement=lambda m, u, lr, c: lr / c * np.where(u == 0, 0, m / u)),
    dialect("norm by squaring", "N-7", WIDE,
            infinity_norm=lambda u, g, b2, eps: np.sqrt(np.maximum((b2 * u) ** 2,
                                                                   (abs(g) + eps) ** 2))),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name.replace(" ", "-"))
def test_wrong_variant_is_rejected_for_its_clause(wrong: Wrong) -> None:
    for dtype in wrong.dtypes:
        report = check(wrong.backend, clauses=[*LINES, wrong.clause], dtypes=[dtype])
        assert wrong.clause in report.failed_clauses, dtype
        assert report.suspect == wrong.clause, (dtype, report.failed_clauses)


def interpolated(m: Any, g: Any, b1: Any) -> Any:
    return m + (1 - b1) * (g - m)


def interpolated_from_the_nearer_end(m: Any, g: Any, b1: Any) -> Any:
    """torch.lerp's way."""
    return m + (1 - b1) * (g - m) if b1 > 0.5 else g - b1 * (g - m)


def added_update(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Optax's way: the update is rounded by itself, then added, and rounded again."""
    updates, s = adamax_core.update({k: g.get(k) for k in p}, s, dict(p), hp)
    return {k: (p[k] + updates[k]).astype(p[k].dtype) for k in p}, s


def in_float64(p: Any, g: Any, s: State, hp: Any) -> Any:
    def wide(arrays: Any) -> Any:
        return {k: v.astype(np.result_type(v.dtype, np.float64)) for k, v in arrays.items()}

    state = State(s.step, wide(s.exp_avg), wide(s.exp_inf))
    for k in g:
        kinds = [each.dtype.kind if each.dtype.kind in "ciub" else "f" for each in (g[k], p[k])]
        if g[k].shape != p[k].shape or kinds[0] != kinds[1]:
            raise ValueError(k)
    stepped, new = adamax_core.step(wide(p), {k: wide(g).get(k) for k in p}, state, hp)
    with np.errstate(all="ignore"):
        return {k: stepped[k].astype(p[k].dtype) for k in p}, State(
            new.step,
            {k: new.exp_avg[k].astype(v.dtype) for k, v in s.exp_avg.items()},
            {k: new.exp_inf[k].astype(v.dtype) for k, v in s.exp_inf.items()},
        )


def float32_scalars(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """The hyperparameters rounded to float32 on the way, as a compiled kernel gets them."""
    rounded = replace(
        hp, lr=float(np.float32(hp.lr)), eps=float(np.float32(hp.eps)),
        weight_decay=float(np.float32(hp.weight_decay)),
    )  # fmt: skip
    return BASE.step(p, g, s, rounded)


def right(name: str, **changed: Any) -> FunctionalBackend:
    return reference(CANONICAL._replace(**changed), name)


def where(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    decayed, size = b2 * u, abs(g) + eps
    return np.where(np.isnan(decayed) | (decayed > size), decayed, size)


RIGHT = [
    right("moment interpolated", first_moment=interpolated),
    right("moment interpolated from the nearer end", first_moment=interpolated_from_the_nearer_end),
    right("step size folded into the moment",
          displacement=lambda m, u, lr, c: (lr / c * m) / u),
    right("moment corrected first", displacement=lambda m, u, lr, c: lr * ((m / c) / u)),
    right("denominator corrected", displacement=lambda m, u, lr, c: lr * m / (c * u)),
    right("reciprocal", displacement=lambda m, u, lr, c: lr / c * (m * (1 / u))),
    right("reciprocal of the denominator", displacement=lambda m, u, lr, c: m * (lr / (c * u))),
    right("maximum by comparison", infinity_norm=where),
    right("absolute value by maximum",
          infinity_norm=lambda u, g, b2, eps: np.maximum(np.maximum(g, -g) + eps, b2 * u)),
    right("decay as a factor", decoupled_decay=lambda p, lr, wd: p - (1 - lr * wd) * p),
    right("decay with lr last", decoupled_decay=lambda p, lr, wd: (wd * p) * lr),
    right("correction as a sum", bias_correction=lambda b1, step: (
        (1 - b1) * math.fsum(b1**k for k in range(step)) if step < 1000 else 1 - b1**step)),
    replace(BASE, name="update rounded by itself", step=added_update),
    replace(BASE, name="all in float64", step=in_float64),
    replace(BASE, name="state not shown", moments=lambda _state: None),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("backend", RIGHT, ids=lambda backend: backend.name.replace(" ", "-"))
@pytest.mark.parametrize("dtype", WITH_COMPLEX)
def test_right_reformulation_is_accepted(backend: FunctionalBackend, dtype: str) -> None:
    report = check(backend, clauses=RULE, dtypes=[dtype])
    report_lines = [f"{r.id}: {r.message}" for r in report.results if r.status in ("fail", "error")]
    assert not report_lines


@pytest.mark.parametrize("dtype", FLOATS)
def test_arithmetic_in_the_storage_format_is_accepted_where_it_loses_nothing_else(
    dtype: str,
) -> None:
    """What rounds at every operation is a right rule; a zero first gradient in float16 is N-1's."""
    backend = replace(BASE, step=in_storage)
    clauses = [clause for clause in RULE if clause not in ("N-1", "S-10", "S-5", "S-6")]
    report = check(backend, clauses=clauses, dtypes=[dtype])
    assert not report.failed_clauses, [r.message for r in report.results if r.message]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_scalars_in_float32_are_accepted_for_half_precision(dtype: str) -> None:
    report = check(replace(BASE, step=float32_scalars), clauses=RULE, dtypes=[dtype])
    assert not report.failed_clauses


def test_no_case_accepts_a_backend_that_does_nothing() -> None:
    """The control that must die: were it to live, no verdict would mean anything."""
    idle = replace(BASE, step=lambda p, _g, s, _hp: (dict(p), s))
    report = check(idle, clauses=LINES, dtypes=["float32"])
    assert set(report.failed_clauses) >= {"A-3", "A-4", "A-5", "A-7"}


def test_moments_are_read_without_being_trusted() -> None:
    """A state that claims the right moments while the parameter goes astray is found."""
    liar = replace(BASE, step=lambda p, g, s, hp: (dict(p), BASE.step(p, g, s, hp)[1]))
    report = check(liar, clauses=["A-4", "A-5", "A-7"], dtypes=["float32"])
    assert report.failed_clauses == ("A-7",)
    assert isinstance(BASE.moments(BASE.init({"w": np.zeros(1)}, Hyperparameters()))["w"], Moments)  # type: ignore[index]  # the reference shows its state
