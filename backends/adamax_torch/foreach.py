"""The rule on lists of tensors, in place: `adamax_torch.rule` with PyTorch's foreach operations.

The operations and their order are the same, so both give the same bits. A step allocates one copy
of the tensors, as torch.optim.Adamax does (two with decoupled decay); on a CPU, one copy of a
batch.
"""

import math
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from adamax_torch.precision import compute_dtype, store, widened
from adamax_torch.rule import Hyper, Scalar, bias_correction
from adamax_torch.slices import batches, limits
from adamax_torch.tensors import Columns, by_kind


def step_many(
    columns: Columns,
    counts: Sequence[float | Tensor],
    hyper: Hyper,
    *,
    together: bool = True,
    alike: bool = False,
) -> None:
    """Step tensors of any devices and dtypes in place.

    Args:
        columns: the tensors.
        counts: the number of this step for each row; the first step is 1.
        hyper: the hyperparameters.
        together: step all tensors of one device and dtype at once. If False, an accelerator steps
            them one by one, which takes less memory.
        alike: whether the caller knows that all rows have one kind.

    >>> hyper = Hyper(0.125, 0.75, 0.875, 0.0, 0.0, maximize=False, decoupled=False)
    >>> ones = [[torch.ones(1, dtype=d) for d in (torch.float64, torch.float16)] for _ in range(4)]
    >>> step_many(Columns(*ones, ones[0]), [1, 2], hyper)
    >>> ones[0]
    [tensor([0.5000], dtype=torch.float64), tensor([0.7144], dtype=torch.float16)]
    """
    if alike:
        _step_alike(columns, counts, hyper, together=together)
        return
    for rows in by_kind(columns).values():
        some = [counts[row] for row in rows]
        _step_alike(columns.only(rows), some, hyper, together=together)


def _step_alike(
    columns: Columns, counts: Sequence[float | Tensor], hyper: Hyper, *, together: bool
) -> None:
    """Step tensors of one kind."""
    tensors = columns[:4]
    device, dtypes = tensors[0][0].device, {column[0].dtype for column in tensors}
    dtype = compute_dtype(*dtypes)
    by = operands(hyper, counts, device, dtype.to_real())
    wide = dtypes == {dtype}
    elements = 0 if wide else sum(map(Tensor.numel, columns.params))
    for rows, batch in batches(tensors, limits(device, elements, wide=wide, together=together)):
        step = adamax_ if wide and not dtype.is_complex else _step_widened
        params, grads, exp_avgs, exp_infs = batch
        step(params, grads, exp_avgs, exp_infs, by.step_sizes[rows], by)


def _step_widened(
    params: Any, grads: Any, exp_avgs: Any, exp_infs: Any, step_sizes: Any, by: "Operands"
) -> None:
    """Step wide copies. A separate function, so that they are freed before the next batch."""
    columns = params, grads, exp_avgs, exp_infs
    p, g, m, u = (list(column) for column in zip(*map(widened, *columns), strict=True))
    adamax_(p, g, m, u, step_sizes, by)
    dtype = compute_dtype(*(column[0].dtype for column in columns))
    for column, result in zip((columns[0], *columns[2:]), (p, m, u), strict=True):
        for old, new in zip(column, result, strict=True):
            # A column that needed no cast and no conjugation is a view, already updated in place.
            if old.dtype != dtype or old.is_conj():
                store(new, old)


def count_(steps: list[Tensor]) -> None:
    """A-3: add one to each of the zero-dimensional float64 tensors."""
    # On a CPU PyTorch would convert a number to a tensor for each list element.
    on_host = all(map(_IS_CPU, steps))
    torch._foreach_add_(steps, [steps[0].new_ones(())] * len(steps) if on_host else 1)


_IS_CPU = attrgetter("is_cpu")


MANY = 8
"""From this many CPU tensors on, converting hyperparameters to tensors pays off.

PyTorch's foreach operations convert a number to a tensor for each list element, which takes longer
than stepping a small tensor.
"""


class Operands(NamedTuple):
    """The hyperparameters as operands for foreach operations on one device and dtype."""

    beta1: Scalar
    new: Scalar
    beta2: Scalar
    eps: Scalar
    decay: Scalar
    step_sizes: Sequence[Scalar]
    maximize: bool
    coupled: bool
    decoupled: bool
    one: Tensor | None  # on a CPU

    def add_product_(
        self,
        sums: Any,
        terms: Any,
        factors: Any,
        *,
        own: bool = False,
    ) -> None:
        """Add term times factor to each sum, rounding both; if `own`, may overwrite the terms."""
        if self.one is not None:
            # On a CPU addcmul makes one pass over memory; its product with one is exact.
            torch._foreach_addcmul_(sums, terms, [self.one] * len(sums), factors)
        elif own:
            torch._foreach_mul_(terms, factors)
            torch._foreach_add_(sums, terms)
        else:
            torch._foreach_add_(sums, torch._foreach_mul(terms, factors))


