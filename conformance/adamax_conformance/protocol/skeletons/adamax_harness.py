"""A harness for an Adamax kernel: adamax-conformance check 'cmd:python3 adamax_harness.py'.

It reads one request per line from standard input and writes one answer per line to standard output;
docs/protocol.md of adamax-spec describes both. Print anything else to standard error. Replace
`kernel`, a conformant kernel in plain Python, with your own, and keep of `refuse` and
`refuse_gradient` what your kernel refuses itself. It runs on Python 3.8 and later.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from array import array
from typing import Any, NamedTuple

OFFER = {
    "version": 1,
    "name": "adamax in Python",
    "dtypes": ["float32", "float64"],
    "features": ["maximize", "weight_decay", "decoupled_weight_decay", "undecayed", "load"],
}
CODES = {"float32": "f", "float64": "d"}
DOMAINS = {"lr": math.inf, "beta1": 1, "beta2": 1, "eps": math.inf, "weight_decay": math.inf}


class Refused(ValueError):  # noqa: N818 - named for what it does
    """An argument is invalid; the message shows its value and domain."""


class Tensor(NamedTuple):
    """A row-major array of Python floats."""

    dtype: str
    shape: list[int]
    values: list[float]


class Slot(NamedTuple):
    """The optimizer's state of one parameter."""

    step: int
    exp_avg: Tensor
    exp_inf: Tensor


# ---- your kernel here ---------------------------------------------------------------------------


def refuse(hp: dict[str, Any]) -> None:
    """Raise if a hyperparameter is outside its domain."""
    for name, limit in DOMAINS.items():
        if not 0 <= hp[name] < limit:
            raise Refused(f"{name} = {hp[name]} is outside its domain 0 <= {name} < {limit}")


def refuse_gradient(shape: list[int], expected: list[int]) -> None:
    """Raise if a gradient has another shape than its parameter."""
    if shape != expected:
        raise Refused(f"a gradient has shape {shape}, its parameter {expected}")


def kernel(
    param: list[float], grad: list[float], slot: Slot, hp: dict[str, Any]
) -> tuple[int, list[float], list[float], list[float]]:
    """Take one step of one parameter; return count, parameter, first moment and infinity norm.

    The arithmetic is float64; the caller rounds the results once to their dtypes.
    """
    lr, beta1, beta2, eps, decay = (hp[name] for name in DOMAINS)
    decoupled, t = hp["decoupled_weight_decay"], slot.step + 1
    # 1 - beta1^t, without cancellation for a beta1 near one
    correction = -math.expm1(t * math.log(beta1)) if beta1 >= 0.5 else 1 - beta1**t  # noqa: PLR2004 - from here on it cancels
    new_param, new_avg, new_inf = [], [], []
    for p, grad_, m, u in zip(param, grad, slot.exp_avg.values, slot.exp_inf.values):  # noqa: B905 - Python 3.8
        g = -grad_ if hp["maximize"] else grad_
        if decay != 0 and not decoupled:
            g += decay * p
        m_ = beta1 * m + (1 - beta1) * g
        decayed, size = beta2 * u, abs(g) + eps
        u_ = decayed if decayed >= size or math.isnan(decayed) else size
        update = lr / correction * divide(m_, u_)
        if decay != 0 and decoupled:
            update += lr * decay * p
        new_param.append(p - update)
        new_avg.append(m_)
        new_inf.append(u_)
    return t, new_param, new_avg, new_inf


def divide(x: float, y: float) -> float:
    """Divide as IEEE 754 does; Python raises if the divisor is zero."""
    if y == 0:
        return math.nan if x == 0 or math.isnan(x) else math.copysign(math.inf, x)
    return x / y


# ---- the harness --------------------------------------------------------------------------------


def decode_number(bits: str) -> float:
    """Decode a float64 from its bits."""
    return float(struct.unpack(">d", bytes.fromhex(bits))[0])


def decode(document: dict[str, Any]) -> Tensor:
    """Decode an array from its bits; a gradient may be narrower than its parameter."""
    dtype, shape, raw = document["dtype"], document["shape"], bytes.fromhex(document["bits"])
    if dtype == "bfloat16":  # the upper half of a float32
        raw = b"".join(raw[i : i + 2] + b"\0\0" for i in range(0, len(raw), 2))
    code = {"float16": "e", "bfloat16": "f", **CODES}.get(dtype)
    if code is None:
        raise Refused(f"an array of dtype {dtype}: must be float32 or float64")
    return Tensor(dtype, shape, [x for (x,) in struct.iter_unpack(">" + code, raw)])


