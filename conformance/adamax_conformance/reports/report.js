"use strict";
// The table of cases, each a body of two rows: a click on a heading sorts it, the form hides cases.
const table = document.getElementById("cases");
const cases = [...table.tBodies];
const texts = cases.map((each) => each.textContent.toLowerCase());
const form = document.querySelector("form");
const collator = new Intl.Collator("en", { numeric: true });

table.tHead.addEventListener("click", ({ target }) => {
  const head = target.closest("button")?.parentElement;
  if (!head) return;
  const sign = head.ariaSort === "ascending" ? -1 : 1;
  for (const each of head.parentElement.cells) each.ariaSort = null;
  head.ariaSort = sign > 0 ? "ascending" : "descending";
  const cell = (each) => each.rows[0].cells[head.cellIndex];
  const compare = (one, other) => ("key" in cell(one).dataset
    ? cell(one).dataset.key - cell(other).dataset.key
    : collator.compare(cell(one).textContent, cell(other).textContent));
  table.append(...[...table.tBodies].sort((one, other) => sign * compare(one, other)));
});

function filter() {
  const chosen = new FormData(form);
  const words = chosen.get("text").toLowerCase().split(/\s+/);
  cases.forEach((each, index) => {
    each.hidden = !chosen.getAll("status").includes(each.dataset.status)
      || !words.every((word) => texts[index].includes(word));
  });
  const left = cases.filter((each) => !each.hidden).length;
  form.querySelector("output").value = left < cases.length ? `${left} of ${cases.length} ${table.dataset.what}` : "";
}

form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(filter));

// A link opens the case that it leads to, which the filter may hide.
function follow() {
  const details = document.querySelector(":target details");
  if (!details) return;
  form.reset();
  filter();
  details.open = true;
  details.closest("tbody").scrollIntoView();
}

addEventListener("hashchange", follow);
addEventListener("load", follow);
filter(); // A browser keeps a form's values when a page is loaded again.
