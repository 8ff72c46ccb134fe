/* The form that makes pictures: what it would cost, how far it is, what is left. */

import { ask, events } from "./api.js";
import { dollars, find, h, later, moment, money, plural } from "./dom.js";

const SIZES = ["1024x1024", "1536x1024", "1024x1536", "1344x768", "768x1344", "512x512"];

export class MakeView {
  constructor({ made }) {
    this.root = find("make");
    this.made = made;
    this.running = 0;
    this.ask = later(() => this.estimate(), 250);
  }

  async open(query) {
    if (!this.form) {
      const [choices] = await Promise.all([ask("/gallery/api/choices")]);
      this.choices = choices;
      this.build();
    }
    if (query.has("again")) await this.look(query.get("again"));
    else this.again.replaceChildren();
    this.fit();
    this.estimate();
    this.budgets();
  }

  build() {
    const { models, styles, most, longest } = this.choices;
    const usable = models.filter((each) => !each.trouble);
    const field = (label, control, help) => h("label", { class: "field" }, h("span", {}, label), control, help ? h("small", {}, help) : null);
    this.prompt = h("textarea", { name: "prompt", rows: 5, required: true, maxlength: longest, placeholder: "What the picture shows", autocomplete: "off" });
    this.model = h("select", { name: "model" }, models.map((each) => h("option", { value: each.id, disabled: Boolean(each.trouble), selected: each.default }, each.trouble ? `${each.id} (not available)` : each.id)));
    this.style = h("select", { name: "style" }, h("option", { value: "" }, "None"), styles.map((each) => h("option", { value: each.name }, each.name)));
    this.styleHelp = h("small");
    this.size = h("input", { name: "size", list: "sizes", placeholder: "auto", pattern: "auto|[0-9]{2,5}[xX][0-9]{2,5}", autocomplete: "off", spellcheck: "false" });
    this.sizes = h("datalist", { id: "sizes" });
    this.count = h("input", { name: "n", type: "number", min: 1, max: most, value: 1 });
    this.negative = h("textarea", { name: "negative_prompt", rows: 2, maxlength: longest });
    this.seed = h("input", { name: "seed", inputmode: "numeric", pattern: "[0-9]{1,20}", placeholder: "drawn", autocomplete: "off" });
    this.steps = h("input", { name: "num_inference_steps", type: "number", min: 1, max: 1000000, placeholder: "its own" });
    this.guidance = h("input", { name: "guidance_scale", type: "number", step: "any", min: 0, placeholder: "its own" });
    this.expected = h("div", { class: "expected", role: "status" });
    this.send = h("button", { class: "primary", type: "submit" }, "Make");
    this.notes = h("p", { class: "note", role: "status" });
    this.form = h("form", { class: "maker", onsubmit: (event) => { event.preventDefault(); this.run(); }, oninput: () => { this.fit(); this.ask(); } },
      h("h1", { id: "make-title" }, "Make pictures"),
      this.notes,
      field("Prompt", this.prompt),
      h("div", { class: "pair" }, field("Backend", this.model), h("label", { class: "field" }, h("span", {}, "Style"), this.style)),
      this.styleHelp,
      h("div", { class: "pair" }, field("Size", this.size), field("How many", this.count)),
      this.sizes,
      h("details", {}, h("summary", {}, "More"),
        field("Keep out", this.negative),
        h("div", { class: "trio" }, field("Seed", this.seed), field("Steps", this.steps), field("Guidance", this.guidance))),
      this.expected,
      h("div", { class: "send" }, this.send, h("kbd", {}, "Ctrl + Enter")));
    this.form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); this.form.requestSubmit(); }
    });
    this.left = h("section", { class: "budgets", "aria-label": "Budgets" });
    this.again = h("div", { class: "again" });
    this.jobs = h("div", { class: "jobs" });
    this.root.replaceChildren(h("div", { class: "making" }, h("div", { class: "side" }, this.form, this.left), h("div", {}, this.again, this.jobs)));
    if (!usable.length) this.notes.textContent = "No backend can be used at the moment.";
    this.hint();
  }

  hint() {
    if (!this.jobs.childElementCount) this.jobs.append(h("p", { class: "empty" }, "What you make appears here while it is made, and in Pictures ever after."));
  }

  /** Offers only what the backend understands. */
  fit() {
    const can = this.choices.models.find((each) => each.id === this.model.value)?.capabilities;
    const sizes = can?.sizes?.length ? can.sizes : SIZES;
    this.sizes.replaceChildren(...["auto", ...sizes].map((size) => h("option", { value: size })));
    const allow = (control, yes) => { control.disabled = !yes; control.closest(".field").classList.toggle("off", !yes); };
    if (can) {
      allow(this.negative, can.negative_prompt);
      allow(this.seed, can.seed);
      allow(this.steps, can.num_inference_steps);
      allow(this.guidance, !can.parameters || ["guidance_scale", "guidance", "cfg", "cfg_scale"].some((name) => can.parameters.includes(name)));
    }
    const style = this.choices.styles.find((each) => each.name === this.style.value);
    this.styleHelp.textContent = style ? `Says: ${style.prompt}${style.negative ? `; keeps out: ${style.negative}` : ""}${style.size ? `; ${style.size}` : ""}` : "";
  }

  /** Fills the form with what made a picture, and offers to make just that again. */
  async look(id) {
    const { sidecar, seed } = await ask(`/gallery/api/images/${id}`);
    const { guidance, guidance_scale: scale, cfg } = sidecar.parameters;
    const from = sidecar.references?.length ? "the images it was made from" : "";
    this.fillIn({ ...sidecar, seed, size: sidecar.requested_size || `${sidecar.width}x${sidecar.height}`, guidance: guidance ?? scale ?? cfg, unfilled: from });
    this.again.replaceChildren(...(await new Again(id, sidecar, (path, wish, words) => this.follow(path, wish, words)).shown()));
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
    set(this.negative, this.own(given.negative));
    set(this.seed, given.seed);
    set(this.steps, given.steps);
    set(this.guidance, given.guidance);
    if (this.negative.value || given.seed || given.steps || given.guidance) this.form.querySelector("details").open = true;
    const missing = [];
    if (given.backend && !wanted) missing.push(`the backend ${given.backend} is not here any more`);
    if (given.style && !this.style.value) missing.push(`the style ${given.style} is not in the config any more`);
    if (given.unfilled) missing.push(`the form has no field for ${given.unfilled}`);
    this.notes.textContent = `The form holds what made that picture${missing.length ? `, but: ${missing.join("; ")}` : ""}.`;
  }

  /** What is kept out besides what the chosen style keeps out, which stands before it. */
  own(negative) {
    const style = this.choices.styles.find((each) => each.name === this.style.value);
    if (!style?.negative) return negative;
    if (negative === style.negative) return "";
    return negative.startsWith(`${style.negative}, `) ? negative.slice(style.negative.length + 2) : negative;
  }

  wish() {
    const text = (control) => (control.disabled || control.value.trim() === "" ? undefined : control.value.trim());
    const figure = (control) => { const said = text(control); return said === undefined ? undefined : Number(said); };
    return {
      prompt: this.prompt.value,
      model: this.model.value || undefined,
      style: text(this.style),
      size: text(this.size),
      n: figure(this.count) ?? 1,
      negative_prompt: text(this.negative),
      seed: text(this.seed),
      num_inference_steps: figure(this.steps),
      guidance_scale: figure(this.guidance),
    };
  }

  async estimate() {
    this.asking?.abort();
    if (!this.prompt.value.trim() || !this.form.checkValidity()) { this.expected.replaceChildren(); return; }
    this.asking = new AbortController();
    try {
      const found = await ask("/gallery/api/estimate", { method: "POST", body: this.wish(), signal: this.asking.signal });
      this.expected.replaceChildren(...expectation(found));
    } catch (problem) {
      if (problem.name !== "AbortError") this.expected.replaceChildren(h("p", { class: "wrong" }, problem.message));
    }
  }

  async budgets() {
    const budgets = await ask("/gallery/api/budgets").catch(() => []);
    this.left.replaceChildren(...(budgets.length ? [h("h2", {}, "Budgets"), ...budgets.map(budget)] : []));
  }

  run() {
    const wish = this.wish();
    return this.follow("/v1/images/generations", { ...wish, stream: true, response_format: "url", partial_images: 3 }, wish.prompt);
  }

  /** Sends it, and shows what becomes of it. */
  async follow(path, wish, prompt) {
    const stop = new AbortController();
    const cards = Array.from({ length: wish.n ?? 1 }, (_, index) => new Card(index + 1));
    const cancel = h("button", { type: "button", onclick: () => stop.abort() }, "Cancel");
    const state = h("p", { class: "note", role: "status" }, "Waiting for its turn…");
    const job = h("article", { class: "job" },
      h("header", {}, h("p", { class: "prompt" }, prompt), cancel), state,
      h("div", { class: "cards" }, cards.map((card) => card.root)));
    this.jobs.querySelector(".empty")?.remove();
    this.jobs.prepend(job);
    let done = 0;
    this.running += 1;
    try {
      for await (const said of events(path, wish, stop.signal)) {
        if (said.type.endsWith(".progress")) {
          state.textContent = "Being made…";
          cards[said.index]?.progress(said);
        } else if (said.type.endsWith(".partial_image")) {
          cards[said.index]?.preview(said);
        } else if (said.type.endsWith(".completed")) {
          done += 1;
          cards[said.index]?.completed(said, prompt);
        }
      }
      state.textContent = `${plural(done, "picture")} made.`;
    } catch (problem) {
      const ended = stop.signal.aborted;
      state.textContent = ended ? "Cancelled." : problem.message;
      state.classList.toggle("wrong", !ended);
    } finally {
      this.running -= 1;
      if (document.activeElement === cancel) this.send.focus();
      cancel.remove();
      for (const card of cards) card.end();
      this.budgets();
      if (done) this.made();
    }
  }
}

