"""A layer of PyTorch with its parameters moved is the layer of Flax or Keras, to the last bit.

Weights and inputs are small integers, of which each sum is exact whatever its order; a norm is
given inputs whose mean is 0 and whose variance is 1.
"""

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from flax import linen, nnx
from torch import nn

from adamax_checkpoint import Checkpoint, CheckpointError, Group
from adamax_checkpoint.layouts import layout_of
from adamax_checkpoint.names import Place, flattened, moved, rename, renamed, reversed_
from adamax_checkpoint.optax import from_optax, to_optax, tree_of
from adamax_core import Hyperparameters, State
from checkpoints import assert_same, drawn

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIGNS = np.array([[1.0, -1.0, -1.0, 1.0], [-1.0, 1.0, 1.0, -1.0]])
LAYERS: dict[str, tuple[nn.Module, Any, Any, Any]] = {
    "linear": (nn.Linear(4, 3), linen.Dense(3), lambda: keras.layers.Dense(3), SIGNS),
    "conv1d": (
        nn.Conv1d(4, 3, 2),
        linen.Conv(3, (2,), padding="VALID"),
        lambda: keras.layers.Conv1D(3, 2),
        np.arange(40.0).reshape(2, 4, 5) % 7,
    ),
    "conv2d": (
        nn.Conv2d(2, 3, (2, 3)),
        linen.Conv(3, (2, 3), padding="VALID"),
        lambda: keras.layers.Conv2D(3, (2, 3)),
        np.arange(80.0).reshape(2, 2, 4, 5) % 7,
    ),
    "embedding": (
        nn.Embedding(5, 3),
        linen.Embed(5, 3),
        lambda: keras.layers.Embedding(5, 3),
        np.array([[0, 3], [4, 1]]),
    ),
    "layer norm": (
        nn.LayerNorm(4, eps=0.0),
        linen.LayerNorm(epsilon=0.0, use_fast_variance=False),
        lambda: keras.layers.LayerNormalization(epsilon=0.0),
        SIGNS,
    ),
    "batch norm": (
        nn.BatchNorm1d(4, eps=0.0).eval(),
        linen.BatchNorm(use_running_average=True, epsilon=0.0),
        lambda: keras.layers.BatchNormalization(epsilon=0.0),
        SIGNS,
    ),
}


def of_model(model: nn.Module) -> Checkpoint:
    """Small integers as the parameters of a model, as its first moments, and of them its norms."""
    arrays = {
        name: (np.arange(param.numel(), dtype=np.float32) % 5 - 2).reshape(param.shape)
        for name, param in model.named_parameters()
    }
    with torch.no_grad():
        for name, param in model.named_parameters():
            param.copy_(torch.from_numpy(arrays[name]))
    counts = dict.fromkeys(arrays, 1)
    group = Group(tuple(arrays), Hyperparameters())
    norms = {name: np.abs(array) for name, array in arrays.items()}
    return Checkpoint(State(counts, arrays, norms), (group,), arrays)


def channels(array: Any, *, last: bool) -> Any:
    if array.ndim < 3:
        return array
    return np.moveaxis(array, 1, -1) if last else np.moveaxis(array, -1, 1)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_of_flax_computes_the_same(kind: str) -> None:
    layer, flax, _, inputs = LAYERS[kind]
    checkpoint = of_model(layer)
    there = moved(checkpoint, layout_of(layer, "flax"))
    given = torch.from_numpy(inputs).to(torch.int64 if kind == "embedding" else torch.float32)
    expected = layer(given).detach().numpy()
    x = jnp.asarray(channels(given.numpy(), last=True))
    variables: dict[str, Any] = {"params": there.params}
    if kind == "batch norm":
        variables["batch_stats"] = {"mean": jnp.zeros(4), "var": jnp.ones(4)}
    got = np.asarray(flax.apply(variables, x))
    got = got if kind == "embedding" else channels(got, last=False)
    np.testing.assert_array_equal(got, expected)
    assert_same(moved(there, reversed_(layout_of(layer, "flax"))), checkpoint)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_of_keras_computes_the_same(kind: str) -> None:
    layer, _, make, inputs = LAYERS[kind]
    checkpoint = of_model(layer)
    there = moved(checkpoint, layout_of(layer, "keras"))
    given = torch.from_numpy(inputs).to(torch.int64 if kind == "embedding" else torch.float32)
    expected = layer(given).detach().numpy()
    other = make()
    x = channels(given.numpy(), last=True)
    other(x)
    assert there.params is not None
    for variable in other.trainable_variables:
        variable.assign(there.params[variable.name])
    got = keras.ops.convert_to_numpy(other(x))
    if kind != "embedding":
        got = channels(got, last=False)
    np.testing.assert_array_equal(got, expected)


