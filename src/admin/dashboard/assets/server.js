// The way to the proxy: a stream that comes back by itself, and requests. A token is sent as a bearer and kept in this tab.

const KEPT_AS = "portcullis-token";

/** A stream that is silent for so long is dead: it says something once a second. */
const SILENCE_MS = 5000;

/** Between attempts; the last holds from there on. */
const RETRIES_MS = [250, 500, 1000, 2000, 4000];

export const token = {
  get: () => sessionStorage.getItem(KEPT_AS),
  set: (text) => sessionStorage.setItem(KEPT_AS, text),
  forget: () => sessionStorage.removeItem(KEPT_AS),
};

export class Refused extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? `the proxy answered with status ${status}`);
    this.status = status;
    this.field = problem?.field;
  }
}

async function send(path, options = {}) {
  const headers = { ...options.headers };
  const known = token.get();
  if (known) headers.Authorization = `Bearer ${known}`;
  const response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
  if (!response.ok) throw new Refused(response.status, await response.json().catch(() => null));
  return response;
}

export const read = async (path) => (await send(path)).json();
export const text = async (path) => (await send(path)).text();

/** Sends a change and returns the status after it. With `seen`, an ETag, it is refused where something was decided since. */
export async function change(method, path, body, seen) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": crypto.getRandomValues(new Uint32Array(4)).join("-") };
  if (seen) headers["If-Match"] = seen;
  return (await send(path, { method, headers, body: JSON.stringify(body) })).json();
}

/**
 * Keeps a stream open. `heard(name, data)` for each event; `lost(why, wait)` when it has gone, with the time until the next
 * attempt; `refused(error)` when a token is needed or wrong, after which it waits for `again()`.
 *
 * A browser keeps pages that were left as they are, for the way back, and has only six connections to an address: `leave()` before
 * that, and `again()` after.
 */
export function listen({ heard, lost, refused }) {
  let attempt = 0;
  let wake = () => {};
  let hangUp = () => {};
  let left = false;

  const pause = (ms) => new Promise((resolve) => {
    const timer = ms === null ? 0 : setTimeout(resolve, ms);
    wake = () => { clearTimeout(timer); resolve(); };
  });

  async function follow() {
    const abort = new AbortController();
    hangUp = () => abort.abort();
    let watchdog = setTimeout(hangUp, SILENCE_MS);
    try {
      const response = await send("v1/live", { signal: abort.signal });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return "the proxy ended the stream";
        clearTimeout(watchdog);
        watchdog = setTimeout(hangUp, SILENCE_MS);
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) {
          const [name, data] = parsed(block);
          if (data !== undefined) heard(name, JSON.parse(data));
          attempt = 0;
        }
      }
    } finally {
      clearTimeout(watchdog);
      abort.abort();
    }
  }

  (async () => {
    for (;;) {
      try {
        lost(await follow(), RETRIES_MS[0]);
        await pause(RETRIES_MS[0]);
      } catch (error) {
        if (left) {
          await pause(null);
        } else if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
          refused(error);
          await pause(null);
        } else {
          const wait = RETRIES_MS[Math.min(attempt++, RETRIES_MS.length - 1)];
          lost(error instanceof Refused ? error.message : "", wait);
          await pause(wait);
        }
      }
    }
  })();

  return { again: () => { left = false; wake(); }, leave: () => { left = true; hangUp(); }, anew: () => { attempt = 0; hangUp(); wake(); } };
}

/** The name and the data of one server-sent event. */
function parsed(block) {
  let name = "message";
  let data;
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("data: ")) data = data === undefined ? line.slice(6) : `${data}\n${line.slice(6)}`;
  }
  return [name, data];
}
