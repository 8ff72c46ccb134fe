/* What was spent: bars of weeks, and the same as a table. */

import { ask } from "./api.js";
import { find, h, money, number, plural, svg } from "./dom.js";

const WIDE = 960;
const TALL = 300;
const LEFT = 64;
const BELOW = 28;
const DAY = 864e5;
const WEEK = 7 * DAY;
const FEWEST = 8;
const COLOURS = 7; // and one for all others
const OTHERS = "others";

export class SpendingView {
  constructor() {
    this.root = find("spending");
    this.by = h("select", { name: "by", onchange: () => this.go() },
      [["backend", "backend"], ["model", "model"], ["caller", "caller"]].map(([value, words]) => h("option", { value }, words)));
    this.weeks = h("select", { name: "weeks", onchange: () => this.go() },
      [[8, "8 weeks"], [26, "26 weeks"], [52, "a year"], [520, "ten years"]].map(([value, words]) => h("option", { value }, words)));
    this.body = h("div", { class: "spent" });
    this.root.replaceChildren(
      h("h1", { id: "spending-title" }, "Spending"),
      h("div", { class: "filters" }, h("label", {}, h("span", {}, "By"), this.by), h("label", {}, h("span", {}, "In the last"), this.weeks)),
      this.body);
  }

  async open(query) {
    this.by.value = query.get("by") ?? "backend";
    if (!this.by.value) this.by.value = "backend";
    this.weeks.value = query.get("weeks") ?? "26";
    if (!this.weeks.value) this.weeks.value = "26";
    await this.show();
  }

  go() { location.hash = `#/spending?by=${this.by.value}&weeks=${this.weeks.value}`; }

  async show() {
    const found = await ask(`/gallery/api/spending?by=${this.by.value}&weeks=${this.weeks.value}`);
    const usd = sum(found.rows, "usd");
    const unknown = sum(found.rows, "unknown");
    const said = [
      h("p", { class: "total" }, h("strong", {}, money(usd)), ` for ${plural(sum(found.rows, "images"), "picture")} in ${plural(sum(found.rows, "calls"), "call")}`),
      unknown ? h("p", { class: "note" }, `What ${plural(unknown, "call")} cost is not known, and not counted.`) : null,
      found.pending_calls ? h("p", { class: "note" }, `${plural(found.pending_calls, "call")} still open may cost ${money(found.pending_usd)} more: see \`imagen jobs\`.`) : null,
    ];
    if (!found.rows.length) {
      this.body.replaceChildren(h("p", { class: "empty" }, "Nothing was spent in that time."));
      return;
    }
    const names = ranked(found.rows);
    const weeks = everyWeek(found.rows.map((row) => row.week).sort()[0]);
    this.body.replaceChildren(...said.filter(Boolean),
      usd > 0 ? h("figure", {}, chart(found.rows, weeks, names), legend(names)) : h("p", { class: "note" }, "All of it was free."),
      table(found.rows, found.by));
  }
}

const sum = (rows, key) => rows.reduce((all, row) => all + row[key], 0);
const called = (name) => name || "nobody named";

/** The names by what they cost, the dearest first; beyond the colours they are one. */
function ranked(rows) {
  const spent = new Map();
  for (const row of rows) spent.set(row.name, (spent.get(row.name) ?? 0) + row.usd);
  const names = [...spent].filter(([, usd]) => usd > 0).sort(([, one], [, other]) => other - one).map(([name]) => name);
  const own = names.slice(0, COLOURS);
  return { own, rest: new Set(names.slice(COLOURS)) };
}

/** Every week from the first to this one, a few at least, be it that nothing was spent. */
function everyWeek(first) {
  const now = Date.now();
  const found = [];
  for (let day = Math.min(monday(first), now - (FEWEST - 1) * WEEK); day < now; day += WEEK) found.push(week(day));
  return found.includes(week(now)) ? found : [...found, week(now)];
}

