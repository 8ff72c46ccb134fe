/* The panel that offers an exact rerun of an image, or one with another prompt or style. */

import { fetchJson } from "./api.js";
import { debounce, dollars, h, plural } from "./dom.js";

export class RerunPanel {
  constructor(id, sidecar, { styles, longest, start }) {
    this.id = id;
    this.sidecar = sidecar;
    this.start = start;
    const change = debounce(() => this.estimate(), 250);
    const text = (value, placeholder) => {
      const area = h("textarea", { rows: 2, maxlength: longest, placeholder, dir: "auto", oninput: change });
      area.value = value;
      return area;
    };
    this.newSeed = h("input", { type: "checkbox", onchange: () => this.estimate() });
    this.prompt = text(sidecar.prompt, "");
    this.negative = text("", "That of the image");
    this.style = h("select", { onchange: () => this.estimate() }, h("option", { value: "" }, "As in the image"), styles.map((each) => h("option", { value: each.name }, each.name)));
    this.estimateText = h("div", { class: "expected", role: "status" });
    this.send = h("button", { type: "button", class: "primary", onclick: () => this.run() }, "Rerun");
  }

  get fields() {
    const prompt = this.prompt.value.trim();
    return {
      seed: this.newSeed.checked ? "new" : "same",
      prompt: prompt && prompt !== this.sidecar.prompt.trim() ? this.prompt.value : undefined,
      style: this.style.value || undefined,
      negative_prompt: this.negative.value.trim() || undefined,
    };
  }

  get path() { return `gallery/api/images/${this.id}/again`; }

  async render() {
    await this.estimate();
    const field = (label, control) => h("label", { class: "field" }, h("span", {}, label), control);
    return [h("section", { class: "job maker", "aria-label": "Rerun" },
      h("header", {}, h("p", { class: "prompt" }, "Generate that image again with the same parameters"),
        h("a", { href: `#/image/${this.id}` }, h("img", { src: `gallery/api/images/${this.id}/thumbnail`, alt: this.sidecar.prompt, height: 72 }))),
      h("label", {}, this.newSeed, " with a new seed"),
      h("details", {}, h("summary", {}, "Change the prompt or the style"),
        field("New prompt", this.prompt), field("New style", this.style), field("New negative prompt", this.negative)),
      this.estimateText, h("div", { class: "send" }, this.send))];
  }

  async estimate() {
    try {
      this.estimateText.replaceChildren(...describeEstimate(await fetchJson(`${this.path}/estimate`, { method: "POST", body: this.fields })));
      this.send.disabled = false;
    } catch (error) {
      this.estimateText.replaceChildren(h("p", { class: "wrong" }, error.message));
      this.send.disabled = true;
    }
  }

  run() { this.start(this.path, this.fields, this.sidecar.prompt); }
}

export function describeEstimate(estimate) {
  const cost = estimate.may_cost ? (estimate.cost_usd === null ? "at an unknown cost" : `for ${dollars(estimate.cost_usd)}`) : "for free";
  return [h("p", {}, h("strong", {}, `${plural(estimate.images, "image")} of ${estimate.size.replace("x", "×")} ${cost}`)), ...notes(estimate)];
}

function notes({ ignored, adjusted, notes: others = [] }) {
  const lines = [
    ...Object.entries(adjusted).map(([name, each]) => `${name}: ${each.used} instead of ${each.requested}${each.reason ? ` (${each.reason})` : ""}`),
    ...Object.entries(ignored).map(([name, why]) => `${name}: ${why}`),
    ...others,
  ];
  return lines.length ? [h("ul", {}, lines.map((line) => h("li", {}, line)))] : [];
}
