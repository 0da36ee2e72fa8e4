// The dashboard: what comes from the proxy goes to what shows it.

import { Acts } from "./acts.js";
import { Charts } from "./charts.js";
import { actionItem, byId, draw, drawEvents, drawLeft, drawReleases, eventItem, isOpen, noteReleases, reportPath, setClock, stateOf } from "./picture.js";
import { listen, read, text, token } from "./server.js";
import { duration, time, weight } from "./words.js";

const EVENTS_KEPT = 500;

const TOAST_MS = 5000;

const ACTIONS_EVERY_MS = 5000;

/** What a timer can wait. */
const LONGEST_MS = 2 ** 31 - 1;

let hello = null;
let status = null;
let seenAt = 0;
let events = [];
let actions = [];
let actionsTimer = 0;
let releasesTimer = 0;
let toastTimer = 0;
let allEvents = false;
let lostAt = null;
let retryAt = 0;

const polite = (said) => { byId("polite").textContent = said; };
const assertive = (said) => { byId("assertive").textContent = said; };

/** Says it to everybody. */
function tell(said) {
  polite(said);
  byId("toast").textContent = said;
  byId("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { byId("toast").hidden = true; }, TOAST_MS);
}

const charts = new Charts(byId("charts"), polite);
const acts = new Acts((after, said) => {
  // The answer has no figures of charts, which the stream brings within a second.
  take({ ...status, ...after });
  tell(said);
}, tell);

const HEARD = {
  hello: (data) => { hello = data; setClock(data.now); welcome(); },
  status: take,
  point: (point) => { charts.add(point); charts.draw(); },
  event: (event) => { happened([event]); releasesSoon(); },
  missed: past,
};

const stream = listen({
  heard: (name, data) => HEARD[name]?.(data),
  lost: (why, wait) => {
    lostAt ??= Date.now();
    retryAt = Date.now() + wait;
    byId("lost").dataset.why = why;
    showLost();
  },
  refused: (error) => askForToken(token.get() || error.status === 403 ? error.message : ""),
});

function welcome() {
  const was = lostAt;
  lostAt = null;
  byId("lost").hidden = true;
  document.body.classList.remove("is-lost");
  connection("live", "live");
  byId("who").textContent = token.get() ? `${hello.actor}, ${hello.role}` : "";
  byId("sign-out").hidden = !token.get();
  byId("sign-in").hidden = true;
  if (was !== null) polite(`Connected again after ${duration((Date.now() - was) / 1000)}`);
  past();
  releases();
}

function take(now) {
  const before = status;
  status = now;
  seenAt = performance.now();
  byId("waiting").hidden = true;
  byId("page").hidden = false;
  byId("hand").hidden = false;
  charts.bounds = status.bounds ?? [];
  charts.convictsAt = status.convictsAt ?? null;
  acts.look(status, hello);
  draw(status, 0);
  announce(before, status);
}

function announce(before, now) {
  if (!before) return;
  const is = (of) => `${of.epoch} ${stateOf(of).name}`;
  if (is(before) !== is(now)) {
    const said = `${stateOf(now).name}, green at ${weight(now.weight)}`;
    if (now.state === "rolledBack") assertive(`${said}. ${now.rollback?.reason ?? ""}`);
    else polite(now.pause ? `${said}. ${now.pause}` : said);
  } else if (before.weight !== now.weight) {
    polite(`Green at ${weight(now.weight)}`);
  }
}

/** Puts events into the timeline, each once and in their order. */
function happened(more) {
  const known = new Set(events.map(nameOf));
  events.push(...more.filter((event) => !known.has(nameOf(event))));
  events.sort((one, other) => Date.parse(one.at) - Date.parse(other.at));
  events.splice(0, events.length - EVENTS_KEPT);
  charts.events = events;
  drawEvents(events, actions, allEvents);
  charts.draw();
}

const nameOf = ({ at, kind, sentence }) => `${at} ${kind} ${sentence}`;

/** The minutes before this page was opened, or in which it had no connection. */
async function past() {
  const { resolutions, events: kept } = await read("v1/series").catch(() => ({ resolutions: [], events: [] }));
  charts.fill(resolutions);
  happened(kept);
}

async function releases() {
  if (!hello?.journal) {
    noteReleases("This proxy records no releases: it was started without a data directory.");
    return;
  }
  try {
    const listed = await read("v1/releases");
    const list = Array.isArray(listed) ? listed : listed.releases;
    drawReleases(list, openRelease, token.get() ? saveReport : null);
    noteReleases(list.length ? "" : "None yet.");
    // What the release of now came to before the proxy was last started.
    if (list.length) await newest(list[0].id);
  } catch (error) {
    noteReleases(`They could not be read: ${error.message}`);
  }
}

/** Once for events that come together. */
function releasesSoon() {
  clearTimeout(releasesTimer);
  releasesTimer = setTimeout(releases, 200);
}

async function newest(id) {
  const release = await read(`v1/releases/${encodeURIComponent(id)}`);
  actions = release.actions ?? [];
  happened(release.decisions.map(asEvent));
  // Nobody tells of an action; the next look is when something may have come of one.
  clearTimeout(actionsTimer);
  const dues = actions.filter(({ result }) => result === "pending").map(({ due }) => Date.parse(due));
  if (!dues.length) return;
  const wait = Math.min(Math.max(Math.min(...dues) - Date.now(), ACTIONS_EVERY_MS), LONGEST_MS);
  actionsTimer = setTimeout(() => newest(id).catch(() => {}), wait);
}

function asEvent({ weight: basisPoints, ...decision }) {
  return { ...decision, weight: basisPoints / 100 };
}

async function openRelease(id) {
  const dialog = byId("release");
  dialog.dataset.id = id;
  byId("release-title").textContent = id;
  byId("release-text").textContent = "";
  byId("release-events").replaceChildren();
  wrong("");
  dialog.showModal();
  try {
    const { blue, green, started, ended, outcome, decisions, actions = [] } = await read(`v1/releases/${encodeURIComponent(id)}`);
    const how = { open: "is open", promoted: "was promoted", rolledBack: "was rolled back" }[outcome] ?? outcome;
    const took = ended ? ` after ${duration((Date.parse(ended) - Date.parse(started)) / 1000)}` : "";
    byId("release-text").textContent = `${green} over ${blue}, begun ${new Date(started).toLocaleString("en-GB")}, ${how}${took}.`;
    byId("release-events").replaceChildren(...decisions.map(asEvent).map(eventItem), ...actions.map(actionItem));
  } catch (error) {
    wrong(error.message);
  }
}

function wrong(said) {
  byId("release-wrong").textContent = said;
  byId("release-wrong").hidden = said === "";
}

async function saveReport(id) {
  try {
    const report = await text(reportPath(id));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([report], { type: "text/html" }));
    link.download = `${id}.html`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    tell(`The report of ${id} is saved`);
  } catch (error) {
    (byId("release").open ? wrong : noteReleases)(`The report of ${id} could not be had: ${error.message}`);
  }
}

