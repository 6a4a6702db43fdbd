"""The HTML page in a real browser: its content and behaviour, in light and dark mode."""

import json
import math
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from adamax_conformance import Report, Result, Status
from adamax_conformance.cases import CASES
from adamax_conformance.judging.finding import Divergence
from adamax_conformance.reports.html import page
from adamax_conformance.reports.result import BAD
from adamax_conformance.subject.printable import printable
from page import CONTRAST, shown, texts


def link(driver: Any, clause: str, backend: str) -> WebElement:
    """Return the link in a cell of the matrix."""
    found: WebElement = driver.find_element(
        By.CSS_SELECTOR, f"#matrix [href='#{clause}/{backend}']"
    )
    return found


def test_tables_say_what_the_reports_do(browser: Any, every: Any) -> None:
    driver = browser.open(page(every.all))
    names = [printable(report.backend) for report in every.all]
    assert texts(driver, "#verdicts tbody th") == texts(driver, "#matrix thead th")[1:] == names
    for report, text in zip(every.all, texts(driver, "#verdicts tr:has(td.number)"), strict=True):
        assert f" {report.verdict} " in text
        assert f" {report.elements:,}" in text
    rows = [text[:3] for text in texts(driver, "#matrix tbody th:not(.group)")]
    assert rows == ["A-1", "A-4", "A-5", "N-1", "H-5"]
    assert link(driver, "A-5", "eps%20outside").text == "\u2713 2 \u2717 6"
    assert (
        link(driver, "A-5", "eps%20outside").accessible_name == "A-5, eps outside: 2 pass, 6 fail"
    )
    results = [result for report in every.all for result in report.results]
    assert texts(driver, "#cases td:nth-child(1):not(.text)") == [r.case for r in results]
    assert [text[2:] for text in texts(driver, "#cases td:nth-child(4)")] == [
        result.status for result in results
    ]


def test_page_sends_no_request_and_logs_no_error(browser: Any, every: Any) -> None:
    driver = browser.open(page(every.all), "A-5/eps%20outside")
    assert not browser.logs("browser")
    assert {url.partition(":")[0] for url in requests(browser)} == {"file"}
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_request_would_be_seen(browser: Any, every: Any) -> None:
    """Without the policy the log shows a request; with it, a blocked request and an error."""
    image = "<img src='http://127.0.0.1:9/x.png'>"
    text = page([every.right]).replace("</body>", f"{image}</body>")
    browser.open(text.replace("Content-Security-Policy", "x"))
    assert "http://127.0.0.1:9/x.png" in requests(browser)
    browser.open(text)
    assert "Content Security Policy" in browser.logs("browser")[0]["message"]


def requests(browser: Any) -> set[str]:
    messages = [json.loads(entry["message"])["message"] for entry in browser.logs("performance")]
    sent = [each for each in messages if each["method"] == "Network.requestWillBeSent"]
    return {each["params"]["request"]["url"] for each in sent}


def test_policy_names_the_script_by_its_bytes(browser: Any, every: Any) -> None:
    """A script that differs by one space does not run."""
    driver = browser.open(page([every.right]).replace("</script>", " </script>"))
    assert "Content Security Policy" in browser.logs("browser")[0]["message"]
    shown(driver, "[value=pass]")[0].click()
    assert not driver.find_element(By.TAG_NAME, "output").text


def test_hostile_text_is_shown_and_does_nothing(browser: Any, every: Any, hostile: str) -> None:
    driver = browser.open(page([every.hostile]))
    assert driver.execute_script("return typeof hacked") == "undefined"
    assert len(driver.find_elements(By.TAG_NAME, "script")) == 1
    assert texts(driver, "#verdicts tbody th") == [printable(hostile)]
    assert any(printable(hostile) in text for text in texts(driver, "summary"))
    assert not browser.logs("browser")


def test_a_cell_leads_to_its_worst_case_and_opens_it(browser: Any, every: Any) -> None:
    driver = browser.open(page(every.all))
    driver.find_element(By.NAME, "text").send_keys("numpy")
    link(driver, "A-5", "eps%20outside").click()
    (details,) = shown(driver, "tbody:target details[open]")
    result = next(r for r in every.wrong.results if r.clause == "A-5" and r.divergence)
    found = result.divergence
    for part in (
        "An eps of the size of the gradients tells the dialects apart",
        *(found.quantity, found.bits, found.allowed, found.exact),
        "times the bound",
        "lr=1.0, betas=(0.75, 0.5), eps=1.0",
        f"cases=['{result.id}'], seed=7",
    ):
        assert part in details.text
    assert driver.execute_script("return arguments[0].getBoundingClientRect().top >= 0", details)


def test_page_opens_the_first_fault_of_each_backend_and_links_it(browser: Any, every: Any) -> None:
    """Without the script too, which the policy refuses if it differs by one space."""
    for end in ("</script>", " </script>"):
        driver = browser.open(page(every.all).replace("</script>", end))
        opened = driver.find_elements(By.CSS_SELECTOR, "#cases tbody:has([open])")
        bad = [report for report in every.all if any(r.status in BAD for r in report.results)]
        suspects = [report for report in bad if report.suspect in report.failed_clauses]
        assert [each.text.split("/")[0] for each in opened] == [r.suspect for r in suspects]
        assert "minimal example" in opened[0].text
        links = shown(driver, "#verdicts [colspan] br + a:last-child")
        assert [each.text for each in links] == [
            f"the first failure of {report.suspect}" for report in suspects
        ]
        for each, case in zip(links, opened, strict=True):
            anchor = (each.get_attribute("href") or "").partition("#")[2]
            assert unquote(anchor) == unquote(case.get_attribute("id") or "")


