"""The temporary memory of a step with many tensors is at most that of torch.optim."""

import weakref
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from adamax_torch import Adamax
from adamax_torch.slices import SMALL
from marks import first_fast


class Peak(TorchDispatchMode):
    """The peak number of bytes allocated inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0
        self._now: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        del types
        result = func(*args, **(kwargs or {}))
        given = {t.untyped_storage()._cdata for t in tree_iter((args, kwargs)) if _is_tensor(t)}
        for tensor in filter(_is_tensor, tree_iter(result)):
            storage = tensor.untyped_storage()
            # Do not count the memory of arguments; a view shares the memory of its base.
            if storage._cdata not in given | self._now.keys():
                self._now[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self._now.pop, storage._cdata)
        self.bytes = max(self.bytes, sum(self._now.values()))
        return result


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def parameters(dtype: torch.dtype) -> list[Parameter]:
    """Large parameters, one of them larger than may be widened at once."""
    shapes = [(3 * SMALL,), (5, SMALL), (1, 1, 11 * SMALL), (7,)]
    params = [Parameter(torch.ones(shape, dtype=dtype)) for shape in shapes]
    for param in params:
        param.grad = torch.ones_like(param)
    return params


def peak(cls: Any, dtype: torch.dtype, **options: Any) -> int:
    params = parameters(dtype)
    optimizer = cls(params, foreach=True, **options)
    optimizer.step()
    beyond = Peak()
    with beyond:
        optimizer.step()
    return beyond.bytes


@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex64],
    ids=str,
)
@pytest.mark.parametrize(
    "options",
    first_fast(
        [{"weight_decay": 0.1, "maximize": True}, {"weight_decay": 0.1}, {"maximize": True}, {}]
    ),
    ids=str,
)
def test_foreach_needs_no_more_than_stock(dtype: torch.dtype, options: dict[str, Any]) -> None:
    stock = peak(torch.optim.Adamax, dtype, **options)
    copy = sum(param.numel() * param.element_size() for param in parameters(dtype))
    assert stock == copy
    assert peak(Adamax, dtype, **options) <= stock


def test_the_memory_check_notices_an_extra_copy() -> None:
    params = parameters(torch.float32)
    copy = sum(param.numel() * param.element_size() for param in params)
    beyond = Peak()
    with beyond:
        copies = [[param.clone() for param in params] for _ in range(2)]
    assert len(copies) == 2
    assert beyond.bytes == 2 * copy


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_slices_give_the_bits_of_the_whole(dtype: torch.dtype) -> None:
    """Half precision of any layout is widened slice by slice, with the bits of whole tensors."""
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn((3, 2 * SMALL), generator=generator).to(dtype).t()
    grad = torch.randn((2 * SMALL, 3), generator=generator).to(dtype)
    params = [Parameter(whole.clone()), Parameter(whole.clone())]
    for param, foreach in zip(params, (False, True), strict=True):
        optimizer = Adamax([param], foreach=foreach, weight_decay=0.1)
        for _ in range(2):
            param.grad = grad.clone()
            optimizer.step()
    assert torch.equal(params[0], params[1])
    assert not torch.equal(params[0], whole)
