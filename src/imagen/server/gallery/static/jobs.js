/* The jobs of this key, on every device: their progress, place in the queue, images and errors. */

import { ApiError, fetchJson } from "./api.js";
import { find, h, money, plural } from "./dom.js";

const PATH = "gallery/api/jobs";
const RENEWED_AFTER = 700; // milliseconds after a click; the clicks of a double click are closer together
const RETRIED_AFTER = 3000;

export class JobList {
  constructor({ onEnded, focusForm }) {
    this.onEnded = onEnded;
    this.focusForm = focusForm;
    this.cards = new Map();
    this.list = h("div", { class: "jobs" });
    this.clear = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.forgetEnded() }, "Clear finished");
    this.root = h("section", { "aria-label": "Jobs" }, this.list, this.clear);
    this.pending = null;
    this.draw();
    this.connect();
    // A hidden page follows no jobs: a browser opens only six connections to a server.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.disconnect() : this.connect()));
    // After a change of the network the browser may wait for events that never come.
    addEventListener("online", () => { this.disconnect(); this.connect(); });
  }

  /** Loads the jobs, and follows their changes; shows the key dialog where a key is missing. */
  async connect() {
    if (this.source || this.connecting || document.hidden) return;
    this.connecting = true;
    try {
      this.reconcile(await fetchJson(PATH));
      this.follow();
    } catch (error) {
      this.lose();
      setTimeout(() => this.connect(), RETRIED_AFTER);
    } finally {
      this.connecting = false;
    }
  }

  follow() {
    if (document.hidden) return;
    this.source = new EventSource(`${PATH}/events`);
    this.source.addEventListener("jobs", (event) => this.reconcile(JSON.parse(event.data)));
    this.source.addEventListener("changed", (event) => this.show(...JSON.parse(event.data)));
    this.source.addEventListener("error", () => {
      this.lose();
      if (this.source?.readyState !== EventSource.CLOSED) return; // otherwise the browser connects again by itself
      this.disconnect();
      setTimeout(() => this.connect(), RETRIED_AFTER);
    });
  }

  disconnect() {
    this.source?.close();
    this.source = null;
  }

  /** Shows exactly these jobs of the server. */
  reconcile(jobs) {
    const known = new Set(jobs.map((job) => job.id));
    for (const [id, card] of this.cards) {
      if (known.has(id) || card.isLocal) continue;
      if (card.isOpen) card.fail("The server was restarted. It finishes what a paid backend has accepted: see Images.");
      else this.remove(id);
    }
    this.show(...jobs);
  }

  show(...jobs) {
    const ended = [];
    for (const job of jobs) {
      const card = this.cards.get(job.id);
      const wasOpen = card?.isOpen;
      if (card) card.update(job);
      else this.add(job.id, new JobCard(job, this));
      if (wasOpen && !card.isOpen) ended.push(job);
    }
    this.draw();
    if (ended.length) this.onEnded(ended);
  }

  add(id, card) {
    this.cards.set(id, card);
    this.list.prepend(card.root);
  }

  remove(id) {
    this.cards.get(id).root.remove();
    this.cards.delete(id);
  }

  lose() {
    for (const card of this.cards.values()) {
      if (card.isOpen) card.lose();
    }
  }

  draw() {
    const cards = [...this.cards.values()];
    const open = cards.filter((card) => card.isOpen).length;
    this.clear.hidden = open === cards.length;
    this.hint ??= h("p", { class: "empty" }, "New images appear here while they are generated, and afterwards under Images.");
    if (cards.length) this.hint.remove(); else this.list.append(this.hint);
    const count = find("running");
    count.hidden = !open;
    count.textContent = open || "";
    count.setAttribute("aria-label", plural(open, "job"));
  }

  /** Starts a job once: until it is acknowledged, and within a double click, the same request has the same key. */
  async start(path, fields, prompt) {
    const request = JSON.stringify([path, fields]);
    if (this.pending?.request !== request) this.pending = { request, key: randomKey() };
    const pending = this.pending;
    const renewable = new Promise((resolve) => { setTimeout(resolve, RENEWED_AFTER); });
    const renew = () => renewable.then(() => { if (this.pending === pending) this.pending = null; });
    try {
      const job = await fetchJson(path, { method: "POST", body: fields, headers: { "Idempotency-Key": pending.key } });
      renew();
      if (this.cards.has(pending.key)) this.remove(pending.key); // an error of the same request
      if (!this.cards.has(job.id)) this.show(job); // it may have changed since
    } catch (error) {
      if (error.status >= 400 && error.status < 500) renew(); // otherwise the server may have it
      if (this.cards.has(pending.key)) this.remove(pending.key);
      this.add(pending.key, new JobCard({ prompt, status: "failed", error: error.message }, this, { isLocal: true }));
      this.draw();
    }
  }

  async cancel(job) {
    try {
      await fetchJson(`v1/jobs/${job.id}`, { method: "DELETE" });
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) throw error; // it has ended meanwhile
    }
  }

  async forgetEnded() {
    for (const [id, card] of [...this.cards]) {
      if (!card.isOpen) this.remove(id);
    }
    this.focusForm();
    this.draw();
    this.reconcile(await fetchJson(PATH, { method: "DELETE" }));
  }
}

