"""The rule in one pass over memory, for many arrays in one call: compiled by Numba, kept on disk.

An array is an address, a length and a dtype; bfloat16 goes by its bits, as uint16, and float16 as
int16. All that it calls is in this file, since Numba does not notice the change of another. The
operations and their order are those of `adamax_torch.rule`, and nothing is contracted (there is no
``fastmath``), so the bits are the same. The clauses are those of docs/spec.md.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import carray, njit, prange, types
from numba.extending import intrinsic, overload

COUPLED, DECOUPLED = 1, 2
"""What weight decay does; 0 where there is none, and the parameter adds nothing (A-2)."""


class Hyper(NamedTuple):
    """The hyperparameters of a step, in the dtype that it is computed in."""

    sign: Any
    beta1: Any
    new: Any
    beta2: Any
    eps: Any
    decay: Any


# Dividing by zero gives infinity or NaN, as IEEE has it; a check would stop the vectorisation.
@njit(error_model="numpy", nogil=True)
def adamax(
    param: Any, grad: Any, exp_avg: Any, exp_inf: Any, step_size: Any, mode: int, hyper: Hyper
) -> tuple[Any, Any, Any]:
    """The new parameter, first moment and infinity norm of one element."""
    g = hyper.sign * grad
    if mode == COUPLED:
        g = g + hyper.decay * param
    m = hyper.beta1 * exp_avg + hyper.new * g
    old, size = hyper.beta2 * exp_inf, abs(g) + hyper.eps
    u = old if old > size or math.isnan(old) else size  # A-5, and NaN propagates
    update = -step_size * (m / u)
    if mode == DECOUPLED:
        update = update - hyper.decay * param
    return param + update, m, u


@njit(error_model="numpy", nogil=True)
def bias_correction(beta1: Any, step: Any) -> Any:
    """A-6: ``1 - beta1^t``, to the last places for every beta1 (N-3)."""
    if beta1 < 0.5:  # noqa: PLR2004 - the subtraction loses nothing
        return 1 - beta1**step
    return -math.expm1(step * math.log(beta1))


@njit(error_model="numpy", nogil=True)
def _step_sizes(counts: Any, lr: float, beta1: float, like: Any) -> Any:
    sizes = np.empty(counts.size, like.dtype)
    last, size = np.nan, 0.0
    for row in range(counts.size):
        if counts[row] != last:  # most often all have taken the same steps
            last = counts[row]
            size = lr / bias_correction(beta1, last)
        sizes[row] = size
    return sizes


@njit(error_model="numpy", nogil=True)
def _step_piece(p: Any, g: Any, m: Any, u: Any, step_size: Any, mode: int, hyper: Hyper) -> None:
    """A loop over views, in a function of its own: in that of the addresses LLVM sees no arrays."""
    for i in range(p.size):
        param, exp_avg, exp_inf = adamax(
            _wide(p[i], step_size),
            _wide(g[i], step_size),
            _wide(m[i], step_size),
            _wide(u[i], step_size),
            step_size,
            mode,
            hyper,
        )
        p[i], m[i], u[i] = _stored(param, p[i]), _stored(exp_avg, m[i]), _stored(exp_inf, u[i])


@njit(error_model="numpy", nogil=True)
def _step_pieces(pieces: Any, rows: Any, likes: Any, sizes: Any, mode: int, numbers: Any) -> None:
    hyper = Hyper(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5])
    p, g, m, u = likes
    for row, first, size in pieces:
        _step_piece(
            _view(rows[row, 0], p, first, size),
            _view(rows[row, 1], g, first, size),
            _view(rows[row, 2], m, first, size),
            _view(rows[row, 3], u, first, size),
            sizes[row],
            mode,
            hyper,
        )


@njit(error_model="numpy", nogil=True)
def lanes(shares: Any, threads: int) -> Any:
    """Where the shares that each thread begins with end, after a zero."""
    return np.arange(threads + 1) * (shares.size - 1) // threads


@njit(error_model="numpy", nogil=True)
def next_share(following: Any, ends: Any, thread: int) -> int:
    """What a thread does next: of its own lane, then of what others have left; -1 at the end.

    So one that is kept from its core holds up nobody, and most of what a thread steps it has
    stepped before, which matters where memory is nearer to some cores than to others.
    """
    for other in range(following.size):
        lane = (thread + other) % following.size
        share: int = _take(following, lane)
        if share < ends[lane + 1]:
            return share
    return -1


@njit(cache=True, error_model="numpy", nogil=True, parallel=True)
def step_rows(
    rows: Any,
    likes: Any,
    pieces: Any,
    shares: Any,
    threads: int,
    counts: Any,
    lr: float,
    beta1: float,
    mode: int,
    numbers: Any,
) -> None:
    """One step in place for many parameters of the same dtypes.

    Args:
        rows: int64 ``(n, 4)``: addresses of parameter, gradient, first moment and infinity norm.
        likes: four arrays of the dtypes of these.
        pieces: int64 ``(k, 3)``: a row, its first element there, and how many.
        shares: int64: where in `pieces` each share of the work begins, and where the last ends.
        threads: how many take part.
        counts: float64 ``(n,)``: which step each parameter takes.
        lr: learning rate.
        beta1: decay rate of the first moment.
        mode: `COUPLED`, `DECOUPLED`, or 0.
        numbers: `Hyper`, as an array of the dtype to compute in.
    """
    sizes = _step_sizes(counts, lr, beta1, numbers)
    ends = lanes(shares, threads)
    following = ends[:-1].copy()
    for thread in prange(threads):
        share = next_share(following, ends, thread)
        while share >= 0:
            part = pieces[shares[share] : shares[share + 1]]
            _step_pieces(part, rows, likes, sizes, mode, numbers)
            share = next_share(following, ends, thread)


@njit(cache=True, error_model="numpy", nogil=True)
def step_few_rows(
    rows: Any,
    likes: Any,
    pieces: Any,
    counts: Any,
    lr: float,
    beta1: float,
    mode: int,
    numbers: Any,
) -> None:
    """The same by the thread that calls, where waking another would take longer than the work."""
    sizes = _step_sizes(counts, lr, beta1, numbers)
    _step_pieces(pieces, rows, likes, sizes, mode, numbers)


@njit(cache=True, nogil=True)
def count_steps(addresses: Any) -> Any:
    """A-3: add one to the float64 at each of the addresses, and return what they are now."""
    counts = np.empty(addresses.size, np.float64)
    for row in range(addresses.size):
        count = _view(addresses[row], counts, 0, 1)
        count[0] += 1
        counts[row] = count[0]
    return counts


@njit(error_model="numpy", nogil=True)
def _view(address: int, like: Any, first: int, size: int) -> Any:
    return carray(_pointer(address + first * like.itemsize, like), size)


@intrinsic
def _pointer(_: Any, address: Any, like: Any) -> Any:
    """An address as a pointer to elements of the dtype of an array."""
    pointer = types.CPointer(like.dtype)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(pointer))

    return pointer(address, like), generate


@intrinsic
def _take(_: Any, numbers: Any, index: Any) -> Any:
    """One of an array of int64, which is one more for whoever asks next, in whatever thread."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, position = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        one = ir.Constant(ir.IntType(64), 1)
        return builder.atomic_rmw("add", builder.gep(data, [position]), one, "monotonic")

    return types.int64(numbers, types.int64), generate


