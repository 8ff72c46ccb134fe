/* Builds what is shown; text is only ever text. */

const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

/** An element with its attributes, listeners (`onclick`) and children. */
export function h(tag, given = {}, ...children) {
  return dressed(document.createElement(tag), given, children);
}

export function svg(tag, given = {}, ...children) {
  return dressed(document.createElementNS(SVG, tag), given, children);
}

function dressed(element, given, children) {
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function toast(words, action) {
  const said = h("div", { class: "toast" }, h("span", {}, words));
  const gone = () => {
    const held = said.contains(document.activeElement);
    said.remove();
    if (held) (document.querySelector("dialog[open] [data-keep=close]") ?? find("main")).focus();
  };
  if (action) {
    said.append(h("button", { type: "button", onclick: () => { gone(); action.run(); } }, action.name));
  }
  const toasts = find("toasts");
  const host = document.querySelector("dialog[open]") ?? document.body; // outside of it nothing can be pressed
  if (toasts.parentNode !== host) host.append(toasts);
  toasts.append(said);
  setTimeout(gone, action ? 12000 : 5000);
}

export function dollars(usd) {
  if (usd === null || usd === undefined) return "unknown";
  if (usd === 0) return "free";
  return money(usd);
}

export function money(usd) {
  const digits = usd !== 0 && Math.abs(usd) < 0.01 ? 6 : 2;
  const words = usd.toFixed(digits);
  return `$${digits === 6 ? words.replace(/0+$/, "") : words}`;
}

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const NUMBER = new Intl.NumberFormat();

export const moment = (words) => DAY.format(new Date(words));
export const number = (n) => NUMBER.format(n);
export const plural = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;
export const later = (run, wait) => {
  let timer;
  return (...given) => { clearTimeout(timer); timer = setTimeout(() => run(...given), wait); };
};