@pytest.mark.parametrize(
    ("anchor", "case"),
    [
        ("N-1/eps%20outside", "N-1/zero-first-gradient"),
        ("N-1/eps%20outside~2", "N-1/zero-first-gradient"),
        ("N-1/nobody", ""),
        ("N-1/%E0%A4%A", ""),
        ("matrix", ""),
    ],
)
def test_address_opens_a_case(browser: Any, every: Any, anchor: str, case: str) -> None:
    driver = browser.open(page([every.wrong, every.wrong]), anchor)
    opened = texts(driver, "tbody:target:has([open]) tr:first-child td:first-child")
    assert opened == ([case] if case else [])
    assert not browser.logs("browser")


def test_headings_sort(browser: Any, every: Any) -> None:
    driver = browser.open(page([every.right, every.wrong]))
    results = [*every.right.results, *every.wrong.results]
    for column, key in ((3, "status"), (5, "elements"), (6, "bound_used")):
        head = driver.find_element(By.CSS_SELECTOR, f"#cases th:nth-child({column}) button")
        cells = f"#cases tr:first-child td:nth-child({column})"
        rising = []
        for direction in ("ascending", "descending"):
            head.click()
            assert head.find_element(By.XPATH, "..").get_attribute("aria-sort") == direction
            # No bound, as of a comparison of bits, is shown as nothing.
            rising.append([text or "0" for text in texts(driver, cells)])
        assert len(rising[0]) == len(results), key
        assert sorted(rising[0]) == sorted(rising[1])
        assert (rising[0][0], rising[0][-1]) == (rising[1][-1], rising[1][0])
        assert rising[0][0] != rising[0][-1]


def test_filter_by_status_and_by_text(browser: Any, every: Any) -> None:
    driver = browser.open(page([every.right, every.wrong]))
    total = len(every.right.results) + len(every.wrong.results)
    output = driver.find_element(By.TAG_NAME, "output")
    assert output.text == ""
    shown(driver, "[value=pass]")[0].click()
    assert output.text == f"{every.wrong.counts[Status.FAIL]} of {total} cases"
    assert len(shown(driver, "#cases tbody")) == every.wrong.counts[Status.FAIL]
    shown(driver, "[type=reset]")[0].click()
    assert len(shown(driver, "#cases tbody")) == total
    driver.find_element(By.NAME, "text").send_keys("FLOAT16 decays")
    assert texts(driver, "#cases tr:first-child td:nth-child(3)") == ["float16"] * 2
    driver.find_element(By.NAME, "text").send_keys(" nowhere")
    assert output.text == f"0 of {total} cases"


def test_curve_is_above_the_bound_where_a_step_is_wrong(browser: Any, every: Any) -> None:
    trace = (0.5, 0.0, 0.9, 20.0, math.inf)
    result = Result("A-5/decays", "A-5", "float16", Status.FAIL, "x", 9, math.inf, trace)
    driver = browser.open(page([replace(every.wrong, results=(result,))]), "A-5/eps%20outside")
    assert "0.5 0 0.9 20 inf of the bound" in texts(driver, "details")[0]
    bound, curve = (each.get_attribute("d") or "" for each in shown(driver, "svg path"))
    heights = [float(point.partition(",")[2]) for point in curve.split(" ")]
    assert bound.startswith("M0,10H")
    assert [height < 10 for height in heights] == [used > 1 for used in trace]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 400])
def test_text_stands_out_and_the_page_fits(
    browser: Any, every: Any, dark: bool, width: int
) -> None:
    driver = browser.open(page(every.all), "A-5/eps%20outside", dark=dark, width=width)
    ratios = driver.execute_script(CONTRAST, driver.find_element(By.TAG_NAME, "body"))
    assert len(ratios) > 100
    assert ratios[0][0] >= 4.5, ratios[0]
    back = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") is not dark
    assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_printed_it_has_no_form_and_cuts_nothing(browser: Any, every: Any) -> None:
    driver = browser.open(page(every.all), media="print")
    assert not shown(driver, "form")
    heights = (
        "return [...document.querySelectorAll('.scroll')].map(e => e.scrollHeight - e.clientHeight)"
    )
    assert max(driver.execute_script(heights)) == 0


def test_page_is_ascii_and_small_even_where_all_is_wrong() -> None:
    found = Divergence(1, "w", (0, 1), "param", "0." + "1" * 17, f"[0.{'2' * 17}, 0.{'3' * 17}]",
                       f"0.{'4' * 17}", 1e12, "float64 " + "f" * 16)  # fmt: skip
    results = tuple(
        Result(case.id, case.clause, dtype, Status.FAIL, str(found), 99, 1e12, (0.123,) * 5,
               divergence=found)
        for case in CASES for dtype in case.dtypes
    )  # fmt: skip
    text = page([Report(f"backend {number}", results, ()) for number in range(9)])
    assert len(results) > 250
    assert text.isascii()
    assert len(text) < 13_700 * len(results)
