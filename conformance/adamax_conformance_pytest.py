"""The pytest plugin: the totals of the cases that `adamax_conformance.parametrize` has run.

Every pytest loads it where this distribution is installed, and so it imports nothing of it.
"""

from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

_PROPERTY = "adamax-conformance"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put backend and status of a case on its report, which pytest-xdist carries along."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    counted = getattr(parameters.get("case"), "conformance", None)
    if call.when == "call" and counted is not None:
        item.user_properties.append((_PROPERTY, counted))
    return (yield)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """A line for each backend: how many cases have each status."""
    totals: dict[str, Counter[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, value in report.user_properties:
                    if name == _PROPERTY:
                        backend, status = value
                        totals.setdefault(backend, Counter())[status] += 1
    for backend, counts in sorted(totals.items()):
        counted = ", ".join(f"{count} {status}" for status, count in counts.most_common())
        terminalreporter.write_line(
            f"adamax-conformance: {backend}: {counts.total()} cases: {counted}"
        )
