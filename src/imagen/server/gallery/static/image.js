/* The dialog of one image, with all its parameters. */

import { fetchJson } from "./api.js";
import { copy, dollars, find, h, formatTime, number, toast } from "./dom.js";

export class ImageView {
  constructor({ close, step, deleted, restored, rerun }) {
    this.dialog = find("image");
    this.content = h("div", { class: "content" });
    this.dialog.append(this.content);
    this.on = { close, step, deleted, restored, rerun };
    this.dialog.addEventListener("close", () => this.on.close(this.lastId));
    this.dialog.addEventListener("keydown", (event) => {
      if (event.target.matches("input, textarea") || event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key === "ArrowRight") this.on.step(1);
      else if (event.key === "ArrowLeft") this.on.step(-1);
      else if (event.key === "Delete") this.deleteImage();
      else return;
      event.preventDefault();
    });
  }

  async open(id, { hasNext, hasPrevious }) {
    this.id = this.lastId = id;
    const details = await fetchJson(`gallery/api/images/${id}`).catch((error) => error);
    if (this.id !== id) return;
    const focused = document.activeElement?.dataset?.keep;
    this.content.replaceChildren(...(details instanceof Error ? renderError(details) : this.render(details, { hasNext, hasPrevious })));
    if (!this.dialog.open) this.dialog.showModal();
    (this.dialog.querySelector(`[data-keep="${focused}"]:not(:disabled)`) ?? this.dialog.querySelector("[data-keep=close]")).focus();
  }

  /** Enables the buttons of the previous and the next image. */
  setNeighbours({ hasNext, hasPrevious }) {
    const step = (name) => this.content.querySelector(`[data-keep=${name}]`) ?? {};
    step("previous").disabled = !hasPrevious;
    step("next").disabled = !hasNext;
  }

  close() {
    this.id = null;
    if (this.dialog.open) this.dialog.close();
  }

  render({ sidecar, seed, name, missing, recipe }, { hasNext, hasPrevious }) {
    this.sidecar = sidecar;
    const stage = h("div", { class: "stage" }, missing ? h("p", { class: "lost" }, "The file of this image was moved or deleted. Its parameters are still known.") : renderImage(sidecar));
    return [
      h("div", { class: "view" },
        stage,
        h("div", { class: "steps" },
          h("button", { type: "button", class: "round", "data-keep": "previous", "aria-label": "Newer image", disabled: !hasPrevious, onclick: () => this.on.step(-1) }, "‹"),
          h("button", { type: "button", class: "round", "data-keep": "next", "aria-label": "Older image", disabled: !hasNext, onclick: () => this.on.step(1) }, "›"))),
      h("aside", { class: "about" },
        h("h2", {}, "Image"),
        h("p", { class: "prompt", tabindex: "0", "aria-label": "Prompt", dir: "auto" }, sidecar.prompt),
        h("div", { class: "actions" },
          h("button", { type: "button", "data-keep": "again", "data-needs": "make", onclick: () => this.on.rerun(sidecar) }, "Generate again"),
          missing ? null : h("a", { class: "button", href: `gallery/api/images/${sidecar.id}/file`, download: name }, "Download"),
          h("button", { type: "button", class: "danger", "data-keep": "delete", "data-needs": "admin", onclick: () => this.deleteImage() }, "Delete")),
        renderCopies(sidecar, recipe),
        renderFacts(sidecar, { name, seed })),
      h("button", { type: "button", class: "round leave", "data-keep": "close", "aria-label": "Close", onclick: () => this.dialog.close() }, "×"),
    ];
  }

  async deleteImage() {
    const id = this.id;
    if (!id || this.deleting) return;
    this.deleting = true;
    try {
      const result = await fetchJson(`gallery/api/images/${id}`, { method: "DELETE" });
      const undo = async () => {
        try {
          this.on.restored(await fetchJson(`gallery/api/images/${id}/undo`, { method: "POST" }));
          toast("Restored");
        } catch (error) { toast(error.message); }
      };
      toast(result.can_undo ? "Moved to the trash" : "Removed from the history; its file was missing", result.can_undo ? { name: "Undo", run: undo } : undefined);
      this.on.deleted(id);
    } catch (error) {
      toast(error.message);
    } finally {
      this.deleting = false;
    }
  }
}