/** Without crypto.randomUUID, which browsers have only for https and this machine. */
function randomKey() {
  return `gallery-${[...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

class JobCard {
  constructor(job, jobs, { isLocal = false } = {}) {
    this.jobs = jobs;
    this.isLocal = isLocal;
    this.images = new Map();
    this.state = h("p", { class: "note", role: "status" });
    this.warnings = h("ul", { class: "note" });
    this.cancel = h("button", { type: "button", onclick: () => this.stop() }, "Cancel");
    this.cards = h("div", { class: "cards" });
    this.root = h("article", { class: "job" },
      h("header", {}, h("p", { class: "prompt", dir: "auto" }, job.prompt), this.cancel), this.state, this.warnings, this.cards);
    this.update(job);
  }

  update(job) {
    this.job = job;
    this.isOpen = job.status === "queued" || job.status === "running";
    this.say(describe(job), job.status === "failed");
    this.warnings.replaceChildren(...(job.warnings ?? []).map((text) => h("li", {}, text)));
    const images = job.images ?? [];
    for (const number of this.images.keys()) {
      if (images.some((image) => image.number === number)) continue;
      this.images.get(number).root.remove();
      this.images.delete(number);
    }
    for (const image of images) {
      if (!this.images.has(image.number)) {
        this.images.set(image.number, new ImageCard(image.number));
        this.cards.append(this.images.get(image.number).root);
      }
      this.images.get(image.number).update(image, job);
    }
    if (!this.isOpen) this.end();
  }

  say(text, isWrong) {
    if (this.state.textContent !== text) this.state.textContent = text; // a screen reader reads every change
    this.state.classList.toggle("wrong", isWrong);
  }

  lose() { this.say("The connection to the server was lost. The job may continue there.", true); }

  fail(text) {
    this.isOpen = false;
    this.say(text, true);
    this.end();
  }

  end() {
    if (document.activeElement === this.cancel) this.jobs.focusForm();
    this.cancel.remove();
    for (const image of this.images.values()) image.end();
  }

  async stop() {
    await this.jobs.cancel(this.job).catch((error) => this.say(error.message, true));
  }
}

function describe({ status, place, images = [], error }) {
  switch (status) {
    case "queued": return `Queued, place ${place}…`;
    case "running": return "Generating…";
    case "done": return `${plural(images.length, "image")} generated.`;
    case "cancelled": return "Cancelled.";
    default: return error;
  }
}

class ImageCard {
  constructor(number) {
    this.bar = h("progress", { "aria-label": `Image ${number}` });
    this.note = h("span", { class: "caption" });
    this.preview = h("img", { alt: "Preview" });
    this.root = h("div", { class: "card waiting" }, this.bar, this.note);
  }

  update(image, job) {
    if (image.id) this.complete(image, job);
    else this.progress(image, job);
  }

  progress({ number, fraction = null, note, preview }, job) {
    if (fraction === null) this.bar.removeAttribute("value"); else this.bar.value = fraction;
    this.note.textContent = note || (fraction === null ? "" : `${Math.round(fraction * 100)} %`);
    if (!preview || preview === this.shown) return;
    this.shown = preview;
    this.preview.src = `${PATH}/${job.id}/previews/${number}?${preview}`;
    if (!this.preview.isConnected) this.root.prepend(this.preview);
  }

  complete({ id, cost_usd }, job) {
    if (this.id === id) return;
    this.id = id;
    this.root.classList.remove("waiting");
    this.root.replaceChildren(
      h("a", { href: `#/image/${id}` }, h("img", { src: `gallery/api/images/${id}/thumbnail`, alt: job.prompt })),
      h("span", { class: "caption" }, cost_usd ? money(cost_usd) : ""));
  }

  end() { if (!this.id) this.root.remove(); }
}
