/* The form that generates images, with an estimate and the remaining budgets. */

import { fetchJson } from "./api.js";
import { find, h, debounce, formatTime, money } from "./dom.js";
import { describeEstimate, RerunPanel } from "./rerun.js";

const SIZES = ["1024x1024", "1536x1024", "1024x1536", "1344x768", "768x1344", "512x512"];

export class GenerateView {
  constructor(jobs) {
    this.root = find("make");
    this.jobs = jobs;
    this.scheduleEstimate = debounce(() => this.estimate(), 250);
  }

  async open(query) {
    await this.loadChoices();
    if (query.has("again")) await this.loadImage(query.get("again"));
    else this.rerun.replaceChildren();
    this.updateFields();
    this.estimate();
    this.budgets();
  }

  /** Loads the choices again: the server learns what a backend supports when it first uses it. */
  async loadChoices() {
    this.choices = await fetchJson("gallery/api/choices");
    if (!this.form) this.build();
    const { models } = this.choices;
    const options = models.map((each) => h("option", { value: each.id, disabled: Boolean(each.trouble) }, each.trouble ? `${each.id} (not available)` : each.id));
    const chosen = this.model.value || models.find((each) => each.default)?.id;
    this.model.replaceChildren(...options);
    if (models.some((each) => each.id === chosen)) this.model.value = chosen;
    if (!models.some((each) => !each.trouble)) this.notes.textContent = "No backend is available.";
  }

