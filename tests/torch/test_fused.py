"""The kernel gives the bits of the foreach path, and is a regular PyTorch operator."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import Parameter

from adamax_torch import Adamax
from torch_steps import DTYPES, OPTIONS, make_parameters, set_gradients, snapshot

EVERY: list[dict[str, Any]] = [
    *OPTIONS,
    {"betas": (0.0, 0.0), "lr": torch.tensor(0.5)},
    {"state_dtype": torch.float32},
]

Pair = tuple[Adamax, Adamax]

KERNEL = "adamax_spec::step_"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("options", EVERY, ids=str)
def test_it_gives_the_bits_of_the_loop(
    dtype: torch.dtype, options: dict[str, Any], operations: Any
) -> None:
    one, other = make_parameters(dtype), make_parameters(dtype)
    loop, fused = Adamax(one, fused=False, **options), Adamax(other, fused=True, **options)
    for seed in range(1, 5):
        for params in (one, other):
            set_gradients(params, seed)
        loop.step()
        with operations:
            fused.step()
        assert snapshot(loop) == snapshot(fused)
    assert operations.names.count(KERNEL) == 4


def test_several_dtypes_in_one_group_are_one_call(operations: Any) -> None:
    optimizers = []
    for fused in (True, False):
        params = [Parameter(torch.ones(3, dtype=dtype)) for dtype in 2 * DTYPES]
        for param in params:
            param.grad = torch.full_like(param, 0.5)
        optimizers.append(Adamax(params, fused=fused))
        with operations:
            optimizers[-1].step()
    assert snapshot(optimizers[0]) == snapshot(optimizers[1])
    assert operations.names.count(KERNEL) == 1


@pytest.mark.parametrize("fused", [None, True])
@pytest.mark.parametrize("second", [slice(2, 6), slice(0, 6, 2), slice(0, 4)])
def test_parameters_that_share_memory_get_the_bits_of_the_loop(
    fused: bool | None, second: slice
) -> None:
    optimizers = []
    for each in (fused, False):
        memory = torch.arange(6.0)
        params = [Parameter(memory[:4]), Parameter(memory[second])]
        for param in params:
            param.grad = torch.ones_like(param)
        optimizers.append(Adamax(params, fused=each))
        for _ in range(2):
            optimizers[-1].step()
    assert snapshot(optimizers[0]) == snapshot(optimizers[1])


def test_a_parameter_with_gaps_gets_the_bits_of_the_loop() -> None:
    optimizers = []
    for fused in (True, False):
        param = Parameter(torch.arange(16.0)[::2])
        param.grad = torch.ones_like(param)
        optimizers.append(Adamax([param], 0.1, fused=fused))
        optimizers[-1].step()
    assert snapshot(optimizers[0]) == snapshot(optimizers[1])


def test_a_hyperparameter_that_cannot_be_read_changes_nothing(pair: Pair) -> None:
    for optimizer in pair:
        before = snapshot(optimizer)
        optimizer.param_groups[0]["lr"] = torch.tensor(0.1, device="meta")
        with pytest.raises(ValueError, match="is on cpu, but lr is on meta"):
            optimizer.step()
        assert snapshot(optimizer) == before


@pytest.mark.parametrize("lr", [np.float32(0.1), np.array(0.1), np.float64(0.1)])
def test_numpy_scalars_give_the_bits_of_python_numbers(lr: Any) -> None:
    optimizers = []
    for value, fused in ((lr, True), (lr, False), (float(lr), False)):
        param = Parameter(torch.ones(3, dtype=torch.float64))
        param.grad = torch.ones(3, dtype=torch.float64)
        optimizers.append(Adamax([param], value, weight_decay=value, fused=fused))
        optimizers[-1].step()
    assert snapshot(optimizers[0]) == snapshot(optimizers[1]) == snapshot(optimizers[2])


def test_numbers_beyond_the_dtype_become_infinite_without_a_warning() -> None:
    optimizers = []
    for fused in (True, False):
        param = Parameter(torch.ones(3))
        param.grad = torch.ones(3)
        optimizers.append(Adamax([param], eps=1e300, fused=fused))
        optimizers[-1].step()
    assert snapshot(optimizers[0]) == snapshot(optimizers[1])


@pytest.mark.parametrize("fused", [None, True])
def test_a_gradient_without_memory_does_not_crash(fused: bool | None) -> None:
    """PyTorch replaces it by zeros before it calls the kernel."""
    param = Parameter(torch.ones(64))
    optimizer = Adamax([param], fused=fused)
    param.grad = torch._efficientzerotensor(64)
    optimizer.step()
    assert torch.equal(param, torch.ones(64))


def test_freed_memory_raises_instead_of_crashing() -> None:
    param = Parameter(torch.ones(100))
    optimizer = Adamax([param], fused=True)
    param.grad = torch.ones(100)
    optimizer.step()
    param.untyped_storage().resize_(0)
    with pytest.raises(RuntimeError, match="the memory of a tensor of this step was freed"):
        optimizer.step()


def test_autograd_notices_changed_parameters_and_moments() -> None:
    param = Parameter(torch.ones(3))
    optimizer = Adamax([param], fused=True)
    param.grad = torch.ones(3)
    optimizer.step()
    factor = torch.ones(3, requires_grad=True)
    for saved in (param, optimizer.state[param]["exp_avg"], optimizer.state[param]["exp_inf"]):
        loss = (factor * saved).sum()
        optimizer.step()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            torch.autograd.grad(loss, factor)


def test_a_traced_step_has_the_operator() -> None:
    """``make_fx`` runs the step on tensors that have memory, and records what it sees."""
    param = Parameter(torch.ones(3))
    optimizer = Adamax([param], 0.5)

    def train(grad: Tensor) -> Tensor:
        param.grad = grad
        optimizer.step()
        return param.detach() + 0

    graph = make_fx(train)(torch.ones(3)).graph
    assert torch.ops.adamax_spec.step_.default in {node.target for node in graph.nodes}
    assert param.tolist() == [0.5] * 3


def test_the_operator_runs_under_vmap() -> None:
    """Under vmap tensors have no memory of their own: PyTorch operations take the step."""

    def stepped(param: Tensor, grad: Tensor) -> Tensor:
        columns = [param.clone()], [grad], [torch.zeros_like(param)], [torch.zeros_like(param)]
        count = torch.zeros((), dtype=torch.float64)
        numbers = (0.5, 0.5, 0.5, 0.0, 0.0, False, False)
        torch.ops.adamax_spec.step_(*columns, [count], *numbers)
        return columns[0][0]

    grads = torch.tensor([[1.0, -2.0], [4.0, -8.0]])
    assert torch.vmap(stepped)(torch.ones(2, 2), grads).tolist() == 2 * [[0.5, 1.5]]


def test_a_step_inside_func_grad_is_taken_and_is_a_constant() -> None:
    param = Parameter(torch.ones(3))
    param.grad = torch.ones(3)
    optimizer = Adamax([param], 0.5, fused=True)

    def loss(x: Tensor) -> Tensor:
        optimizer.step()
        return (x * param.detach()).sum()

    assert torch.func.grad(loss)(torch.ones(3)).tolist() == [0.5] * 3


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # torch's own
def test_gradients_with_tangents_go_through_the_rule() -> None:
    """The kernel does not support forward-mode AD, and must not silently drop a tangent."""
    param = Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = Adamax([param], lr=0.75, betas=(0.5, 0.5), eps=0.0)
    with forward_ad.dual_level():
        for size, tangent in ((1.0, 0.0), (2.0, 1.0)):
            sizes = torch.tensor([[size], [tangent]], dtype=torch.float64)
            param.grad = forward_ad.make_dual(*sizes)  # type: ignore[no-untyped-call]  # not typed
            optimizer.step()
        # m = 5/4 and u = 2 move by 1/2 and 1, so lr / c * m / u, where lr / c = 1, by -1/16.
        dual: Any = forward_ad.unpack_dual(param)  # type: ignore[no-untyped-call]  # not typed
        assert dual.tangent.item() == 1 / 16


def test_fake_tensors_step_without_the_kernel() -> None:
    from torch._subclasses import FakeTensorMode  # noqa: PLC0415 - torch's own tool

    with FakeTensorMode():
        param = Parameter(torch.ones(3))
        param.grad = torch.ones(3)
        Adamax([param]).step()
    real = Parameter(torch.ones(3))
    real.grad = torch.ones(3)
    optimizer = Adamax([real])
    optimizer.step()
    with FakeTensorMode(allow_non_fake_inputs=True):
        optimizer.step()
    assert optimizer.state[real]["step"] == 1


class Odd(Tensor):
    """A subclass that overrides PyTorch's operations."""

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # a class method, as torch calls it
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise NotImplementedError


