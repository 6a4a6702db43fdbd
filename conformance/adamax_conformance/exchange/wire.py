"""Runs as JSON: the one encoding for vectors, the protocol and files that reproduce a failure.

A float is encoded as its bits: big-endian IEEE 754, in hexadecimal. So nothing is lost, and nothing
depends on a parser of decimals. A bfloat16 is the upper half of a float32. Arrays are row-major; a
complex number is its real part, then its imaginary part. The schema is ``schemas/run.schema.json``.
"""

import math
import reprlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from adamax_conformance.judging.finding import Divergence
from adamax_conformance.judging.run import EVERYTHING, Run, Trial
from adamax_conformance.spec.formats import DTYPES, dtype_of, format_of
from adamax_conformance.subject.backend import Moments, unvalidated
from adamax_conformance.subject.memory import LAYOUTS, laid_out, layout_of
from adamax_core import Hyperparameters

Document = Mapping[str, Any]
"""A JSON object, as `json.loads` returns it."""

_NUMBERS = ("lr", "beta1", "beta2", "eps", "weight_decay")


class WireError(ValueError):
    """A document does not have the form that this module writes; the message says why."""


def encode_number(number: float) -> str:
    """Return the bits of a float64 as sixteen hexadecimal digits.

    >>> encode_number(1.0)
    '3ff0000000000000'
    """
    return np.array(number, ">f8").tobytes().hex()


def decode_number(text: Any) -> float:
    """Return the float64 of sixteen hexadecimal digits.

    >>> decode_number("3ff0000000000000")
    1.0
    """
    return float(np.frombuffer(_bytes(text, 8, "a number"), ">f8")[0])


def _bytes(text: Any, length: int, what: str) -> bytes:
    if not isinstance(text, str) or not set(text.lower()) <= set("0123456789abcdef"):
        raise WireError(f"{what} is {reprlib.repr(text)}, not hexadecimal digits")
    if len(text) != 2 * length:
        raise WireError(f"{what} has {len(text)} hexadecimal digits, must have {2 * length}")
    return bytes.fromhex(text)


def encode_array(array: Any) -> Document:
    """Encode the dtype, shape and bits of an array, and its layout if that is not row-major.

    >>> encode_array(np.array([1.0, -0.5], np.float32))
    {'dtype': 'float32', 'shape': [2], 'bits': '3f800000bf000000'}
    """
    array = np.asarray(array)
    document = {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "bits": _words(array).astype(_word(array.dtype).newbyteorder(">")).tobytes().hex(),
    }
    layout = layout_of(array)
    return document if layout == "C" else document | {"layout": layout}


