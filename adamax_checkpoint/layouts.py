"""Ready layouts of the layers of PyTorch in Flax and Keras."""

from collections.abc import Mapping

from torch import nn

from adamax_checkpoint.checkpoint import CheckpointError, require_same
from adamax_checkpoint.names import Layout, Place, Renaming, renamed, transposed

_BIAS = {"bias": Place("bias")}
_KERNELS: dict[type[nn.Module], dict[str, Place]] = {
    nn.Linear: {"weight": transposed("kernel", 1, 0), **_BIAS},
    nn.Conv1d: {"weight": transposed("kernel", 2, 1, 0), **_BIAS},
    nn.Conv2d: {"weight": transposed("kernel", 2, 3, 1, 0), **_BIAS},
}
_FLAX_NORM = {"weight": Place("scale"), **_BIAS}
_KERAS_NORM = {"weight": Place("gamma"), "bias": Place("beta")}
_NORMS = (nn.LayerNorm, nn.BatchNorm1d, nn.BatchNorm2d)

LAYERS: dict[str, dict[type[nn.Module], dict[str, Place]]] = {
    "flax": {
        **_KERNELS,
        nn.Embedding: {"weight": Place("embedding")},
        **dict.fromkeys(_NORMS, _FLAX_NORM),
    },
    "keras": {
        **_KERNELS,
        nn.Embedding: {"weight": Place("embeddings")},
        **dict.fromkeys(_NORMS, _KERAS_NORM),
    },
}
"""The places of the parameters of a layer, by framework and by its class in PyTorch."""


def layout_of(
    model: nn.Module,
    framework: str,
    renaming: Renaming = (),
    others: Mapping[str, Place] | None = None,
) -> Layout:
    """The layout of a model of PyTorch in another framework.

    A parameter is called by the path of its layer and its name there, such as ``encoder.0.kernel``,
    and then renamed.

    Args:
        model: the model in PyTorch.
        framework: ``flax`` or ``keras``.
        renaming: from these names to those of the other model.
        others: the places of parameters of other layers, by their names in PyTorch; these are not
            renamed. They come first, as for a linear layer behind a flattened convolution.

    Raises:
        CheckpointError: the framework is not known, or a layer is not: names its parameters.

    >>> layout = layout_of(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)), "flax")
    >>> [place.name for place in layout.values()]
    ['0.kernel', '0.bias', '1.scale', '1.bias']
    """
    if framework not in LAYERS:
        raise CheckpointError(f"no layouts of {framework!r}: choose {' or '.join(LAYERS)}")
    found, unknown = dict(others or {}), {}
    # A parameter that layers share has the name that it has first.
    names = dict(model.named_parameters())
    for path, layer in model.named_modules():
        for name, _ in layer.named_parameters(recurse=False):
            whole = f"{path}.{name}".lstrip(".")
            places = LAYERS[framework].get(type(layer), {})
            if whole in found or whole not in names:
                continue
            if name in places:
                there = f"{path}.{places[name].name}".lstrip(".")
                found[whole] = places[name]._replace(name=renamed(renaming, there))
            else:
                unknown[whole] = type(layer).__name__
    if unknown:
        listed = ", ".join(f"{name} of {layer}" for name, layer in unknown.items())
        raise CheckpointError(f"no layout of {listed}: give their places as `others`")
    require_same(names, found, "the model", "the layout")
    return {name: found[name] for name in names}
