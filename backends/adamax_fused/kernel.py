"""The rule in one pass over memory, for many arrays in one call: compiled by Numba, kept on disk.

An array is an address, a length and a dtype; uint16 holds the bits of bfloat16, and int16 those of
float16. All compiled code is in this file, since Numba's cache ignores changes to other files. The
operations and their order are those of `adamax_torch.rule`, without contraction (``fastmath`` is
off), so the bits are the same. The clauses are those of docs/spec.md.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic, overload

COUPLED, DECOUPLED = 1, 2
"""Kinds of weight decay; 0 means none, and the gradient does not read the parameter (A-2)."""

GRAD = 1
"""The one row of the table of addresses that a step only reads."""

COUNT = 4
"""The index of the counts, after the four arrays."""


class Hyper(NamedTuple):
    """The hyperparameters of a step, in the dtype of the computation."""

    sign: Any
    beta1: Any
    new: Any
    beta2: Any
    eps: Any
    decay: Any


# Division by zero gives infinity or NaN, as in IEEE 754; a check would prevent vectorization.
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
def _step_piece(p: Any, g: Any, m: Any, u: Any, step_size: Any, mode: int, hyper: Hyper) -> None:
    """Step one piece. A separate function: LLVM vectorizes views only as arguments."""
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


PIECE = 2**16
"""Elements that a thread takes at once: few enough for the cache, and to balance the threads."""


@njit(cache=True, error_model="numpy", nogil=True)
def step_pieces(
    table: Any, likes: Any, taken: Any, step_sizes: Any, mode: int, numbers: Any
) -> None:
    """Step piece after piece until all are taken; any number of threads may call this at once.

    Args:
        table: int64 ``(5, n)``: addresses of parameters, gradients, first moments and infinity
            norms, and the number of elements of each.
        likes: five empty arrays: four with the dtypes of these, one with that of the computation.
        taken: int64 ``(1,)``: number of pieces taken, initially zero; shared by the threads.
        step_sizes: float64 ``(n,)``: ``lr / (1 - beta1^t)`` of each.
        mode: `COUPLED`, `DECOUPLED`, or 0.
        numbers: float64 ``(6,)``: `Hyper`.
    """
    p, g, m, u, wide = likes
    hyper = Hyper(
        _cast(numbers[0], wide),
        _cast(numbers[1], wide),
        _cast(numbers[2], wide),
        _cast(numbers[3], wide),
        _cast(numbers[4], wide),
        _cast(numbers[5], wide),
    )
    begin = 0  # the first piece of the row
    piece = _fetch_and_add(taken)
    for row in range(table.shape[1]):
        elements = table[4, row]
        end = begin + (elements + PIECE - 1) // PIECE
        while piece < end:
            first = (piece - begin) * PIECE
            size = min(PIECE, elements - first)
            _step_piece(
                _view(table[0, row], p, first, size),
                _view(table[1, row], g, first, size),
                _view(table[2, row], m, first, size),
                _view(table[3, row], u, first, size),
                _cast(step_sizes[row], wide),
                mode,
                hyper,
            )
            piece = _fetch_and_add(taken)
        begin = end


@njit(cache=True, nogil=True)
def misplaced(table: Any, counts: Any, widths: Any) -> int:
    """The index of an array that the kernel cannot step in place; -1 if there is none.

    Such an array has no memory, is not aligned, or overlaps another array of which one is written.
    The kernel writes to all arrays except gradients.

    Args:
        table: as for `step_pieces`.
        counts: int64 ``(n,)`` or ``(0,)``: addresses of the counts, 8 bytes each.
        widths: int64 ``(4, n)``, or ``(4, 1)`` for all rows: the size of an element in bytes.

    Returns:
        An index into the flat table of addresses, followed by the counts.
    """
    rows = table.shape[1]
    starts = np.concatenate((table[:4].copy().ravel(), counts))
    end = written = 0
    for index in np.argsort(starts):
        array, row = divmod(index, rows)
        first, size, width = starts[index], 1, 8
        if array < COUNT:
            size, width = table[4, row], widths[array, row % widths.shape[1]]
        if not size:
            continue
        # A null pointer: the memory was freed.
        apart = first and first >= (written if array == GRAD else end)
        if not apart or first % width:
            return int(index)
        last = first + size * width
        end = max(end, last)
        if array != GRAD:
            written = max(written, last)
    return -1


@njit(cache=True, nogil=True)
def count(addresses: Any) -> Any:
    """A-3: add one to the float64 at each address; return the new values."""
    counts = np.empty(addresses.size, np.float64)
    for row in range(addresses.size):
        step = _view(addresses[row], counts, 0, 1)
        step[0] += 1
        counts[row] = step[0]
    return counts


@njit(error_model="numpy", nogil=True)
def _view(address: int, like: Any, first: int, size: int) -> Any:
    return carray(_pointer(address + first * like.itemsize, like), size)


@njit(error_model="numpy", nogil=True)
def _cast(value: float, like: Any) -> Any:
    return like.dtype.type(value)


@intrinsic
def _pointer(_: Any, address: Any, like: Any) -> Any:
    """Cast an address to a pointer to elements of the dtype of `like`."""
    pointer = types.CPointer(like.dtype)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(pointer))

    return pointer(address, like), generate


@intrinsic
def _fetch_and_add(_: Any, counter: Any) -> Any:
    """Atomic fetch-and-add of one to the first element of an int64 array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), generate


@intrinsic
def _recast(_: Any, value: Any) -> Any:
    """Reinterpret the bits of a float32 as a uint32, or the reverse."""
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
    """Round to nearest, ties to even."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bitcast(builder.fptrunc(arguments[0], ir.HalfType()), ir.IntType(16))

    return types.int16(types.float32), generate


def _wide(value: Any, like: Any) -> Any:
    """Widen an element to the dtype of `like`, that of the computation (N-1)."""
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
    """Round a result once, to the dtype of the element that it replaces."""
    raise NotImplementedError  # compiled only


@overload(_stored)
def _choose_stored(value: Any, old: Any) -> Any:
    narrow = np.float32 if old == types.float32 else np.float64
    single = _to_odd if value == types.float64 else np.float32

    def as_bfloat16(value: Any, old: Any) -> Any:
        bits = _recast(single(value))
        # Round to nearest, ties to even; NaN separately, since rounding could make it infinity.
        rounded = np.uint32(bits + 0x7FFF + ((bits >> 16) & 1))
        return np.uint16((bits | 0x400000 if math.isnan(value) else rounded) >> 16)

    def as_float16(value: Any, old: Any) -> Any:
        return _to_half(single(value))

    def as_float(value: Any, old: Any) -> Any:
        return narrow(value)

    return {types.uint16: as_bfloat16, types.int16: as_float16}.get(old, as_float)


@njit(nogil=True)
def _to_odd(value: Any) -> Any:
    """Round a float64 to odd, in float32, so that rounding again to half precision is correct.

    Rounding to nearest twice could create a tie between two halves (double rounding).
    """
    near = np.float32(value)
    bits = _recast(near)
    if np.float64(near) != value and not math.isnan(value):
        beyond = abs(np.float64(near)) > abs(value)
        bits = np.uint32(bits - beyond) | np.uint32(1)
    return _recast(np.uint32(bits))
