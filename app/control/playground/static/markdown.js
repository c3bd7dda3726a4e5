// Feishu's markdown, as elements.

import { el } from "./dom.js";

const INLINE = new RegExp(
  [
    "`([^`\\n]+)`", // 1 code
    "\\*\\*(?=\\S)([\\s\\S]+?)\\*\\*", // 2 bold
    "~~(?=\\S)([\\s\\S]+?)~~", // 3 struck out
    "\\[([^\\]\\n]*)\\]\\((https?:[^)\\s]+)\\)", // 4, 5 link
    "<at\\s+(?:id|user_id)\\s*=\\s*[\"']?([^\\s\"'>]+)[\"']?\\s*>([\\s\\S]*?)</at>", // 6, 7 mention
    "<font\\s+color\\s*=\\s*[\"']?([a-z-]+)[\"']?\\s*>([\\s\\S]*?)</font>", // 8, 9 coloured
    "<(b|i|u|s)>([\\s\\S]*?)</\\10>", // 10, 11 text messages
    "(https?://[^\\s<>()，。、]+)", // 12 bare link
    "\\*(?=\\S)([^*\\n]+)\\*", // 13 italic
    "<br\\s*/?>|<hr\\s*/?>", // line break
  ].join("|"),
  "g",
);
const COLOURS = new Set(["red", "green", "blue", "grey", "orange", "yellow", "purple", "violet", "turquoise", "carmine", "indigo", "wathet"]);

export function inline(text, names = {}) {
  const nodes = [];
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    if (found.index > end) nodes.push(text.slice(end, found.index));
    end = found.index + found[0].length;
    nodes.push(inlineNode(found, names));
  }
  if (end < text.length) nodes.push(text.slice(end));
  return nodes;
}

function inlineNode(found, names) {
  if (found[1] !== undefined) return el("code", {}, found[1]);
  if (found[2] !== undefined) return el("strong", {}, inline(found[2], names));
  if (found[3] !== undefined) return el("s", {}, inline(found[3], names));
  if (found[5] !== undefined) return link(found[5], found[4] || found[5]);
  if (found[6] !== undefined) return el("span", { class: "at" }, `@${found[6] === "all" ? "所有人" : (names[found[6]] ?? (found[7] || found[6]))}`);
  if (found[8] !== undefined) return el("span", { class: COLOURS.has(found[8]) ? `ink-${found[8]}` : "" }, inline(found[9], names));
  if (found[10] !== undefined) return el(found[10], {}, inline(found[11], names));
  if (found[12] !== undefined) return link(found[12], found[12]);
  if (found[13] !== undefined) return el("em", {}, inline(found[13], names));
  return el("br");
}

export function link(href, text) {
  return el("a", { href, target: "_blank", rel: "noopener noreferrer" }, text);
}

export function markdown(text, names = {}) {
  const root = el("div", { class: "md" });
  const lines = String(text ?? "").split("\n");
  let index = 0;
  while (index < lines.length) index = block(root, lines, index, names);
  return root;
}

// Each kind of block takes its lines and says where the next one starts.
function block(root, lines, index, names) {
  const line = lines[index];
  if (/^\s*$/.test(line)) return index + 1;
  if (/^\s*```/.test(line)) return fence(root, lines, index);
  const heading = line.match(/^(#{1,6})\s+(.*)$/);
  if (heading) {
    root.append(el("p", { class: `md-h md-h${heading[1].length}` }, inline(heading[2], names)));
    return index + 1;
  }
  if (/^\s*(-{3,}|\*{3,}|<hr\s*\/?>)\s*$/.test(line)) {
    root.append(el("hr"));
    return index + 1;
  }
  if (/^\s*([-*+]|\d+[.)])\s+/.test(line)) return list(root, lines, index, names);
  if (/^\s*>/.test(line)) return run(root, lines, index, /^\s*>\s?/, "blockquote", names);
  if (line.includes("|") && /^\s*\|?\s*:?-{3,}/.test(lines[index + 1] ?? "")) return table(root, lines, index, names);
  const paragraph = el("p", {}, inline(line, names));
  index += 1;
  while (index < lines.length && !/^\s*$|^\s*```|^#{1,6}\s|^\s*([-*+]|\d+[.)])\s+|^\s*>|^\s*-{3,}\s*$/.test(lines[index])) {
    paragraph.append(el("br"), ...inline(lines[index], names));
    index += 1;
  }
  root.append(paragraph);
  return index;
}

function fence(root, lines, index) {
  let end = index + 1;
  while (end < lines.length && !/^\s*```/.test(lines[end])) end += 1;
  root.append(el("pre", { tabIndex: 0 }, el("code", {}, lines.slice(index + 1, end).join("\n"))));
  return end + 1;
}

function list(root, lines, index, names) {
  const ordered = /^\s*\d/.test(lines[index]);
  const node = el(ordered ? "ol" : "ul", ordered ? { start: parseInt(lines[index], 10) || 1 } : {});
  for (; index < lines.length; index += 1) {
    const item = lines[index].match(/^(\s*)(?:[-*+]|\d+[.)])\s+(.*)$/);
    if (!item) break;
    const deep = item[1].length >= 2 && node.lastChild;
    if (!deep) node.append(el("li", {}, inline(item[2], names)));
    else {
      if (node.lastChild.lastElementChild?.tagName !== "UL") node.lastChild.append(el("ul"));
      node.lastChild.lastElementChild.append(el("li", {}, inline(item[2], names)));
    }
  }
  root.append(node);
  return index;
}

function run(root, lines, index, mark, tag, names) {
  const inner = [];
  for (; index < lines.length && mark.test(lines[index]); index += 1) inner.push(lines[index].replace(mark, ""));
  root.append(el(tag, {}, markdown(inner.join("\n"), names)));
  return index;
}

function table(root, lines, index, names) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const body = el("tbody");
  const head = el("thead", {}, el("tr", {}, cells(lines[index]).map((cell) => el("th", {}, inline(cell, names)))));
  for (index += 2; index < lines.length && lines[index].includes("|"); index += 1) {
    body.append(el("tr", {}, cells(lines[index]).map((cell) => el("td", {}, inline(cell, names)))));
  }
  root.append(el("div", { class: "table", tabIndex: 0 }, el("table", {}, head, body)));
  return index;
}
