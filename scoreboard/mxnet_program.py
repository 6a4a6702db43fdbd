"""MXNet's `Adamax` as a program, since it needs an older NumPy than the judge.

It speaks the protocol of docs/protocol.md and only translates; docs/reports.md has the command that
judges it.
"""

import json
import struct
import sys
import warnings
from typing import Any

import numpy as np

warnings.filterwarnings("ignore")  # SciPy's, of NumPy's version, and NumPy's own of 0 / 0
import mxnet  # noqa: E402 - the line above is for its import

DTYPES = {
    "float16": ">f2",
    "float32": ">f4",
    "float64": ">f8",
    "complex64": ">c8",
    "complex128": ">c16",
}
OFFER = {
    "version": 1,
    "name": "mxnet",
    "dtypes": ["float16", "float32", "float64"],
    "features": ["weight_decay", "undecayed"],
    "language": "Python",
    "packages": {"mxnet": mxnet.__version__},
}


def decoded(document: dict[str, Any]) -> Any:
    """Return an array; a bfloat16, which MXNet has not, is the upper half of a float32."""
    data, dtype = bytes.fromhex(document["bits"]), document["dtype"]
    if dtype == "bfloat16":
        array = (np.frombuffer(data, ">u2").astype(np.uint32) << 16).view(np.float32)
    else:
        array = np.frombuffer(data, DTYPES[dtype]).astype(dtype)
    return array.reshape(document["shape"])


def encoded(array: Any) -> dict[str, Any]:
    """Return what the protocol calls an array."""
    dtype = array.dtype.name
    bits = array.astype(DTYPES[dtype]).tobytes().hex()
    return {"dtype": dtype, "shape": [*array.shape], "bits": bits}


def to_mxnet(array: Any) -> Any:
    """Return an array of MXNet."""
    return mxnet.nd.array(array, dtype=array.dtype)


def number(bits: str) -> float:
    """Return a number from its bits."""
    return float(struct.unpack(">d", bytes.fromhex(bits))[0])


def state(optimizer: Any, updater: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Return the state, which is made at the first step of a parameter."""
    shown = {}
    for name, param in params.items():
        zero = np.zeros_like(param.asnumpy())
        slots = updater.states.get(name)
        m, u = (slot.asnumpy() for slot in slots) if slots else (zero, zero)
        count = optimizer._index_update_count.get(name, 0)  # noqa: SLF001 - nothing else has it
        shown[name] = {"step": count, "exp_avg": encoded(m), "exp_inf": encoded(u)}
    return shown


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a run."""
    names = ("lr", "beta1", "beta2", "weight_decay")
    given = [{name: number(hp[name]) for name in names} for hp in request["hyperparameters"]]
    params = {name: to_mxnet(decoded(param)) for name, param in request["params"].items()}
    first = given[0]
    optimizer = mxnet.optimizer.Adamax(
        first["lr"], first["beta1"], first["beta2"], wd=first["weight_decay"]
    )
    optimizer.set_wd_mult(dict.fromkeys(request["undecayed"], 0.0))
    updater = mxnet.optimizer.get_updater(optimizer)
    initial, records = state(optimizer, updater, params), []
    for grads, hp in zip(request["grads"], given, strict=False):
        optimizer.set_learning_rate(hp["lr"])
        optimizer.beta1, optimizer.beta2, optimizer.wd = (
            hp["beta1"],
            hp["beta2"],
            hp["weight_decay"],
        )
        for name, grad in grads.items():
            updater(name, to_mxnet(decoded(grad)), params[name])
        stepped = {name: encoded(param.asnumpy()) for name, param in params.items()}
        records.append({"params": stepped, "state": state(optimizer, updater, params)})
    return {"initial": initial, "records": records}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a request; an error of a value is a refusal."""
    try:
        return OFFER if request["command"] == "hello" else run(request)
    except Exception as error:  # noqa: BLE001 - whatever MXNet raises is its answer
        refused = isinstance(error, ValueError | TypeError | NotImplementedError)
        message = str(error) or type(error).__name__
        return {"error": {"kind": "value" if refused else "internal", "message": message}}


for line in sys.stdin:
    message = json.loads(line)
    if message["command"] == "stop":
        break
    sys.stdout.write(json.dumps({"id": message["id"], **answer(message)}) + "\n")
    sys.stdout.flush()
