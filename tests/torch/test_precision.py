"""Half precision, `state_dtype` and `capturable`: computed wide, and rounded once."""

import copy
import pickle
from fractions import Fraction

import pytest
import torch
from torch.nn import Parameter

from adamax_core import Hyperparameters
from adamax_torch import Adamax
from exact import Followed, assert_within, follow
from torch_steps import W, bits, parameter, snapshot, stepped


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_the_float32_step_rounded_once(dtype: torch.dtype) -> None:
    grad = torch.tensor([0.3, -1.7, 0.0, 2.5], dtype=dtype)
    half, single = parameter(1, 2, 0, -3, dtype=dtype), parameter(1, 2, 0, -3, dtype=torch.float32)
    optimizers = [Adamax([param], weight_decay=0.1, lr=0.1) for param in (half, single)]
    for optimizer in optimizers:
        stepped(optimizer, grad)
    assert bits(half) == bits(single.to(dtype))
    for moment in ("exp_avg", "exp_inf"):
        stored, unrounded = (
            o.state[p][moment] for o, p in zip(optimizers, (half, single), strict=True)
        )
        assert stored.dtype == dtype
        assert bits(stored) == bits(unrounded.to(dtype))


@pytest.mark.parametrize("foreach", [False, True])
def test_a_zero_first_gradient_in_float16_changes_nothing(foreach: bool) -> None:
    param = stepped(Adamax([parameter(1, dtype=torch.float16)], foreach=foreach), 0.0)
    assert param.item() == 1


@pytest.mark.parametrize(
    ("dtype", "state_dtype", "expected"),
    [
        (torch.bfloat16, torch.float32, torch.float32),
        (torch.float32, torch.float64, torch.float64),
        (torch.complex64, torch.float64, torch.complex128),
        (torch.float16, None, torch.float16),
        (torch.bfloat16, "float32", torch.float32),
        (torch.complex64, "float64", torch.complex128),
    ],
)
@pytest.mark.parametrize("via", ["state_dict", "pickle", "deepcopy"])
def test_the_state_dtype_survives_saving(
    dtype: torch.dtype, state_dtype: torch.dtype | str | None, expected: torch.dtype, via: str
) -> None:
    optimizer = Adamax([parameter(1, -2, dtype=dtype)], state_dtype=state_dtype)
    param = stepped(optimizer, [0.3, 1], [1, 0.7])
    if via == "state_dict":
        again = Adamax([Parameter(param.detach().clone())])
        again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    else:
        again = copy.deepcopy(optimizer)
        if via == "pickle":
            again = pickle.loads(pickle.dumps(optimizer))  # noqa: S301 - our own bytes
    assert snapshot(again) == snapshot(optimizer)
    (other,) = again.param_groups[0]["params"]
    assert other is not param
    for moment in ("exp_avg", "exp_inf"):
        assert again.state[other][moment].dtype == expected
    assert again.state[other]["step"].dtype == torch.float64
    for each in (optimizer, again):
        stepped(each, [-1, 2])
    assert snapshot(again) == snapshot(optimizer)


def test_a_float32_state_lets_the_norm_of_bfloat16_decay() -> None:
    """After 0.999^256 = 0.774; in bfloat16 0.999 u rounds back to u."""
    norms = {}
    for dtype in (torch.bfloat16, torch.float32):
        optimizer = Adamax([parameter(0, dtype=torch.bfloat16)], state_dtype=dtype)
        param = stepped(optimizer, 1.0, *[0.0] * 256)
        norms[dtype] = optimizer.state[param]["exp_inf"].item()
    assert norms[torch.bfloat16] == 1
    assert 0.774 < norms[torch.float32] < 0.775


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("tensor_lr", [False, True])
def test_capturable_stays_within_the_bound_of_the_exact_trajectory(
    foreach: bool, tensor_lr: bool
) -> None:
    lr = torch.tensor(0.25, dtype=torch.float64) if tensor_lr else 0.25
    hp = Hyperparameters(0.25, weight_decay=0.1)
    starts = [1.0, -2.0, 0.0]
    plain = Adamax([parameter(*starts)], lr=0.25, weight_decay=0.1)
    capturable = Adamax(
        [parameter(*starts)], lr=lr, weight_decay=0.1, capturable=True, foreach=foreach
    )
    exact = [Followed(Fraction(x), Fraction(0), Fraction(0), 0) for x in starts]
    for grads in ([0.5, -1.0, 2.0], [1.5, 0.0, -3.0], [0.25, 1.0, 0.125]):
        exact = [follow(at, g, hp, W) for at, g in zip(exact, grads, strict=True)]
        for optimizer in (plain, capturable):
            values = stepped(optimizer, grads).tolist()
            assert_within(values, [at.param for at in exact], [at.d_param for at in exact])


@pytest.mark.parametrize("foreach", [False, True])
def test_capturable_in_float16_does_not_overflow(foreach: bool) -> None:
    """u = 1000 and lr = 1e-3: ``u c / lr`` is 1e5 where float16 ends at 65504."""
    optimizer = Adamax(
        [parameter(0, dtype=torch.float16)], lr=1e-3, capturable=True, foreach=foreach
    )
    assert stepped(optimizer, 1000.0).item() == torch.tensor(-1e-3).half().item()