@intrinsic
def _recast(_: Any, value: Any) -> Any:
    """The bits of a float32 as a uint32, and the other way."""
    other = types.float32 if value == types.uint32 else types.uint32

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(other))

    return other(value), generate


@intrinsic
def _from_half(_: Any, bits: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.int16), generate


@intrinsic
def _to_half(_: Any, value: Any) -> Any:
    """Rounded to nearest, to even in the middle."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bitcast(builder.fptrunc(arguments[0], ir.HalfType()), ir.IntType(16))

    return types.int16(types.float32), generate


def _wide(value: Any, like: Any) -> Any:
    """An element in the dtype of `like`, which the step is computed in (N-1)."""
    raise NotImplementedError  # compiled only


@overload(_wide)
def _choose_wide(value: Any, like: Any) -> Any:
    wide = np.float64 if like == types.float64 else np.float32

    def of_bfloat16(value: Any, like: Any) -> Any:
        return wide(_recast(np.uint32(value << 16)))

    def of_float16(value: Any, like: Any) -> Any:
        return wide(_from_half(value))

    def of_float(value: Any, like: Any) -> Any:
        return wide(value)

    return {types.uint16: of_bfloat16, types.int16: of_float16}.get(value, of_float)


def _stored(value: Any, old: Any) -> Any:
    """A result in the dtype of what it replaces, rounded once."""
    raise NotImplementedError  # compiled only


@overload(_stored)
def _choose_stored(value: Any, old: Any) -> Any:
    narrow = np.float32 if old == types.float32 else np.float64
    single = _to_odd if value == types.float64 else np.float32

    def as_bfloat16(value: Any, old: Any) -> Any:
        bits = _recast(single(value))
        # To nearest, to even in the middle; NaN stays one, where rounding could make it infinity.
        rounded = np.uint32(bits + 0x7FFF + ((bits >> 16) & 1))
        return np.uint16((bits | 0x400000 if math.isnan(value) else rounded) >> 16)

    def as_float16(value: Any, old: Any) -> Any:
        return _to_half(single(value))

    def as_float(value: Any, old: Any) -> Any:
        return narrow(value)

    return {types.uint16: as_bfloat16, types.int16: as_float16}.get(old, as_float)


@njit(nogil=True)
def _to_odd(value: Any) -> Any:
    """A float64 as a float32 that is still to be rounded: what is lost is left in its last bit.

    Rounded to nearest it could land in the middle between two halves, where it was not before.
    """
    near = np.float32(value)
    bits = _recast(near)
    if np.float64(near) != value and not math.isnan(value):
        beyond = abs(np.float64(near)) > abs(value)
        bits = np.uint32(bits - beyond) | np.uint32(1)
    return _recast(np.uint32(bits))
