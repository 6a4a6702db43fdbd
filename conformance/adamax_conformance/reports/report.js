"use strict";
// Opens the cases of a cell, moves between cells by keyboard, and filters. Text from a backend is
// only ever set as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const form = document.querySelector("form");
const dialog = document.querySelector("dialog");
const panel = document.getElementById("panel");
const rows = [...document.querySelectorAll("tr.clause")];
const WORST = ["error", "fail", "xpass", "xfail", "blocked", "skipped", "unsupported", "pass"];
const WRONG = WORST.slice(0, 4);
const SVG = "http://www.w3.org/2000/svg";

const found = data.backends.map((backend) => {
  const clauses = new Map();
  for (const result of backend.results) {
    const words = [result.case + "[" + result.dtype + "]", data.clauses[result.clause],
      result.status, result.message, data.notes[result.case]];
    result.words = words.join(" ").toLowerCase();
    if (!clauses.has(result.clause)) clauses.set(result.clause, []);
    clauses.get(result.clause).push(result);
  }
  return clauses;
});

function element(name, attributes, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function drawn(name, attributes, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

// Filters.

function chosen() {
  const statuses = [...form.querySelectorAll("[name=status]:checked")].map((box) => box.value);
  const terms = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  return (result) =>
    statuses.includes(result.status) && terms.every((term) => result.words.includes(term));
}

function counted(results) {
  const counts = Object.keys(data.signs).map((status) =>
    [status, results.filter((result) => result.status === status).length]);
  return new Map(counts.filter(([, count]) => count));
}

function worded(counts) {
  return [...counts].map(([status, count]) => count + " " + status).join(", ");
}

function filter() {
  const wanted = chosen();
  let cases = 0;
  let all = 0;
  for (const row of rows) {
    const clause = row.dataset.clause;
    let left = 0;
    for (const cell of row.querySelectorAll(".cell")) {
      const column = Number(cell.dataset.column);
      const every = found[column].get(clause) || [];
      const shown = every.filter(wanted);
      const counts = counted(shown);
      for (const tally of cell.querySelectorAll(".tally")) {
        const count = counts.get(tally.dataset.status) || 0;
        tally.hidden = !count;
        tally.querySelector(".count").textContent = count;
      }
      const words = worded(counts) || (every.length ? "nothing left by the filter" : "no case");
      const name = clause + " " + data.clauses[clause] + ", " + data.backends[column].name;
      cell.setAttribute("aria-label", name + ": " + words);
      left += shown.length;
      all += every.length;
    }
    row.hidden = !left;
    cases += left;
  }
  for (const group of document.querySelectorAll("tbody")) {
    group.hidden = !group.querySelector("tr.clause:not([hidden])");
  }
  document.querySelector(".nothing").hidden = cases > 0;
  form.querySelector("output").value = cases === all ? "" : cases + " of " + all + " cases";
  const current = document.querySelector(".cell[tabindex='0']");
  if (!current || current.closest("tr").hidden) rove(grid()[0]?.[0]);
}

form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(filter));
form.elements.wrong.addEventListener("click", () => {
  for (const box of form.querySelectorAll("[name=status]")) {
    box.checked = WRONG.includes(box.value);
  }
  filter();
});

// The matrix: one stop for Tab, arrows inside.

function grid() {
  const shown = rows.filter((row) => !row.hidden);
  return shown.map((row) => [...row.querySelectorAll(".cell")]);
}

function rove(cell) {
  for (const other of document.querySelectorAll(".cell[tabindex='0']")) other.tabIndex = -1;
  if (cell) cell.tabIndex = 0;
}

function moved(key, whole, [row, column], [lastRow, lastColumn]) {
  switch (key) {
    case "ArrowUp": return [row - 1, column];
    case "ArrowDown": return [row + 1, column];
    case "ArrowLeft": return [row, column - 1];
    case "ArrowRight": return [row, column + 1];
    case "PageUp": return [Math.max(row - 10, 0), column];
    case "PageDown": return [Math.min(row + 10, lastRow), column];
    case "Home": return [whole ? 0 : row, 0];
    case "End": return [whole ? lastRow : row, lastColumn];
    default: return null;
  }
}

const matrix = document.getElementById("matrix");
matrix.addEventListener("keydown", (event) => {
  const cell = event.target.closest(".cell");
  if (!cell || event.altKey || event.metaKey) return;
  const cells = grid();
  const row = cells.findIndex((each) => each.includes(cell));
  const at = [row, cells[row].indexOf(cell)];
  const last = [cells.length - 1, cells[row].length - 1];
  const to = moved(event.key, event.ctrlKey, at, last);
  if (!to) return;
  event.preventDefault();
  const next = cells[to[0]]?.[to[1]];
  if (next) {
    rove(next);
    next.focus();
  }
});
matrix.addEventListener("click", (event) => {
  const cell = event.target.closest(".cell");
  if (!cell) return;
  rove(cell);
  const clause = cell.closest("tr").dataset.clause;
  const key = data.backends[Number(cell.dataset.column)].key;
  location.hash = clause + "/" + encodeURIComponent(key);
});

// The panel: the address says which cell is open.

let opened = null;

function addressed() {
  const [clause, key] = location.hash.slice(1).split(/\/(.*)/);
  if (!key || !Object.hasOwn(data.clauses, clause)) return null;
  try {
    const name = decodeURIComponent(key);
    const column = data.backends.findIndex((backend) => backend.key === name);
    return column < 0 ? null : { clause, column };
  } catch {
    return null;
  }
}

function follow() {
  const cell = addressed();
  if (cell) open(cell);
  else if (dialog.open) dialog.close();
}

function open({ clause, column }) {
  const backend = data.backends[column];
  const every = found[column].get(clause) || [];
  const wanted = chosen();
  const shown = every.filter(wanted);
  document.getElementById("panel-title").replaceChildren(
    clause + " " + data.clauses[clause] + " ", element("span", { class: "name" }, backend.name));
  const tallies = [...counted(every)].map(([status, count]) =>
    element("span", { class: "tally " + status }, sign(status), count + " " + status));
  document.getElementById("panel-about").replaceChildren(...tallies);
  const cases = new Map();
  for (const result of shown) {
    if (!cases.has(result.case)) cases.set(result.case, []);
    cases.get(result.case).push(result);
  }
  const worst = ([, results]) => Math.min(...results.map((each) => WORST.indexOf(each.status)));
  const sorted = [...cases].sort((one, other) => worst(one) - worst(other));
  const wrong = every.some((result) => WRONG.includes(result.status));
  panel.replaceChildren(
    ...(wrong && backend.diagnosis ? [element("p", {}, backend.diagnosis)] : []),
    ...sorted.map(([name, results], number) => caseOf(name, results, number === 0)),
    ...(shown.length < every.length ? [hiddenNote(every.length - shown.length)] : []),
    ...(every.length ? [] : [element("p", {}, "No case of this clause was chosen.")]));
  opened = rows.find((row) => row.dataset.clause === clause)
    ?.querySelector(".cell[data-column='" + column + "']");
  if (!dialog.open) dialog.showModal();
  panel.scrollTop = 0;
}

function hiddenNote(count) {
  const button = element("button", { type: "button", class: "plain" }, "show all");
  button.addEventListener("click", () => {
    form.reset();
    setTimeout(follow);
  });
  return element("p", {}, "The filter hides " + count + " here. ", button);
}

dialog.querySelector(".close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
dialog.addEventListener("close", () => {
  if (addressed()) history.replaceState(null, "", location.pathname + location.search);
  if (opened && !opened.closest("tr").hidden) {
    rove(opened);
    opened.focus();
  }
});
addEventListener("hashchange", follow);

function sign(status) {
  return element("span", { class: "sign", "aria-hidden": "true" }, data.signs[status]);
}

function caseOf(name, results, first) {
  const telling = results.filter((result) => result.found || result.facts);
  return element("section", { class: "case" },
    element("h3", {}, name),
    element("p", {}, data.notes[name]),
    plot(results),
    table(results),
    ...telling.map((result, number) => told(result, first && number === 0)));
}

function table(results) {
  const body = element("tbody");
  for (const result of results) {
    body.append(element("tr", {},
      element("td", {}, element("span", { class: "tally " + result.status },
        sign(result.status), result.status)),
      element("td", {}, element("code", {}, result.dtype)),
      element("td", { class: "number" }, result.elements?.toLocaleString("en") || ""),
      element("td", { class: "number" }, result.used || ""),
      element("td", {}, copying(result))));
    if (result.message && !result.found) {
      body.append(element("tr", {}, element("td", { class: "message", colspan: 5 },
        result.message)));
    }
  }
  const heads = ["status", "dtype", "compared", "bound used", "command"].map((head, index) =>
    element("th", { scope: "col", class: index === 2 || index === 3 ? "number" : "" }, head));
  return element("table", { class: "results" },
    element("thead", {}, element("tr", {}, ...heads)), body);
}

function copying(result) {
  const label = "copy the command for " + result.case + "[" + result.dtype + "]";
  const button = element("button", { type: "button", class: "copy", "aria-label": label }, "copy");
  button.addEventListener("click", async () => {
    button.textContent = (await copied(result.command, button)) ? "copied" : "not allowed here";
    setTimeout(() => { button.textContent = "copy"; }, 2000);
  });
  return button;
}

async function copied(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // The old way, for where a page is not trusted with the clipboard.
    const field = element("textarea", { class: "hidden", "aria-hidden": "true" });
    field.value = text;
    button.after(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    button.focus();
    return done;
  }
}

function told(result, first) {
  const at = result.found;
  const where = at ? "step " + at.step + ", " + at.element + ", " + at.quantity : "details";
  const inside = element("div", { class: "inside" });
  if (at) {
    inside.append(numberLine(at) || "");
    inside.append(listed([["step", at.step], ["element", at.element], ["quantity", at.quantity],
      ["got", at.got], ["allowed", at.allowed], ["exactly", at.exact],
      ["distance", at.distance, "words"]]));
  }
  for (const [name, lines] of result.facts || []) {
    inside.append(element("p", { class: "label" }, name), element("pre", {}, lines.join("\n")));
  }
  inside.append(
    element("p", { class: "label" }, "reproduce", copying(result)),
    element("pre", {}, result.command));
  const summary = element("summary", {},
    element("span", { class: "tally " + result.status }, sign(result.status)),
    element("code", {}, result.dtype), ": " + where);
  const details = element("details", {}, summary, inside);
  details.open = first;
  return details;
}

function listed(entries) {
  const list = element("dl");
  for (const [name, value, kind] of entries) {
    if (value !== "") {
      list.append(element("dt", {}, name), element("dd", { class: kind || "" }, String(value)));
    }
  }
  return list;
}

// Drawings. Lengths are those of the view box.

const SHAPES = {
  float16: "M-3,0a3,3 0 1,0 6,0a3,3 0 1,0 -6,0",
  bfloat16: "M-2.7,-2.7h5.4v5.4h-5.4z",
  float32: "M0,-3.6L3.4,2.6H-3.4z",
  float64: "M0,-3.8L3.8,0L0,3.8L-3.8,0z",
  complex64: "M0,3.6L3.4,-2.6H-3.4z",
  complex128: "M-2.8,-2.8L2.8,2.8M-2.8,2.8L2.8,-2.8",
};

function marker(dtype, x, y, title) {
  const place = "translate(" + x + " " + y + ")";
  const words = title ? drawn("title", {}, title) : null;
  return drawn("path", { class: "marker", d: SHAPES[dtype], transform: place }, words);
}

// What was given against the allowed interval, in units of the bound: the interval is -1 to 1.
function numberLine({ off, low, high, exact, number, distance }) {
  if (off === undefined) return null;
  const [width, reach, middle] = [380, 6, 44];
  const far = Math.abs(off) > reach;
  const x = (bounds) => width / 2 + (bounds / reach) * (width / 2 - 24);
  const at = far ? (off > 0 ? width - 6 : 6) : x(off);
  const end = off > 0 ? "end" : "start";
  const got = far
    ? drawn("path", { class: "got",
        d: "M" + at + "," + middle + (off > 0 ? "l-9,-5v10z" : "l9,-5v10z") })
    : drawn("path", { class: "got", d: "M" + at + "," + middle + "m0,-6l5,6l-5,6l-5,-6z" });
  const label = "got " + number + (far ? ", far outside" : "");
  return drawn("svg", { class: "line", viewBox: "0 0 " + width + " 84", role: "img",
    "aria-label": "got " + number + ", allowed " + low + " to " + high + ": " + distance },
    drawn("line", { class: "axis", x1: 0, x2: width, y1: middle, y2: middle }),
    drawn("rect", { class: "allowed", x: x(-1), y: middle - 8, width: x(1) - x(-1), height: 16 }),
    ...[-1, 1].map((edge) => drawn("line", { class: "edge", x1: x(edge), x2: x(edge),
      y1: middle - 8, y2: middle + 8 })),
    drawn("line", { class: "exact", x1: x(0), x2: x(0), y1: middle - 12, y2: middle + 12 }),
    got,
    drawn("text", { class: "got-label", x: at, y: middle - 22, "text-anchor": end }, label),
    drawn("text", { class: "quiet", x: x(-1) - 2, y: middle + 22, "text-anchor": "end" }, low),
    drawn("text", { class: "quiet", x: x(1) + 2, y: middle + 22, "text-anchor": "start" }, high),
    drawn("text", { x: x(0), y: middle + 36, "text-anchor": "middle" }, "exactly " + exact));
}

// The largest error of each step over its bound, a line for each dtype; above 1 is wrong.
function plot(results) {
  const traced = results.filter((result) => result.trace);
  const steps = Math.max(0, ...traced.map((result) => result.trace.length));
  const values = traced.flatMap((result) => result.trace).filter((value) => value > 0);
  if (steps < 2 || !values.length) return null;
  const [left, right, top, bottom] = [46, 410, 12, 150];
  const decade = (value) => Math.log10(value);
  const low = Math.max(-4, Math.min(-1, Math.floor(decade(Math.min(...values)))));
  const high = Math.max(1, Math.ceil(decade(Math.max(...values))));
  const clamped = (value) => (value === null ? high : Math.max(low, value > 0 ? decade(value) : low));
  const x = (index) => left + 8 + (index / (steps - 1)) * (right - left - 16);
  const y = (value) => bottom - ((clamped(value) - low) / (high - low)) * (bottom - top);
  const parts = [];
  const every = Math.ceil((high - low) / 6);
  for (let power = Math.ceil(low / every) * every; power <= high; power += every) {
    const height = y(10 ** power);
    const text = Math.abs(power) < 4 ? String(10 ** power).slice(0, 6) : "1e" + power;
    parts.push(
      drawn("line", { class: "grid", x1: left, x2: right, y1: height, y2: height }),
      drawn("text", { class: "quiet", x: left - 6, y: height + 3.5, "text-anchor": "end" }, text));
  }
  const stride = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((each) => steps / each <= 8)
    || Math.ceil(steps / 8);
  for (let step = 1; step <= steps; step += step === 1 && stride > 1 ? stride - 1 : stride) {
    parts.push(drawn("text", { class: "quiet", x: x(step - 1), y: bottom + 15,
      "text-anchor": "middle" }, String(step)));
  }
  parts.push(
    drawn("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }),
    drawn("line", { class: "bound", x1: left, x2: right, y1: y(1), y2: y(1) }),
    drawn("text", { class: "bound-label", x: right, y: y(1) - 4, "text-anchor": "end" },
      "bound"),
    drawn("text", { class: "quiet", x: (left + right) / 2, y: bottom + 29,
      "text-anchor": "middle" }, "step"));
  for (const { dtype, trace } of traced) {
    const points = trace.map((value, index) => x(index) + "," + y(value).toFixed(2));
    const line = drawn("g", { class: "series dtype-" + dtype },
      drawn("polyline", { points: points.join(" ") }));
    trace.forEach((value, index) => {
      if (steps > 40 && index < trace.length - 1) return;
      const used = value === null ? "cannot be right" : value + " of the bound";
      line.append(marker(dtype, x(index), y(value).toFixed(2),
        dtype + ", step " + (index + 1) + ": " + used));
    });
    parts.push(line);
  }
  const keys = traced.map(({ dtype }) => element("li", {},
    drawn("svg", { class: "series dtype-" + dtype, viewBox: "0 0 22 10", "aria-hidden": "true" },
      drawn("path", { d: "M0,5H22" }), marker(dtype, 11, 5)), dtype));
  const words = traced.map(({ dtype, used }) => dtype + " at most " + (used || 0)).join(", ");
  return element("figure", { class: "plot" },
    element("figcaption", {}, "largest error of each step, in bounds"),
    drawn("svg", { viewBox: "0 0 420 184", role: "img",
      "aria-label": "error over bound in " + steps + " steps: " + words }, ...parts),
    element("ul", { class: "key" }, ...keys));
}

panel.tabIndex = 0;
filter();
follow();
