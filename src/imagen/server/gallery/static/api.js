/* Requests to the server; shows the key dialog where the server requires a key. */

import { find, h } from "./dom.js";

export class ApiError extends Error {
  constructor(status, json) {
    super(json?.error?.message ?? `The server answered ${status}.`);
    this.status = status;
    this.code = json?.error?.code ?? "";
  }
}

export async function fetchJson(path, { method = "GET", body, headers = {}, signal } = {}) {
  const response = await send(path, { method, body, headers, signal });
  const json = await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(response.status, json);
  return json;
}

async function send(path, { method, body, signal, headers = {} }) {
  const request = () => fetch(path, {
    method,
    signal,
    headers: body === undefined ? headers : { ...headers, "Content-Type": "application/json" },
    body: body === undefined ? undefined : encodeBody(body),
  }).catch(serverUnreachable);
  const response = await request();
  if (response.status !== 401 || path.endsWith("/session")) return response;
  await unlock();
  return request();
}

function serverUnreachable(error) {
  if (error.name === "AbortError") throw error;
  throw new ApiError(0, { error: { message: "The server cannot be reached." } });
}

/** Encodes a body as JSON; the seed is a string, because JavaScript numbers are exact only up to 2^53. */
function encodeBody({ seed, ...others }) {
  const text = JSON.stringify(others);
  if (!/^\d+$/.test(seed ?? "")) return JSON.stringify({ ...others, seed });
  return `{"seed":${BigInt(seed)}${text === "{}" ? "" : ","}${text.slice(1)}`;
}

let unlocking = null;

/** Shows the key dialog, once for all requests that wait for it. */
export function unlock() {
  unlocking ??= showKeyDialog().finally(() => { unlocking = null; });
  return unlocking;
}

function showKeyDialog() {
  return new Promise((resolve) => {
    const dialog = find("unlock");
    const message = h("p", { class: "wrong", role: "alert" });
    const key = h("input", { type: "password", id: "key", autocomplete: "current-password", required: true, "aria-describedby": "unlock-help" });
    const submit = async (event) => {
      event.preventDefault();
      message.textContent = "";
      try {
        const session = await fetchJson("gallery/api/session", { method: "POST", body: { key: key.value } });
        dialog.onclose = null;
        dialog.close();
        dispatchEvent(new CustomEvent("unlocked", { detail: session }));
        resolve();
      } catch (error) {
        message.textContent = error.message;
        key.select();
      }
    };
    dialog.replaceChildren(h("form", { onsubmit: submit },
      h("h2", { id: "unlock-title" }, "This gallery is locked"),
      h("p", { id: "unlock-help" }, "Enter an API key of this server. The browser stores a cookie that scripts cannot read."),
      h("input", { type: "text", autocomplete: "username", value: "imagen", hidden: true }), // password managers need a user name
      h("label", { for: "key" }, "Key"), key, message,
      h("button", { class: "primary" }, "Open")));
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => dialog.showModal(); // Chromium closes it at the second Escape, despite preventDefault
    if (!dialog.open) dialog.showModal();
    key.focus();
  });
}