class Card {
  constructor(number_) {
    this.bar = h("progress", { "aria-label": `Picture ${number_}` });
    this.note = h("span", { class: "caption" }, "");
    this.root = h("div", { class: "card waiting" }, this.bar, this.note);
  }

  progress({ fraction, note }) {
    if (fraction === null) this.bar.removeAttribute("value"); else this.bar.value = fraction;
    this.note.textContent = note || (fraction === null ? "" : `${Math.round(fraction * 100)} %`);
  }

  preview({ b64_json, output_format }) {
    this.picture ??= h("img", { alt: "What is there so far" });
    this.picture.src = `data:image/${output_format};base64,${b64_json}`;
    if (!this.picture.isConnected) this.root.prepend(this.picture);
  }

  completed({ id, cost_usd }, prompt) {
    this.root.classList.remove("waiting");
    this.root.replaceChildren(h("a", { href: `#/image/${id}` },
      h("img", { src: `/gallery/api/images/${id}/thumbnail`, alt: prompt })),
    h("span", { class: "caption" }, cost_usd ? money(cost_usd) : ""));
  }

  end() { if (this.root.classList.contains("waiting")) this.root.remove(); }
}

/** A picture that can be made again, with what that would cost. */
class Again {
  constructor(id, sidecar, follow) {
    this.id = id;
    this.sidecar = sidecar;
    this.follow = follow;
    this.anew = h("input", { type: "checkbox", onchange: () => this.estimate() });
    this.said = h("div", { class: "expected", role: "status" });
    this.send = h("button", { type: "button", class: "primary", onclick: () => this.run() }, "Rerun");
  }

