"""The program's side of the protocol: its answers, and its errors for wrong messages."""

import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from adamax_conformance import FunctionalBackend, check
from adamax_conformance.cases import CASES
from adamax_conformance.exchange.schemas import require, schema
from adamax_conformance.exchange.wire import encode_array, encode_hyperparameters
from adamax_conformance.protocol.lines import from_line
from adamax_conformance.protocol.offer import Offer
from adamax_conformance.protocol.server import offered, serve
from adamax_conformance.registry import find
from adamax_conformance.subject.backend import FEATURES, HYPERPARAMETER_DTYPES, LIMITS
from adamax_conformance.subjects.reference import backend as reference
from adamax_core import Hyperparameters

DOCUMENT = Path(__file__).parents[3] / "docs" / "protocol.md"
HELLO = {"command": "hello", "id": 0, "version": 1}
ONE = encode_array(np.ones(2, np.float32))
HP = encode_hyperparameters(Hyperparameters())
RUN = {
    "command": "run", "id": 1, "hyperparameters": [HP], "params": {"w": ONE}, "state": None,
    "state_dtype": None, "undecayed": [], "grads": [{"w": ONE}],
}  # fmt: skip
ADAM = {"w": {"step": 3, "exp_avg": ONE, "exp_avg_sq": ONE}}


