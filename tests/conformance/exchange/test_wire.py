"""Runs as JSON: every bit survives a round trip, and errors say what is invalid."""

import json
import math
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamax_conformance.exchange.schemas import SchemaError, require
from adamax_conformance.exchange.wire import (
    WireError,
    decode_array,
    decode_arrays,
    decode_hyperparameters,
    decode_moments,
    decode_number,
    decode_run,
    decode_trial,
    encode_array,
    encode_arrays,
    encode_hyperparameters,
    encode_moments,
    encode_number,
    encode_run,
    encode_trial,
)
from adamax_conformance.fuzz.arrays import arrays, shapes
from adamax_conformance.fuzz.runs import Offers, hyperparameters, runs
from adamax_conformance.judging.run import EVERYTHING, Run, Trial
from adamax_conformance.spec.formats import DTYPES, dtype_of, format_of
from adamax_conformance.subject.backend import Moments, unvalidated
from adamax_conformance.subject.memory import LAYOUTS, laid_out, layout_of
from adamax_core import Hyperparameters

EVERY = frozenset({"maximize", "weight_decay", "decoupled_weight_decay", "undecayed", "state_dtype",
                   "load"})  # fmt: skip
ONE = {"dtype": "float32", "shape": [1], "bits": "3f800000"}


def over_the_wire(document: Any) -> Any:
    """Return the document after a round trip through JSON."""
    return json.loads(json.dumps(document, allow_nan=False))


def assert_same(one: Any, other: Any) -> None:
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    assert layout_of(one) == layout_of(other)
    assert one.tobytes() == other.tobytes()


@settings(derandomize=True, deadline=None)
@given(number=st.floats())
def test_numbers_come_back(number: float) -> None:
    text = encode_number(number)
    assert len(text) == 16
    again = decode_number(over_the_wire(text))
    assert np.float64(again).tobytes() == np.float64(number).tobytes()


def test_numbers_are_big_endian() -> None:
    assert encode_number(-2.0) == "c000000000000000"
    assert encode_number(5e-324) == "0000000000000001"
    assert math.isinf(decode_number("7FF0000000000000"))


@pytest.mark.parametrize("dtype", DTYPES)
@settings(derandomize=True, deadline=None, max_examples=30)
@given(data=st.data())
def test_arrays_come_back(dtype: str, data: st.DataObject) -> None:
    array = data.draw(arrays(dtype, data.draw(shapes(100))))
    assert_same(decode_array(over_the_wire(encode_array(array))), array)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(derandomize=True, deadline=None, max_examples=30)
@given(data=st.data())
def test_every_pattern_of_bits_comes_back(dtype: str, data: st.DataObject) -> None:
    """NaN keeps its sign, its payload, and whether it signals."""
    target = dtype_of(dtype)
    raw = data.draw(st.binary(min_size=3 * target.itemsize, max_size=3 * target.itemsize))
    array = np.frombuffer(raw, target)
    again = decode_array(over_the_wire(encode_array(array)))
    assert again.tobytes() == raw


@pytest.mark.parametrize("dtype", DTYPES)
def test_payloads_of_nan_come_back(dtype: str) -> None:
    real = format_of(dtype).dtype
    width = real.itemsize
    quiet, signalling = {
        "float16": (0x7E01, 0xFD55), "bfloat16": (0x7FC1, 0xFFA5),
        "float32": (0x7FC00001, 0xFFA55AA5), "float64": (0x7FF8000000000001, 0xFFF55AA55AA55AA5),
    }[format_of(dtype).name]  # fmt: skip
    array = np.array([quiet, signalling] * 2, f"u{width}").view(dtype_of(dtype))
    with np.errstate(invalid="ignore"):  # a signalling one signals
        assert np.all(np.isnan(array.view(real)))
    document = encode_array(array)
    assert document["bits"].startswith(f"{quiet:0{2 * width}x}{signalling:0{2 * width}x}")
    assert decode_array(over_the_wire(document)).tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("array", "bits"),
    [
        (np.array([1, -2], np.float16), "3c00c000"),
        (np.array([1, -2]).astype(ml_dtypes.bfloat16), "3f80c000"),
        (np.array([1, -2], np.float32), "3f800000c0000000"),
        (np.array(1.0), "3ff0000000000000"),
        (np.array([1 - 2j], np.complex64), "3f800000c0000000"),
        (np.array([[1, 2], [3, 4]], np.float16).T, "3c0042004000" + "4400"),
        (np.zeros((0, 3), np.float32), ""),
        (np.array([1, -2], ">f4"), "3f800000c0000000"),
    ],
)
def test_bits_are_row_by_row_big_endian_and_pairs(array: Any, bits: str) -> None:
    assert encode_array(array)["bits"] == bits


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts_come_back(dtype: str, layout: str) -> None:
    array = laid_out(np.arange(6).astype(dtype_of(dtype)).reshape(2, 3), layout)
    document = encode_array(array)
    assert document.get("layout", "C") == layout
    assert_same(decode_array(over_the_wire(document)), array)


