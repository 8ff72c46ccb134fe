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

export function money(usd) {
  const digits = usd !== 0 && Math.abs(usd) < 0.01 ? 6 : 2;
  const text = usd.toFixed(digits);
  return `$${digits === 6 ? text.replace(/0+$/, "") : text}`;
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