def test_a_linear_layer_behind_a_flattened_convolution() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(2 * 2 * 3, 5))
    checkpoint = of_model(model)
    place = flattened("Dense_0.kernel", 2, 2, 3)
    renaming = [(r"0\.(.*)", r"Conv_0.\1"), (r"2\.(.*)", r"Dense_0.\1")]
    layout = layout_of(model, "flax", renaming, {"2.weight": place})
    there = moved(checkpoint, layout)

    class Network(linen.Module):
        @linen.compact
        def __call__(self, x: Any) -> Any:
            x = linen.Conv(2, (2, 2), padding="VALID")(x)
            return linen.Dense(5)(x.reshape(x.shape[0], -1))

    x = torch.arange(24, dtype=torch.float32).reshape(2, 1, 3, 4) % 3
    params: dict[str, dict[str, Any]] = {}
    for name, array in (there.params or {}).items():
        params.setdefault(name.split(".")[0], {})[name.split(".")[1]] = array
    got = Network().apply({"params": params}, jnp.asarray(channels(x.numpy(), last=True)))
    np.testing.assert_array_equal(np.asarray(got), model(x).detach().numpy())
    assert_same(moved(there, reversed_(layout)), checkpoint)


def test_a_training_moves_to_nnx_and_back() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
    drawn_like = {name: (tuple(p.shape), "float32") for name, p in model.named_parameters()}
    checkpoint = drawn(drawn_like, params=True, step=1)
    there = nnx.Sequential(nnx.Linear(4, 3, rngs=nnx.Rngs(0)), nnx.LayerNorm(3, rngs=nnx.Rngs(0)))
    layout = layout_of(model, "flax", lambda name: f"layers.{name}.value")
    fresh = optax.adamax(0.1).init(nnx.state(there, nnx.Param))
    moved_there = moved(checkpoint, layout)
    state = to_optax(moved_there, fresh)
    assert jax.tree.leaves(state[0].count) == [1]
    assert moved_there.params is not None
    params = tree_of(moved_there.params, like=nnx.state(there, nnx.Param))
    nnx.update(there, params)
    back = moved(from_optax(state, Hyperparameters(), params), reversed_(layout))
    names = checkpoint.names
    ordered = Checkpoint(back.state, (Group(names, Hyperparameters()),), back.params)
    assert_same(ordered, checkpoint)


def test_a_shared_parameter_has_one_place() -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(5, 3), "head": nn.Linear(3, 5, bias=False)})
    model["head"].weight = model["embed"].weight
    assert {name: place.name for name, place in layout_of(model, "flax").items()} == {
        "embed.weight": "embed.embedding"
    }


def test_what_has_no_layout() -> None:
    model = nn.ModuleDict({"one": nn.Linear(2, 2), "two": nn.Bilinear(2, 2, 2)})
    with pytest.raises(
        CheckpointError, match=r"two\.weight of Bilinear, two\.bias of Bilinear: gi"
    ):
        layout_of(model, "keras")
    with pytest.raises(CheckpointError, match="no layouts of 'mlx': choose flax or keras"):
        layout_of(model, "mlx")
    with pytest.raises(CheckpointError, match="only in the layout: three"):
        layout_of(nn.Linear(2, 2), "flax", others={"three": Place("three")})


@pytest.mark.parametrize(
    "renaming",
    [
        lambda name: name.replace("a.", "b."),
        {"a.w": "b.w", "a.v": "b.v"},
        [(r"a\.(.*)", r"b.\1"), (r".*", "never")],
    ],
    ids=["function", "dict", "expressions"],
)
def test_names_are_mapped(renaming: Any) -> None:
    checkpoint = drawn({"a.w": ((2,), "float32"), "a.v": ((), "float32")}, params=True)
    found = rename(checkpoint, renaming)
    assert found.names == ("b.w", "b.v")
    assert found.state.step == {"b.w": 1, "b.v": 2}
    assert_same(rename(found, lambda name: name.replace("b.", "a.")), checkpoint)


def test_what_is_not_mapped_stays_and_what_collides_is_refused() -> None:
    assert renamed([(r"a", "b")], "ab") == renamed({"a": "b"}, "ab") == "ab"
    checkpoint = drawn({"a": ((2,), "float32"), "b": ((), "float32")})
    with pytest.raises(CheckpointError, match="two parameters have the name c"):
        rename(checkpoint, lambda _: "c")


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({}, "the checkpoint and the layout have .* only in the checkpoint: a, b"),
        ({"a": Place("a"), "c": Place("c")}, "only in the checkpoint: b; only in the layout: c"),
        ({"a": Place("a"), "b": flattened("b", 7, 2)}, "the layout does not fit the shapes"),
    ],
)
def test_a_layout_that_does_not_fit(layout: Mapping[str, Place], message: str) -> None:
    checkpoint = drawn({"a": ((2,), "float32"), "b": ((3, 5), "float32")})
    with pytest.raises(CheckpointError, match=message):
        moved(checkpoint, layout)
