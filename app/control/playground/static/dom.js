// Builds elements. Text only ever becomes text: nothing a bot writes can become markup of this page.

export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name in node && !name.includes("-") && name !== "list" && name !== "form") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const find = (id) => document.getElementById(id);

const COLOURS = 8;

export function avatar(name, bot) {
  const letters = [...name.trim()];
  const cjk = /[\u3400-\u9fff]/.test(name);
  const initials = cjk ? letters.slice(-2).join("") : name.split(/[\s_-]+/).slice(0, 2).map((w) => [...w][0] ?? "").join("").toUpperCase();
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)) % 9973;
  return el("span", { class: `avatar tone-${sum % COLOURS}${bot ? " is-bot" : ""}`, "aria-hidden": "true" }, initials || "?");
}

export function toast(kind, text) {
  const node = el("div", { class: `toast ${kind}` }, el("span", { class: "toast-mark", "aria-hidden": "true" }, { success: "✓", error: "!", warning: "!", info: "i" }[kind] ?? "i"), text);
  find("toasts").append(node);
  setTimeout(() => node.classList.add("going"), 3600);
  setTimeout(() => node.remove(), 4000);
}

export function closers() {
  for (const button of document.querySelectorAll("[data-close]")) button.addEventListener("click", () => button.closest("dialog").close());
}
