/* The application: shows the view of the URL hash, so that Back and bookmarks work. */

import { fetchJson } from "./api.js";
import { debounce, find, h, number, plural, toast } from "./dom.js";
import { Grid } from "./grid.js";
import { GenerateView } from "./generate.js";
import { ImageView } from "./image.js";
import { JobList } from "./jobs.js";
import { SpendingView } from "./spending.js";

const FILTERS = ["words", "backend", "model", "caller", "week"];
const ANY = { backend: "Any", model: "Any", caller: "Any", week: "Any" };
const THEMES = { "": ["◐", "system"], light: ["☀", "light"], dark: ["☾", "dark"] };

const form = find("filters");
const grid = new Grid(find("grid"), { onChange: updateCount });
const jobs = new JobList({
  onEnded: (ended) => {
    if (ended.some((job) => job.images?.length)) showGenerated();
    views.make.refresh().catch(() => {});
  },
  focusForm: () => views.make.focus(),
});
const views = {
  make: new GenerateView(jobs),
  spending: new SpendingView(),
};
const imageView = new ImageView({
  close: (id) => {
    document.body.append(find("toasts"));
    if (route().view === "image") location.hash = address(filters);
    if (!find("images").hidden) grid.focus(Math.max(0, grid.indexOf(id)));
  },
  step,
  deleted: onDeleted,
  restored: (item) => {
    if (deletedFrom.get(item.id) !== address(filters)) return refresh(); // the filters changed, and may exclude it
    grid.insert(item);
    return refreshCounts();
  },
  rerun: (sidecar) => { location.hash = `#/make?again=${sidecar.id}`; },
});

let filters = {};
const deletedFrom = new Map();
let stale = true;

function route() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?", 2);
  const [, view = "", id = ""] = path.split("/");
  return { view: view || "images", id, query: new URLSearchParams(query) };
}

function address(given) {
  const query = new URLSearchParams(Object.entries(given).filter(([, value]) => value));
  return query.size ? `#/?${query}` : "#/";
}

async function go() {
  const { view, id, query } = route();
  const current = view in views ? view : "images";
  for (const name of ["images", ...Object.keys(views)]) find(name).hidden = name !== current;
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = { make: "Generate · imagen", spending: "Spending · imagen" }[current] ?? "imagen";
  if (view !== "image") imageView.close();
  try {
    if (current !== "images") await views[current].open(query);
    else if (view === "image") await openImage(id);
    else await openGrid(query);
  } catch (error) {
    toast(error.message);
  }
}

async function openGrid(query) {
  const requested = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]).filter(([, value]) => value));
  const changed = JSON.stringify(requested) !== JSON.stringify(filters);
  if (changed) {
    filters = requested;
    for (const name of FILTERS) {
      const control = form.elements[name];
      if (control.value.trim() !== (filters[name] ?? "")) choose(control, filters[name] ?? ""); // only then: it would remove a space that was just typed
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

async function openImage(id) {
  const loading = stale ? refresh() : null;
  await imageView.open(id, neighbours(id));
  await loading; // an image that is opened by its URL has no neighbours before the list is loaded
  if (loading && imageView.id === id) imageView.setNeighbours(neighbours(id));
}

function neighbours(id) {
  const at = grid.indexOf(id);
  return { hasPrevious: at > 0, hasNext: at >= 0 && (at < grid.items.length - 1 || !grid.complete) };
}

/** Shows new images at once where that moves nothing that the user looks at. */
const showGenerated = debounce(() => {
  stale = true;
  if (route().view === "images" && scrollY < innerHeight && !find("grid").contains(document.activeElement)) refresh();
}, 200);

/** Opens the previous or the next image. */
async function step(by) {
  const at = grid.indexOf(imageView.id);
  if (at + by >= grid.items.length) await grid.more();
  const there = at < 0 ? undefined : grid.items[at + by];
  if (!there) return;
  history.replaceState(null, "", `#/image/${there.id}`);
  grid.reveal(at + by);
  await openImage(there.id);
}

async function onDeleted(id) {
  const at = grid.indexOf(id);
  const isOpen = imageView.id === id; // the user may have moved on meanwhile
  deletedFrom.set(id, address(filters));
  grid.remove(id);
  refreshCounts();
  if (!isOpen) return;
  const next = grid.items[Math.min(at, grid.items.length - 1)];
  if (at >= 0 && next) {
    history.replaceState(null, "", `#/image/${next.id}`);
    await openImage(next.id);
  } else {
    imageView.close();
  }
}

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
  const counts = await fetchJson("gallery/api/counts");
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
  updateCount();
}

let total = null;

function updateCount() {
  const filtered = Object.keys(filters).length > 0;
  const current = grid.items.length;
  if (filtered) find("count").textContent = grid.complete ? `${plural(current, "image")} found` : "";
  else if (total !== null) find("count").textContent = plural(total, "image");
  const empty = find("empty");
  empty.hidden = !grid.failed && (current > 0 || !grid.complete);
  if (empty.hidden) return;
  if (grid.failed) {
    empty.replaceChildren(h("p", { role: "alert" }, grid.failed.message), h("button", { type: "button", onclick: () => (current ? grid.retry() : go()) }, "Try again"));
  } else if (filtered) {
    empty.replaceChildren(h("p", {}, "No images match the filters."));
  } else {
    empty.replaceChildren(h("p", {}, "No images yet."), h("a", { class: "button", href: "#/make", "data-needs": "make" }, "Generate one"));
  }
}

async function showSession() {
  const session = await fetchJson("gallery/api/session");
  find("who").textContent = session.caller;
  find("leave").hidden = !session.keys || session.locked;
  document.documentElement.dataset.role = session.locked ? "" : session.role; // style.css hides what the role may not do
}

find("leave").addEventListener("click", async () => {
  try {
    await fetchJson("gallery/api/session", { method: "DELETE" });
    location.replace(location.pathname);
  } catch (error) { toast(`Signing out failed. ${error.message}`); }
});
addEventListener("unlocked", () => showSession());

function applyTheme(theme) {
  const [symbol, label] = THEMES[theme];
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  find("theme").textContent = symbol;
  find("theme").setAttribute("aria-label", `Theme: ${label}`);
  find("theme").title = `Theme: ${label}`;
}

function storedTheme() {
  try { return localStorage.getItem("theme") ?? ""; } catch { return ""; }
}

find("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(document.documentElement.dataset.theme ?? "") + 1) % names.length];
  try { localStorage.setItem("theme", next); } catch { /* without storage the theme lasts as long as the page */ }
  applyTheme(next);
});

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // following the link would change the hash, and so the view
  find("main").focus();
});
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input, textarea, select") || find("images").hidden || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  form.elements.words.focus();
});
document.addEventListener("visibilitychange", async () => {
  if (document.hidden || route().view !== "images" || scrollY > innerHeight) return;
  const newest = await fetchJson(`gallery/api/images?${new URLSearchParams({ ...filters, limit: 1 })}`).catch(() => null);
  if (newest?.images.length && newest.images[0].id !== grid.items[0]?.id) refresh();
});

const initialTheme = storedTheme();
applyTheme(initialTheme in THEMES ? initialTheme : "");
addEventListener("hashchange", go);
showSession().catch(() => {});
go();