def operands(
    hyper: Hyper, counts: Sequence[float | Tensor], device: torch.device, dtype: torch.dtype
) -> Operands:
    """The operands of a step, with ``-lr / (1 - beta1^t)`` for each count (A-6, A-7)."""
    lr, beta1, beta2, eps, weight_decay, maximize, decoupled = hyper
    sizes: Any
    if isinstance(counts[0], Tensor):
        # One launch for each operation, instead of one for each count.
        sizes = (-lr / bias_correction(beta1, torch.stack(counts))).to(dtype).unbind()  # type: ignore[arg-type, union-attr]  # all are tensors
    else:
        known = {t: _ranged(-lr / bias_correction(beta1, t), dtype) for t in set(counts)}
        sizes = [known[count] for count in counts]
    decay = -lr * weight_decay if decoupled else weight_decay
    decay = _ranged(decay, dtype)
    values: list[Scalar] = [beta1, 1 - beta1, beta2, eps, decay]
    one = None
    if device.type != "cpu" or Tensor in map(type, (*values, sizes[0])):
        values = [v.to(dtype) if isinstance(v, Tensor) else v for v in values]
    else:
        one = torch.ones((), dtype=dtype, device=device)
        if len(sizes) >= MANY:
            values[0], values[2], values[3] = torch.tensor(
                (beta1, beta2, eps), dtype=dtype, device=device
            )
    b1, new, b2, eps, decay = values
    decays = hyper.decays()
    coupled = decays and not decoupled
    return Operands(b1, new, b2, eps, decay, sizes, maximize, coupled, decays and decoupled, one)


def _ranged(value: Any, dtype: torch.dtype) -> Any:
    """Replace a number that overflows `dtype` by infinity, as the kernel does; PyTorch raises."""
    if isinstance(value, Tensor) or abs(value) <= torch.finfo(dtype).max:
        return value
    return math.copysign(math.inf, value)


def adamax_(
    params: Any, grads: Any, exp_avgs: Any, exp_infs: Any, step_sizes: Any, by: Operands
) -> None:
    """Step lists of real tensors of one dtype in place; does not change gradients.

    >>> hyper = Hyper(0.125, 0.75, 0.875, 0.0, 0.0, maximize=False, decoupled=False)
    >>> by = operands(hyper, [1], torch.device("cpu"), torch.float32)
    >>> p, m, u = [torch.zeros(1)], [torch.zeros(1)], [torch.zeros(1)]
    >>> adamax_(p, [torch.ones(1)], m, u, by.step_sizes, by)
    >>> p, m, u
    ([tensor([-0.1250])], [tensor([0.2500])], [tensor([1.])])
    """
    torch._foreach_mul_(exp_avgs, by.beta1)
    torch._foreach_mul_(exp_infs, by.beta2)
    # One reused temporary: the system zeroes the pages of each new large allocation.
    if by.coupled:
        scratch = _decayed(params, grads, by)
        by.add_product_(exp_avgs, scratch, by.new, own=True)
        if by.one is None:
            del scratch
            scratch = _decayed(params, grads, by)
        torch._foreach_abs_(scratch)
    else:
        # x - g has the bits of x + (-g), without allocating -g.
        by.add_product_(exp_avgs, grads, -by.new if by.maximize else by.new)
        scratch = torch._foreach_abs(grads)
    # On a CPU, _foreach_add_ reads the value of a tensor operand, but not of a list of tensors.
    eps: Any = by.eps
    listed = isinstance(eps, Tensor) and eps.is_cpu
    torch._foreach_add_(scratch, [eps] * len(scratch) if listed else eps)
    torch._foreach_maximum_(exp_infs, scratch)

    if len(scratch) < MANY:
        for exp_avg, exp_inf, quotient in zip(exp_avgs, exp_infs, scratch, strict=True):
            torch.div(exp_avg, exp_inf, out=quotient)
    else:  # two calls for all
        torch._foreach_copy_(scratch, exp_avgs)
        torch._foreach_div_(scratch, exp_infs)
    if by.decoupled:
        torch._foreach_mul_(scratch, step_sizes)
        by.add_product_(scratch, params, by.decay)
        torch._foreach_add_(params, scratch)
    else:
        by.add_product_(params, scratch, step_sizes, own=True)


def _decayed(params: Any, grads: Any, by: Operands) -> Any:
    """A-1 and A-2: the signed gradients with coupled weight decay."""
    g = torch._foreach_mul(params, by.decay)
    (torch._foreach_sub_ if by.maximize else torch._foreach_add_)(g, grads)
    return g
