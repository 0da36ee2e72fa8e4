// The status as a page. Everything that comes from the proxy goes in as text.

import {
  STATES, GRAVE, HEEDED, NOTHING, clock, count, day, duration, kind, millis, moment, odds, percent, ratio, share, time, weight,
} from "./words.js";

const EVENTS_AT_FIRST = 12;
const ACTORS = { plan: "the plan", gate: "the gate", proxy: "the proxy" };
const ROUTES_SHOWN = 8;
const ACTIONS = { rollback: "rolls back", pause: "pauses", notify: "tells people" };
const WHY_OUT = { ejected: "is ejected", onTrial: "is on trial", failsChecks: "fails its health checks" };

export const byId = (id) => document.getElementById(id);

/** Makes an element with a class and text, or children. */
export function make(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

/** Writes only what has changed: a screen reader is told no more than that, and a selection stays. */
function write(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

function show(id, is) {
  byId(id).hidden = !is;
}

const filled = new Map();

/** What the status does not say: green's weight before the rollback, what became of the last release, and what was done about it. */
const beside = { before: null, last: "", actions: [], skew: 0 };

/** The proxy's clock shows this while ours shows what it shows: a phone's may be minutes off. */
export function setClock(now) {
  beside.skew = Date.now() - Date.parse(now);
}

/** Replaces the children where they are others than before. */
function fill(id, children) {
  const markup = make("div", "", ...children).innerHTML;
  if (filled.get(id) !== markup) byId(id).replaceChildren(...children);
  filled.set(id, markup);
}

export const isOpen = (status) => ["stepping", "paused", "promoted"].includes(status.state);
const isAsked = (status) => status.consent === "asked" && status.state === "paused" && !status.held;

/** The state as people say it. */
export function stateOf(status) {
  if (isAsked(status)) return { name: "Waits for approval", mark: "?" };
  return STATES[status.state] ?? { name: status.state, mark: "" };
}

/** Draws the status. `since` is how many seconds ago it was sent, and goes on while it stands. */
export function draw(status, since) {
  const { name, mark } = stateOf(status);
  byId("now").dataset.state = isAsked(status) ? "asked" : status.state;
  byId("hand").dataset.state = byId("now").dataset.state;
  write("service", status.service);
  write("state", name);
  write("mark", mark);
  const isComplete = status.state === "completed";
  write("weight", weight(isComplete ? 100 : status.weight));
  const before = status.state === "rolledBack" && beside.before?.epoch === status.epoch ? `; it had ${weight(beside.before.weight)}` : "";
  write("weight-of", isComplete ? `of requests go to ${status.blue.version}, which is blue from here on` : `of requests go to green, ${status.green.version}${before}`);
  write("hand-mark", mark);
  write("hand-state", name);
  write("hand-weight", isOpen(status) ? weight(status.weight) : "");
  drawLeft(status, since);
  drawSentence(status);
  drawSplit(status);
  drawSteps(status, since);
  drawVersions(status);
  drawBounds(status);
  drawOut(status);
  document.title = `${mark} ${name}${isOpen(status) ? ` ${weight(status.weight)}` : ""} · ${status.service}`;
}

/** What changes with the time alone. */
export function drawLeft(status, since) {
  const { figure, under } = left(status, since);
  write("left", figure);
  write("left-of", under);
}

function left(status, since) {
  const { plan, step, state } = status;
  if (state === "rolledBack") return rolledBack(status);
  if (!isOpen(status)) return { figure: "", under: beside.last };
  const bakes = plan?.steps[step - 1];
  const place = bakes ? `step ${step} of ${plan.steps.length}` : "";
  if (isAsked(status)) {
    if (!status.approval) return { figure: "your turn", under: `${place} has baked; ${next(plan, step)} after an approval` };
    const { left, otherwise } = status.approval;
    const comes = otherwise === "rollback" ? "it is rolled back" : "it is paused";
    return { figure: clock(left - since), under: `left to approve ${next(plan, step)}, or ${comes}` };
  }
  if (!bakes) return unplanned(status);
  if (state === "paused") {
    return { figure: "held", under: `in ${place}, which has baked for ${duration(Math.round(status.baked))} of ${duration(bakes.bake)}` };
  }
  const rest = bakes.bake - status.baked - since;
  if (rest <= 0) return { figure: "due", under: `${place} has baked; it goes on when the verdict is pass` };
  return { figure: clock(rest), under: `left in ${place}, then ${next(plan, step)}` };
}

function next(plan, step) {
  const after = plan.steps[step];
  return after ? weight(after.weight) : "it is complete";
}

function unplanned({ plan, exposure }) {
  if (!plan) return { figure: "by hand", under: "there is no plan: an operator sets the weight" };
  if (exposure) return { figure: `${count(exposure.harmed)} of ${count(exposure.budget)}`, under: "harmed requests of its budget" };
  return { figure: "soon", under: "before the first step" };
}

function rolledBack({ rollback }) {
  if (!rollback) return { figure: "", under: "all traffic goes to blue" };
  const ago = (Date.now() - beside.skew - Date.parse(rollback.at)) / 1000;
  const figure = ago < 2 ? "just now" : `${duration(Math.round(ago))} ago`;
  const reaction = rollback.reactionMicros == null ? "" : `, ${millis(rollback.reactionMicros / 1000)} after the verdict`;
  return { figure, under: `at ${moment(rollback.at)} by ${ACTORS[rollback.actor] ?? rollback.actor}, trigger ${rollback.trigger}${reaction}` };
}

function drawSentence(status) {
  const { state, verdict, rollback, pause } = status;
  const badge = byId("verdict");
  badge.hidden = !isOpen(status);
  badge.dataset.kind = verdict.kind;
  write("verdict", verdict.kind);
  const isHeld = state === "paused" && pause;
  write("sentence", state === "rolledBack" && rollback ? rollback.reason : isHeld ? pause : verdict.sentence);
  // A release that is held is judged all the same.
  const aside = isHeld && verdict.sentence !== pause ? `The verdict is ${verdict.kind}: ${verdict.sentence}` : "";
  if (isHeld) badge.hidden = true;
  write("aside", aside);
  show("aside", aside !== "");
}

function drawSplit({ weight: green, blue, green: candidate, state }) {
  byId("split-green-bar").style.flexBasis = `${green}%`;
  byId("split").dataset.empty = green === 0 ? "green" : green === 100 ? "blue" : "";
  const blueShare = weight(Math.round((100 - green) * 100) / 100);
  write("split-blue", `blue ${blue.version} ${blueShare}`);
  write("split-green", `green ${candidate.version} ${weight(green)}`);
  const latched = state === "rolledBack" ? "; green is shut" : "";
  byId("split").setAttribute("aria-label", `Traffic: blue ${blue.version} ${blueShare}, green ${candidate.version} ${weight(green)}${latched}`);
}

function drawSteps(status, since) {
  const { plan, step, state } = status;
  const has = plan != null && plan.steps.length > 0;
  show("steps", has);
  write("plan", planText(status, since));
  if (!has) return;
  const current = isOpen(status) ? step : null;
  fill("steps", plan.steps.map((of, index) => {
    const number = index + 1;
    const is = state === "completed" || (current && number < current) ? "done" : number === current ? "current" : "ahead";
    const needs = of.approval ? ", then an approval" : "";
    const name = of.cohort ? `cohort ${of.cohort}` : of.mirror != null ? `mirror ${weight(of.mirror)}` : weight(of.weight);
    const item = make("li", is, make("b", "", name), make("span", "bake", `${duration(of.bake)}${of.approval ? " + approval" : ""}`));
    item.setAttribute("aria-label", `${name}, ${duration(of.bake)}${needs}: ${is}`);
    if (is === "current") item.setAttribute("aria-current", "step");
    return item;
  }));
  byId("steps").dataset.state = state;
  // Beside the markup, which is compared as a whole: this moves every second.
  [...byId("steps").children].forEach((item, index) => {
    const baked = Math.min(1, ((status.baked ?? 0) + (state === "paused" ? 0 : since)) / Math.max(plan.steps[index].bake, 0.001));
    item.style.setProperty("--baked", item.className === "done" ? "100%" : item.className === "current" ? `${100 * baked}%` : "0%");
  });
}

function planText(status, since) {
  const { plan, step, state, maxWeight, baked } = status;
  if (!plan) return "";
  const said = [];
  if (isOpen(status) && step) {
    const rest = plan.steps.slice(step - 1).reduce((sum, { bake }) => sum + bake, 0) - Math.min(baked + (state === "paused" ? 0 : since), plan.steps[step - 1].bake);
    said.push(`${duration(Math.max(0, Math.ceil(rest)))} of baking left in all`);
  } else if (plan.steps.length) {
    said.push(`the plan takes ${duration(plan.steps.reduce((sum, { bake }) => sum + bake, 0))}`);
  }
  if (plan.budget) said.push(`budget of ${count(plan.budget)} harmed requests`);
  if (maxWeight != null) said.push(`green may have ${weight(maxWeight)} at most before it is promoted`);
  if (plan.irreversible) said.push(`irreversible: ${plan.irreversible}`);
  return said.join(" · ");
}

function drawVersions(status) {
  const { blue, green } = status;
  write("blue-version", blue.version);
  write("green-version", green.version);
  const failed = ({ requests, failures, errorRate }) => (requests ? `${percent(errorRate)} (${count(failures)})` : NOTHING);
  const rows = [
    ["requests", count(blue.requests), count(green.requests), ""],
    ["failed", failed(blue), failed(green), blue.requests && green.requests ? ratio(green.errorRate, blue.errorRate) : NOTHING],
    ...["p50", "p95", "p99"].map((p) => [p.toUpperCase(), millis(blue[p]), millis(green[p]), ratio(green[p], blue[p])]),
    ["endpoints", `${blue.healthyEndpoints} of ${blue.endpoints}`, `${green.healthyEndpoints} of ${green.endpoints}`, ""],
  ];
  fill("versions", rows.map(([name, ...cells]) => {
    const head = make("th", "", name);
    head.scope = "row";
    return make("tr", "", head, ...cells.map((cell, index) => make("td", worse(status, name, index), cell)));
  }));
  write("versions-note", `In the last ${status.window}, as clients saw it.`);
}

/** Marks what is beyond a bound, and endpoints that are missing. */
function worse({ blue, green, bounds }, name, index) {
  const version = [blue, green][index];
  if (!version) return "";
  if (name === "endpoints") return version.healthyEndpoints < version.endpoints ? "hot" : "";
  if (index === 0) return "";
  const value = name === "failed" ? green.errorRate : green[name.toLowerCase()];
  const metric = name === "failed" ? "errorRate" : "latency";
  const quantile = Number(name.slice(1)) / 100;
  const beyond = (bound) => !bound.route && bound.metric === metric && (metric !== "latency" || bound.quantile === quantile)
    && bound.bound != null && value > bound.bound;
  return bounds.some(beyond) ? "hot" : "";
}

function boundText(bound) {
  const { metric, quantile, measure, aboveBlue, window, sustained, route, action } = bound;
  const of = { errorRate: "error rate", latency: `P${Number(((quantile ?? 0) * 100).toFixed(2))}${measure === "whole" ? " to the end" : ""}` }[metric];
  const acts = ACTIONS[action] ?? action;
  if (metric === "failureStreak") return `${bound.bound} failures in a row: ${acts}`;
  if (metric === "healthChecks") return `${bound.bound} failed checks in a row at every endpoint: ${acts}`;
  if (metric === "external") return `the signal ${bound.signal}: ${acts}`;
  const limit = bound.bound == null ? "" : metric === "errorRate" ? share(bound.bound) : millis(bound.bound);
  const relative = aboveBlue ? `${aboveBlue} × blue's${limit ? `, now ${limit}` : ""}` : limit;
  const on = route ? ` on ${route}` : "";
  const held = sustained ? `, for ${duration(sustained)}` : "";
  return `${of}${on} above ${relative} in ${duration(window)}${held}: ${acts}`;
}

function drawBounds(status) {
  const { bounds, comparison, convictsAt, signals } = status;
  const items = bounds.map((bound) => ({
    name: bound.name,
    text: boundText(bound),
    part: bound.bound && bound.green != null ? bound.green / bound.bound : null,
    blue: bound.bound && bound.blue != null ? bound.blue / bound.bound : null,
    value: bound.metric === "errorRate" ? percent(bound.green) : bound.metric === "latency" ? millis(bound.green) : "",
    fires: bound.signal != null && signals.includes(bound.signal),
  }));
  if (convictsAt != null) {
    items.unshift({
      name: "comparison",
      text: `green is worse than blue, beyond chance at ${odds(convictsAt)}: rolls back`,
      part: comparison && isOpen(status) ? Math.max(0, comparison.lnEvidence) / convictsAt : null,
      blue: comparison && isOpen(status) ? Math.max(0, comparison.lnArm) / convictsAt : null,
      value: comparison && isOpen(status) ? odds(comparison.lnEvidence) : "",
    });
  }
  const list = byId("bounds");
  fill("bounds", items.map(({ name, text, part, value, fires }) => {
    const beyond = (part ?? 0) > 1 || fires;
    const item = make("li", beyond ? "beyond" : "", make("b", "", name), make("span", "bound-value", value || (fires ? "fires" : "")), make("span", "bound-text", text));
    if (part != null) {
      const gauge = make("span", "gauge", make("i", "gauge-green"), make("i", "gauge-blue"), make("i", "gauge-bound"));
      gauge.setAttribute("aria-hidden", "true");
      item.append(gauge);
    }
    return item;
  }));
  // The bound stands at four fifths, so that one sees what is beyond it.
  const place = (part) => `${Math.min(100, 80 * (part ?? 0))}%`;
  [...list.children].forEach((item, index) => {
    item.style.setProperty("--green-at", place(items[index].part));
    item.style.setProperty("--blue-at", place(items[index].blue));
  });
  if (!items.length) fill("bounds", [make("li", "calm", "Nothing: the configuration has no trigger and no comparison.")]);
}

function drawOut(status) {
  const { blue, green, exposure, mirror, ramp, difference, endpointsOut, signals, routes = [], cohorts = [], comparison } = status;
  const grave = [];
  const mild = [];
  if (difference) mild.push(difference);
  for (const { version, endpoint, why } of endpointsOut) grave.push(`${version}'s endpoint ${endpoint} ${WHY_OUT[why] ?? why}`);
  for (const [name, { healthyEndpoints, endpoints }] of [["blue", blue], ["green", green]]) {
    const told = endpointsOut.filter(({ version }) => version === name).length;
    const more = endpoints - healthyEndpoints - told;
    if (more > 0) grave.push(`${more} of ${name}'s ${endpoints} endpoints ${more === 1 ? "takes" : "take"} no requests`);
  }
  for (const { route, takenBack } of routes) if (takenBack) grave.push(`Route ${route} goes to blue: ${takenBack}`);
  for (const signal of signals) grave.push(`The signal ${signal} fires`);
  if (comparison && isOpen(status) && comparison.standing !== "calm") mild.push(`The comparison says of green: ${comparison.standing}`);
  if (green.shielded) mild.push(`Blue answered ${count(green.shielded)} of green's failures in its place: for clients ${percent(green.effectiveSuccessRate)} of green's requests succeeded`);
  if (green.warmingUp) mild.push(`Green warms up for ${duration(green.warmingUp)} more: until then its latencies are no evidence`);
  if (exposure) mild.push(`Green has harmed ${count(exposure.harmed)} requests, ${count(exposure.atMost)} at most, of a budget of ${count(exposure.budget)}`);
  if (ramp?.limit != null) grave.push(`Blue takes at most ${count(ramp.limit)} requests at a time${ramp.suffering ? `: ${ramp.suffering}` : ""}; ${count(ramp.refused)} were refused`);
  if (mirror?.compared) mild.push(`Of ${count(mirror.compared)} mirrored answers ${count(mirror.otherStatus)} had another status and ${count(mirror.otherLength)} another length`);
  for (const { cohort, onGreen, requests, failures } of cohorts) if (onGreen) mild.push(`The cohort ${cohort} is on green: ${count(failures)} of ${count(requests)} requests failed`);
  for (const { name, result, sentence } of beside.actions) {
    if (result === "failed") grave.push(`The action ${name} failed: ${sentence}`);
    if (result === "task") mild.push(`To do: ${sentence}`);
  }
  const items = [...grave.map((text) => make("li", "grave", text)), ...mild.map((text) => make("li", "", text))];
  fill("out", items.length ? items : [make("li", "calm", "Nothing stands out.")]);
  drawRoutes(routes);
}

function drawRoutes(routes) {
  show("routes-box", routes.length > 0);
  const excess = ({ blue, green }) => green.errorRate - blue.errorRate;
  const suspicious = routes.toSorted((one, other) => (other.takenBack ? 1 : 0) - (one.takenBack ? 1 : 0)
    || (other.lnEvidence ?? -99) - (one.lnEvidence ?? -99) || excess(other) - excess(one));
  fill("routes", suspicious.slice(0, ROUTES_SHOWN).map(({ route, goes, blue, green, lnEvidence }) => {
    const head = make("th", "", route);
    head.scope = "row";
    const failed = (of) => (of.requests ? `${percent(of.errorRate)} of ${count(of.requests)}` : NOTHING);
    const evidence = goes === "judged" ? odds(lnEvidence) : goes === "toBlue" ? "to blue" : goes;
    const hot = (lnEvidence ?? 0) > Math.log(20) ? "hot" : "";
    return make("tr", "", head, ...[failed(blue), failed(green), millis(blue.p99), millis(green.p99), evidence].map((cell, index) => make("td", index === 4 ? hot : "", cell)));
  }));
}

/** One line of a timeline. */
export function eventItem({ at, kind: name, actor, sentence, weight: green, epoch }) {
  const tone = GRAVE.has(name) ? "grave" : HEEDED.has(name) ? "heeded" : name === "completed" || name === "promoted" ? "good" : "";
  const when = make("time", "", moment(at));
  when.dateTime = at;
  when.title = new Date(at).toLocaleString("en-GB");
  const what = make("span", "what", make("b", "", kind(name)), ` by ${ACTORS[actor] ?? actor}`, make("span", "at-weight", `green at ${weight(green)}`));
  const item = make("li", tone, when, what, make("span", "said", sentence));
  item.dataset.epoch = epoch;
  return item;
}

const RESULTS = { pending: "to come", done: "done", failed: "failed", skipped: "left out", task: "for people to do" };

/** One action of a runbook: what it did, or why not. */
export function actionItem({ name, kind: of, moment: on, result, attempts, at, due, sentence }) {
  const when = make("time", "", moment(at ?? due));
  const tone = { failed: "grave", done: "good", task: "heeded" }[result] ?? "";
  const tries = attempts > 1 ? `, ${attempts} attempts` : "";
  const what = make("span", "what", make("b", "", name), ` ${of === name ? "" : `${of}, `}action on ${kind(on).toLowerCase()}: ${RESULTS[result] ?? result}${tries}`);
  return make("li", tone, when, what, make("span", "said", sentence));
}

/** Events and actions in one timeline, the newest first; what is to come is first of all. */
export function drawEvents(events, actions, all) {
  beside.actions = actions;
  const end = events.findLastIndex((event) => event.kind === "rolledBack");
  beside.before = events.slice(0, Math.max(end, 0)).findLast((event) => event.epoch === events[end].epoch) ?? null;
  const items = [
    ...events.map((event) => ({ at: Date.parse(event.at), item: () => eventItem(event) })),
    ...actions.map((action) => ({ at: Date.parse(action.at ?? action.due), item: () => actionItem(action) })),
  ];
  // A decision comes before what was done about it in the same moment.
  const newest = items.map((of, index) => ({ ...of, index })).sort((one, other) => other.at - one.at || other.index - one.index);
  const shown = all ? newest : newest.slice(0, EVENTS_AT_FIRST);
  fill("events", shown.length ? shown.map(({ item }) => item()) : [make("li", "calm", "Nothing has happened since the proxy started.")]);
  show("more-events", !all && newest.length > EVENTS_AT_FIRST);
  write("more-events", `Show all ${newest.length}`);
}

const OUTCOMES = { open: "open", promoted: "promoted", rolledBack: "rolled back" };
const RELEASES_SHOWN = 15;

/** A link where that is enough; it would not carry a token, and then the report is saved. */
function reportOf(id, save) {
  const report = make(save ? "button" : "a", "link", "Report");
  report.setAttribute("aria-label", `Report of ${id}`);
  if (save) {
    report.type = "button";
    report.addEventListener("click", () => save(id));
  } else {
    Object.assign(report, { href: reportPath(id), target: "_blank", rel: "noopener" });
  }
  return report;
}

export const reportPath = (id) => `v1/releases/${encodeURIComponent(id)}/report?format=html`;

/** `open(id)` shows one of them, `save(id)` its report where that needs a token. */
export function drawReleases(releases, open, save) {
  const [last] = releases;
  beside.last = last ? `the last release, ${last.green}, ${OUTCOMES[last.outcome] === "open" ? "is open" : `was ${OUTCOMES[last.outcome]}`} at ${day(last.ended ?? last.started)}` : "";
  byId("releases").replaceChildren(...releases.slice(0, RELEASES_SHOWN).map(({ id, blue, green, started, ended, outcome }) => {
    const name = make("button", "link", green);
    name.type = "button";
    name.addEventListener("click", () => open(id));
    const head = make("th", "", name, make("span", "over", ` over ${blue}`));
    head.scope = "row";
    const report = reportOf(id, save);
    const took = ended ? duration((Date.parse(ended) - Date.parse(started)) / 1000) : "goes on";
    const how = make("td", `outcome ${outcome}`, OUTCOMES[outcome] ?? outcome);
    return make("tr", "", head, make("td", "", day(started)), make("td", "", took), how, make("td", "", report));
  }));
}

export function noteReleases(text) {
  write("releases-note", text);
  show("releases-note", text !== "");
}
