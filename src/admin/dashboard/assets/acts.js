// What an operator can do. Each asks for a reason in a dialog, says what it will do, and who may not is told why.

import { byId, isOpen, make, stateOf } from "./picture.js";
import { Refused, change } from "./server.js";
import { count, duration, millis, percent, weight } from "./words.js";

const NO_RELEASE = "no release is open";
const LATCHED = "this release was rolled back: only a new one opens green again";

const blue = ({ blue }) => blue.version;
const green = ({ green }) => green.version;
const step = ({ plan, step }) => plan?.steps[step - 1];

/**
 * `not` says why it cannot be done, `text` what it does; what `shows` the verdict gives green more than it has. What is `safe` is done
 * whatever was decided meanwhile; all else is for what was on the screen.
 */
const ACTS = {
  start: {
    label: "Start release", title: "Start a release", path: "v1/release",
    not: (status) => (isOpen(status) ? "a release is open: promote it or roll it back first" : null),
    text: (status) => `Opens a new release. Green gets its share of ${status.service} by the plan of the configuration, and is judged from its first request on.`,
    fields: startFields,
  },
  pause: {
    label: "Pause", title: "Pause the release", path: "v1/release/pause", safe: true,
    not: (status) => (isOpen(status) ? (status.state === "paused" && status.held ? "it is paused already" : null) : NO_RELEASE),
    text: (status) => `The plan stops and green keeps ${weight(status.weight)}. The gate stays armed: it still rolls back by itself.`,
  },
  resume: {
    label: "Resume", title: "Resume the release", path: "v1/release/resume",
    not: (status) => (!isOpen(status) ? NO_RELEASE : status.held ? null : status.consent === "asked" ? "it waits for an approval" : "it is not paused"),
    text: (status) => `It is held: ${status.pause}. Resuming lets the plan go on.`,
  },
  approve: {
    label: "Approve", title: "Approve the next step", path: "v1/release/approve", shows: true,
    not: (status) => (!isOpen(status) ? NO_RELEASE : ["open", "asked"].includes(status.consent) ? null : "no step waits for an approval"),
    text: (status) => {
      const after = status.plan?.steps[status.step];
      const goes = after ? `green goes to ${weight(after.weight)}` : "the release goes on";
      return status.consent === "asked" ? `Step ${status.step} has baked: with your approval ${goes}.` : `Step ${status.step} still bakes: once it has, ${goes} without asking again.`;
    },
  },
  weight: {
    label: "Set weight", title: "Set green's weight", path: "v1/weight", method: "PUT",
    not: (status) => (status.state === "rolledBack" ? LATCHED : null),
    text: (status) => (isOpen(status)
      ? `Green has ${weight(status.weight)}. Setting it by hand pauses the plan; the gate stays armed.`
      : "Opens a release without a plan: green keeps what you give it until you change it, and is judged."),
    fields: weightFields,
  },
  promote: {
    label: "Promote", title: "Promote green", path: "v1/release/promote", shows: true,
    not: (status) => (!isOpen(status) ? NO_RELEASE : status.state === "promoted" ? "it is promoted already" : null),
    text: (status) => {
      const last = status.plan?.steps.at(-1);
      return `Skips the rest of the plan: ${green(status)} gets 100 % at once${last ? `, and is watched for ${duration(last.bake)} more` : ""}.`;
    },
  },
  rollback: {
    label: "Roll back", title: "Roll back to blue", path: "v1/release/rollback", danger: true, reasonIsOptional: true, safe: true,
    not: (status) => (status.state === "rolledBack" ? "it is rolled back already" : isOpen(status) || status.state === "completed" ? null : NO_RELEASE),
    text: (status) => (status.state === "completed"
      ? `Takes the release back that has completed: the version before ${blue(status)} is blue again and gets all traffic, at once.`
      : `All traffic goes to blue, ${blue(status)}, at once. ${green(status)} gets nothing until somebody starts a new release.`),
    fields: rollbackFields,
  },
};

/** What somebody goes by who gives green more. */
function measured({ blue, green, window, verdict, pause }) {
  const judged = verdict.sentence === pause ? "" : `The verdict is ${verdict.kind}: ${verdict.sentence}. `;
  if (!green.requests) return `${judged}In the last ${window} green had no requests.`;
  const of = ({ requests, errorRate }) => `${percent(errorRate)} of ${count(requests)} requests`;
  return `${judged}In the last ${window} green failed ${of(green)}, and blue ${of(blue)}; P99 is ${millis(green.p99)} and ${millis(blue.p99)}.`;
}

function labelled(id, text, input, hint) {
  const label = make("label", "", text);
  label.htmlFor = id;
  input.id = id;
  const made = [label, input];
  if (hint) {
    const said = make("p", "hint", hint);
    said.id = `${id}-hint`;
    input.setAttribute("aria-describedby", said.id);
    made.push(said);
  }
  return made;
}

function box(id, text) {
  const input = make("input");
  input.type = "checkbox";
  input.id = id;
  const label = make("label", "check", input, text);
  return { input, label };
}

function startFields(status) {
  const version = make("input");
  version.autocomplete = "off";
  version.placeholder = status.state === "completed" ? "v3" : green(status);
  const endpoints = make("textarea");
  endpoints.rows = 2;
  endpoints.placeholder = "10.0.1.1:8080";
  const again = box("start-again", "It was rolled back before, and is to be released all the same");
  return {
    nodes: [
      ...labelled("start-version", "Version of green", version, "Leave both empty for the green that the configuration declares."),
      ...labelled("start-endpoints", "Its endpoints, one a line", endpoints),
      again.label,
    ],
    names: { "green.version": version, "green.endpoints": endpoints },
    body: () => {
      const list = endpoints.value.split(/[\s,]+/).filter(Boolean);
      if (!version.value.trim() && !list.length) return {};
      return { green: { version: version.value.trim(), endpoints: list }, ...(again.input.checked ? { again: true } : {}) };
    },
  };
}

