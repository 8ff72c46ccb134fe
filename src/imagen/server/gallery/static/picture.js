/* One picture, and everything that made it. */

import { ask } from "./api.js";
import { dollars, find, h, moment, number, toast } from "./dom.js";

export class PictureView {
  constructor({ close, step, gone, back, again }) {
    this.dialog = find("picture");
    this.content = h("div", { class: "content" });
    this.dialog.append(this.content);
    this.on = { close, step, gone, back, again };
    this.dialog.addEventListener("close", () => this.on.close(this.last));
    this.dialog.addEventListener("keydown", (event) => {
      if (event.target.matches("input, textarea") || event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key === "ArrowRight") this.on.step(1);
      else if (event.key === "ArrowLeft") this.on.step(-1);
      else if (event.key === "Delete") this.throwAway();
      else return;
      event.preventDefault();
    });
  }

  async open(id, { hasNext, hasPrevious }) {
    this.id = this.last = id;
    const found = await ask(`/gallery/api/images/${id}`).catch((problem) => problem);
    if (this.id !== id) return;
    const kept = document.activeElement?.dataset?.keep;
    this.content.replaceChildren(...(found instanceof Error ? nothing(found) : this.shown(found, { hasNext, hasPrevious })));
    if (!this.dialog.open) this.dialog.showModal();
    (this.dialog.querySelector(`[data-keep="${kept}"]:not(:disabled)`) ?? this.dialog.querySelector("[data-keep=close]")).focus();
  }

  /** Says whether there is a picture before and behind it. */
  between({ hasNext, hasPrevious }) {
    const step = (name) => this.content.querySelector(`[data-keep=${name}]`) ?? {};
    step("previous").disabled = !hasPrevious;
    step("next").disabled = !hasNext;
  }

  close() {
    this.id = null;
    if (this.dialog.open) this.dialog.close();
  }

  shown({ sidecar, seed, name, missing }, { hasNext, hasPrevious }) {
    this.sidecar = sidecar;
    const stage = h("div", { class: "stage" }, missing ? h("p", { class: "lost" }, "The file of this picture is not where it was stored any more. What made it is still known.") : full(sidecar));
    const copied = (words, what) => navigator.clipboard.writeText(words).then(() => toast(`${what} copied`), () => toast("The browser does not let us copy"));
    return [
      h("div", { class: "view" },
        stage,
        h("div", { class: "steps" },
          h("button", { type: "button", class: "round", "data-keep": "previous", "aria-label": "Newer picture", disabled: !hasPrevious, onclick: () => this.on.step(-1) }, "‹"),
          h("button", { type: "button", class: "round", "data-keep": "next", "aria-label": "Older picture", disabled: !hasNext, onclick: () => this.on.step(1) }, "›"))),
      h("aside", { class: "about" },
        h("div", { class: "about-top" },
          h("h2", {}, "Picture"),
          h("button", { type: "button", class: "round", "data-keep": "close", "aria-label": "Close", onclick: () => this.dialog.close() }, "×")),
        h("p", { class: "prompt", tabindex: "0", "aria-label": "Prompt" }, sidecar.prompt),
        h("div", { class: "actions" },
          h("button", { type: "button", "data-keep": "copy", onclick: () => copied(sidecar.prompt, "Prompt") }, "Copy prompt"),
          h("button", { type: "button", "data-keep": "again", onclick: () => this.on.again(sidecar) }, "Make again"),
          missing ? null : h("a", { class: "button", href: `/gallery/api/images/${sidecar.id}/file`, download: name }, "Download"),
          h("button", { type: "button", class: "danger", "data-keep": "delete", onclick: () => this.throwAway() }, "Delete")),
        facts(sidecar, { name, seed })),
    ];
  }

  async throwAway() {
    const id = this.id;
    if (!id || this.throwing) return;
    this.throwing = true;
    try {
      const thrown = await ask(`/gallery/api/images/${id}`, { method: "DELETE" });
      const undo = async () => {
        try {
          this.on.back(await ask(`/gallery/api/images/${id}/undo`, { method: "POST" }));
          toast("It is back where it was");
        } catch (problem) { toast(problem.message); }
      };
      toast(thrown.can_undo ? "Moved to the bin" : "Forgotten; its file was gone already", thrown.can_undo ? { name: "Undo", run: undo } : undefined);
      this.on.gone(id);
    } catch (problem) {
      toast(problem.message);
    } finally {
      this.throwing = false;
    }
  }
}

function nothing(problem) {
  return [h("div", { class: "view" }, h("p", { class: "lost" }, problem.message)),
    h("aside", { class: "about" }, h("form", { method: "dialog" }, h("button", { "data-keep": "close" }, "Close")))];
}

/** The thumbnail at once, and the whole of it as soon as it is there. */
function full(sidecar) {
  const at = (what) => `/gallery/api/images/${sidecar.id}/${what}`;
  const image = h("img", { src: at("thumbnail"), alt: sidecar.prompt, width: sidecar.width, height: sidecar.height });
  const whole = new Image();
  whole.onload = () => { image.src = whole.src; };
  whole.onerror = () => image.replaceWith(h("p", { class: "lost" }, "The file of this picture cannot be shown; it was moved, or is another one by now."));
  whole.src = at("file");
  return image;
}

function facts(sidecar, { name, seed }) {
  const rows = [
    ["Made", moment(sidecar.created_at)],
    ["Backend", sidecar.backend],
    ["Model", sidecar.model],
    ["Caller", sidecar.caller],
    ["Size", `${sidecar.width}×${sidecar.height}${sidecar.requested_size !== `${sidecar.width}x${sidecar.height}` ? ` (asked for ${sidecar.requested_size})` : ""}`],
    ["Seed", seed],
    ["Steps", sidecar.steps],
    ["Style", sidecar.style],
    ["Prompt as sent", sidecar.prompt_sent === sidecar.prompt ? "" : sidecar.prompt_sent],
    ["Kept out", sidecar.negative],
    ["Cost", `${dollars(sidecar.cost_usd)}${sidecar.cost_usd ? ` (${sidecar.cost_source})` : ""}`],
    ["Took", `${(sidecar.latency_ms / 1000).toFixed(1)} s`],
    ["Made from", sidecar.references?.map((each) => each.name).join(", ")],
    ["File", `${name}, ${number(Math.ceil(sidecar.bytes / 1024))} KiB, ${sidecar.mime_type}`],
    ["Id", sidecar.id],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  return [
    h("dl", { class: "facts" }, rows.map(([term, value]) => [h("dt", {}, term), h("dd", {}, String(value))])),
    list("Parameters", Object.entries(sidecar.parameters ?? {}).map(([key, value]) => `${key}: ${shown(value)}`)),
    list("Changed", Object.entries(sidecar.adjusted ?? {}).map(([key, each]) => `${key}: ${shown(each.requested)} → ${shown(each.used)}${each.reason ? ` (${each.reason})` : ""}`)),
    list("Not heeded", Object.entries(sidecar.ignored ?? {}).map(([key, why]) => `${key}: ${why}`)),
    list("Warnings", sidecar.warnings ?? []),
  ];
}

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

function list(title, lines) {
  return lines.length ? h("section", { class: "more" }, h("h3", {}, title), h("ul", {}, lines.map((line) => h("li", {}, line)))) : null;
}
