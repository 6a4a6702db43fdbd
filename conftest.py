"""The doctests of the subjects whose packages are not installed are left out (`make light`)."""

from importlib.util import find_spec

_NEEDS = {
    "mindspore": "mindspore",
    "mlx": "mlx",
    "npdl": "npdl",
    "paddle": "paddle",
    "pyensmallen": "pyensmallen",
    "pymc": "pymc",
    "pytorch_optimizer": "pytorch_optimizer",
    "tf_keras": "tf_keras",
    "tf_raw_ops": "tensorflow",
}

collect_ignore = [
    f"conformance/adamax_conformance/subjects/{name}.py"
    for name, package in _NEEDS.items()
    if find_spec(package) is None
]
