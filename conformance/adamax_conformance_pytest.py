"""The pytest plugin: prints the totals of the cases that `adamax_conformance.parametrize` has run.

If this distribution is installed, every pytest run loads it. So it imports nothing of the package.
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
    """Add backend and status of a case to its report, which pytest-xdist passes on."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    counted = getattr(parameters.get("case"), "conformance", None)
    if call.when == "call" and counted is not None:
        item.user_properties.append((_PROPERTY, counted))
    return (yield)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print a line for each backend: the number of cases with each status."""
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