def test_decoded_arrays_are_writable() -> None:
    array = decode_array(ONE)
    array[0] = 3
    assert array.flags.writeable
    assert decode_array(ONE)[0] == 1


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "an array is list, must be an object"),
        (None, "an array is NoneType, must be an object"),
        ({"dtype": "float32"}, "an array has no shape, bits"),
        ({**ONE, "dtype": "int32"}, "dtype is 'int32', must be one of float16"),
        ({**ONE, "dtype": ["float32"]}, r"dtype is \['float32'\], must be one of"),
        ({**ONE, "shape": [-1]}, r"shape is \[-1\], must be a list of whole numbers"),
        ({**ONE, "shape": [1.0]}, r"shape is \[1.0\], must be a list"),
        ({**ONE, "shape": [True]}, r"shape is \[True\], must be a list"),
        ({**ONE, "shape": 1}, "shape is 1, must be a list"),
        ({**ONE, "bits": "3f80"}, r"float32 \[1\] has 4 hexadecimal digits, must have 8"),
        ({**ONE, "shape": [2]}, r"float32 \[2\] has 8 hexadecimal digits, must have 16"),
        ({**ONE, "bits": "3f80000g"}, "not hexadecimal digits"),
        ({**ONE, "bits": " f800000"}, "not hexadecimal digits"),
        ({**ONE, "bits": 1065353216}, "float32 .* is 1065353216, not hexadecimal digits"),
        ({**ONE, "bits": "x" * 10_000}, r"is 'xxxx.*\.\.\.x*', not hexadecimal digits"),
        ({**ONE, "shape": [10**30]}, "must have 8" + "0" * 30),
        ({**ONE, "layout": "D"}, "layout is 'D', must be one of C, F, strided"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(document: Any, message: str) -> None:
    with pytest.raises(WireError, match=message) as caught:
        decode_array(document)
    assert len(str(caught.value)) < 200


def test_numbers_that_do_not_fit_are_refused() -> None:
    for text, message in ((1.0, "not hexadecimal"), ("3ff0", "has 4 hexadecimal digits")):
        with pytest.raises(WireError, match=f"a number .*{message}"):
            decode_number(text)


def test_arrays_by_name() -> None:
    given_ = {"w": np.ones(2), "": np.zeros(())}
    again = decode_arrays(over_the_wire(encode_arrays(given_)))
    assert [*again] == ["w", ""]
    with pytest.raises(WireError, match="arrays by name is list"):
        decode_arrays([])


@settings(derandomize=True, deadline=None)
@given(hp=hyperparameters(Offers("float32", EVERY)))
def test_hyperparameters_come_back(hp: Hyperparameters) -> None:
    assert decode_hyperparameters(over_the_wire(encode_hyperparameters(hp))) == hp


def test_hyperparameters_out_of_domain_come_back_to_be_refused() -> None:
    bad = unvalidated(Hyperparameters(), lr=math.nan, betas=(1.0, -math.inf), eps=-1.0)
    again = decode_hyperparameters(over_the_wire(encode_hyperparameters(bad)))
    assert math.isnan(again.lr)
    assert again.betas == (1.0, -math.inf)
    with pytest.raises(ValueError, match="lr = nan"):
        again.validate()


def test_hyperparameters_that_do_not_fit_are_refused() -> None:
    document = dict(encode_hyperparameters(Hyperparameters()))
    for change, message in (
        ({"lr": 0.5}, "a number is 0.5, not hexadecimal"),
        ({"maximize": 1}, "maximize and decoupled_weight_decay must be true or false"),
    ):
        with pytest.raises(WireError, match=message):
            decode_hyperparameters(document | change)
    del document["beta2"]
    with pytest.raises(WireError, match="hyperparameters has no beta2"):
        decode_hyperparameters(document)


def test_moments_that_do_not_fit_are_refused() -> None:
    document: Any = encode_moments({"w": Moments(3, np.ones(1), np.ones(1))})
    for step in (1.5, True, "3", None):
        with pytest.raises(WireError, match=f"the step of w is {step!r}, must be a whole number"):
            decode_moments({"w": {**document["w"], "step": step}})
    with pytest.raises(WireError, match="the state of w has no exp_avg, exp_inf"):
        decode_moments({"w": {"step": 1}})


def test_steps_are_exact() -> None:
    moments = {"w": Moments(2**31 - 1, np.ones(1), np.ones(1))}
    assert decode_moments(over_the_wire(encode_moments(moments)))["w"].step == 2**31 - 1


@pytest.mark.parametrize("dtype", DTYPES)
@settings(derandomize=True, deadline=None, max_examples=30)
@given(data=st.data())
def test_trials_come_back_and_are_of_the_schema(dtype: str, data: st.DataObject) -> None:
    run = data.draw(runs(Offers(dtype, EVERY, 100)))
    judged = tuple(q for q in EVERYTHING if data.draw(st.booleans()))
    trial = Trial(run, judged, accurate_correction=data.draw(st.booleans()))
    document = over_the_wire(encode_trial(trial))
    require("run", document)
    again = decode_trial(document)
    assert encode_trial(again) == encode_trial(trial)
    assert (again.judged, again.accurate_correction) == (judged, trial.accurate_correction)
    assert again.run.state_dtype == run.state_dtype
    assert again.run.undecayed == tuple(run.undecayed)
    assert len(again.run.grads) == len(run.grads)
    for index, grads in enumerate(run.grads):
        assert again.run.at(index) == run.at(index)
        assert [*again.run.grads[index]] == [*grads]
        for name, grad in grads.items():
            assert_same(again.run.grads[index][name], grad)
    for name, param in run.params.items():
        assert_same(again.run.params[name], param)
    if run.saved is None:
        assert again.run.saved is None
    else:
        assert again.run.saved is not None
        for name, slot in run.saved.items():
            assert again.run.saved[name].step == slot.step
            assert_same(again.run.saved[name].exp_avg, slot.exp_avg)
            assert_same(again.run.saved[name].exp_inf, slot.exp_inf)


def a_trial() -> Trial:
    return Trial(Run({"w": np.ones(1)}, [{"w": np.ones(1)}], Hyperparameters(), undecayed=("w",)))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("run",), None, "a run is NoneType, must be an object"),
        (("run", "grads"), [], "must be lists of one entry per step"),
        (("run", "grads"), {}, "must be lists of one entry per step"),
        (("run", "hyperparameters"), 1, "must be lists of one entry per step"),
        (("run", "params"), [], "arrays by name is list"),
        (("run", "state"), [], "a state is list"),
        (("run", "state_dtype"), "int8", "state_dtype is 'int8', must be null or one of"),
        (("run", "undecayed"), "w", "undecayed is 'w', must be a list of names"),
        (("run", "undecayed"), [1], r"undecayed is \[1\], must be a list of names"),
        (("judged",), ["loss"], r"judged is \['loss'\], must be among step"),
        (("judged",), 3, "judged is 3, must be among step"),
        (("judged",), [[]], r"judged is \[\[\]\], must be among step"),
        (("accurate_correction",), "no", "accurate_correction is 'no', must be true or false"),
    ],
)
def test_trials_that_do_not_fit_are_refused(
    path: tuple[str, ...], value: Any, message: str
) -> None:
    document = over_the_wire(encode_trial(a_trial()))
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(WireError, match=message):
        decode_trial(document)
    # That the lists are of one length is beyond a schema.
    if value != []:
        with pytest.raises(SchemaError):
            require("run", document)


def test_missing_keys_are_named() -> None:
    document = over_the_wire(encode_trial(a_trial()))
    del document["run"]["params"]
    with pytest.raises(WireError, match="a run has no params"):
        decode_trial(document)
    with pytest.raises(WireError, match="a trial has no run, judged"):
        decode_trial({"accurate_correction": True})


def test_one_set_of_hyperparameters_is_written_for_each_step() -> None:
    trial = a_trial()
    run = replace(trial.run, grads=list(trial.run.grads) * 3)
    document: Any = encode_run(run)
    assert len(document["hyperparameters"]) == 3
    assert decode_run(document).at(2) == run.at(2)


def test_undecayed_names_are_sorted_so_that_the_same_run_is_the_same_text() -> None:
    run = replace(a_trial().run, undecayed={"c", "a", "b"})
    assert encode_run(run)["undecayed"] == ["a", "b", "c"]