function connection(is, said) {
  byId("connection").dataset.is = is;
  byId("connection-text").textContent = said;
}

function showLost() {
  const now = Date.now();
  const since = (now - lostAt) / 1000;
  // What comes back at once, as when another process takes over, is nothing to look up for.
  if (since < 1 && status) return;
  const wait = Math.max(0, Math.ceil((retryAt - now) / 1000));
  const known = status ? `What you see is as of ${time(lostAt)}.` : "Nothing is known of the release yet.";
  const why = byId("lost").dataset.why;
  const said = `${known} ${why ? `${why}. ` : ""}${wait ? `Trying again in ${wait} s.` : "Trying again."}`;
  if (byId("lost").hidden) assertive(`Connection lost. ${known}`);
  byId("lost").hidden = false;
  byId("lost-text").textContent = said;
  document.body.classList.add("is-lost");
  connection("lost", "no connection");
}

function askForToken(why) {
  token.forget();
  connection("connecting", "signed out");
  byId("page").hidden = true;
  byId("hand").hidden = true;
  byId("waiting").hidden = true;
  byId("lost").hidden = true;
  byId("sign-out").hidden = true;
  byId("who").textContent = "";
  byId("sign-in").hidden = false;
  byId("sign-in-wrong").textContent = why;
  byId("sign-in-wrong").hidden = why === "";
  byId("token").focus();
  status = null;
  lostAt = null;
}

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(byId("token").value.trim());
  byId("token").value = "";
  byId("sign-in").hidden = true;
  byId("waiting").hidden = false;
  stream.again();
});
byId("sign-out").addEventListener("click", () => { token.forget(); stream.anew(); });
byId("try-now").addEventListener("click", () => stream.anew());
byId("more-events").addEventListener("click", () => { allEvents = true; drawEvents(events, actions, true); });
byId("release-close").addEventListener("click", () => byId("release").close());
byId("release-report").addEventListener("click", () => saveReport(byId("release").dataset.id));
for (const radio of document.querySelectorAll("[name=range]")) {
  radio.addEventListener("change", () => { charts.every = [1, 15][radio.value]; charts.draw(); });
}
document.addEventListener("visibilitychange", () => charts.draw());
window.addEventListener("pagehide", () => stream.leave());
window.addEventListener("pageshow", (event) => { if (event.persisted) stream.again(); });

byId("zone").textContent = `, ${Intl.DateTimeFormat().resolvedOptions().timeZone}`;

setInterval(() => {
  if (lostAt !== null) showLost();
  else if (status && (isOpen(status) || status.state === "rolledBack")) drawLeft(status, (performance.now() - seenAt) / 1000);
}, 500);
