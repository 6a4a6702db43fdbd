"""`diagnose` reports every error of a backend, and where it was raised."""

from dataclasses import replace
from typing import Any, cast

import pytest

from adamax_conformance import FunctionalBackend, diagnose
from diagnosed import BASE, deviations, sgd, stepping


def boom(*_args: Any, **_options: Any) -> Any:
    raise MemoryError("no device")


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (replace(BASE, init=boom), "init raised MemoryError: no device"),
        (replace(BASE, step=boom), "step raised MemoryError: no device"),
        (replace(BASE, moments=boom), "moments raised MemoryError: no device"),
        (stepping(lambda *_args: None), "step raised TypeError"),
        (replace(BASE, step=lambda p, _g, s, _hp: ({k: v[:1] for k, v in p.items()}, s)),
         "came back as"),
        (replace(BASE, dtypes=("complex64",)), "it takes none of float16"),
    ],
)  # fmt: skip
def test_broken_backend_is_reported(broken: FunctionalBackend, text: str) -> None:
    diagnosis = diagnose(broken)
    assert not diagnosis.canonical
    assert diagnosis.adamax is None
    assert diagnosis.sentence.startswith("cannot be diagnosed: ")
    assert text in diagnosis.sentence


def test_error_on_one_axis_is_reported_there() -> None:
    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        if hp.maximize:
            raise NotImplementedError("not yet")
        return BASE.step(params, grads, state, hp)

    diagnosis = diagnose(stepping(step))
    assert deviations(diagnosis) == {"maximize": "raises"}
    note = diagnosis["maximize"].note
    assert note.startswith("step raised NotImplementedError: not yet (test_errors.py:")
    assert diagnosis.sentence == "maximize raises NotImplementedError"


def test_refusing_the_values_of_the_second_look_leaves_it_undecided() -> None:
    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        if not hp.eps or not hp.betas[0]:
            raise ValueError("zero")
        return sgd(params, grads, state, hp)

    assert diagnose(stepping(step)).adamax is False


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match=r"dtype = 'int8' must be a real dtype of numpy"):
        diagnose("numpy", dtype="int8")
    with pytest.raises(TypeError, match="is not a backend"):
        diagnose(cast("Any", 3))