def answers(*requests: Any, backend: Any = None) -> list[Any]:
    lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in requests]
    out = io.BytesIO()
    serve(backend or find("numpy"), io.BytesIO(b"\n".join(lines) + b"\n"), out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_session_of_the_document_is_what_is_answered() -> None:
    (session,) = re.findall(r"```text\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    lines = [(line[:2], line[2:]) for line in session.splitlines()]
    requests = [text for mark, text in lines if mark == "> "]
    expected = [text for mark, text in lines if mark == "< "]
    out = io.BytesIO()
    serve(find("numpy"), io.BytesIO("\n".join(requests).encode()), out)
    assert out.getvalue().decode().splitlines() == expected
    assert len(requests) == len(expected) + 1 == 5
    assert "walk" in requests.pop(3)
    for text in (*requests, *expected):
        require("protocol", from_line(text.encode()))


@pytest.mark.parametrize(
    ("request_", "kind", "message"),
    [
        (b"hello", "message", "not JSON: Expecting value"),
        (b"[]", "message", "must be an object, but is list"),
        (b'{"command": "run", "id": NaN}', "message", "NaN is not JSON"),
        ({"id": 4}, "message", "command is None, must be hello, run or stop"),
        ({**HELLO, "version": 2}, "unsupported", "version 2 of the protocol; this is 1"),
        ({**HELLO, "extra": 1}, "message", "('extra' was unexpected)"),
        ({**RUN, "id": "1"}, "message", "$.id: '1' is not of type 'integer'"),
        ({**RUN, "hyperparameters": [HP, HP]}, "message", "2 hyperparameters for 1 steps"),
        ({**RUN, "hyperparameters": []}, "message", "$.hyperparameters: [] should be non-empty"),
        ({**RUN, "params": {"w": {**ONE, "bits": "3f80"}}}, "message", "has 4 hexadecimal digits"),
        ({**RUN, "params": {"w": {**ONE, "shape": [3]}}}, "message", "must have 24"),
        ({**RUN, "undecayed": ["w"]}, "unsupported", "undecayed was not offered"),
        ({**RUN, "grads": [{"w": encode_array(np.ones(1))}]}, "value", "has shape (1,)"),
        ({**RUN, "grads": [{"w": encode_array(np.ones(2, complex))}]}, "value", "complex128"),
        ({**RUN, "state": ADAM}, "value", "exp_avg_sq"),
    ],
)
def test_wrong_message_gets_an_error_that_says_why(request_: Any, kind: str, message: str) -> None:
    _, answer, again = answers(HELLO, request_, HELLO)
    require("protocol", answer, "failure")
    assert answer["error"]["kind"] == kind
    assert message in answer["error"]["message"]
    assert again["name"] == "numpy"


def test_hello_comes_first() -> None:
    assert answers(RUN)[0]["error"] == {"kind": "message", "message": "run before hello"}


def test_nothing_is_answered_after_stop() -> None:
    assert len(answers(HELLO, {"command": "stop"}, HELLO)) == 1


def test_run_without_steps_shows_the_state_and_refuses_hyperparameters() -> None:
    bad = {**HP, "beta1": "3ff0000000000000"}
    empty = {**RUN, "grads": []}
    _, shown, refused = answers(HELLO, empty, {**empty, "hyperparameters": [bad]})
    assert shown["records"] == []
    assert shown["initial"]["w"]["step"] == 0
    assert refused["error"]["message"].startswith("beta1 = 1.0 is outside")


def test_answers_are_of_the_schema_and_repeat_the_id() -> None:
    offer, record = answers(HELLO, {**RUN, "id": 7, "state_dtype": "float64"})
    require("protocol", offer, "offer")
    require("protocol", record, "records")
    assert record["id"] == 7
    assert record["records"][0]["state"]["w"]["exp_avg"]["dtype"] == "float64"


def test_faults_of_the_backend_are_answers() -> None:
    def broken(*_args: Any) -> Any:
        raise RuntimeError("no device")

    base = find("numpy")
    parts = {"init": base.init, "moments": base.moments, "dtypes": ("float32",)}
    backend = FunctionalBackend("broken", step=broken, **parts)  # type: ignore[arg-type]  # mypy mixes up the fields of a ** argument
    malformed = FunctionalBackend("malformed", step=lambda *_: ({}, None), **parts)  # type: ignore[arg-type]  # the same
    narrow = {**RUN, "params": {"w": encode_array(np.ones(2))}}
    _, internal, unsupported = answers(HELLO, RUN, narrow, backend=backend)
    assert internal["error"] == {"kind": "internal", "message": "no device"}
    assert unsupported["error"]["message"] == "float64 was not offered in answer to hello"
    assert answers(HELLO, RUN, backend=malformed)[1]["error"]["kind"] == "internal"


def test_schema_is_valid_and_its_features_are_those_of_the_judge() -> None:
    Draft202012Validator.check_schema(schema("protocol"))
    assert set(FEATURES) - set(offered()) == {"sparse", "vjp"}


def test_output_of_a_backend_is_not_mixed_into_the_answers(tmp_path: Path) -> None:
    (tmp_path / "chatty.py").write_text(
        "from dataclasses import replace\n"
        "from adamax_conformance.subjects.reference import backend\n"
        "base = backend()\n"
        "def init(*args, **kwargs):\n    print('init!')\n    return base.init(*args, **kwargs)\n"
        "it = replace(base, name='chatty', init=init)\n"
    )
    command = [sys.executable, "-c", "from adamax_conformance.cli import app; app()"]
    command += ["serve", "py:chatty:it"]
    lines = "\n".join(map(json.dumps, (HELLO, RUN)))
    done = subprocess.run(
        command, input=lines, capture_output=True, text=True, cwd=tmp_path, check=True, timeout=120
    )
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [0, 1]
    assert "init!" in done.stderr


@pytest.mark.slow
def test_reference_behind_the_protocol_is_conformant() -> None:
    serving = f'cmd:{sys.executable} -c "from adamax_conformance.cli import app; app()" serve'
    through = check(find(serving, timeout=120))
    assert through.conformant, through.counts
    direct = {result.id: result for result in check("numpy").results}
    derivatives = {case.id for case in CASES if "vjp" in case.features}
    for result in through.results:
        # Parameters that change between steps cannot be sent: there the case holds, uncompared.
        if result.case not in {*derivatives, "A-7/parameters-given", "S-9/order-changes"}:
            assert result.status is direct[result.id].status
            assert result.bound_used == direct[result.id].bound_used


def test_hello_declares_limits_and_runs_beyond_them_are_answered() -> None:
    """The judge looks whether a declaration is true."""
    backend = replace(
        reference(),
        limits=["positive_lr", "no_missing_gradients"],
        hyperparameter_dtype="float32",
    )
    still = encode_hyperparameters(Hyperparameters(lr=0.0))
    beyond = RUN | {"hyperparameters": [still], "grads": [{}]}
    hello, run = answers(HELLO, beyond, backend=backend)
    require("protocol", hello, "offer")
    assert hello["limits"] == ["no_missing_gradients", "positive_lr"]
    assert hello["hyperparameter_dtype"] == "float32"
    assert run["records"][0]["params"]["w"] == ONE


def test_hello_of_a_backend_without_limits_is_as_before() -> None:
    [hello] = answers(HELLO)
    about = {"language", "packages", "default_eps"}
    assert not ({"limits", "hyperparameter_dtype"} | about) & set(hello)


def test_hello_says_what_the_backend_is_made_of() -> None:
    packages = {"left-pad": "1.3.0"}
    told = replace(reference(), language="Ada", packages=packages, default_eps=1e-7)
    [hello] = answers(HELLO, backend=told)
    require("protocol", hello, "offer")
    assert (hello["language"], hello["packages"], hello["default_eps"]) == ("Ada", packages, 1e-7)
    offer = Offer.of(hello)
    assert (offer.language, offer.packages, offer.default_eps) == ("Ada", packages, 1e-7)


def test_schema_knows_every_limit() -> None:
    properties = schema("protocol")["$defs"]["offer"]["properties"]
    assert set(properties["limits"]["items"]["enum"]) == set(LIMITS)
    assert set(properties["hyperparameter_dtype"]["enum"]) == set(HYPERPARAMETER_DTYPES)
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"| `{limit}` |" in text for limit in LIMITS)