  build() {
    const { styles, most, longest } = this.choices;
    const field = (label, control, help) => h("label", { class: "field" }, h("span", {}, label), control, help ? h("small", {}, help) : null);
    this.prompt = h("textarea", { name: "prompt", rows: 5, required: true, maxlength: longest, placeholder: "Describe the image", autocomplete: "off", dir: "auto" });
    this.model = h("select", { name: "model" });
    this.style = h("select", { name: "style" }, h("option", { value: "" }, "None"), styles.map((each) => h("option", { value: each.name }, each.name)));
    this.styleHelp = h("small", { dir: "auto" });
    this.size = h("input", { name: "size", list: "sizes", placeholder: "auto", pattern: "auto|[0-9]{2,5}[xX][0-9]{2,5}|[0-9.]{1,10}:[0-9.]{1,10}", title: "Width and height such as 1024x1024, or an aspect ratio such as 16:9", autocomplete: "off", spellcheck: "false" });
    this.sizes = h("datalist", { id: "sizes" });
    this.count = h("input", { name: "n", type: "number", min: 1, max: most, value: 1 });
    this.negative = h("textarea", { name: "negative_prompt", rows: 2, maxlength: longest, dir: "auto" });
    this.seed = h("input", { name: "seed", inputmode: "numeric", pattern: "[0-9]{1,20}", placeholder: "random", autocomplete: "off" });
    this.steps = h("input", { name: "num_inference_steps", type: "number", min: 1, max: 1000000, placeholder: "default" });
    this.guidance = h("input", { name: "guidance_scale", type: "number", step: "any", min: 0, placeholder: "default" });
    this.estimateText = h("div", { class: "expected", role: "status" });
    this.send = h("button", { class: "primary", type: "submit" }, "Generate");
    this.notes = h("p", { class: "note", role: "status" });
    this.form = h("form", { class: "maker", "data-needs": "make", onsubmit: (event) => { event.preventDefault(); this.run(); }, oninput: () => { this.updateFields(); this.scheduleEstimate(); } },
      h("h1", { id: "make-title" }, "Generate images"),
      this.notes,
      field("Prompt", this.prompt),
      h("div", { class: "pair" }, field("Backend", this.model), h("label", { class: "field" }, h("span", {}, "Style"), this.style)),
      this.styleHelp,
      h("div", { class: "pair" }, field("Size", this.size), field("Number of images", this.count)),
      this.sizes,
      h("details", {}, h("summary", {}, "Advanced"),
        field("Negative prompt", this.negative),
        h("div", { class: "trio" }, field("Seed", this.seed), field("Steps", this.steps), field("Guidance", this.guidance))),
      this.estimateText,
      h("div", { class: "send" }, this.send, h("kbd", {}, "Ctrl + Enter")));
    this.form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      if (!event.repeat) this.form.requestSubmit();
    });
    this.budgetList = h("section", { class: "budgets", "aria-label": "Budgets" });
    this.rerun = h("div", { class: "again", "data-needs": "make" });
    const reader = h("p", { class: "reader" }, "Your key has the role read: it shows images, and cannot generate any.");
    this.root.replaceChildren(h("div", { class: "making" }, h("div", { class: "side" }, reader, this.form, this.budgetList), h("div", {}, this.rerun, this.jobs.root)));
  }

  /** Enables only the fields that the backend supports. */
  updateFields() {
    const capabilities = this.choices.models.find((each) => each.id === this.model.value)?.capabilities;
    const sizes = capabilities?.sizes?.length ? capabilities.sizes : SIZES;
    this.sizes.replaceChildren(...["auto", ...sizes].map((size) => h("option", { value: size })));
    const enable = (control, yes) => { control.disabled = !yes; control.closest(".field").classList.toggle("off", !yes); };
    if (capabilities) {
      enable(this.negative, capabilities.negative_prompt);
      enable(this.seed, capabilities.seed);
      enable(this.steps, capabilities.num_inference_steps);
      enable(this.guidance, !capabilities.parameters || ["guidance_scale", "guidance", "cfg", "cfg_scale"].some((name) => capabilities.parameters.includes(name)));
    }
    const style = this.choices.styles.find((each) => each.name === this.style.value);
    this.styleHelp.textContent = style ? `Prompt: ${style.prompt}${style.negative ? `; negative prompt: ${style.negative}` : ""}${style.size ? `; ${style.size}` : ""}` : "";
  }

  /** Fills the form with the parameters of an image, and offers an exact rerun. */
  async loadImage(id) {
    const { sidecar, seed } = await fetchJson(`gallery/api/images/${id}`);
    const { guidance, guidance_scale: scale, cfg } = sidecar.parameters;
    const from = sidecar.references?.length ? "reference images" : "";
    this.fillIn({ ...sidecar, seed, size: sidecar.requested_size || `${sidecar.width}x${sidecar.height}`, guidance: guidance ?? scale ?? cfg, unfilled: from });
    const { styles, longest } = this.choices;
    const panel = new RerunPanel(id, sidecar, { styles, longest, start: (...request) => this.jobs.start(...request) });
    this.rerun.replaceChildren(...(await panel.render()));
    this.prompt.focus();
  }

  fillIn(given) {
    const set = (control, value) => { control.value = value ?? ""; };
    set(this.prompt, given.prompt);
    const models = [...this.model.options].map((option) => option.value);
    const wanted = [`${given.backend}/${given.model}`, given.backend].find((name) => models.includes(name));
    if (wanted) this.model.value = wanted;
    set(this.style, [...this.style.options].some((option) => option.value === given.style) ? given.style : "");
    set(this.size, given.size);
    set(this.count, 1);
    set(this.negative, this.withoutStyleNegative(given.negative));
    set(this.seed, given.seed);
    set(this.steps, given.steps);
    set(this.guidance, given.guidance);
    if (this.negative.value || given.seed || given.steps || given.guidance) this.form.querySelector("details").open = true;
    const missing = [];
    if (given.backend && !wanted) missing.push(`the backend ${given.backend} no longer exists`);
    if (given.style && !this.style.value) missing.push(`the style ${given.style} is no longer in the config`);
    if (given.unfilled) missing.push(`the form has no field for ${given.unfilled}`);
    this.notes.textContent = `The form has the parameters of that image${missing.length ? `, but: ${missing.join("; ")}` : ""}.`;
  }

  /** Removes the style's negative prompt, which imagen puts first, from a stored negative prompt. */
  withoutStyleNegative(negative) {
    const style = this.choices.styles.find((each) => each.name === this.style.value);
    if (!style?.negative) return negative;
    if (negative === style.negative) return "";
    return negative.startsWith(`${style.negative}, `) ? negative.slice(style.negative.length + 2) : negative;
  }

  fields() {
    const text = (control) => (control.disabled || control.value.trim() === "" ? undefined : control.value.trim());
    const numberOf = (control) => { const value = text(control); return value === undefined ? undefined : Number(value); };
    return {
      prompt: this.prompt.value,
      model: this.model.value || undefined,
      style: text(this.style),
      size: text(this.size),
      n: numberOf(this.count) ?? 1,
      negative_prompt: text(this.negative),
      seed: text(this.seed),
      num_inference_steps: numberOf(this.steps),
      guidance_scale: numberOf(this.guidance),
    };
  }

  async estimate() {
    this.pendingEstimate?.abort();
    if (!this.prompt.value.trim() || !this.form.checkValidity()) { this.estimateText.replaceChildren(); return; }
    this.pendingEstimate = new AbortController();
    try {
      const estimate = await fetchJson("gallery/api/estimate", { method: "POST", body: this.fields(), signal: this.pendingEstimate.signal });
      this.estimateText.replaceChildren(...describeEstimate(estimate));
    } catch (error) {
      if (error.name !== "AbortError") this.estimateText.replaceChildren(h("p", { class: "wrong" }, error.message));
    }
  }

  async budgets() {
    const budgets = await fetchJson("gallery/api/budgets").catch(() => []);
    this.budgetList.replaceChildren(...(budgets.length ? [h("h2", {}, "Budgets"), ...budgets.map(budget)] : []));
  }

  run() {
    const fields = this.fields();
    this.jobs.start("gallery/api/jobs", fields, fields.prompt);
  }

  /** Shows what a job has changed: the rest of the budgets, and what its backend supports. */
  async refresh() {
    if (!this.form) return;
    this.budgets();
    await this.loadChoices();
    this.updateFields();
  }

  focus() { this.send?.focus(); }
}

function budget(each) {
  const share = each.usd ? Math.min(1, each.taken_usd / each.usd) : 1;
  const label = `${each.called.startsWith("day") ? "Today" : "This week"}${each.backend ? `, ${each.backend}` : ""}${each.caller ? `, ${each.caller}` : ""}`;
  return h("div", { class: "budget" },
    h("p", {}, h("strong", {}, label), h("span", {}, `${money(each.left_usd)} left of ${money(each.usd)}`)),
    h("meter", { min: 0, max: 1, value: share, high: 0.8, low: 0.5, optimum: 0, "aria-label": `${label}: ${money(each.taken_usd)} of ${money(each.usd)} spent or reserved` }),
    h("small", {}, `${money(each.taken_usd)} spent or reserved; resets ${formatTime(each.until)}`));
}
