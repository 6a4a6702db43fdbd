"""`parametrize` under pytest: outcomes, ids and totals, also with pytest-xdist."""

from pathlib import Path

import pytest

import adamax_conformance
from adamax_conformance.cases.selection import selected

SUITE = """
from dataclasses import replace
import adamax_conformance
from adamax_conformance.subjects.reference import backend

base = backend()
idle = replace(base, name="idle", step=lambda p, g, s, hp: (dict(p), s))
known = replace(base, name="known", deviations={"A-4": "idle by design"},
                step=lambda p, g, s, hp: (dict(p), s))

@adamax_conformance.parametrize("numpy", clauses=["A-5", "A-10"], dtypes=["float32"])
def test_right(case):
    assert case().elements

@adamax_conformance.parametrize(idle, clauses=["A-4"], dtypes=["float32"])
def test_wrong(case):
    case()

@adamax_conformance.parametrize(known, clauses=["A-4"], dtypes=["float32"])
def test_known(case):
    case()
"""
EXPECTED = """
[[expect]]
id = "A-4/defaults"
status = "fail"
reason = "idle by design"
[[expect]]
id = "A-4/two-products[float32]"
status = "skip"
reason = "not today"
"""
IDS = {case.id for case, _ in selected(["A-4"], ["float32"])}
EXPECTED += "".join(
    f'[[expect]]\nid = "{each}"\nstatus = "skip"\nreason = "not today"\n'
    for each in sorted(IDS)
    if each not in EXPECTED
)
FEW = len(IDS)
RIGHT, EXEMPT = (len(selected([clause], ["float32"])) for clause in ("A-5", "A-10"))
"""The reference passes A-5, and has no exemptions from decay."""

TOTALS = [
    f"adamax-conformance: idle: {FEW} cases: {FEW} fail",
    f"adamax-conformance: known: {FEW} cases: {FEW} xfail",
    f"adamax-conformance: numpy: {RIGHT + EXEMPT} cases: {RIGHT} pass, {EXEMPT} unsupported",
]


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(test_suite=SUITE)
    return pytester


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="alone"),
        pytest.param(["-n", "2"], id="xdist", marks=pytest.mark.slow),
    ],
)
def test_outcomes_and_totals(suite: pytest.Pytester, options: list[str]) -> None:
    ran = suite.runpytest_subprocess(*options)
    ran.assert_outcomes(passed=RIGHT, failed=FEW, skipped=EXEMPT, xfailed=FEW)
    ran.stdout.fnmatch_lines(TOTALS)


def test_ids_are_those_of_the_cases_and_can_be_asked_for(suite: pytest.Pytester) -> None:
    ran = suite.runpytest_inprocess("test_suite.py::test_right[A-5/decays[float32]]", "-v")
    ran.assert_outcomes(passed=1)
    ran.stdout.fnmatch_lines(["*test_right[[]A-5/decays[[]float32[]][]] PASSED*"])


def test_failure_is_the_finding_and_not_a_traceback(suite: pytest.Pytester) -> None:
    ran = suite.runpytest_inprocess("-k", "test_wrong")
    ran.stdout.fnmatch_lines(["*A-4/defaults*float32*", "*step 1, *exp_avg*got 0.0*"])
    assert "Traceback" not in ran.stdout.str()
    assert "parametrize.py" not in ran.stdout.str()


def test_expectations_are_found_beside_the_test(pytester: pytest.Pytester) -> None:
    (pytester.path / "suite").mkdir()
    (pytester.path / "suite" / "known.toml").write_text(EXPECTED)
    (pytester.path / "suite" / "test_known.py").write_text(
        SUITE.partition("@")[0]
        + "@adamax_conformance.parametrize(idle, expect='known.toml', clauses=['A-4'],"
        " dtypes=['float32'])\ndef test_idle(case):\n    case()\n"
    )
    ran = pytester.runpytest_inprocess("suite")
    ran.assert_outcomes(skipped=FEW - 1, xfailed=1)


def test_expectation_that_no_longer_shows_fails(pytester: pytest.Pytester) -> None:
    (pytester.path / "known.toml").write_text(EXPECTED)
    pytester.makepyfile(
        "import adamax_conformance\n"
        "@adamax_conformance.parametrize('numpy', expect='known.toml', clauses=['A-4'],"
        " dtypes=['float32'])\ndef test_numpy(case):\n    case()\n"
    )
    ran = pytester.runpytest_inprocess()
    ran.assert_outcomes(skipped=FEW - 1, failed=1)
    ran.stdout.fnmatch_lines(["*passed, but is known to deviate: idle by design*"])


def test_broken_backend_fails_each_test_and_is_named_once_in_the_totals(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        "from dataclasses import replace\nimport adamax_conformance\n"
        "from adamax_conformance.subjects.reference import backend\n"
        "def no(*_): raise RuntimeError('no device')\n"
        "@adamax_conformance.parametrize(replace(backend(), name='broken', step=no),"
        " clauses=['A-4'], dtypes=['float32'])\ndef test_broken(case):\n    case()\n"
    )
    ran = pytester.runpytest_inprocess()
    ran.assert_outcomes(failed=FEW)
    ran.stdout.fnmatch_lines(["*RuntimeError: no device*", f"*broken: {FEW} cases: {FEW} blocked"])


def test_wrong_argument_of_the_decorator_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown clause 'A-99'"):
        adamax_conformance.parametrize("numpy", clauses=["A-99"])
    with pytest.raises(FileNotFoundError, match=r"nowhere\.toml"):
        adamax_conformance.parametrize("numpy", expect=tmp_path / "nowhere.toml")(lambda case: case)