/** When the Monday of a week begins. */
function monday(name) {
  const [year, number_] = name.split("-W").map(Number);
  const fourth = new Date(Date.UTC(year, 0, 4));
  return fourth.getTime() + (number_ - 1) * WEEK - ((fourth.getUTCDay() + 6) % 7) * DAY;
}

/** The ISO week of a moment. */
function week(day) {
  const thursday = new Date(day + (3 - ((new Date(day).getUTCDay() + 6) % 7)) * DAY);
  const year = thursday.getUTCFullYear();
  const number_ = 1 + Math.floor((thursday - Date.UTC(year, 0, 1)) / WEEK);
  return `${year}-W${String(number_).padStart(2, "0")}`;
}

function chart(rows, weeks, { own, rest }) {
  const parts = new Map(weeks.map((each) => [each, new Map()]));
  for (const row of rows) {
    const name = rest.has(row.name) ? OTHERS : row.name;
    const there = parts.get(row.week);
    there.set(name, (there.get(name) ?? 0) + row.usd);
  }
  const highest = Math.max(...[...parts.values()].map((there) => [...there.values()].reduce((one, other) => one + other, 0)));
  const top = rounded(highest);
  const scale = (TALL - BELOW - 8) / top;
  const step = (WIDE - LEFT) / weeks.length;
  const base = TALL - BELOW;
  const lines = [0, 0.25, 0.5, 0.75, 1].map((share) => svg("g", { class: "line" },
    svg("line", { x1: LEFT, x2: WIDE, y1: base - share * top * scale, y2: base - share * top * scale }),
    svg("text", { x: LEFT - 8, y: base - share * top * scale + 4, "text-anchor": "end" }, money(share * top))));
  const often = Math.ceil(weeks.length / 10);
  const bars = weeks.map((each, index) => {
    const x = LEFT + index * step;
    const wide = Math.min(48, step * 0.72);
    let y = base;
    const bar = [...own, OTHERS].map((name, colour) => {
      const usd = parts.get(each).get(name) ?? 0;
      if (!usd) return null;
      y -= usd * scale;
      return svg("rect", { class: `c${rest.size && name === OTHERS ? COLOURS : colour}`, x: x + (step - wide) / 2, y, width: wide, height: Math.max(0.5, usd * scale) },
        svg("title", {}, `${each}, ${called(name)}: ${money(usd)}`));
    });
    const label = index % often === 0 ? svg("text", { x: x + step / 2, y: TALL - 8, "text-anchor": "middle" }, each.slice(2)) : null;
    return svg("g", {}, bar, label);
  });
  return svg("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, role: "img", "aria-label": `Dollars of each week; the table below has the same figures` }, lines, bars);
}

/** The next round number of dollars, so that the lines have round ones. */
function rounded(usd) {
  const power = 10 ** Math.floor(Math.log10(usd));
  return [1, 2, 4, 8, 10].map((each) => each * power).find((each) => each >= usd * 0.999);
}

function legend({ own, rest }) {
  const names = [...own.map(called), ...(rest.size ? [`${number(rest.size)} others`] : [])];
  return h("figcaption", { class: "legend" }, names.map((name, colour) => h("span", {}, dot(colour), name)));
}

const dot = (colour) => svg("svg", { viewBox: "0 0 10 10", width: 10, height: 10, "aria-hidden": "true" }, svg("rect", { class: `c${colour}`, width: 10, height: 10, rx: 2 }));

function table(rows, by) {
  const cell = (words) => h("td", { class: "figure" }, words);
  return h("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Spending as a table" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Week", by[0].toUpperCase() + by.slice(1)].map((name) => h("th", { scope: "col" }, name)),
      ["Dollars", "Pictures", "Calls"].map((name) => h("th", { scope: "col", class: "figure" }, name)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.week), h("td", {}, called(row.name)),
      cell(money(row.usd) + (row.unknown ? ` and ${number(row.unknown)} unknown` : "")), cell(number(row.images)), cell(number(row.calls)))))));
}
