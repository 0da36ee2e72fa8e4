// Six small charts over one stretch of time. What has no requests is a gap and not zero.

import { count, kind, millis, odds, percent, share, time, weight, GRAVE, HEEDED, NOTHING } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 132;
const EDGE = { left: 46, right: 10, top: 12, bottom: 18 };

/** No chart shows less time than this, and none more than its resolution keeps. */
const LEAST_SECONDS = 60;

/** A bound that lies further above the values than this is named at the edge, so that the values keep their shape. */
const FAR = 4;

/** So many times fewer requests than usual are few. */
const FEW = 4;

const BOTH = [["blue", "blue"], ["green", "green"]];
const latency = (quantile) => ({
  title: quantile.toUpperCase(),
  says: `Latency, ${quantile.toUpperCase()}`,
  lines: BOTH,
  value: (point, version) => point[version][quantile],
  text: millis,
  least: 2,
  quantile: Number(quantile.slice(1)) / 100,
});

const CHARTS = [
  {
    title: "Requests a second", lines: BOTH, least: 1, traffic: true,
    value: (point, version) => point[version].requests / point.every,
    text: (value) => (value == null ? NOTHING : value < 10 ? String(Number(value.toFixed(1))) : count(value)),
  },
  {
    title: "Error rate", lines: BOTH, least: 0.01, most: 1, rate: true, text: percent,
    value: (point, version) => (point[version].requests ? point[version].failures / point[version].requests : null),
  },
  {
    title: "Evidence against green", says: "Evidence that green is worse than blue, and as a check, blue than itself", odds: true, text: odds,
    lines: [["arm", "A/A"], ["evidence", "green"]],
    value: (point, line) => (line === "arm" ? point.lnArm : point.lnEvidence),
  },
  latency("p50"), latency("p95"), latency("p99"),
];

export class Charts {
  constructor(host, read) {
    this.points = new Map();
    this.every = 1;
    this.events = [];
    this.bounds = [];
    this.convictsAt = null;
    this.looksAt = null;
    this.read = read;
    this.charts = CHARTS.map((spec) => new Chart(host, spec, this));
    new ResizeObserver(() => this.draw()).observe(host);
  }

  /** Everything that was kept before the page was opened. What the page knows from before a restart stays. */
  fill(resolutions) {
    for (const { every, points } of resolutions) {
      if (!points.length) continue;
      const kept = points.map(ready);
      const known = this.points.get(every) ?? [];
      const before = known.filter(({ ms }) => ms < kept[0].ms);
      const after = known.filter(({ ms }) => ms > kept.at(-1).ms);
      this.points.set(every, [...before, ...kept, ...after]);
      this.keep(every);
    }
  }

  add(point) {
    const points = this.points.get(point.every) ?? [];
    this.points.set(point.every, points);
    const newest = ready(point);
    if (!points.length || newest.ms > points.at(-1).ms) points.push(newest);
    this.keep(point.every);
  }

  keep(every) {
    const points = this.points.get(every);
    points.splice(0, points.length - (every === 1 ? 300 : 480));
  }

  /** The points that are shown, and the time that they span. */
  shown() {
    const points = this.points.get(this.every) ?? [];
    const to = points.at(-1)?.ms ?? Date.now();
    const from = Math.min(points[0]?.ms ?? to, to - LEAST_SECONDS * 1000);
    return { points, from, to };
  }

  draw() {
    if (document.hidden) return;
    const shown = this.shown();
    this.charts.forEach((chart) => chart.draw(shown));
  }

  look(ms) {
    this.looksAt = ms;
    this.draw();
  }

  /** Goes one point on or back, or to either end. */
  step(key) {
    const { points } = this.shown();
    const known = points.findIndex((point) => point.ms === this.looksAt);
    const at = known < 0 ? points.length - 1 : known;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: points.length - 1 }[key];
    const point = points[Math.max(0, Math.min(points.length - 1, to))];
    if (point) this.look(point.ms);
    return point;
  }
}

function ready(point) {
  return { ...point, ms: Date.parse(point.at) };
}

