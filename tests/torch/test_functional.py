"""`adamax_torch.functional`: pure, the bits of the optimizer, and what it refuses."""

from typing import Any

import pytest
import torch

from adamax_torch import Adamax, functional
from adamax_torch.functional import Hyperparameters, State
from torch_steps import DTYPES, bits, make_parameters, set_gradients
from torch_trees import leaves, random_tree

OPTIONS: list[dict[str, Any]] = [
    {},
    {"lr": 0.5, "betas": (0.0, 0.25), "eps": 0.0},
    {"weight_decay": 0.1, "maximize": True},
    {"weight_decay": 0.1, "decoupled_weight_decay": True},
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("state_dtype", [None, torch.float32], ids=str)
def test_steps_have_the_bits_of_the_optimizer(
    dtype: torch.dtype, options: dict[str, Any], state_dtype: torch.dtype | None
) -> None:
    tensors = make_parameters(dtype)
    # Capturable: it too has its count in a tensor, and powers of a tensor round otherwise.
    optimizer = Adamax(tensors, state_dtype=state_dtype, capturable=True, **options)
    params: Any = [tensor.detach().clone() for tensor in tensors]
    state = functional.init(params, state_dtype)
    for seed in range(1, 5):
        set_gradients(tensors, seed)
        grads = [tensor.grad for tensor in tensors]
        optimizer.step()
        params, state = functional.step(params, grads, state, Hyperparameters(**options))
        for index, tensor in enumerate(tensors):
            slot = optimizer.state.get(tensor) or {"step": torch.zeros((), dtype=torch.float64)}
            assert bits(params[index]) == bits(tensor)
            for name, value in slot.items():
                assert bits(getattr(state, name)[index]) == bits(value)


def test_arguments_are_not_modified() -> None:
    params, grads = random_tree(0), random_tree(1)
    state = functional.init(params)
    before = [bits(leaf) for leaf in leaves(params, grads, state)]
    functional.step(params, grads, state, Hyperparameters(weight_decay=0.1))
    functional.update(grads, state, params, Hyperparameters(maximize=True))
    assert [bits(leaf) for leaf in leaves(params, grads, state)] == before


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_step_adds_the_update(dtype: torch.dtype) -> None:
    params = {"w": torch.tensor([1.0, -2.0], dtype=dtype), "b": torch.tensor(3.0, dtype=dtype)}
    grads = {"w": torch.tensor([0.5, 1.0], dtype=dtype), "b": None}
    hp = Hyperparameters(lr=0.25, weight_decay=0.125, decoupled_weight_decay=True)
    updates, after = functional.update(grads, functional.init(params), params, hp)
    stepped, state = functional.step(params, grads, functional.init(params), hp)
    assert {update.dtype for update in updates.values()} == {dtype}
    assert bits(updates["b"]) == bits(torch.zeros((), dtype=dtype))
    assert [bits(leaf) for leaf in leaves(after)] == [bits(leaf) for leaf in leaves(state)]
    # In these numbers the update is exact in either dtype, and so is the sum.
    assert [bits(params[k] + updates[k]) for k in params] == [bits(stepped[k]) for k in params]


def test_a_single_tensor_and_an_empty_tree_are_trees() -> None:
    param, state = functional.step(
        torch.ones(2), torch.ones(2), functional.init(torch.ones(2)), Hyperparameters(lr=0.5, eps=0)
    )
    assert (param.tolist(), state.step.item()) == ([0.5, 0.5], 1)
    assert functional.step({}, {}, functional.init({}), Hyperparameters()) == (
        {},
        State({}, {}, {}),
    )


def test_meta_and_fake_tensors_step() -> None:
    params = {"w": torch.ones(2, 3, device="meta")}
    after, state = functional.step(params, params, functional.init(params), Hyperparameters())
    assert {leaf.device.type for leaf in leaves(after, state)} == {"meta"}
    with torch._subclasses.FakeTensorMode():
        params = {"w": torch.ones(2, 3)}
        lr = torch.ones(())
        after, state = functional.step(params, params, functional.init(params), Hyperparameters(lr))
        assert after["w"].shape == (2, 3)


# Errors

ONES = {"w": torch.ones(2)}
COUNT = torch.zeros((), dtype=torch.float64)


def taken(**changes: Any) -> Any:
    given = {"params": ONES, "grads": ONES, "state": functional.init(ONES)} | changes
    return functional.step(
        given["params"],
        given["grads"],
        given["state"],
        given.get("hp", Hyperparameters()),
    )


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"state": None},
            TypeError,
            r"^state is NoneType, not State: call step\(params, grads, state, hyperparameters\)$",
        ),
        (
            {"params": {"w": 1.0}},
            TypeError,
            r"^params\['w'\]: only tensors can take steps, not float",
        ),
        (
            {"state": State({"w": torch.zeros(1)}, ONES, ONES)},
            TypeError,
            r"^the state of params\['w'\] has step = tensor\(\[0\.\]\), not a torch.float64 te",
        ),
        (
            {"state": State({"w": torch.zeros(1, dtype=torch.float64)}, ONES, ONES)},
            ValueError,
            r"^the state of params\['w'\] has step of shape \(1,\), not \(\): use the state that",
        ),
        ({"hp": 0.5}, TypeError, "^hyperparameters is float, not Hyperparameters: call step"),
        ({"grads": {}}, ValueError, "^grads does not have the structure of params: "),
        (
            {"state": State({"w": COUNT}, {"w": torch.zeros(3)}, ONES)},
            ValueError,
            r"^the state of params\['w'\] has exp_avg of shape \(3,\), the parameter has .*\(2,\)$",
        ),
        (
            {"grads": {"w": torch.ones(3)}},
            ValueError,
            r"^params\['w'\]: the gradient has shape \(3,\), the parameter \(2,\)$",
        ),
        (
            {"grads": {"w": torch.ones(2, dtype=torch.int32)}},
            TypeError,
            r"^params\['w'\]: the gradient has dtype torch.int32, the parameter torch.float32$",
        ),
        (
            {"grads": {"w": torch.ones(2).to_sparse()}},
            TypeError,
            r"^Adamax does not support sparse gradients \(params\['w'\]\)$",
        ),
        (
            {"grads": {"w": [1.0, 1.0]}},
            TypeError,
            r"^params\['w'\]: the gradient is list, not a tensor$",
        ),
    ],
    ids=[
        "state", "leaf", "count", "shape of a count", "hyperparameters", "structure", "moment",
        "shape", "kind", "sparse", "list",
    ],
)  # fmt: skip
def test_a_mismatched_argument_raises_and_names_its_leaf(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        taken(**changes)


def test_init_raises_for_unsupported_leaves() -> None:
    with pytest.raises(TypeError, match=r"^params\['n'\]: only floating-point and complex"):
        functional.init({"n": torch.ones(1, dtype=torch.int64)})
    with pytest.raises(TypeError, match=r"^state_dtype = torch\.int8 is not a real"):
        functional.init(ONES, torch.int8)
