/* Asks the server; where a key is needed, asks for the key first. */

import { find, h } from "./dom.js";

export class Problem extends Error {
  constructor(status, said) {
    super(said?.error?.message ?? `The server answered ${status}.`);
    this.status = status;
    this.code = said?.error?.code ?? "";
  }
}

export async function ask(path, { method = "GET", body, signal } = {}) {
  const answer = await sent(path, { method, body, signal });
  const said = await answer.json().catch(() => null);
  if (!answer.ok) throw new Problem(answer.status, said);
  return said;
}

/** Yields the events of a request that is told while it goes on. */
export async function* events(path, body, signal) {
  const answer = await sent(path, { method: "POST", body, signal });
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => null));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let kept = "";
  for (;;) {
    const { value, done } = await reader.read().catch(lost);
    if (done) lost();
    kept += value;
    const parts = kept.split("\n\n");
    kept = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").find((line) => line.startsWith("data: "))?.slice(6);
      if (data === "[DONE]") return;
      if (!data) continue;
      const said = JSON.parse(data);
      if (said.error) throw new Problem(0, said);
      yield said;
    }
  }
}

async function sent(path, { method, body, signal }) {
  const request = () => fetch(path, {
    method,
    signal,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : written(body),
  }).catch(unreachable);
  const answer = await request();
  if (answer.status !== 401 || path.endsWith("/session")) return answer;
  await unlock();
  return request();
}

function lost(problem) {
  if (problem?.name === "AbortError") throw problem;
  throw new Problem(0, { error: { message: "The connection to the server was lost; what was under way may still be made." } });
}

function unreachable(problem) {
  if (problem.name === "AbortError") throw problem;
  throw new Problem(0, { error: { message: "The server cannot be reached." } });
}

/** As JSON; a seed is given in digits, for a number of JavaScript's may be too small. */
function written({ seed, ...others }) {
  const words = JSON.stringify(others);
  if (!/^\d+$/.test(seed ?? "")) return JSON.stringify({ ...others, seed });
  return `{"seed":${BigInt(seed)}${words === "{}" ? "" : ","}${words.slice(1)}`;
}

let unlocking = null;

/** Asks for a key, once, however many wait for it. */
export function unlock() {
  unlocking ??= asked().finally(() => { unlocking = null; });
  return unlocking;
}

function asked() {
  return new Promise((opened) => {
    const dialog = find("unlock");
    const wrong = h("p", { class: "wrong", role: "alert" });
    const key = h("input", { type: "password", id: "key", autocomplete: "current-password", required: true, "aria-describedby": "unlock-help" });
    const enter = async (event) => {
      event.preventDefault();
      wrong.textContent = "";
      try {
        const session = await ask("/gallery/api/session", { method: "POST", body: { key: key.value } });
        dialog.onclose = null;
        dialog.close();
        dispatchEvent(new CustomEvent("unlocked", { detail: session }));
        opened();
      } catch (problem) {
        wrong.textContent = problem.message;
        key.select();
      }
    };
    dialog.replaceChildren(h("form", { onsubmit: enter },
      h("h2", { id: "unlock-title" }, "This gallery is locked"),
      h("p", { id: "unlock-help" }, "Enter a key of this server. It is kept as a cookie that no script can read."),
      h("input", { type: "text", autocomplete: "username", value: "imagen", hidden: true }), // for managers of passwords
      h("label", { for: "key" }, "Key"), key, wrong,
      h("button", { class: "primary" }, "Open")));
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => dialog.showModal(); // a second Escape closes it all the same
    if (!dialog.open) dialog.showModal();
    key.focus();
  });
}