class Chart {
  constructor(host, spec, charts) {
    this.spec = spec;
    this.charts = charts;
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const title = document.createElement("span");
    title.className = "chart-title";
    title.textContent = spec.title;
    this.values = document.createElement("span");
    this.values.className = "chart-values";
    caption.append(title, this.values);
    this.svg = element("svg", { role: "img", tabindex: "0", focusable: "true" });
    figure.append(caption, this.svg);
    host.append(figure);

    this.svg.addEventListener("pointermove", (event) => {
      const { points, from, to } = charts.shown();
      const box = this.svg.getBoundingClientRect();
      const share = (event.clientX - box.left - EDGE.left) / (box.width - EDGE.left - EDGE.right);
      const ms = from + share * (to - from);
      const nearest = points.reduce((best, point) => (Math.abs(point.ms - ms) < Math.abs(best.ms - ms) ? point : best), points[0]);
      if (nearest) charts.look(nearest.ms);
    });
    this.svg.addEventListener("pointerleave", () => charts.look(null));
    this.svg.addEventListener("blur", () => charts.look(null));
    this.svg.addEventListener("keydown", (event) => {
      if (event.key === "Escape") charts.look(null);
      if (!["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
      event.preventDefault();
      const point = charts.step(event.key);
      if (point) charts.read(`${time(point.ms)}, ${spec.says ?? spec.title}: ${this.told(point)}`);
    });
  }

  told(point) {
    return this.spec.lines.map(([line, name]) => `${name} ${this.spec.text(this.spec.value(point, line))}`).join(", ");
  }

  /** The bounds that belong on this chart: their value and what they are called. */
  bounds() {
    const { spec, charts } = this;
    if (spec.odds) return charts.convictsAt == null ? [] : [{ value: charts.convictsAt, label: `convicts at ${odds(charts.convictsAt)}` }];
    const fits = ({ metric, route, bound, quantile }) => {
      if (route || bound == null) return false;
      if (spec.rate) return metric === "errorRate";
      return spec.quantile && metric === "latency" && closest(quantile) === spec.quantile;
    };
    return charts.bounds.filter(fits).map(({ name, bound, aboveBlue, quantile }) => {
      const of = spec.quantile && quantile !== spec.quantile ? `P${Number((quantile * 100).toFixed(2))} ` : "";
      const times = aboveBlue ? `, ${aboveBlue} × blue` : "";
      return { value: bound, label: `${name} ${of}${spec.rate ? share(bound) : spec.text(bound)}${times}` };
    });
  }

  /** The values that set the scale. A last few requests make a rate of anything: they are drawn, at the upper edge if need be. */
  weighty(points, line) {
    const { spec } = this;
    const requests = (point) => (spec.traffic || spec.odds ? 1 : point[line].requests);
    const some = points.map(requests).filter((number) => number > 0).sort((one, other) => one - other);
    const usual = some[Math.floor(some.length / 2)] ?? 0;
    return points.filter((point) => requests(point) * FEW >= usual).map((point) => spec.value(point, line)).filter((value) => value != null);
  }

  draw({ points, from, to }) {
    const { spec, charts, svg } = this;
    const width = Math.max(svg.clientWidth, 120);
    const right = width - EDGE.right;
    const bottom = HEIGHT - EDGE.bottom;
    const at = charts.looksAt == null ? points.at(-1) : points.find((point) => point.ms === charts.looksAt);
    this.caption(at);

    const bounds = this.bounds();
    const values = spec.lines.flatMap(([line]) => this.weighty(points, line));
    const most = values.reduce((most, value) => Math.max(most, value), 0);
    const near = bounds.filter(({ value }) => spec.odds || value <= Math.max(most * FAR, spec.least));
    const needed = near.reduce((most, { value }) => Math.max(most, value * 1.12), Math.max(most * 1.05, spec.least ?? 0));
    const top = spec.odds ? Math.max(needed, 3) : Math.min(nice(needed), spec.most ?? Infinity);

    const x = (ms) => round(EDGE.left + ((ms - from) / (to - from || 1)) * (right - EDGE.left));
    const y = (value) => round(bottom - (Math.max(0, Math.min(value, top)) / top) * (bottom - EDGE.top));

    const drawn = [];
    const named = [];
    const text = (content, attributes) => {
      const made = element("text", attributes);
      made.textContent = content;
      drawn.push(made);
    };
    const rule = (y1, kind) => drawn.push(element("line", { x1: EDGE.left, x2: right, y1, y2: y1, class: kind }));

    for (const value of spec.odds ? oddsTicks(top) : [0, top / 2, top]) {
      rule(y(value), "grid");
      const label = spec.odds ? odds(value).replace(" : 1", ":1").replace("none", "1:1") : spec.rate ? share(value) : spec.text(value);
      text(label, { x: EDGE.left - 6, y: y(value) + 3.5, class: "tick", "text-anchor": "end" });
    }
    for (const ms of timeTicks(from, to, right - EDGE.left)) {
      const label = to - from > 600_000 ? time(ms).slice(0, 5) : time(ms);
      // Not beyond the edge, where it would be cut off.
      const anchor = x(ms) > right - 22 ? { x: right, "text-anchor": "end" } : { x: x(ms), "text-anchor": "middle" };
      text(label, { ...anchor, y: HEIGHT - 4, class: "tick" });
    }

    let free = -Infinity;
    for (const event of charts.events) {
      const ms = Date.parse(event.at);
      if (ms < from || ms > to) continue;
      const grave = GRAVE.has(event.kind) ? " grave" : HEEDED.has(event.kind) ? " heeded" : "";
      const line = element("line", { x1: x(ms), x2: x(ms), y1: EDGE.top - 4, y2: bottom, class: `moment${grave}` });
      const title = element("title", {});
      title.textContent = `${time(ms)} ${kind(event.kind)}: ${event.sentence}`;
      line.append(title);
      drawn.push(line);
      const label = event.kind === "rolledBack" ? "✕" : spec.traffic && ["stepped", "weightSet", "promoted"].includes(event.kind) ? weight(event.weight) : "";
      if (label && (grave || x(ms) > free)) {
        text(label, { x: x(ms) + 3, y: EDGE.top + 4, class: `moment-label${grave}` });
        free = x(ms) + 34;
      }
    }

    // Each name above its line and above the one before; those that are out of sight share the first line.
    for (const { value, label } of near.toSorted((one, other) => one.value - other.value)) {
      rule(y(value), "bound");
      named.push({ label, at: Math.min(y(value) - 4, (named.at(-1)?.at ?? Infinity) - 11) });
    }
    const far = bounds.filter((bound) => !near.includes(bound)).map(({ label }) => `${label} ↑`).join("  ");
    if (far) named.push({ label: far, at: EDGE.top - 2 });

    for (const [line] of spec.lines) {
      drawn.push(element("path", { d: path(points, (point) => spec.value(point, line), x, y), class: `series ${line}` }));
    }
    if (charts.looksAt != null && at) {
      drawn.push(element("line", { x1: x(at.ms), x2: x(at.ms), y1: EDGE.top, y2: bottom, class: "crosshair" }));
      for (const [line] of spec.lines) {
        const value = spec.value(at, line);
        if (value != null) drawn.push(element("circle", { cx: x(at.ms), cy: y(value), r: 3, class: `spot ${line}` }));
      }
    }
    for (const { label, at } of named) text(label, { x: right, y: at, class: "bound-label", "text-anchor": "end" });
    if (!values.length) {
      text("nothing yet", { x: (EDGE.left + right) / 2, y: HEIGHT / 2, class: "empty", "text-anchor": "middle" });
    }
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.setAttribute("aria-label", this.label(points.at(-1), bounds));
    svg.replaceChildren(...drawn);
  }

  caption(point) {
    const { spec, charts } = this;
    const parts = spec.lines.map(([line, name]) => {
      const part = document.createElement("span");
      part.className = `value ${line}`;
      part.textContent = `${name} ${point ? spec.text(spec.value(point, line)) : NOTHING}`;
      return part;
    });
    if (charts.looksAt != null && point) {
      const when = document.createElement("span");
      when.className = "when";
      when.textContent = time(point.ms);
      parts.unshift(when);
    }
    this.values.replaceChildren(...parts);
  }

  label(point, bounds) {
    const { spec } = this;
    const values = point ? this.told(point) : "nothing yet";
    const of = bounds.map(({ label }) => label).join(", ");
    return `${spec.says ?? spec.title}: ${values}.${of ? ` Bounds: ${of}.` : ""}`;
  }
}

/** A line that is broken where there is nothing; what stands alone is a dot. */
function path(points, value, x, y) {
  let drawn = "";
  let before = null;
  points.forEach((point) => {
    const is = value(point);
    if (is == null) {
      before = null;
      return;
    }
    // A process that has begun anew may count from nothing.
    const follows = before !== null && point.number === before.number + 1 && point.ms - before.ms < 2500 * point.every;
    drawn += follows ? `L${x(point.ms)},${y(is)}` : `M${x(point.ms)},${y(is)}h.01`;
    before = point;
  });
  return drawn;
}

function closest(quantile) {
  return [0.5, 0.95, 0.99].reduce((best, known) => (Math.abs(known - quantile) < Math.abs(best - quantile) ? known : best));
}

function nice(value) {
  const digit = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * digit).find((step) => step >= value - 1e-12) ?? value;
}

function oddsTicks(top) {
  const tens = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((exponent) => exponent * Math.LN10).filter((ln) => ln <= top);
  return tens.length > 5 ? tens.filter((_, index) => index % 3 === 0) : tens;
}

function timeTicks(from, to, width) {
  const most = Math.max(2, Math.floor(width / 90));
  const steps = [10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200].map((seconds) => seconds * 1000);
  const step = steps.find((step) => (to - from) / step <= most) ?? steps.at(-1);
  const ticks = [];
  for (let ms = Math.ceil(from / step) * step; ms <= to; ms += step) ticks.push(ms);
  return ticks;
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function round(number) {
  return Math.round(number * 10) / 10;
}
