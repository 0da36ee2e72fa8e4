// How numbers, times and states read. The numbers read as the proxy's own sentences write them.

export const STATES = {
  idle: { name: "Idle", mark: "○" },
  stepping: { name: "Stepping", mark: "▶" },
  paused: { name: "Paused", mark: "❚❚" },
  promoted: { name: "Promoted", mark: "◆" },
  completed: { name: "Completed", mark: "✓" },
  rolledBack: { name: "Rolled back", mark: "✕" },
};

export const KINDS = {
  started: "Started", stepped: "Step", weightSet: "Weight set", awaitingApproval: "Waits for approval", approved: "Approved",
  paused: "Paused", resumed: "Resumed", probing: "Looks closer", acquitted: "Acquitted", frozen: "Frozen", thawed: "Thawed",
  irreversible: "Would have rolled back", promoted: "Promoted", completed: "Completed", rolledBack: "Rolled back",
  routeTakenBack: "Route taken back", notified: "Notice", endpointsChanged: "Endpoints changed", reloaded: "Reloaded",
  restarted: "Restarted", shedding: "Sheds load", ramped: "Takes all load again",
  replicaLeftOut: "Replica left out", replicaBack: "Replica back", journalFailed: "Journal failed",
};

/** Kinds that somebody has to know of. */
export const GRAVE = new Set(["rolledBack", "routeTakenBack", "frozen", "irreversible", "journalFailed", "shedding"]);
export const HEEDED = new Set(["paused", "awaitingApproval", "probing", "notified"]);

export const NOTHING = "–";

export const kind = (name) => KINDS[name] ?? name;

export const count = (number) => Math.round(number).toLocaleString("en");

export function percent(share) {
  if (share == null) return NOTHING;
  const percent = share * 100;
  return `${percent > 0 && percent < 0.1 ? percent.toFixed(2) : percent.toFixed(1)} %`;
}

/** A bound, as the user wrote it. */
export const share = (of) => `${trimmed(of * 100, 4)} %`;

/** A weight, which is percent already. */
export const weight = (percent) => `${trimmed(percent ?? 0, 2)} %`;

export function millis(value) {
  if (value == null) return NOTHING;
  if (value >= 10_000) return `${trimmed(value / 1000, 1)} s`;
  if (value >= 1000) return `${trimmed(value / 1000, 2)} s`;
  if (value > 0 && value < 0.1) return `${trimmed(value * 1000, value < 0.01 ? 1 : 0)} µs`;
  return `${trimmed(value, value < 10 ? 2 : value < 100 ? 1 : 0)} ms`;
}

/** Seconds as people say them: `300 ms`, `45 s`, `5 min`, `1 h 20 min`. */
export function duration(seconds) {
  if (seconds > 0 && seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds < 90) return `${trimmed(seconds, seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return `${Math.round(hours / 24)} days`;
  return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
}

/** Seconds that run: `0:42`, `12:05`, `1:02:03`. */
export function clock(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

export function time(at) {
  return new Date(at).toLocaleTimeString("en-GB");
}

/** To the second today, to the minute on another day. */
export function moment(at) {
  return new Date(at).toDateString() === new Date().toDateString() ? time(at) : day(at);
}

export function day(at) {
  const date = new Date(at);
  const today = date.toDateString() === new Date().toDateString();
  const time = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  return today ? time : `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${time}`;
}

/** Evidence, given as a natural logarithm, as odds. */
export function odds(ln) {
  if (ln == null) return NOTHING;
  const times = Math.exp(Math.min(ln, 20.7));
  if (times < 1.05) return "none";
  return `${times < 10 ? trimmed(times, 1) : count(Number(times.toPrecision(2)))} : 1`;
}

export function ratio(green, blue) {
  if (green == null || blue == null) return NOTHING;
  if (blue === 0) return green === 0 ? "same" : "blue has none";
  const times = green / blue;
  return times > 0.95 && times < 1.05 ? "same" : `× ${trimmed(times, times < 10 ? 2 : times < 100 ? 1 : 0)}`;
}

function trimmed(number, decimals) {
  const text = number.toFixed(decimals);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
