// What the console writes with: elements, tables, pills and numbers. Text goes in as text alone, never as HTML.

export const $ = (id) => document.getElementById(id);

/** Return a new element with attributes and children; a null attribute is left out. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * Write a table: `columns` are titles (with a " #" behind those of numbers), `rows` lists of texts or elements, the
 * first of which names its row.
 *
 * Rows and cells stay the same elements where there are as many, so that a focus in them is not lost. Roles are spelt
 * out since a narrow screen shows a row as a block, and that takes the meaning of a table from it.
 */
export function fillTable(table, columns, rows) {
  if (table.tHead === null) {
    table.setAttribute("role", "table");
    const titles = columns.map((title) => make("th", { scope: "col", role: "columnheader", ...kind(title) }, bare(title)));
    table.append(make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...titles)));
    table.append(make("tbody", { role: "rowgroup" }));
  }
  const body = table.tBodies[0];
  while (body.rows.length > rows.length) body.lastChild.remove();
  while (body.rows.length < rows.length) {
    const cells = columns.map((title, index) => {
      const named = { "data-title": bare(title), ...kind(title) };
      return index === 0 ? make("th", { scope: "row", role: "rowheader", ...named }) : make("td", { role: "cell", ...named });
    });
    body.append(make("tr", { role: "row" }, ...cells));
  }
  rows.forEach((row, index) => row.forEach((value, column) => fill(body.rows[index].cells[column], value)));
}

const bare = (title) => title.replace(/ #$/, "");
const kind = (title) => ({ class: title.endsWith(" #") ? "number" : null });

/** Put a text or an element into an element, unless it is there already. */
export function fill(element, value) {
  if (value instanceof Node) {
    if (!element.firstChild?.isEqualNode(value)) element.replaceChildren(value);
  } else if (element.textContent !== String(value)) element.textContent = value;
}

/** Write facts into a list: each a name, a text or an element, and perhaps how full it is, 0 to 1. */
export function fillFacts(list, facts) {
  if (list.children.length !== facts.length) {
    list.replaceChildren(...facts.map(() => make("div", {}, make("dt"), make("dd"))));
  }
  facts.forEach(([name, value, full], index) => {
    const [term, text] = list.children[index].children;
    fill(term, name);
    fill(text, value);
    let meter = list.children[index].querySelector("meter");
    if (full === undefined) return meter?.parentElement.remove();
    if (meter === null) {
      meter = make("meter", { min: 0, max: 1, high: 0.9, low: 0.7, optimum: 0 });
      list.children[index].append(make("dd", { class: "gauge" }, meter));
    }
    meter.value = full;
    meter.setAttribute("aria-label", `${name}: ${Math.round(full * 100)} %`);
  });
}

/** Show a state: `good`, `warn` or `bad`, and its word. */
export function fillPill(pill, level, text) {
  pill.dataset.level = level;
  fill(pill, text);
  pill.hidden = false;
}

/** Return a new pill. */
export function makePill(level, text) {
  return make("span", { class: "pill", "data-level": level }, text);
}

/** Show an answer: `good`, `bad` or `""` to take it away. */
export function answer(element, level, text) {
  element.dataset.kind = level;
  element.textContent = level ? text : "";
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** Return a number in few characters; a dash where there is none. */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return (Math.abs(value) < 10 ? fine : whole).format(value);
}

/** Return bytes with a unit. */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${number(value)} ${units[unit]}`;
}

/** Return seconds as milliseconds, or as seconds above one. */
export function short(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  return seconds < 1 ? `${number(seconds * 1000)} ms` : `${number(seconds)} s`;
}

/** Return how long something has lasted, in its largest unit. */
export function lasting(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.max(0, Math.floor(seconds))} s`;
}
