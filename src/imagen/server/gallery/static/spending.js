/* Spending by week, as a bar chart and as a table. */

import { fetchJson } from "./api.js";
import { find, h, money, number, plural, svg } from "./dom.js";

const WIDE = 960;
const TALL = 300;
const LEFT = 64;
const BELOW = 28;
const DAY = 864e5;
const WEEK = 7 * DAY;
const MIN_WEEKS = 8;
const COLOURS = 7; // plus one for all others
const OTHERS = "others";

export class SpendingView {
  constructor() {
    this.root = find("spending");
    this.by = h("select", { name: "by", onchange: () => this.go() },
      [["backend", "backend"], ["model", "model"], ["caller", "caller"]].map(([value, text]) => h("option", { value }, text)));
    this.weeks = h("select", { name: "weeks", onchange: () => this.go() },
      [[8, "8 weeks"], [26, "26 weeks"], [52, "a year"], [520, "ten years"]].map(([value, text]) => h("option", { value }, text)));
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
    const spending = await fetchJson(`gallery/api/spending?by=${this.by.value}&weeks=${this.weeks.value}`);
    const usd = sum(spending.rows, "usd");
    const unknown = sum(spending.rows, "unknown");
    const summary = [
      h("p", { class: "total" }, h("strong", {}, money(usd)), ` for ${plural(sum(spending.rows, "images"), "image")} in ${plural(sum(spending.rows, "calls"), "call")}`),
      unknown ? h("p", { class: "note" }, `The cost of ${plural(unknown, "call")} is unknown and not included.`) : null,
      spending.pending_calls ? h("p", { class: "note" }, `${plural(spending.pending_calls, "open call")} may cost another ${money(spending.pending_usd)}: see \`imagen jobs\`.`) : null,
    ];
    if (!spending.rows.length) {
      this.body.replaceChildren(h("p", { class: "empty" }, "No spending in this period."));
      return;
    }
    const names = rankNames(spending.rows);
    const weeks = listWeeks(spending.rows.map((row) => row.week).sort()[0]);
    this.body.replaceChildren(...summary.filter(Boolean),
      usd > 0 ? h("figure", {}, chart(spending.rows, weeks, names), legend(names)) : h("p", { class: "note" }, "All calls were free."),
      table(spending.rows, spending.by));
  }
}

const sum = (rows, key) => rows.reduce((all, row) => all + row[key], 0);
const displayName = (name) => name || "(none)";

/** Sorts names by cost, the highest first; names beyond the colours form one group. */
function rankNames(rows) {
  const spent = new Map();
  for (const row of rows) spent.set(row.name, (spent.get(row.name) ?? 0) + row.usd);
  const names = [...spent].filter(([, usd]) => usd > 0).sort(([, a], [, b]) => b - a).map(([name]) => name);
  const largest = names.slice(0, COLOURS);
  return { largest, others: new Set(names.slice(COLOURS)) };
}

/** Lists all weeks from the first to the current one, at least MIN_WEEKS. */
function listWeeks(first) {
  const now = Date.now();
  const weeks = [];
  for (let day = Math.min(monday(first), now - (MIN_WEEKS - 1) * WEEK); day < now; day += WEEK) weeks.push(week(day));
  return weeks.includes(week(now)) ? weeks : [...weeks, week(now)];
}

/** The start of an ISO week in milliseconds. */
function monday(name) {
  const [year, number_] = name.split("-W").map(Number);
  const fourth = new Date(Date.UTC(year, 0, 4));
  return fourth.getTime() + (number_ - 1) * WEEK - ((fourth.getUTCDay() + 6) % 7) * DAY;
}

/** The ISO week of a time in milliseconds. */
function week(day) {
  const thursday = new Date(day + (3 - ((new Date(day).getUTCDay() + 6) % 7)) * DAY);
  const year = thursday.getUTCFullYear();
  const number_ = 1 + Math.floor((thursday - Date.UTC(year, 0, 1)) / WEEK);
  return `${year}-W${String(number_).padStart(2, "0")}`;
}

function chart(rows, weeks, { largest, others }) {
  const parts = new Map(weeks.map((each) => [each, new Map()]));
  for (const row of rows) {
    const name = others.has(row.name) ? OTHERS : row.name;
    const amounts = parts.get(row.week);
    amounts.set(name, (amounts.get(name) ?? 0) + row.usd);
  }
  const highest = Math.max(...[...parts.values()].map((amounts) => [...amounts.values()].reduce((a, b) => a + b, 0)));
  const top = roundUp(highest);
  const scale = (TALL - BELOW - 8) / top;
  const step = (WIDE - LEFT) / weeks.length;
  const base = TALL - BELOW;
  const lines = [0, 0.25, 0.5, 0.75, 1].map((share) => svg("g", { class: "line" },
    svg("line", { x1: LEFT, x2: WIDE, y1: base - share * top * scale, y2: base - share * top * scale }),
    svg("text", { x: LEFT - 8, y: base - share * top * scale + 4, "text-anchor": "end" }, money(share * top))));
  const labelStep = Math.ceil(weeks.length / 10);
  const bars = weeks.map((each, index) => {
    const x = LEFT + index * step;
    const barWidth = Math.min(48, step * 0.72);
    let y = base;
    const bar = [...largest, OTHERS].map((name, colour) => {
      const usd = parts.get(each).get(name) ?? 0;
      if (!usd) return null;
      y -= usd * scale;
      return svg("rect", { class: `c${others.size && name === OTHERS ? COLOURS : colour}`, x: x + (step - barWidth) / 2, y, width: barWidth, height: Math.max(0.5, usd * scale) },
        svg("title", {}, `${each}, ${displayName(name)}: ${money(usd)}`));
    });
    const label = index % labelStep === 0 ? svg("text", { x: x + step / 2, y: TALL - 8, "text-anchor": "middle" }, each.slice(2)) : null;
    return svg("g", {}, bar, label);
  });
  return svg("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, role: "img", "aria-label": "US dollars by week; the table below has the same data" }, lines, bars);
}

/** Rounds up to a number whose quarters are round as well, for the grid lines. */
function roundUp(usd) {
  const power = 10 ** Math.floor(Math.log10(usd));
  return [1, 2, 4, 8, 10].map((each) => each * power).find((each) => each >= usd * 0.999);
}

function legend({ largest, others }) {
  const names = [...largest.map(displayName), ...(others.size ? [`${number(others.size)} others`] : [])];
  return h("figcaption", { class: "legend" }, names.map((name, colour) => h("span", {}, dot(colour), name)));
}

const dot = (colour) => svg("svg", { viewBox: "0 0 10 10", width: 10, height: 10, "aria-hidden": "true" }, svg("rect", { class: `c${colour}`, width: 10, height: 10, rx: 2 }));

function table(rows, by) {
  const cell = (text) => h("td", { class: "figure" }, text);
  return h("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Spending as a table" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Week", by[0].toUpperCase() + by.slice(1)].map((name) => h("th", { scope: "col" }, name)),
      ["Dollars", "Images", "Calls"].map((name) => h("th", { scope: "col", class: "figure" }, name)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.week), h("td", {}, displayName(row.name)),
      cell(money(row.usd) + (row.unknown ? ` and ${number(row.unknown)} unknown` : "")), cell(number(row.images)), cell(number(row.calls)))))));
}
