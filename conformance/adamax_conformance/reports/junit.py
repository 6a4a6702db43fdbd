"""The report for CI: JUnit XML, with a suite for each backend and a test case for each result.

Cases that did not run are skipped, which readers of JUnit take for success. So an incomplete or
broken backend has one more test case, ``verdict``, with an error.
"""

from collections.abc import Mapping, Sequence
from typing import TextIO
from xml.etree import ElementTree as ET

from adamax_conformance.reports.environment import environment
from adamax_conformance.reports.failure import describe, written
from adamax_conformance.reports.report import Report, Verdict
from adamax_conformance.reports.result import NOT_RUN, Result, Status
from adamax_conformance.reports.text import after_outcome, grades, outcome
from adamax_conformance.subject.printable import printable

_TAGS: Mapping[Status, str] = {
    Status.FAIL: "failure",
    Status.XPASS: "failure",
    Status.REFUSED: "error",
    Status.ERROR: "error",
    Status.UNJUDGED: "error",
    Status.XFAIL: "skipped",
    **dict.fromkeys(NOT_RUN, "skipped"),
}


def write(reports: Sequence[Report], stream: TextIO, verbose: bool) -> None:
    """Write all that JUnit can hold; `verbose` changes nothing."""
    del verbose
    root = ET.Element("testsuites", name="Adamax conformance")
    for report in reports:
        root.append(_suite(report))
    _total(root)
    ET.indent(root)
    # ASCII with character references is right in any encoding of the stream.
    stream.write(ET.tostring(root, "us-ascii", xml_declaration=True).decode("ascii") + "\n")


def _suite(report: Report) -> ET.Element:
    name = printable(report.backend)
    suite = ET.Element("testsuite", name=name)
    about = {
        "verdict": report.verdict,
        "outcome": outcome(report),
        "grades": grades(report),
        "dialect": report.dialect,
        "suspect": report.suspect or "",
        "diagnosis": report.diagnosis,
        "seed": report.seed,
        "elements": report.elements,
        **environment(),
    }
    suite.append(_properties(about))
    suite.extend(_case(report, result, name) for result in report.results)
    if report.outcome in (Verdict.BROKEN, Verdict.INCOMPLETE):
        case = ET.SubElement(suite, "testcase", classname=name, name="verdict")
        ET.SubElement(case, "error", message=f"{outcome(report)}{after_outcome(report)}")
    _total(suite)
    return suite


def _case(report: Report, result: Result, suite: str) -> ET.Element:
    case = ET.Element("testcase", classname=f"{suite}.{result.clause}", name=result.id)
    about = {
        "clause": result.clause,
        "dtype": result.dtype,
        "status": result.status,
        "elements": result.elements,
        "bound_used": result.bound_used,
    }
    case.append(_properties(about))
    if tag := _TAGS.get(result.status):
        message = printable(f"{result.status}: {result.message}")
        found = ET.SubElement(case, tag, message=message)
        if tag != "skipped":
            found.set("type", result.status)
            found.text = "\n".join(["", *written(describe(report, result)), ""])
    return case


def _properties(values: Mapping[str, object]) -> ET.Element:
    properties = ET.Element("properties")
    for name, value in values.items():
        ET.SubElement(properties, "property", name=name, value=printable(value))
    return properties


def _total(element: ET.Element) -> None:
    counts = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}
    for name, tag in counts.items():
        element.set(name, str(len(element.findall(f".//{tag}"))))
