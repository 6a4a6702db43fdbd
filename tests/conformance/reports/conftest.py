"""Reports of every kind, made once per session, and a browser to read them."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from adamax_conformance import Report, check
from adamax_conformance.reports.expectations import Expectation, Expectations
from adamax_conformance.subjects.reference import backend as reference
from adamax_core import CANONICAL

CLAUSES = ("A-1", "A-4", "A-5", "N-1", "H-5")
HOSTILE = "</script><script>hacked = 1</script>'\"&|`*\x1b[31m\u202e\ud800]]>"
"""Text to end a script, an attribute, a table cell or a fence, colour a terminal, or be invalid."""

_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@dataclass(frozen=True)
class Every:
    """Reports of the same cases, one of each kind."""

    right: Report
    wrong: Report
    hidden: Report
    hostile: Report
    broken: Report
    known: Report

    @property
    def all(self) -> list[Report]:
        return [self.right, self.wrong, self.hidden, self.hostile, self.broken, self.known]


@pytest.fixture(scope="session")
def hostile() -> str:
    return HOSTILE


@pytest.fixture(scope="session")
def every() -> Every:
    """Reports: right, wrong, with a hidden state, with hostile errors, broken, as expected."""

    def outside(u: Any, g: Any, b2: Any, _eps: Any) -> Any:
        return np.maximum(b2 * u, abs(g))

    def raising(*_args: Any) -> Any:
        raise RuntimeError(HOSTILE)

    def picky(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        if hp.lr == 0:
            raise ValueError(HOSTILE)
        return raising() if hp.maximize else base.step(params, grads, state, hp)

    def judged(backend: Any, **more: Any) -> Report:
        return check(backend, clauses=CLAUSES, dtypes=("float16", "float32"), **more)

    base = reference()
    wrong = reference(CANONICAL._replace(infinity_norm=outside), "eps outside")
    expectations = Expectations([
        Expectation("A-4", "out of date"),
        Expectation("A-5", "eps is outside", "fail", "https://example.org/1"),
        Expectation("A-1", HOSTILE, "skip"),
    ])  # fmt: skip
    return Every(
        right=judged("numpy"),
        wrong=judged(wrong, seed=7),
        hidden=judged(replace(wrong, name="hidden", moments=lambda _state: None)),
        hostile=replace(judged(replace(base, name=HOSTILE, step=picky)), diagnosis=HOSTILE),
        broken=judged(replace(base, name="broken", step=raising)),
        known=judged(replace(wrong, name="known"), expect=expectations),
    )


_LOADED = """
const [page] = performance.getEntriesByType("navigation");
return location.protocol === "file:" && page.loadEventEnd > 0;
"""


@pytest.fixture(scope="session")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A headless Chromium; without one, the tests of the page are skipped, and the summary says so.

    It logs its console and every request.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no browser: the HTML report needs chromium and chromedriver to be tested")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # With the path of the driver given, selenium looks for none on the network.
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield started
    started.quit()


@dataclass(frozen=True)
class Browser:
    """A browser, and a folder for the pages that it opens."""

    driver: webdriver.Chrome
    folder: Path

    def open(
        self, text: str, anchor: str = "", *, dark: bool = False, width: int = 1280, media: str = ""
    ) -> webdriver.Chrome:
        """Save this page as a file, open it, and wait until its script has seen that it is loaded.

        On a busy machine `get` alone returns before that.
        """
        (self.folder / "report.html").write_text(text, encoding="ascii")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.get("about:blank")
        self.logs("browser"), self.logs("performance")
        commands: dict[str, dict[str, Any]] = {
            "Emulation.setEmulatedMedia": {"features": [scheme], "media": media},
            "Emulation.setDeviceMetricsOverride": size,
        }
        for command, arguments in commands.items():
            self.driver.execute_cdp_cmd(command, arguments)
        self.driver.get(f"{(self.folder / 'report.html').as_uri()}#{anchor}")
        WebDriverWait(self.driver, 60).until(lambda driver: driver.execute_script(_LOADED))
        return self.driver

    def logs(self, kind: str) -> list[Any]:
        """Return the log entries since the last call, of ``browser`` or ``performance``."""
        entries: list[Any] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]  # not typed
        return entries


@pytest.fixture
def browser(chrome: webdriver.Chrome, tmp_path: Path) -> Browser:
    return Browser(chrome, tmp_path)
