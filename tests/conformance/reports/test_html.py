"""The page, read in a real browser: what it shows, by mouse, by keyboard, in light and in dark."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from adamax_conformance import Report, Result, Status
from adamax_conformance.cases import CASES
from adamax_conformance.judging.finding import Divergence
from adamax_conformance.reports.html import page
from adamax_conformance.subject.printable import printable

# The ratio of WCAG 2 between each text that can be seen and what is behind it, the worst first.
CONTRAST = """
const light = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => {
    const value = part / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (colour !== "rgba(0, 0, 0, 0)") return colour;
  }
  return "rgb(255, 255, 255)";
};
const walker = document.createTreeWalker(arguments[0], NodeFilter.SHOW_TEXT);
const ratios = [];
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !node.checkVisibility()) continue;
  if (node.closest("script, style, noscript, title, option, dialog:not([open])")) continue;
  const style = getComputedStyle(node);
  const ink = node instanceof SVGElement ? style.fill : style.color;
  const [one, other] = [light(ink), light(behind(node))];
  const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  ratios.push([ratio, walker.currentNode.data.trim(), ink, behind(node)]);
}
return ratios.sort((one, other) => one[0] - other[0]);
"""


def shown(driver: Any, selector: str) -> list[WebElement]:
    return [each for each in driver.find_elements(By.CSS_SELECTOR, selector) if each.is_displayed()]


def cell(driver: Any, clause: str, column: int) -> WebElement:
    selector = f"tr[data-clause='{clause}'] .cell[data-column='{column}']"
    found: WebElement = driver.find_element(By.CSS_SELECTOR, selector)
    return found


def opened(driver: Any) -> WebElement:
    return WebDriverWait(driver, 5).until(lambda d: shown(d, "dialog[open]"))[0]


def closed(driver: Any) -> None:
    WebDriverWait(driver, 5).until(lambda d: not shown(d, "dialog[open]"))


def active(driver: Any) -> WebElement:
    found: WebElement = driver.switch_to.active_element
    return found


def test_matrix_has_a_row_a_clause_and_a_column_a_backend(browser: Any, every: Any) -> None:
    driver = browser.open(page(every.all))
    rows = [row.get_attribute("data-clause") for row in shown(driver, "tr.clause")]
    assert rows == ["A-1", "A-4", "A-5", "N-1", "H-5"]
    heads = [head.text for head in shown(driver, "thead .name")]
    assert heads == [printable(report.backend) for report in every.all]
    assert len(shown(driver, ".cell")) == len(rows) * len(heads)
    for column, report in enumerate(every.all):
        counts = [
            int(count.text) for count in shown(driver, f".cell[data-column='{column}'] .count")
        ]
        assert sum(counts) == len(report.results)
    words = cell(driver, "A-5", 1).accessible_name
    assert words == "A-5 infinity norm, eps outside: 2 pass, 4 fail"
    verdicts = [badge.text for badge in shown(driver, ".verdict .badge")]
    assert verdicts == [report.verdict for report in every.all]


def test_page_asks_for_nothing_and_complains_of_nothing(browser: Any, every: Any) -> None:
    driver = browser.open(page(every.all))
    cell(driver, "A-5", 1).click()
    opened(driver)
    assert not browser.logs("browser")
    assert {url.partition(":")[0] for url in requests(browser)} == {"file"}
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_request_would_be_seen(browser: Any, every: Any) -> None:
    """Without the policy, and with the policy the request is stopped and complained of."""
    image = "<img src='http://127.0.0.1:9/x.png'>"
    text = page([every.right]).replace("</main>", f"{image}</main>")
    browser.open(text.replace("Content-Security-Policy", "x"))
    assert "http://127.0.0.1:9/x.png" in requests(browser)
    browser.open(text)
    assert "Content Security Policy" in browser.logs("browser")[0]["message"]


def requests(browser: Any) -> set[str]:
    messages = [json.loads(entry["message"])["message"] for entry in browser.logs("performance")]
    sent = [each for each in messages if each["method"] == "Network.requestWillBeSent"]
    return {each["params"]["request"]["url"] for each in sent}


def test_script_that_is_not_the_pages_own_does_not_run(browser: Any, every: Any) -> None:
    text = page([every.right]).replace("</main>", "<script>hacked = 1</script></main>")
    driver = browser.open(text)
    assert driver.execute_script("return typeof hacked") == "undefined"


def test_hostile_text_is_shown_and_does_nothing(browser: Any, every: Any, hostile: str) -> None:
    driver = browser.open(page([every.hostile]))
    cell(driver, "A-1", 0).click()
    panel = opened(driver)
    assert driver.execute_script("return typeof hacked") == "undefined"
    assert len(driver.find_elements(By.TAG_NAME, "script")) == 2
    assert panel.find_element(By.CSS_SELECTOR, "h2 .name").text == printable(hostile)
    assert printable(hostile) in panel.find_element(By.CSS_SELECTOR, ".message").text
    assert not browser.logs("browser")


def test_click_opens_the_cases_with_all_there_is_to_know(browser: Any, every: Any) -> None:
    driver = browser.open(page(every.all))
    cell(driver, "A-5", 1).click()
    panel = opened(driver)
    assert panel.accessible_name == "A-5 infinity norm eps outside"
    result = next(r for r in every.wrong.results if r.clause == "A-5" and r.divergence)
    found = result.divergence
    for part in (
        result.id.partition("[")[0],
        "An eps of the size of the gradients tells the dialects apart",
        *(found.quantity, found.bits, found.allowed, found.exact),
        "times the bound",
        "lr=1.0, betas=(0.75, 0.5), eps=1.0",
        f"cases=['{result.id}'], seed=7",
    ):
        assert part in panel.text
    assert driver.current_url.endswith("#A-5/eps%20outside")
    panel.find_element(By.CLASS_NAME, "close").click()
    closed(driver)
    assert "#" not in driver.current_url


def test_command_is_copied(browser: Any, every: Any) -> None:
    driver = browser.open(page([every.right]), "A-5/numpy")
    button = opened(driver).find_element(By.CLASS_NAME, "copy")
    button.click()
    WebDriverWait(driver, 5).until(lambda _: button.text == "copied")
    active(driver).send_keys(Keys.ESCAPE)
    closed(driver)
    field = driver.find_element(By.NAME, "text")
    field.send_keys(Keys.CONTROL, "v")
    first = "'A-5/eps-inside-the-maximum[float16]'"
    pasted = f"adamax-conformance check numpy --case {first} --seed 0"
    assert field.get_property("value") == pasted


def test_everything_is_reached_by_keyboard(browser: Any, every: Any) -> None:
    driver = browser.open(page(every.all))

    def press(*keys: str) -> WebElement:
        active(driver).send_keys(*keys)
        return active(driver)

    assert press(Keys.TAB).text == "Skip to the matrix"
    press(Keys.ENTER)
    assert press(Keys.TAB) == cell(driver, "A-1", 0)
    assert press(Keys.ARROW_RIGHT) == cell(driver, "A-1", 1)
    assert press(Keys.ARROW_DOWN) == cell(driver, "A-4", 1)
    assert press(Keys.ARROW_DOWN) == cell(driver, "A-5", 1)
    assert press(Keys.END) == cell(driver, "A-5", 5)
    assert press(Keys.ARROW_RIGHT) == cell(driver, "A-5", 5), "there is nothing further"
    assert press(Keys.HOME) == cell(driver, "A-5", 0)
    assert press(Keys.CONTROL, Keys.END) == cell(driver, "H-5", 5)
    assert press(Keys.PAGE_UP) == cell(driver, "A-1", 5)
    at = press(Keys.ARROW_LEFT)
    assert at == cell(driver, "A-1", 4)
    outline = driver.execute_script("return getComputedStyle(arguments[0]).outlineStyle", at)
    assert outline == "solid"
    press(Keys.ENTER)
    panel = opened(driver)
    inside = [active(driver), press(Keys.TAB), press(Keys.TAB)]
    contains = "return arguments[0].contains(arguments[1])"
    assert all(driver.execute_script(contains, panel, each) for each in inside)
    assert inside[0].text.startswith("close")
    press(Keys.ESCAPE)
    closed(driver)
    assert active(driver) == cell(driver, "A-1", 4)
    press(Keys.SHIFT, Keys.TAB)
    assert active(driver).text == "show all", "the matrix is one stop"


def test_filter_by_status_and_by_text(browser: Any, every: Any) -> None:
    driver = browser.open(page([every.right, every.wrong]))
    output = driver.find_element(By.TAG_NAME, "output")
    assert output.text == ""
    driver.find_element(By.NAME, "wrong").click()
    assert [row.get_attribute("data-clause") for row in shown(driver, "tr.clause")] == [
        "A-5", "N-1", "H-5",
    ]  # fmt: skip
    assert not shown(driver, ".cell[data-column='0'] .tally")
    fails = every.wrong.counts[Status.FAIL]
    total = len(every.right.results) + len(every.wrong.results)
    assert output.text == f"{fails} of {total} cases"
    cell(driver, "A-5", 0).click()
    assert "The filter hides 6 here" in opened(driver).text
    shown(driver, "#panel .plain")[0].click()
    WebDriverWait(driver, 5).until(lambda d: "float16" in opened(d).text)
    active(driver).send_keys(Keys.ESCAPE)
    closed(driver)
    assert len(shown(driver, "tr.clause")) == 5
    driver.find_element(By.NAME, "text").send_keys("FLOAT16 decays")
    assert [row.get_attribute("data-clause") for row in shown(driver, "tr.clause")] == ["A-5"]
    driver.find_element(By.NAME, "text").send_keys(" nowhere")
    assert shown(driver, ".nothing")
    shown(driver, "[type=reset]")[0].click()
    WebDriverWait(driver, 5).until(lambda d: len(shown(d, "tr.clause")) == 5)
    shown(driver, ".chip.pass input")[0].click()
    assert len(shown(driver, "tr.clause")) == 3


@pytest.mark.parametrize(
    ("anchor", "title"),
    [
        ("N-1/eps%20outside", "N-1 zero first gradient eps outside"),
        ("N-1/eps%20outside~2", "N-1 zero first gradient eps outside"),
        ("N-1/nobody", ""),
        ("Z-9/eps%20outside", ""),
        ("constructor/eps%20outside", ""),
        ("N-1/%E0%A4%A", ""),
        ("matrix", ""),
    ],
)
def test_address_opens_a_cell(browser: Any, every: Any, anchor: str, title: str) -> None:
    driver = browser.open(page([every.wrong, every.wrong]), anchor)
    panels = shown(driver, "dialog[open]")
    assert [panel.accessible_name for panel in panels] == ([title] if title else [])
    assert not browser.logs("browser")


def test_number_line_is_to_scale(browser: Any, every: Any) -> None:
    near = Divergence(1, "w", (0,), "param", "1.5", "[0.75, 1.25]", "1", 2.0, "float16 3e00")
    far = replace(near, got="-99.0", distance=400.0)
    none = replace(near, got="nan", distance=float("inf"))
    results = [
        Result("A-5/decays", "A-5", dtype, Status.FAIL, str(found), divergence=found)
        for dtype, found in (("float16", near), ("float32", far), ("float64", none))
    ]
    report = replace(every.wrong, results=tuple(results))
    driver = browser.open(page([report]), "A-5/eps%20outside")
    opened(driver)
    for summary in shown(driver, "details:not([open]) summary"):
        summary.click()
    lines = shown(driver, "svg.line")
    assert [line.accessible_name for line in lines] == [
        "got 1.5, allowed 0.75 to 1.25: 2 times the bound",
        "got -99.0, allowed 0.75 to 1.25: 400 times the bound",
    ]

    def middle(line: WebElement, selector: str) -> float:
        box = line.find_element(By.CSS_SELECTOR, selector).rect
        return float(box["x"] + box["width"] / 2)

    bound = lines[0].find_element(By.CLASS_NAME, "allowed").rect["width"] / 2
    exact, got = (middle(lines[0], selector) for selector in (".exact", "path.got"))
    assert round((got - exact) / bound) == 2
    edge, arrow = lines[1].rect["x"], middle(lines[1], "path.got")
    assert edge <= arrow < edge + bound
    assert "got -99.0, far outside" in lines[1].text


def test_plot_has_a_line_a_dtype_and_what_is_wrong_above_the_bound(
    browser: Any, every: Any
) -> None:
    traces = {"float16": (0.5, 0.0, 0.9), "float32": (0.5, 20.0), "float64": (1e-9, float("inf"))}
    results = [
        Result("A-5/decays", "A-5", dtype, Status.FAIL, "x", bound_used=max(trace), trace=trace)
        for dtype, trace in traces.items()
    ]
    report = replace(every.wrong, results=tuple(results))
    driver = browser.open(page([report]), "A-5/eps%20outside")
    (figure,) = opened(driver).find_elements(By.CLASS_NAME, "plot")
    assert [key.text for key in figure.find_elements(By.CSS_SELECTOR, ".key li")] == [*traces]
    bound = float(figure.find_element(By.CLASS_NAME, "bound").get_attribute("y1") or "")
    for dtype, trace in traces.items():
        line = figure.find_element(By.CSS_SELECTOR, f".dtype-{dtype} polyline")
        heights = [
            float(point.partition(",")[2]) for point in (line.get_attribute("points") or "").split()
        ]
        assert [height < bound for height in heights] == [used > 1 for used in trace]
    words = [title.get_attribute("textContent") for title in
             figure.find_elements(By.TAG_NAME, "title")]  # fmt: skip
    assert words[-1] == "float64, step 2: cannot be right"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 400])
def test_text_stands_out_and_the_page_fits(
    browser: Any, every: Any, dark: bool, width: int
) -> None:
    driver = browser.open(page(every.all), dark=dark, width=width)
    body = driver.find_element(By.TAG_NAME, "body")
    ratios = driver.execute_script(CONTRAST, body)
    assert len(ratios) > 100
    assert ratios[0][0] >= 4.5, ratios[0]
    back = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") is not dark
    fits = "return document.documentElement.scrollWidth <= innerWidth"
    assert driver.execute_script(fits)
    for clause, column in (("A-5", 1), ("A-1", 3), ("A-4", 4), ("A-4", 5), ("N-1", 5)):
        driver.execute_script("arguments[0].click()", cell(driver, clause, column))
        panel = opened(driver)
        ratios = driver.execute_script(CONTRAST, panel)
        assert ratios[0][0] >= 4.5, ratios[0]
        assert driver.execute_script(
            "return arguments[0].scrollWidth <= arguments[0].clientWidth",
            panel.find_element(By.ID, "panel"),
        )
        active(driver).send_keys(Keys.ESCAPE)
        closed(driver)


def test_printed_it_is_the_verdicts_and_the_matrix(browser: Any, every: Any) -> None:
    driver = browser.open(page(every.all), media="print")
    assert not shown(driver, ".filters, .skip, button.plain")
    assert len(shown(driver, ".verdict")) == len(every.all)
    assert len(shown(driver, ".cell")) == 5 * len(every.all)


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
    assert len(text) < 5_000_000


@pytest.mark.parametrize("change", [str.upper, lambda text: f"{text} "])
def test_policy_names_the_script_by_its_bytes(
    browser: Any, every: Any, change: Callable[[str], str]
) -> None:
    """The test of the policy can fail: a script that is changed does not run."""
    text = page([every.right])
    start = text.rindex("<script>") + len("<script>")
    end = text.index("</script>", start)
    driver = browser.open(text[:start] + change(text[start:end]) + text[end:])
    assert "Content Security Policy" in browser.logs("browser")[0]["message"]
    assert not driver.find_elements(By.CSS_SELECTOR, ".cell[tabindex='0']")