def encode(tensor: Tensor) -> dict[str, Any]:
    """Encode an array as its bits."""
    values = array(CODES[tensor.dtype], tensor.values)
    if sys.byteorder == "little":
        values.byteswap()
    return {"dtype": tensor.dtype, "shape": tensor.shape, "bits": values.tobytes().hex()}


def rounded(like: Tensor, values: list[float]) -> Tensor:
    """Round values to the dtype of an array and give them its shape."""
    return Tensor(like.dtype, like.shape, list(array(CODES[like.dtype], values)))


def hyperparameters(document: dict[str, Any]) -> dict[str, Any]:
    """Decode the hyperparameters of a step."""
    return {**document, **{name: decode_number(document[name]) for name in DOMAINS}}


def require_fit(what: str, tensor: Tensor, param: Tensor) -> None:
    """Refuse a shape that would need broadcasting."""
    if tensor.shape != param.shape:
        raise Refused(f"{what} has shape {tensor.shape}, its parameter {param.shape}")


def begin(params: dict[str, Tensor], saved: dict[str, Any] | None) -> dict[str, Slot]:
    """Return the state before the first step: zeros, or the saved state."""
    slots = {}
    for name, param in params.items():
        zero = Tensor(param.dtype, param.shape, [0.0] * len(param.values))
        slots[name] = Slot(0, zero, zero)
        if saved is not None:
            slot = saved[name]
            if set(slot) != {"step", "exp_avg", "exp_inf"}:
                raise Refused(f"the state of {name} has {sorted(slot)}: not that of Adamax")
            slots[name] = Slot(slot["step"], decode(slot["exp_avg"]), decode(slot["exp_inf"]))
            for part in ("exp_avg", "exp_inf"):
                require_fit(f"{part} of {name}", getattr(slots[name], part), param)
    return slots


def shown(slots: dict[str, Slot]) -> dict[str, Any]:
    """Encode the state."""
    return {
        name: {"step": s.step, "exp_avg": encode(s.exp_avg), "exp_inf": encode(s.exp_inf)}
        for name, s in slots.items()
    }


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Take all the steps of a request."""
    params = {name: decode(document) for name, document in request["params"].items()}
    for name, param in params.items():
        if param.dtype not in CODES:
            raise Refused(f"{name} has dtype {param.dtype}: must be float32 or float64")
    hps = [hyperparameters(document) for document in request["hyperparameters"]]
    for hp in hps:
        refuse(hp)
    slots = begin(params, request["state"])
    initial, records = shown(slots), []
    for hp, documents in zip(hps, request["grads"]):  # noqa: B905 - without a step, one hp
        grads = {name: decode(document) for name, document in documents.items()}
        for name, grad in grads.items():
            refuse_gradient(grad.shape, params[name].shape)
        for name, grad in grads.items():  # a parameter without a gradient stays as it is
            param, slot = params[name], slots[name]
            own = {**hp, "weight_decay": 0.0} if name in request["undecayed"] else hp
            t, p, m, u = kernel(param.values, grad.values, slot, own)
            params[name] = rounded(param, p)
            slots[name] = Slot(t, rounded(slot.exp_avg, m), rounded(slot.exp_inf, u))
        sent = {name: encode(param) for name, param in params.items()}
        records.append({"params": sent, "state": shown(slots)})
    return {"initial": initial, "records": records}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a request, without its id."""
    try:
        return OFFER if request["command"] == "hello" else run(request)
    except Refused as error:
        return {"error": {"kind": "value", "message": str(error)}}
    except Exception as error:  # noqa: BLE001 - the judge reports any error
        return {"error": {"kind": "internal", "message": f"{type(error).__name__}: {error}"}}


def main() -> None:
    """Answer until ``stop`` or the end of the input."""
    for line in sys.stdin:
        request = json.loads(line)
        if request["command"] == "stop":
            return
        print(json.dumps({"id": request["id"], **answer(request)}), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