function weightFields(status) {
  const most = status.maxWeight ?? 100;
  const number = make("input");
  Object.assign(number, { type: "number", min: 0, max: most, step: 0.01, required: true, value: status.weight, inputMode: "decimal" });
  const slide = make("input");
  Object.assign(slide, { type: "range", min: 0, max: most, step: 1, value: status.weight });
  slide.setAttribute("aria-label", "Weight in percent, by whole numbers");
  slide.addEventListener("input", () => { number.value = slide.value; });
  number.addEventListener("input", () => { slide.value = number.value; });
  const hint = most < 100 ? `At most ${weight(most)} before it is promoted.` : "";
  return {
    nodes: [...labelled("weight-percent", "Green's share in percent", number, hint), slide],
    names: { weight: number },
    body: () => ({ weight: number.valueAsNumber }),
  };
}

function rollbackFields(status) {
  const why = status.plan?.irreversible;
  if (!why) return { nodes: [], names: {}, body: () => ({}) };
  const { input, label } = box("rollback-irreversible", `This release is irreversible (${why}). Roll it back all the same`);
  input.required = true;
  return { nodes: [label], names: { irreversible: input }, body: () => ({ irreversible: input.checked }) };
}

/** Wires the buttons. `done(status, what)` takes the status after a change, `say` tells what is refused. */
export class Acts {
  constructor(done, say) {
    this.done = done;
    this.say = say;
    this.status = null;
    this.viewer = null;
    this.open = null;
    this.dialog = byId("act");
    this.buttons = [...document.querySelectorAll("[data-act]")];
    for (const button of this.buttons) button.addEventListener("click", () => this.ask(button.dataset.act));
    byId("act-cancel").addEventListener("click", () => this.dialog.close());
    byId("act-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.go();
    });
    this.dialog.addEventListener("close", () => { this.open = null; });
  }

  why(name) {
    if (!this.status) return "nothing is known of the release yet";
    if (this.viewer) return `${this.viewer} has a viewer's token, which changes nothing`;
    return ACTS[name].not(this.status);
  }

  /** Takes what is the case from here on. */
  look(status, hello) {
    this.status = status;
    this.viewer = hello?.role === "viewer" ? hello.actor : null;
    const next = status.consent === "asked" && !status.held ? "approve" : "";
    for (const button of this.buttons) {
      const why = this.why(button.dataset.act);
      button.setAttribute("aria-disabled", String(why !== null));
      button.title = why ?? "";
      button.classList.toggle("next", why === null && button.dataset.act === next);
    }
    byId("may-not").hidden = !this.viewer;
    byId("may-not").textContent = this.viewer ? `${this.viewer} has a viewer's token: it shows everything and changes nothing.` : "";
    this.changed();
  }

  ask(name) {
    const why = this.why(name);
    if (why !== null) {
      this.say(`${ACTS[name].label}: ${why}`);
      return;
    }
    const act = ACTS[name];
    const fields = act.fields?.(this.status) ?? { nodes: [], names: {}, body: () => ({}) };
    this.open = { name, fields, of: this.status };
    byId("act-title").textContent = act.title;
    byId("act-text").textContent = act.text(this.status) + (act.shows ? `\n\n${measured(this.status)}` : "");
    byId("act-fields").replaceChildren(...fields.nodes);
    const go = byId("act-do");
    go.textContent = act.label;
    go.className = act.danger ? "danger" : "primary";
    go.disabled = false;
    const reason = byId("reason");
    reason.value = "";
    reason.required = !act.reasonIsOptional;
    byId("reason-label").textContent = act.reasonIsOptional ? "Reason (may be left empty)" : "Reason";
    byId("act-changed").hidden = true;
    this.wrong("");
    this.dialog.showModal();
    (fields.nodes.find((node) => node.matches("input, textarea")) ?? reason).focus();
  }

  /** Says in an open dialog that what it was opened for is no longer the case. */
  changed() {
    if (!this.open) return;
    const { name, of } = this.open;
    const same = ["epoch", "state", "weight", "step", "consent", "held"].every((key) => of[key] === this.status[key]);
    const why = this.why(name);
    const text = same ? "" : `Meanwhile: ${stateOf(this.status).name}, green at ${weight(this.status.weight)}.${why ? ` Now ${why}.` : ""}`;
    const note = byId("act-changed");
    if (note.textContent !== text) note.textContent = text;
    note.hidden = text === "";
    if (!this.going) byId("act-do").disabled = why !== null;
  }

  async go() {
    if (!this.open || this.going) return;
    const { name, fields } = this.open;
    const { path, method, label, safe } = ACTS[name];
    const reason = byId("reason").value.trim();
    this.going = true;
    byId("act-do").disabled = true;
    this.wrong("");
    try {
      const status = await change(method ?? "POST", path, { ...fields.body(), ...(reason ? { reason } : {}) }, safe ? null : this.open.of.etag);
      this.dialog.close();
      this.done(status, `${label}: done`);
    } catch (error) {
      const why = error instanceof Refused ? error.message : "the proxy could not be reached; nothing is known to have changed";
      this.wrong(why);
      // Who has read that goes on knowing it.
      if (error.status === 412 && this.open) this.open.of = this.status;
      const at = Object.entries(fields.names).find(([field]) => error.field?.startsWith(field));
      (at?.[1] ?? byId("reason")).focus();
    } finally {
      this.going = false;
      if (this.open) byId("act-do").disabled = false;
    }
  }

  wrong(text) {
    const wrong = byId("act-wrong");
    wrong.textContent = text;
    wrong.hidden = text === "";
  }
}
