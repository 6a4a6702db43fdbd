"""A page in a browser: what of it is shown, and whether it can be read."""

from typing import Any

from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

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
  if (node.closest("script, style, noscript, title")) continue;
  const style = getComputedStyle(node);
  const [one, other] = [light(style.color), light(behind(node))];
  const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  ratios.push([ratio, walker.currentNode.data.trim(), style.color, behind(node)]);
}
return ratios.sort((one, other) => one[0] - other[0]);
"""


def shown(driver: Any, selector: str) -> list[WebElement]:
    return [each for each in driver.find_elements(By.CSS_SELECTOR, selector) if each.is_displayed()]


def texts(driver: Any, selector: str) -> list[str]:
    return [each.text for each in shown(driver, selector)]
