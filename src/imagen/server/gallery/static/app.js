/* Which view is shown: all of it is in the address, so that Back and bookmarks work. */

import { ask } from "./api.js";
import { find, h, number, plural, toast } from "./dom.js";
import { Grid } from "./grid.js";
import { MakeView } from "./make.js";
import { PictureView } from "./picture.js";
import { SpendingView } from "./spending.js";

const FILTERS = ["words", "backend", "model", "caller", "week"];
const ANY = { backend: "Any", model: "Any", caller: "Anybody", week: "Any" };
const THEMES = { "": ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

const form = find("filters");
const grid = new Grid(find("grid"), { said: counted });
const views = {
  make: new MakeView({ made: () => { stale = true; } }),
  spending: new SpendingView(),
};
const picture = new PictureView({
  close: (id) => {
    document.body.append(find("toasts"));
    if (route().view === "image") location.hash = address(filters);
    if (!find("pictures").hidden) grid.focus(Math.max(0, grid.indexOf(id)));
  },
  step,
  gone: thrown,
  back: (item) => {
    if (thrownFrom.get(item.id) !== address(filters)) return refresh(); // it may not be like that
    grid.insert(item);
    return refreshCounts();
  },
  again: (sidecar) => { location.hash = `#/make?again=${sidecar.id}`; },
});

let filters = {};
const thrownFrom = new Map();
let stale = true;

// Where we are

function route() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?", 2);
  const [, view = "", id = ""] = path.split("/");
  return { view: view || "pictures", id, query: new URLSearchParams(query) };
}

function address(given) {
  const query = new URLSearchParams(Object.entries(given).filter(([, value]) => value));
  return query.size ? `#/?${query}` : "#/";
}

async function go() {
  const { view, id, query } = route();
  const shown = view in views ? view : "pictures";
  for (const name of ["pictures", ...Object.keys(views)]) find(name).hidden = name !== shown;
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = { make: "Make · imagen", spending: "Spending · imagen" }[shown] ?? "imagen";
  if (view !== "image") picture.close();
  try {
    if (shown !== "pictures") await views[shown].open(query);
    else if (view === "image") await openPicture(id);
    else await openPictures(query);
  } catch (problem) {
    toast(problem.message);
  }
}

async function openPictures(query) {
  const wanted = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]).filter(([, value]) => value));
  const changed = JSON.stringify(wanted) !== JSON.stringify(filters);
  if (changed) {
    filters = wanted;
    for (const name of FILTERS) {
      const control = form.elements[name];
      if (control.value.trim() !== (filters[name] ?? "")) choose(control, filters[name] ?? ""); // else a blank just typed would go
    }
  }
  if (changed || stale || (grid.failed && !grid.items.length)) await refresh();
  else grid.draw();
}

async function refresh() {
  stale = false;
  form.querySelector("[type=reset]").hidden = !Object.keys(filters).length;
  await grid.show(filters);
  await refreshCounts();
}

async function openPicture(id) {
  const loading = stale ? refresh() : null;
  await picture.open(id, beside(id));
  await loading; // of a picture that is opened by its address, what lies beside it
  if (loading && picture.id === id) picture.between(beside(id));
}

function beside(id) {
  const at = grid.indexOf(id);
  return { hasPrevious: at > 0, hasNext: at >= 0 && (at < grid.items.length - 1 || !grid.complete) };
}

/** Goes to the picture before or behind the one that is open. */
async function step(by) {
  const at = grid.indexOf(picture.id);
  if (at + by >= grid.items.length) await grid.more();
  const there = at < 0 ? undefined : grid.items[at + by];
  if (!there) return;
  history.replaceState(null, "", `#/image/${there.id}`);
  grid.reveal(at + by);
  await openPicture(there.id);
}

async function thrown(id) {
  const at = grid.indexOf(id);
  const looked = picture.id === id; // or somebody went on meanwhile
  thrownFrom.set(id, address(filters));
  grid.remove(id);
  refreshCounts();
  if (!looked) return;
  const next = grid.items[Math.min(at, grid.items.length - 1)];
  if (at >= 0 && next) {
    history.replaceState(null, "", `#/image/${next.id}`);
    await openPicture(next.id);
  } else {
    picture.close();
  }
}

