"""The scoreboard: what it says of each implementation, in every format, and in a browser."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.webdriver.common.by import By

from adamax_conformance import Report, check, diagnose
from adamax_conformance.dialects import AXES, Dialect, cost
from adamax_conformance.dialects.probe import PROBE
from adamax_conformance.reports import json_ as reports_json
from adamax_conformance.reports.environment import environment
from adamax_conformance.reports.expectations import Expectation, Expectations
from adamax_conformance.scoreboard import FORMATS
from adamax_conformance.scoreboard.entry import CONFIRMING, SCALES, Entry
from adamax_conformance.scoreboard.json_ import merged, read
from adamax_conformance.scoreboard.plot import HEIGHT, drawn
from adamax_conformance.subjects.reference import backend as reference
from page import CONTRAST, shown, texts

RULES = {
    "right": Dialect(),
    "outside": Dialect("outside"),
    "decay": Dialect("in the decay"),
    "slow": Dialect("outside", "none"),
}
EPS = {"right": 1e-8, "decay": 1e-7}
URL = "https://example.org/late"


@pytest.fixture(scope="module")
def reports() -> list[Report]:
    """Four dialects, one that deviates as expected, and one that was not installed."""
    found = [
        replace(
            check(
                replace(reference(rule, name), default_eps=EPS.get(name)),
                clauses=[*CONFIRMING, "H-2"],
                dtypes=["float32"],
                dialect="found",
            ),
            language="Python",
            packages={f"{name}-package": "1.2.3"},
            partial=False,
        )
        for name, rule in RULES.items()
    ]
    deviating = check(
        reference(RULES["outside"], "known"),
        expect=Expectations([Expectation("A-5", "eps is <outside>", "fail", URL)]),
        cases=["A-5/eps-inside-the-maximum[float32]"],
        known=True,
    )
    deviating = replace(deviating, partial=False, found="")
    absent = Report("absent", (), (), broken="not installed: no <wheel> for this Python")
    return [*found, deviating, absent]


@pytest.fixture(scope="module")
def entries(reports: list[Report]) -> list[Entry]:
    return list(map(Entry.of, reports))


def line(entries: list[Entry], name: str) -> Entry:
    return next(entry for entry in entries if entry.name == name)


def test_costs_are_those_of_the_dialect(entries: list[Entry]) -> None:
    for name, rule in RULES.items():
        paths = [float(cost(rule, scale, eps=EPS.get(name))[-1].path) for scale in SCALES]
        assert list(line(entries, name).costs) == paths
    assert line(entries, "right").costs == (1.0,) * len(SCALES)
    assert line(entries, "absent").costs == ()


def only_as_probed(params: Any, grads: Any, state: Any, hp: Any) -> Any:
    return reference(Dialect() if hp.lr == PROBE.lr else Dialect("outside")).step(
        params, grads, state, hp
    )


def small_eps_dropped(params: Any, grads: Any, state: Any, hp: Any) -> Any:
    rule = Dialect() if hp.eps > 1e-6 else Dialect("none")
    return reference(rule).step(params, grads, state, hp)


def squares(params: Any, grads: Any, state: Any, hp: Any) -> Any:
    small = {name: np.where(grad * grad == 0, 0 * grad, grad) for name, grad in grads.items()}
    return reference(Dialect()).step(params, small, state, hp)


@pytest.mark.parametrize("step", [only_as_probed, small_eps_dropped, squares])
def test_costs_that_the_cases_do_not_confirm_are_not_known(step: Any) -> None:
    report = check(
        replace(reference(Dialect(), "mine"), step=step),
        clauses=CONFIRMING, dtypes=["float32"], dialect="found", investigate=False,
    )  # fmt: skip
    assert diagnose(replace(reference(Dialect()), step=step)).canonical
    entry = Entry.of(replace(report, axes={axis.name: axis.specified for axis in AXES}))
    assert entry.costs == ()
    text = FORMATS["markdown"]([entry])
    assert "| mine | - |  | none | not known | not known | not known | not known |" in text


def test_costs_of_cases_that_did_not_run_are_not_known(reports: list[Report]) -> None:
    report = next(each for each in reports if each.backend == "right")
    for clause in ("A-5", "A-6", "A-7"):
        results = tuple(each for each in report.results if each.clause != clause)
        assert Entry.of(replace(report, results=results)).costs == ()


def test_axes_that_deviate_are_marked(entries: list[Entry]) -> None:
    deviating = {
        name: {axis.axis for axis in line(entries, name).axes if axis.deviates} for name in RULES
    }
    assert deviating == {
        "right": set(),
        "outside": {"eps"},
        "decay": {"eps"},
        "slow": {"eps", "bias correction"},
    }


def test_a_known_deviation_has_its_smallest_case_and_its_link(entries: list[Entry]) -> None:
    (deviation,) = line(entries, "known").deviations
    assert (deviation.reason, deviation.url, deviation.known) == ("eps is <outside>", URL, True)
    facts = {fact.name: fact.lines for fact in deviation.facts}
    params = next(line for line in facts["minimal example"] if line.startswith("params"))
    assert len(re.findall(r"\d\.\d", params)) == 1


def test_a_link_that_is_not_of_the_web_is_left_out(reports: list[Report]) -> None:
    hostile = Expectation("A-5", "why", "fail", "javascript:alert(1)")
    report = next(each for each in reports if each.backend == "known")
    results = tuple(replace(result, expected=hostile) for result in report.results)
    assert [each.url for each in Entry.of(replace(report, results=results)).deviations] == [""]


def test_reports_and_scoreboards_are_read_alike(
    reports: list[Report], entries: list[Entry], tmp_path: Path
) -> None:
    of_reports, of_scoreboard = tmp_path / "reports.json", tmp_path / "scoreboard.json"
    with of_reports.open("w", encoding="utf-8") as stream:
        reports_json.write(reports, stream, verbose=False)
    of_scoreboard.write_text(FORMATS["json"](entries), encoding="utf-8")
    assert read(of_scoreboard) == entries
    # A file of reports has one environment for all.
    assert read(of_reports) == [replace(each, environment=environment()) for each in entries]


def test_of_two_lines_with_one_name_the_last_counts(entries: list[Entry]) -> None:
    newer = replace(entries[0], date="2031-01-01")
    assert merged([*entries, newer]) == [newer, *entries[1:]]


def test_markdown_says_what_was_found(entries: list[Entry]) -> None:
    text = FORMATS["markdown"](entries)
    assert "| slow | slow-package 1.2.3 | Python | none | 0.7526 |" in text
    assert "| decay | **in the decay** | yes |" in text
    assert "| absent | - |  |  |  |  |  |" in text
    assert "Not judged: not installed: no &lt;wheel&gt; for this Python" in text
    assert f'eps is &lt;outside&gt; (<a href="{URL}">link</a>): 1 case' in text
    assert "<outside>" not in re.sub(r"```text.*?```", "", text, flags=re.DOTALL)


def test_plot_has_a_line_for_each_dialect(entries: list[Entry]) -> None:
    plot = drawn(entries)
    assert sorted(each.label for each in plot.lines) == [
        "eps 1e-07 in the decay: decay",
        "eps inside: right",
        "eps outside, no correction: slow",
        "eps outside: outside",
    ]
    ends = [each.marks[-1][1] for each in plot.lines]
    assert ends == sorted(ends)


@pytest.mark.parametrize("cost", [0.0, 1.6, 3.0, 100.0, 1e300])
def test_plot_has_a_few_ticks(entries: list[Entry], cost: float) -> None:
    ticks = drawn([replace(entries[0], costs=(cost,) * len(SCALES))]).up
    assert 4 <= len(ticks) <= 9
    assert all(0 <= height <= HEIGHT for height, _ in ticks)


def names(driver: Any) -> list[str]:
    return texts(driver, "#cases tbody th")


def head(driver: Any, name: str) -> Any:
    return next(each for each in shown(driver, "#cases thead button") if name in each.text)


def test_page_sorts_and_filters(browser: Any, entries: list[Entry]) -> None:
    driver = browser.open(FORMATS["html"](entries))
    assert names(driver) == [entry.name for entry in entries]
    head(driver, "1e-08").click()
    assert names(driver) == ["known", "absent", "decay", "slow", "outside", "right"]
    head(driver, "name").click()
    assert names(driver) == sorted(entry.name for entry in entries)
    driver.find_element(By.CSS_SELECTOR, "[value=outside]").click()
    assert names(driver) == ["absent", "decay", "right"]
    assert driver.find_element(By.TAG_NAME, "output").text == "3 of 6 implementations"
    driver.find_element(By.CSS_SELECTOR, "[type=reset]").click()
    driver.find_element(By.NAME, "text").send_keys("decay-package")
    assert names(driver) == ["decay"]
    assert not browser.logs("browser")


def test_page_shows_the_case_behind_a_deviation(browser: Any, entries: list[Entry]) -> None:
    driver = browser.open(FORMATS["html"](entries), "known")
    (deviation,) = shown(driver, "#known .deviation")
    assert "minimal example" not in deviation.text
    deviation.find_element(By.TAG_NAME, "summary").click()
    assert "minimal example" in deviation.text
    assert deviation.find_element(By.TAG_NAME, "a").get_attribute("href") == URL


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_page_can_be_read(browser: Any, entries: list[Entry], *, dark: bool, width: int) -> None:
    driver = browser.open(FORMATS["html"](entries), "known", dark=dark, width=width)
    driver.execute_script("for (const each of document.querySelectorAll('details')) each.open = 1")
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    ratio, *what = driver.execute_script(CONTRAST, driver.find_element(By.TAG_NAME, "body"))[0]
    assert ratio >= 4.5, what
    wide = [each.size["width"] for each in shown(driver, "#cases details")]
    assert max(wide) <= width


BOXES = """
const found = [...document.querySelectorAll(arguments[0])];
const boxes = found.map((each) => each.getBoundingClientRect());
return [Math.max(...boxes.map((box) => box.right)), Math.min(...boxes.map((box) => box.height))];
"""


@pytest.mark.parametrize("width", [390, 1280])
def test_plot_and_correction_are_in_sight(browser: Any, entries: list[Entry], width: int) -> None:
    driver = browser.open(FORMATS["html"](entries), width=width)
    assert len(texts(driver, ".plot li")) == len(drawn(entries).lines)
    right, height = driver.execute_script(BOXES, ".plot text, .plot li span")
    assert right <= width
    assert height >= 12
    assert driver.execute_script(BOXES, ".plot circle, #cases thead th")[0] <= width
    assert head(driver, "correction")


@pytest.mark.parametrize("width", [390, 1280])
def test_long_names_and_many_costs_leave_room(
    browser: Any, entries: list[Entry], width: int
) -> None:
    long = "x" * 3000
    many = [
        replace(entries[0], name=f"{number}{long}", costs=(1.0, 1.0, 1.0, 1 - number / 100))
        for number in range(40)
    ]
    axes = tuple(axis._replace(found=long) for axis in many[0].axes)
    many[0] = replace(many[0], language=long, packages=(long,), axes=axes)
    driver = browser.open(FORMATS["html"](many), width=width)
    assert driver.execute_script(BOXES, "#cases th, #cases td, .plot li span")[0] <= width
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    assert max(each.size["height"] for each in shown(driver, "#cases tr")) < 200
    assert len(driver.find_elements(By.CSS_SELECTOR, ".plot li")) == 40
    assert driver.find_element(By.CLASS_NAME, "plot").size["height"] < 900