  get wish() { return { seed: this.anew.checked ? "new" : "same" }; }

  get path() { return `/gallery/api/images/${this.id}/again`; }

  async shown() {
    await this.estimate();
    return [h("section", { class: "job", "aria-label": "Rerun" },
      h("header", {}, h("p", { class: "prompt" }, "Make that picture again, exactly as it was"),
        h("a", { href: `#/image/${this.id}` }, h("img", { src: `/gallery/api/images/${this.id}/thumbnail`, alt: this.sidecar.prompt, height: 72 }))),
      h("label", {}, this.anew, " with another seed"),
      this.said, h("div", { class: "send" }, this.send))];
  }

  async estimate() {
    try {
      this.said.replaceChildren(...expectation(await ask(`${this.path}/estimate`, { method: "POST", body: this.wish })));
      this.send.disabled = false;
    } catch (problem) {
      this.said.replaceChildren(h("p", { class: "wrong" }, problem.message));
      this.send.disabled = true;
    }
  }

  run() { this.follow(this.path, this.wish, this.sidecar.prompt); }
}

function expectation(found) {
  const cost = found.may_cost ? (found.cost_usd === null ? "at a cost that is not known" : `for ${dollars(found.cost_usd)}`) : "for nothing";
  return [h("p", {}, h("strong", {}, `${plural(found.images, "picture")} of ${found.size.replace("x", "×")} ${cost}`)), ...notes(found)];
}

function notes({ ignored, adjusted }) {
  const lines = [
    ...Object.entries(adjusted).map(([name, each]) => `${name}: ${each.used} instead of ${each.requested}${each.reason ? ` (${each.reason})` : ""}`),
    ...Object.entries(ignored).map(([name, why]) => `${name}: ${why}`),
  ];
  return lines.length ? [h("ul", {}, lines.map((line) => h("li", {}, line)))] : [];
}

function budget(each) {
  const share = each.usd ? Math.min(1, each.taken_usd / each.usd) : 1;
  const label = `${each.called.startsWith("day") ? "Today" : "This week"}${each.backend ? `, ${each.backend}` : ""}${each.caller ? `, ${each.caller}` : ""}`;
  return h("div", { class: "budget" },
    h("p", {}, h("strong", {}, label), h("span", {}, `${money(each.left_usd)} left of ${money(each.usd)}`)),
    h("meter", { min: 0, max: 1, value: share, high: 0.8, low: 0.5, optimum: 0, "aria-label": `${label}: ${money(each.taken_usd)} of ${money(each.usd)} spent or held` }),
    h("small", {}, `${money(each.taken_usd)} spent or held; begins anew ${moment(each.until)}`));
}
