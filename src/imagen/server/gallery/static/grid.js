/* The images in rows, the newest first; only rows near the viewport are in the document. */

import { fetchJson } from "./api.js";
import { h } from "./dom.js";

const GAP = 6;
const PAGE = 100;
const FAST = 1.5; // viewport heights between two frames; faster scrolling loads no thumbnails

export class Grid {
  constructor(root, { onChange }) {
    this.root = root;
    this.onChange = onChange;
    this.tiles = new Map();
    this.current = 0;
    this.generation = 0;
    this.reset({});
    const draw = () => { this.waiting ??= requestAnimationFrame(() => { this.waiting = null; this.draw(); }); };
    addEventListener("scroll", draw, { passive: true });
    new ResizeObserver(() => {
      if (root.clientWidth !== this.width) { this.layout(); draw(); }
    }).observe(root);
    root.addEventListener("keydown", (event) => this.move(event));
    root.addEventListener("focusin", (event) => {
      const tile = event.target.closest(".tile");
      if (tile) this.current = Number(tile.dataset.index);
    });
  }

  reset(query) {
    this.query = query;
    this.items = [];
    this.next = undefined;
    this.rows = [];
    this.width = 0;
    this.loading = null;
    this.current = 0;
    this.failed = null;
    this.generation += 1;
    for (const tile of this.tiles.values()) removeTile(tile);
    this.tiles.clear();
    this.root.style.height = "0px";
  }

  async show(query) {
    this.reset(query);
    await this.more();
  }

  get complete() { return this.next === null; }

  indexOf(id) { return this.items.findIndex((item) => item.id === id); }

  /** Loads the next page; only one request at a time. */
  more() {
    if (this.next === null || this.failed) return Promise.resolve();
    this.loading ??= this.load(this.generation);
    return this.loading;
  }

  /** Loads the failed page again. */
  retry() {
    this.failed = null;
    return this.more();
  }

  async load(generation) {
    const query = new URLSearchParams({ ...this.query, limit: PAGE });
    if (this.next) query.set("before", this.next);
    try {
      const page = await fetchJson(`gallery/api/images?${query}`);
      if (generation !== this.generation) return;
      this.items.push(...page.images);
      this.next = page.next;
    } catch (error) {
      if (generation !== this.generation) return;
      this.failed = error;
    }
    this.loading = null;
    this.layout();
    this.draw();
    this.onChange(this);
  }

  remove(id) {
    const index = this.indexOf(id);
    if (index < 0) return;
    this.items.splice(index, 1);
    this.rebuild();
  }

  insert(item) {
    const after = this.items.findIndex((each) => each.created_at < item.created_at || (each.created_at === item.created_at && each.id < item.id));
    if (after < 0 && this.next) return;
    this.items.splice(after < 0 ? this.items.length : after, 0, item);
    this.rebuild();
  }

  rebuild() {
    const focused = this.root.contains(document.activeElement);
    this.width = 0;
    for (const tile of this.tiles.values()) removeTile(tile);
    this.tiles.clear();
    this.layout();
    this.draw();
    if (focused) this.focus(Math.min(this.current, this.items.length - 1));
    this.onChange(this);
  }

  /** Arranges images in rows of equal width; full rows are not arranged again. */
  layout() {
    const width = this.root.clientWidth;
    if (!width) return;
    if (width !== this.width) { this.rows = []; this.width = width; }
    if (this.rows.length) this.rows.pop(); // the last row may not be full
    const ideal = Math.min(260, Math.max(130, width / 4.2));
    let top = this.rows.length ? bottomOf(this.rows.at(-1)) : 0;
    let first = this.rows.length ? this.rows.at(-1).end : 0;
    let sum = 0;
    for (let index = first; index < this.items.length; index += 1) {
      sum += aspectRatio(this.items[index]);
      const gaps = (index - first) * GAP;
      const last = index === this.items.length - 1;
      if (sum * ideal + gaps < width && !last) continue;
      const full = sum * ideal + gaps >= width * 0.8;
      const height = full ? Math.min((width - gaps) / sum, ideal * 1.4) : ideal;
      this.rows.push({ top, height, first, end: index + 1 });
      top += height + GAP;
      first = index + 1;
      sum = 0;
    }
    this.root.style.height = `${top}px`;
  }

  draw() {
    if (!this.root.clientWidth) return;
    const scrolled = -this.root.getBoundingClientRect().top;
    const tall = innerHeight;
    const fast = Math.abs(scrolled - (this.scrolled ?? scrolled)) > tall * FAST;
    this.scrolled = scrolled;
    const from = this.rowAt(scrolled - tall);
    const to = this.rowAt(scrolled + tall * 2);
    const wanted = new Set();
    for (let number = from; number <= to && number < this.rows.length; number += 1) {
      this.drawRow(this.rows[number], wanted);
    }
    const focused = document.activeElement?.closest?.(".tile");
    for (const [id, tile] of this.tiles) {
      if (wanted.has(id) || tile === focused) continue;
      removeTile(tile);
      this.tiles.delete(id);
    }
    clearTimeout(this.filling);
    if (fast) this.filling = setTimeout(() => this.fill(), 90);
    else this.fill();
    if (scrolled + tall * 3 > this.root.clientHeight) this.more();
  }

