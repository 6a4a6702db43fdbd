"""The pytest plugin: the totals of the cases that `adamax_conformance.parametrize` has run.

It is loaded by every pytest where this distribution is installed, and so imports nothing of it.
"""

from collections import Counter
from typing import Any

import pytest

PROPERTY = "adamax_conformance"
"""Under this name a test reports the backend and the status of its case, through xdist as well."""


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print a line a backend: how many cases have each status."""
    counts: dict[str, Counter[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if not isinstance(report, pytest.TestReport) or report.when != "call":
                continue
            for name, value in report.user_properties:
                if name == PROPERTY and isinstance(value, list):
                    backend, status = map(str, value)
                    counts.setdefault(backend, Counter())[status] += 1
    for backend, counted in sorted(counts.items()):
        totals = ", ".join(f"{count} {status}" for status, count in counted.items())
        terminalreporter.write_line(
            f"adamax-conformance {backend}: {sum(counted.values())} cases: {totals}"
        )