function renderError(error) {
  return [h("div", { class: "view" }, h("p", { class: "lost" }, error.message)),
    h("aside", { class: "about" }, h("form", { method: "dialog" }, h("button", { "data-keep": "close" }, "Close")))];
}

/** Shows the thumbnail at once, and the original when it is loaded. */
function renderImage(sidecar) {
  const at = (what) => `gallery/api/images/${sidecar.id}/${what}`;
  const image = h("img", { src: at("thumbnail"), alt: sidecar.prompt, width: sidecar.width, height: sidecar.height });
  const original = new Image();
  original.onload = () => { image.src = original.src; };
  original.onerror = () => image.replaceWith(h("p", { class: "lost" }, "The file of this image cannot be shown: it was moved or replaced."));
  original.src = at("file");
  return image;
}

/** Offers the parameters as a command, as JSON and as a request with curl. */
function renderCopies(sidecar, recipe) {
  const button = (label, text, what = label) => h("button", { type: "button", "data-keep": `copy ${label}`, "aria-label": `Copy ${label}`, onclick: () => copy(text, what) }, label);
  const url = recipe && new URL(`v1/images/${recipe.route}`, document.baseURI).href;
  const missing = recipe?.missing.length ? h("small", {}, `The HTTP API has no field for ${recipe.missing.join(", ")}: only the command has it.`) : null;
  return h("section", { class: "copies", "aria-label": "Copy" },
    h("h3", {}, "Copy"),
    h("div", { class: "actions" },
      button("prompt", sidecar.prompt, "Prompt"),
      recipe ? [button("command", recipe.command, "Command"), button("JSON", recipe.json), button("curl", `curl ${url} ${recipe.curl}`, "curl command")] : null),
    missing);
}

function renderFacts(sidecar, { name, seed }) {
  const rows = [
    ["Generated", formatTime(sidecar.created_at)],
    ["Backend", sidecar.backend],
    ["Model", sidecar.model],
    ["Caller", sidecar.caller],
    ["Size", `${sidecar.width}×${sidecar.height}${sidecar.requested_size !== `${sidecar.width}x${sidecar.height}` ? ` (requested: ${sidecar.requested_size})` : ""}`],
    ["Seed", seed],
    ["Steps", sidecar.steps],
    ["Style", sidecar.style],
    ["Sent prompt", sidecar.prompt_sent === sidecar.prompt ? "" : sidecar.prompt_sent],
    ["Negative prompt", sidecar.negative],
    ["Cost", `${dollars(sidecar.cost_usd)}${sidecar.cost_usd ? ` (${sidecar.cost_source})` : ""}`],
    ["Duration", `${(sidecar.latency_ms / 1000).toFixed(1)} s`],
    ["Reference images", sidecar.references?.map((each) => each.name).join(", ")],
    ["File", `${name}, ${number(Math.ceil(sidecar.bytes / 1024))} KiB, ${sidecar.mime_type}`],
    ["ID", sidecar.id],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  return [
    h("dl", { class: "facts" }, rows.map(([term, value]) => [h("dt", {}, term), h("dd", { dir: "auto" }, String(value))])),
    list("Parameters", Object.entries(sidecar.parameters ?? {}).map(([key, value]) => `${key}: ${formatValue(value)}`)),
    list("Adjusted", Object.entries(sidecar.adjusted ?? {}).map(([key, each]) => `${key}: ${formatValue(each.requested)} → ${formatValue(each.used)}${each.reason ? ` (${each.reason})` : ""}`)),
    list("Ignored", Object.entries(sidecar.ignored ?? {}).map(([key, why]) => `${key}: ${why}`)),
    list("Warnings", sidecar.warnings ?? []),
  ];
}

const formatValue = (value) => (typeof value === "string" ? value : JSON.stringify(value));

function list(title, lines) {
  return lines.length ? h("section", { class: "more" }, h("h3", {}, title), h("ul", {}, lines.map((line) => h("li", { dir: "auto" }, line)))) : null;
}