  drawRow(row, wanted) {
    let left = 0;
    for (let index = row.first; index < row.end; index += 1) {
      const item = this.items[index];
      const width = aspectRatio(item) * row.height;
      let tile = this.tiles.get(item.id);
      if (!tile) {
        tile = createTile(item);
        this.tiles.set(item.id, tile);
        this.root.append(tile);
      }
      wanted.add(item.id);
      tile.dataset.index = index;
      tile.setAttribute("aria-posinset", index + 1);
      tile.setAttribute("aria-setsize", this.complete ? this.items.length : -1);
      tile.firstChild.tabIndex = index === this.current ? 0 : -1;
      tile.style.transform = `translate(${left}px, ${row.top}px)`;
      tile.style.width = `${width}px`;
      tile.style.height = `${row.height}px`;
      left += width + GAP;
    }
  }

  fill() {
    for (const tile of this.tiles.values()) {
      const image = tile.querySelector("img[data-src]");
      if (!image) continue;
      image.src = image.dataset.src;
      delete image.dataset.src;
    }
  }

  rowAt(top) {
    let low = 0;
    let high = this.rows.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (bottomOf(this.rows[middle]) <= top) low = middle + 1; else high = middle;
    }
    return Math.max(0, low);
  }

  rowOf(index) {
    let low = 0;
    let high = this.rows.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle].end <= index) low = middle + 1; else high = middle;
    }
    return low;
  }

  move(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || !event.target.closest(".tile")) return;
    const index = this.neighbour(event.key);
    if (index === null) return;
    event.preventDefault();
    this.focus(index);
  }

  neighbour(key) {
    const last = this.items.length - 1;
    const number = this.rowOf(this.current);
    switch (key) {
      case "ArrowRight": return Math.min(this.current + 1, last);
      case "ArrowLeft": return Math.max(this.current - 1, 0);
      case "ArrowDown": return this.verticalNeighbour(number, number + 1);
      case "ArrowUp": return this.verticalNeighbour(number, number - 1);
      case "Home": return 0;
      case "End": return last;
      default: return null;
    }
  }

  /** The image of the other row that is closest to the middle of the current one. */
  verticalNeighbour(from, to) {
    if (to < 0 || to >= this.rows.length) return this.current;
    const centre = (number, index) => {
      const row = this.rows[number];
      let left = 0;
      for (let each = row.first; each < index; each += 1) left += aspectRatio(this.items[each]) * row.height + GAP;
      return left + (aspectRatio(this.items[index]) * row.height) / 2;
    };
    const here = centre(from, this.current);
    let best = this.rows[to].first;
    for (let index = best; index < this.rows[to].end; index += 1) {
      if (Math.abs(centre(to, index) - here) < Math.abs(centre(to, best) - here)) best = index;
    }
    return best;
  }

  /** Scrolls an image into view, and returns its link. */
  reveal(index) {
    const item = this.items[index];
    const row = this.rows[this.rowOf(index)];
    if (!item || !row) return undefined;
    this.current = index;
    const top = this.root.getBoundingClientRect().top + scrollY + row.top;
    const bar = document.querySelector(".bar").offsetHeight + 12;
    if (top < scrollY + bar) scrollTo({ top: top - bar });
    else if (top + row.height > scrollY + innerHeight) scrollTo({ top: top + row.height - innerHeight + 12 });
    this.draw();
    return this.tiles.get(item.id)?.firstChild;
  }

  focus(index) { this.reveal(index)?.focus({ preventScroll: true }); }
}

const bottomOf = (row) => row.top + row.height + GAP;
const aspectRatio = (item) => Math.min(3, Math.max(0.45, item.width / item.height || 1));

function createTile(item) {
  const label = item.prompt || "no prompt";
  const image = h("img", { alt: label, "data-src": `gallery/api/images/${item.id}/thumbnail`, decoding: "async", draggable: "false" });
  const link = h("a", { href: `#/image/${item.id}` }, item.missing ? null : image, h("span", { class: "caption", "aria-hidden": "true", dir: "auto" }, label));
  const tile = h("div", { class: "tile", role: "listitem" }, link);
  const showPlaceholder = (reason) => {
    image.remove();
    tile.classList.add("gone");
    link.setAttribute("aria-label", `${label} (${reason})`);
    link.prepend(h("span", { class: "why" }, reason));
  };
  image.addEventListener("load", () => tile.classList.add("there"));
  image.addEventListener("error", () => { if (image.getAttribute("src")) showPlaceholder("cannot be shown"); });
  if (item.missing) showPlaceholder("file missing");
  return tile;
}

function removeTile(tile) {
  tile.querySelector("img")?.removeAttribute("src"); // cancels the download
  tile.remove();
}