class Marked(Parameter):
    """A subclass without overrides, as many libraries have."""


def test_a_plain_subclass_is_stepped_by_the_kernel(operations: Any) -> None:
    param = Marked(torch.ones(3))
    param.grad = torch.ones(3)
    with operations:
        Adamax([param], 0.5).step()
    assert KERNEL in operations.names
    assert param.tolist() == [0.5] * 3


REFUSED: list[tuple[Callable[[], Any], dict[str, Any], str]] = [
    (lambda: torch.ones(2, device="meta"), {}, "the kernel runs on CPUs only, not on meta"),
    (lambda: torch.ones(2).as_subclass(Odd), {}, "the kernel supports plain tensors only, not Odd"),
    (lambda: torch.ones(2, dtype=torch.float8_e5m2), {}, "does not support float8_e5m2"),
    (lambda: torch.ones(2), {"state_dtype": torch.float8_e5m2}, "does not support float8_e5m2"),
]


@pytest.mark.parametrize(("make", "options", "why"), REFUSED)
def test_fused_true_raises_for_unsupported_parameters(
    make: Callable[[], Any], options: dict[str, Any], why: str
) -> None:
    optimizer = Adamax([Parameter(torch.ones(2))], fused=True)
    with pytest.raises(RuntimeError, match=f"^group 1, parameter 0: fused=True, but .*{why}"):
        optimizer.add_param_group({"params": [make()], **options})
    assert len(optimizer.param_groups) == 1
    Adamax([make()], **options)