def _word(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the unsigned integer dtype of the size of a real of this dtype."""
    return np.dtype(f"u{format_of(dtype).dtype.itemsize}")


def _words(array: Any) -> Any:
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return np.ascontiguousarray(native).reshape(-1).view(_word(array.dtype))


def decode_array(document: Any) -> Any:
    """Decode an array.

    Raises:
        WireError: a key is missing, a dtype unknown, or the bits are not those of the shape.

    >>> decode_array({"dtype": "bfloat16", "shape": [], "bits": "3f80"})
    array(1, dtype=bfloat16)
    """
    dtype, shape, bits = _fields(document, "an array", "dtype", "shape", "bits")
    if dtype not in DTYPES:
        raise WireError(f"dtype is {dtype!r}, must be one of {', '.join(DTYPES)}")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise WireError(f"shape is {shape!r}, must be a list of whole numbers from 0")
    layout = document.get("layout", "C")
    if layout not in LAYOUTS:
        raise WireError(f"layout is {layout!r}, must be one of {', '.join(LAYOUTS)}")
    target = dtype_of(dtype)
    raw = _bytes(bits, int(np.prod(shape, dtype=object)) * target.itemsize, f"{dtype} {shape}")
    word = _word(target)
    words = np.frombuffer(raw, word.newbyteorder(">")).astype(word)
    return laid_out(words.view(target).reshape(shape), layout)


def _fields(document: Any, what: str, *names: str) -> list[Any]:
    if not isinstance(document, dict):
        raise WireError(f"{what} is {type(document).__name__}, must be an object")
    if missing := [name for name in names if name not in document]:
        raise WireError(f"{what} has no {', '.join(missing)}")
    return [document[name] for name in names]


def encode_arrays(arrays: Mapping[str, Any]) -> Document:
    """Encode arrays by name."""
    return {name: encode_array(array) for name, array in arrays.items()}


def decode_arrays(document: Any) -> dict[str, Any]:
    """Decode arrays by name; see `decode_array`."""
    _fields(document, "arrays by name")
    return {name: decode_array(each) for name, each in document.items()}


def encode_moments(moments: Mapping[str, Moments]) -> Document:
    """Encode the state of each parameter."""
    return {
        name: {
            "step": int(slot.step),
            "exp_avg": encode_array(slot.exp_avg),
            "exp_inf": encode_array(slot.exp_inf),
        }
        for name, slot in moments.items()
    }


def decode_moments(document: Any) -> dict[str, Moments]:
    """Decode the state of each parameter; see `decode_array`."""
    _fields(document, "a state")
    moments = {}
    for name, slot in document.items():
        step, exp_avg, exp_inf = _fields(slot, f"the state of {name}", *Moments._fields)
        if type(step) is not int:
            raise WireError(f"the step of {name} is {step!r}, must be a whole number")
        moments[name] = Moments(step, decode_array(exp_avg), decode_array(exp_inf))
    return moments


def encode_hyperparameters(hp: Hyperparameters) -> Document:
    """Encode the five numbers as float64, and the two modes.

    >>> encode_hyperparameters(Hyperparameters())["beta1"]
    '3feccccccccccccd'
    """
    values = (hp.lr, *hp.betas, hp.eps, hp.weight_decay)
    return {
        **{name: encode_number(value) for name, value in zip(_NUMBERS, values, strict=True)},
        "maximize": hp.maximize,
        "decoupled_weight_decay": hp.decoupled_weight_decay,
    }


def decode_hyperparameters(document: Any) -> Hyperparameters:
    """Decode hyperparameters without checking their domains: a run may test a refusal."""
    *numbers, maximize, decoupled = _fields(
        document, "hyperparameters", *_NUMBERS, "maximize", "decoupled_weight_decay"
    )
    lr, beta1, beta2, eps, weight_decay = map(decode_number, numbers)
    if type(maximize) is not bool or type(decoupled) is not bool:
        raise WireError("maximize and decoupled_weight_decay must be true or false")
    return unvalidated(
        Hyperparameters(maximize=maximize, decoupled_weight_decay=decoupled),
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
    )


def encode_run(run: Run) -> Document:
    """Encode a run: hyperparameters of each step, parameters, the initial state, gradients."""
    return {
        "hyperparameters": [encode_hyperparameters(run.at(i)) for i in range(len(run.grads))],
        "params": encode_arrays(run.params),
        "state": None if run.saved is None else encode_moments(run.saved),
        "state_dtype": run.state_dtype,
        "undecayed": sorted(run.undecayed),
        "grads": [encode_arrays(grads) for grads in run.grads],
    }


def decode_run(document: Any) -> Run:
    """Decode a run.

    Raises:
        WireError: the document does not fit; says what and where.
    """
    names = ("hyperparameters", "params", "state", "state_dtype", "undecayed", "grads")
    hps, params, state, state_dtype, undecayed, grads = _fields(document, "a run", *names)
    if not isinstance(grads, list) or not isinstance(hps, list) or len(grads) != len(hps):
        raise WireError("grads and hyperparameters must be lists of one entry per step")
    if state_dtype is not None and state_dtype not in DTYPES:
        raise WireError(
            f"state_dtype is {state_dtype!r}, must be null or one of {', '.join(DTYPES)}"
        )
    if not isinstance(undecayed, list) or not all(isinstance(name, str) for name in undecayed):
        raise WireError(f"undecayed is {undecayed!r}, must be a list of names")
    return Run(
        params=decode_arrays(params),
        grads=[decode_arrays(each) for each in grads],
        hp=[decode_hyperparameters(each) for each in hps],
        saved=None if state is None else decode_moments(state),
        state_dtype=state_dtype,
        undecayed=tuple(undecayed),
    )


def encode_trial(trial: Trial) -> Document:
    """Encode a run and how to judge it."""
    return {
        "run": encode_run(trial.run),
        "judged": sorted(trial.judged, key=EVERYTHING.index),
        "accurate_correction": trial.accurate_correction,
    }


def decode_trial(document: Any) -> Trial:
    """Decode a trial; see `decode_run`."""
    run, judged, accurate = _fields(document, "a trial", "run", "judged", "accurate_correction")
    if not isinstance(judged, list) or not all(each in EVERYTHING for each in judged):
        raise WireError(f"judged is {judged!r}, must be among {', '.join(EVERYTHING)}")
    if type(accurate) is not bool:
        raise WireError(f"accurate_correction is {accurate!r}, must be true or false")
    return Trial(decode_run(run), tuple(judged), accurate)


def encode_ratio(ratio: float) -> float | None:
    """Encode the ratio of an error to its bound; infinity becomes null, since JSON has none."""
    return ratio if math.isfinite(ratio) else None


def decode_ratio(ratio: float | None) -> float:
    """Decode the ratio of an error to its bound."""
    return math.inf if ratio is None else ratio


def encode_divergence(found: Divergence | None) -> Document | None:
    """Encode the first wrong value of a run, if there is one."""
    return None if found is None else asdict(found) | {"distance": encode_ratio(found.distance)}


def decode_divergence(document: Document | None) -> Divergence | None:
    """Decode the first wrong value of a run; its schema has been checked."""
    if document is None:
        return None
    index, distance = tuple(document["index"]), decode_ratio(document["distance"])
    return Divergence(**{**document, "index": index, "distance": distance})
