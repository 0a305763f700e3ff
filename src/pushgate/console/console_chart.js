// A live line chart in SVG: its lines move as values come, and a pointer or the arrow keys read one moment.

import { fill, make } from "./console_dom.js";

const SVG = "http://www.w3.org/2000/svg";
const KEPT = 150; // moments
const LEAST = 30; // moments that the whole width is for, while there are fewer
const WIDTH = 300; // units of the drawing, which is stretched to its place
const HEIGHT = 100;

/**
 * One chart. `title` heads it, `lines` are the names of its lines, and `format` writes a value.
 *
 * Values that are null leave a gap. `minimum` is the least that the top of the scale says.
 */
export class Chart {
  constructor({ title, note, lines, format, minimum = 1 }) {
    this._format = format;
    this._lines = lines;
    this._minimum = minimum;
    this._moments = [];
    this._read = null; // how many moments back is read, null for the newest
    this._values = lines.map(() => make("strong", { class: "now" }, "–"));
    this._legend = make("p", { class: "legend" });
    lines.forEach((line, index) => {
      this._legend.append(make("span", { "data-line": index }, this._values[index], ` ${line}`));
    });
    this._top = make("span", { class: "top", "aria-hidden": "true" });
    this._begin = make("span");
    this._when = make("span", {}, "now");
    this._paths = lines.map((_, index) => draw("path", { class: "line", "data-line": index, "vector-effect": "non-scaling-stroke" }));
    this._area = draw("path", { class: "area" });
    this._hair = draw("line", { class: "hair", y1: 0, y2: HEIGHT, "vector-effect": "non-scaling-stroke" });
    const grid = [0, 0.5, 1].map((at) => draw("line", { class: "grid", x1: 0, x2: WIDTH, y1: at * HEIGHT, y2: at * HEIGHT, "vector-effect": "non-scaling-stroke" }));
    this._drawing = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "slider", tabindex: 0, "aria-label": title, "aria-valuemin": 1 - KEPT, "aria-valuemax": 0 });
    this._drawing.append(...grid, this._area, ...this._paths, this._hair);
    this.element = make(
      "figure",
      { class: "card chart" },
      make("figcaption", {}, make("h3", {}, title), make("span", { class: "hint" }, note)),
      this._legend,
      make("div", { class: "plot" }, this._drawing, this._top),
      make("div", { class: "axis", "aria-hidden": "true" }, this._begin, this._when),
    );
    this._listen();
    this._show();
    this._say();
  }

  /** Add the values of one moment, one for each line, at a time in seconds. */
  add(time, values) {
    this._moments.push({ time, values });
    if (this._moments.length > KEPT) this._moments.shift();
    this._show();
    if (document.activeElement !== this._drawing) this._say(); // or a reader would speak every two seconds
  }

  /** Forget all moments. */
  clear() {
    this._moments = [];
    this._readAt(null);
  }

  _listen() {
    this._drawing.addEventListener("pointermove", (event) => {
      const { left, width } = this._drawing.getBoundingClientRect();
      this._readAt(Math.round((1 - (event.clientX - left) / width) * this._span()));
    });
    this._drawing.addEventListener("pointerleave", () => this._readAt(null));
    this._drawing.addEventListener("blur", () => this._readAt(null));
    this._drawing.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: 1, ArrowRight: -1, Escape: -Infinity, Home: Infinity, End: -Infinity }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const back = (this._read ?? 0) + step;
      this._readAt(back <= 0 ? null : back);
    });
  }

  /** How many steps between moments the width is for. */
  _span() {
    return Math.max(LEAST, this._moments.length) - 1;
  }

  _readAt(back) {
    this._read = back === null ? null : Math.max(0, Math.min(back, this._moments.length - 1));
    this._show();
    this._say();
  }

  _show() {
    const moments = this._moments;
    const seen = moments.flatMap(({ values }) => values).filter((value) => value !== null);
    const top = niceAbove(Math.max(this._minimum, ...seen));
    fill(this._top, this._format(top));
    const place = (index) => WIDTH - ((moments.length - 1 - index) * WIDTH) / this._span();
    fill(this._begin, moments.length < LEAST ? "" : `${Math.round(moments.at(-1).time - moments[0].time)} s ago`);
    this._paths.forEach((path, line) => {
      const points = moments.map(({ values }, index) => (values[line] === null ? null : [place(index), HEIGHT * (1 - values[line] / top)]));
      path.setAttribute("d", join(points));
      if (line === 0) this._area.setAttribute("d", moments.length > 1 && !points.includes(null) ? `${join(points)}V${HEIGHT}H${place(0).toFixed(1)}Z` : "");
    });
    this._showRead(place);
  }

  _showRead(place) {
    const index = this._moments.length - 1 - (this._read ?? 0);
    const moment = this._moments[index];
    this._values.forEach((element, line) => fill(element, this._format(moment?.values[line] ?? null)));
    this._hair.toggleAttribute("hidden", this._read === null);
    if (this._read === null) return fill(this._when, "now");
    const x = place(index).toFixed(1);
    this._hair.setAttribute("x1", x);
    this._hair.setAttribute("x2", x);
    fill(this._when, `${Math.round(this._moments.at(-1).time - moment.time)} s ago`);
  }

  _say() {
    this._drawing.setAttribute("aria-valuenow", -(this._read ?? 0));
    this._drawing.setAttribute("aria-valuetext", this._describe());
  }

  _describe() {
    if (this._moments.length === 0) return "nothing yet";
    const index = this._moments.length - 1 - (this._read ?? 0);
    const when = this._read === null ? "now" : `${Math.round(this._moments.at(-1).time - this._moments[index].time)} seconds ago`;
    const parts = this._lines.map((line, number) => {
      const values = this._moments.map(({ values }) => values[number]).filter((value) => value !== null);
      const range = values.length === 0 ? "" : `, from ${this._format(Math.min(...values))} to ${this._format(Math.max(...values))}`;
      return `${line} ${this._format(this._moments[index].values[number])}${range}`;
    });
    return `${when}: ${parts.join("; ")}`;
  }
}

function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Return a path through points; null between them is a gap, and a point between two gaps a dot. */
function join(points) {
  let path = "";
  let drawn = false;
  for (const point of points) {
    if (point !== null) {
      const at = `${point[0].toFixed(1)} ${point[1].toFixed(2)}`;
      path += drawn ? `L${at}` : `M${at}L${at}`;
    }
    drawn = point !== null;
  }
  return path;
}

/** Return the least of 1, 2, 2.5, 4, 5 and 10 times a power of ten that is not below a value. */
function niceAbove(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 4, 5, 10].map((step) => step * power).find((step) => step >= value * 0.9999);
}