// What is looked for

function choose(control, value) {
  if (control.tagName === "SELECT" && value && ![...control.options].some((each) => each.value === value)) {
    control.append(h("option", { value }, value));
  }
  control.value = value;
}

let typing;
form.addEventListener("submit", (event) => { event.preventDefault(); apply(); });
form.addEventListener("input", (event) => {
  clearTimeout(typing);
  if (event.target.name === "words") typing = setTimeout(apply, 250);
  else apply();
});
form.addEventListener("reset", () => { location.hash = "#/"; form.elements.words.focus(); });

function apply() {
  clearTimeout(typing);
  const given = Object.fromEntries(FILTERS.map((name) => [name, form.elements[name].value.trim()]));
  if (address(given) === address(filters)) return;
  history.replaceState(null, "", address(given));
  go();
}

async function refreshCounts() {
  const counts = await ask("/gallery/api/counts");
  for (const [name, any] of Object.entries(ANY)) {
    const control = form.elements[name];
    const chosen = filters[name] ?? "";
    const there = Object.entries(counts[name]).filter(([value]) => value !== "");
    if (name !== "week") there.sort(([, one], [, other]) => other - one);
    control.replaceChildren(h("option", { value: "" }, any),
      ...there.map(([value, images]) => h("option", { value }, `${value} (${number(images)})`)));
    control.closest("label").hidden = there.length < 2 && !chosen;
    choose(control, chosen);
  }
  total = Object.values(counts.backend).reduce((sum, images) => sum + images, 0);
  counted();
}

let total = null;

function counted() {
  const looked = Object.keys(filters).length > 0;
  const shown = grid.items.length;
  if (looked) find("count").textContent = grid.complete ? `${plural(shown, "picture")} found` : "";
  else if (total !== null) find("count").textContent = plural(total, "picture");
  const empty = find("empty");
  empty.hidden = !grid.failed && (shown > 0 || !grid.complete);
  if (empty.hidden) return;
  if (grid.failed) {
    empty.replaceChildren(h("p", { role: "alert" }, grid.failed.message), h("button", { type: "button", onclick: () => (shown ? grid.retry() : go()) }, "Try again"));
  } else if (looked) {
    empty.replaceChildren(h("p", {}, "No picture is like that."));
  } else {
    empty.replaceChildren(h("p", {}, "There is no picture yet."), h("a", { class: "button", href: "#/make" }, "Make one"));
  }
}

// Who looks on, and how it looks

async function greet() {
  const session = await ask("/gallery/api/session");
  find("who").textContent = session.caller;
  find("leave").hidden = !session.keys || session.locked;
}

find("leave").addEventListener("click", async () => {
  try {
    await ask("/gallery/api/session", { method: "DELETE" });
    location.replace("/");
  } catch (problem) { toast(`You are not signed out. ${problem.message}`); }
});
addEventListener("unlocked", () => greet());

function paint(theme) {
  const [sign, words] = THEMES[theme];
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  find("theme").textContent = sign;
  find("theme").setAttribute("aria-label", `Theme: ${words}`);
  find("theme").title = `Theme: ${words}`;
}

function remembered() {
  try { return localStorage.getItem("theme") ?? ""; } catch { return ""; }
}

find("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(document.documentElement.dataset.theme ?? "") + 1) % names.length];
  try { localStorage.setItem("theme", next); } catch { /* it lasts as long as the page */ }
  paint(next);
});

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says which view is shown
  find("main").focus();
});
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input, textarea, select") || find("pictures").hidden || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  form.elements.words.focus();
});
document.addEventListener("visibilitychange", async () => {
  if (document.hidden || route().view !== "pictures" || scrollY > innerHeight) return;
  const newest = await ask(`/gallery/api/images?${new URLSearchParams({ ...filters, limit: 1 })}`).catch(() => null);
  if (newest?.images.length && newest.images[0].id !== grid.items[0]?.id) refresh();
});

const known = remembered();
paint(known in THEMES ? known : "");
addEventListener("hashchange", go);
greet().catch(() => {});
go();