def test_an_unsupported_gradient_raises_before_any_group_is_stepped() -> None:
    params = [Parameter(torch.ones(2)), Parameter(torch.ones(2))]
    optimizer = Adamax([{"params": [param]} for param in params], fused=True)
    params[0].grad, params[1].grad = torch.ones(2), torch.ones(2).as_subclass(Odd)
    before = snapshot(optimizer)
    with pytest.raises(RuntimeError, match=r"^group 1: fused=True, but the kernel supports plain"):
        optimizer.step()
    assert snapshot(optimizer) == before
    assert not optimizer.state


def test_parameters_may_be_an_iterator_and_groups_may_be_empty() -> None:
    optimizer = Adamax(iter([Parameter(torch.ones(2))]), fused=True)
    optimizer.step()
    assert not optimizer.state


@pytest.mark.slow
def test_without_numba_the_loop_steps_and_fused_true_raises() -> None:
    source = """
import sys
sys.modules["numba"] = None
import torch
from adamax_torch import Adamax
for fused in (None, False, True):
    param = torch.nn.Parameter(torch.ones(2))
    try:
        optimizer = Adamax([param], 0.5, fused=fused)
    except RuntimeError as error:
        print(error)
    else:
        param.grad = torch.ones(2)
        optimizer.step()
        print(param.tolist())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source], capture_output=True, text=True, check=True
    )
    *stepped, error = done.stdout.splitlines()
    assert stepped == ["[0.5, 0.5]", "[0.5, 0.5]"]
    assert error == (
        "group 0, parameter 0: fused=True, but Numba is not installed; "
        "from a checkout: pip install -c constraints.txt '.[fused]'"
    )


@pytest.mark.slow
def test_making_an_optimizer_imports_no_numba_and_starts_no_thread() -> None:
    source = """
import os, sys, threading, torch
from adamax_torch import Adamax
def threads(): return threading.active_count(), len(os.listdir("/proc/self/task"))
before = threads()
param = torch.nn.Parameter(torch.ones(2))
optimizer = Adamax([param])
assert "numba" not in sys.modules
assert threads() == before, threads()
param.grad = torch.ones(2)
optimizer.step()
assert "numba" in sys.modules
assert threads() == before, threads()
"""
    # Else OpenBLAS, which Numba's import of SciPy loads, has threads of its own.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-W", "error", "-c", source], check=True, env=environment)
