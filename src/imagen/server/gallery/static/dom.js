/* Builds elements; text is never parsed as markup. */

const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

/** Creates an element with attributes, listeners (`onclick`) and children. */
export function h(tag, attributes = {}, ...children) {
  return build(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return build(document.createElementNS(SVG, tag), attributes, children);
}

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function toast(text, action) {
  const box = h("div", { class: "toast" }, h("span", {}, text));
  const dismiss = () => {
    const hadFocus = box.contains(document.activeElement);
    box.remove();
    if (hadFocus) (document.querySelector("dialog[open] [data-keep=close]") ?? find("main")).focus();
  };
  if (action) {
    box.append(h("button", { type: "button", onclick: () => { dismiss(); action.run(); } }, action.name));
  }
  const toasts = find("toasts");
  const host = document.querySelector("dialog[open]") ?? document.body; // a modal dialog blocks clicks outside of it
  if (toasts.parentNode !== host) host.append(toasts);
  toasts.append(box);
  setTimeout(dismiss, action ? 12000 : 5000);
}

export function dollars(usd) {
  if (usd === null || usd === undefined) return "unknown";
  if (usd === 0) return "free";
  return money(usd);
}

/** The exact amount: `$0.04`, `$0.015`, `$12.00`; the server counts in millionths of a dollar. */
export function money(usd) {
  return `$${usd.toFixed(6).replace(/0{1,4}$/, "")}`;
}

/** Copies a text, and says so. */
export async function copy(text, what) {
  toast(await copyText(text) ? `${what} copied` : "The browser does not allow copying");
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { /* browsers have no clipboard for pages without https from another machine */ }
  const area = h("textarea", { class: "unseen" });
  area.value = text;
  const focused = document.activeElement;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.focus();
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return copied;
}

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const NUMBER = new Intl.NumberFormat();

export const formatTime = (text) => DAY.format(new Date(text));
export const number = (n) => NUMBER.format(n);
export const plural = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;
export const debounce = (run, wait) => {
  let timer;
  return (...args) => { clearTimeout(timer); timer = setTimeout(() => run(...args), wait); };
};
