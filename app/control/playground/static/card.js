// Draws a card of schema 1.0 or 2.0; actions go out through `act(path, extra)`.

import { el } from "./dom.js";
import { inline, markdown } from "./markdown.js";
import { localeKey, word } from "./words.js";

const TONES = new Set(["blue", "wathet", "turquoise", "green", "yellow", "orange", "red", "carmine", "violet", "purple", "indigo", "grey"]);

export function card(content, act, names) {
  const root = el("article", { class: "card" });
  const header = content.header;
  if (header) {
    const tone = TONES.has(header.template) ? header.template : "default";
    root.append(el("header", { class: `card-head tone-${tone}` },
      el("div", { class: "card-title" }, plain(header.title)),
      header.subtitle ? el("div", { class: "card-subtitle" }, plain(header.subtitle)) : null,
      (header.text_tag_list ?? []).map((tag) => el("span", { class: "card-tag" }, plain(tag.text)))));
  }
  const second = content.schema === "2.0";
  const elements = second ? content.body?.elements : (content.elements ?? content.i18n_elements?.[localeKey()] ?? Object.values(content.i18n_elements ?? {})[0]);
  const path = second ? ["body", "elements"] : content.elements ? ["elements"] : ["i18n_elements", localeKey()];
  const body = el("div", { class: "card-body" });
  const pen = { act, names, form: null };
  drawAll(body, elements ?? [], path, pen);
  root.append(body);
  if (content.config?.streaming_mode) root.classList.add("typing");
  return root;
}

function drawAll(parent, elements, path, pen) {
  elements.forEach((element, index) => {
    const node = draw(element, [...path, index], pen);
    if (node) parent.append(node);
  });
}

function draw(element, path, pen) {
  const kind = DRAW[element.tag];
  return kind ? kind(element, path, pen) : el("div", { class: "card-unknown" }, `[${element.tag}]`);
}

const DRAW = {
  markdown: (element, _, pen) => markdown(element.content, pen.names),
  plain_text: (element) => el("p", {}, element.content ?? ""),
  lark_md: (element, _, pen) => markdown(element.content, pen.names),
  hr: () => el("hr"),
  img: (element) => picture(element.alt?.content || element.img_key),
  img_combination: (element) => el("div", { class: "card-row" }, (element.img_list ?? []).map((image) => picture(image.img_key))),
  div: (element, path, pen) => el("div", { class: "card-div" },
    el("div", { class: "card-grow" }, element.text ? textOf(element.text, pen) : null,
      element.fields ? el("div", { class: "card-fields" }, element.fields.map((field) => el("div", { class: field.is_short ? "short" : "" }, textOf(field.text, pen)))) : null),
    element.extra ? draw(element.extra, [...path, "extra"], pen) : null),
  note: (element, path, pen) => el("div", { class: "card-note" }, (element.elements ?? []).map((inner, index) => draw(inner, [...path, "elements", index], pen))),
  action: (element, path, pen) => el("div", { class: "card-actions" }, (element.actions ?? []).map((inner, index) => draw(inner, [...path, "actions", index], pen))),
  column_set: (element, path, pen) => el("div", { class: `card-columns${element.background_style ? " filled" : ""}` }, (element.columns ?? []).map((inner, index) => column(inner, [...path, "columns", index], pen))),
  column: column,
  interactive_container: (element, path, pen) => box("card-box", element, path, pen),
  collapsible_panel: (element, path, pen) => {
    const node = el("details", { class: "card-panel", open: element.expanded === true }, el("summary", {}, plain(element.header?.title)));
    drawAll(node, element.elements ?? [], [...path, "elements"], pen);
    return node;
  },
  form: (element, path, pen) => {
    const node = el("div", { class: "card-form", role: "group" });
    drawAll(node, element.elements ?? [], [...path, "elements"], { ...pen, form: node });
    return node;
  },
  button: button,
  input: (element, path, pen) => field(element, path, pen, el(element.input_type === "multiline_text" ? "textarea" : "input", {
    value: element.default_value ?? "", placeholder: plain(element.placeholder), type: element.input_type === "password" ? "password" : undefined,
    maxLength: element.max_length ?? undefined }), (node) => node.value, (value) => ({ input_value: value })),
  select_static: (element, path, pen) => field(element, path, pen, select(element, false), (node) => node.value, (value) => ({ option: value })),
  multi_select_static: (element, path, pen) => field(element, path, pen, select(element, true), (node) => [...node.selectedOptions].map((o) => o.value), (value) => ({ options: value })),
  select_person: (element, path, pen) => field(element, path, pen, people(element, pen, false), (node) => node.value, (value) => ({ option: value })),
  multi_select_person: (element, path, pen) => field(element, path, pen, people(element, pen, true), (node) => [...node.selectedOptions].map((o) => o.value), (value) => ({ options: value })),
  overflow: (element, path, pen) => field(element, path, pen, select(element, false, "⋯"), (node) => node.value, (value) => ({ option: value })),
  checker: (element, path, pen) => {
    const box_ = el("input", { type: "checkbox", checked: element.checked === true });
    return el("label", { class: "card-check" }, field(element, path, pen, box_, (node) => node.checked, (value) => ({ checked: value })), textOf(element.text, pen));
  },
  date_picker: (element, path, pen) => field(element, path, pen, el("input", { type: "date", value: element.initial_date ?? "" }), (node) => zoned(node.value), (value) => ({ option: value })),
  picker_time: (element, path, pen) => field(element, path, pen, el("input", { type: "time", value: element.initial_time ?? "" }), (node) => zoned(node.value), (value) => ({ option: value })),
  picker_datetime: (element, path, pen) => field(element, path, pen, el("input", { type: "datetime-local" }), (node) => zoned(node.value.replace("T", " ")), (value) => ({ option: value })),
  table: (element) => el("div", { class: "table", tabIndex: 0 }, el("table", {},
    el("thead", {}, el("tr", {}, (element.columns ?? []).map((c) => el("th", {}, c.display_name ?? c.name)))),
    el("tbody", {}, (element.rows ?? []).map((row) => el("tr", {}, (element.columns ?? []).map((c) => el("td", {}, show(row[c.name])))))))),
  chart: () => el("div", { class: "card-unknown" }, "[chart]"),
};

function column(element, path, pen) {
  const node = box("card-column", element, path, pen);
  node.style.flex = element.width === "auto" ? "0 0 auto" : `${element.weight ?? 1} 1 0`;
  if (element.width === "auto") node.style.minWidth = "0";
  return node;
}

function box(name, element, path, pen) {
  const node = el("div", { class: name });
  drawAll(node, element.elements ?? [], [...path, "elements"], pen);
  return node;
}

function button(element, path, pen) {
  const behaviours = element.behaviors ?? [];
  const opens = behaviours.find((b) => b.type === "open_url")?.default_url ?? element.url ?? element.multi_url?.url;
  const submits = element.form_action_type === "submit" || element.action_type === "form_submit";
  const resets = element.form_action_type === "reset" || element.action_type === "form_reset";
  const calls = submits || behaviours.some((b) => b.type === "callback") || element.value !== undefined || !opens;
  const node = el("button", { type: "button", class: `card-button ${String(element.type ?? "default").replace(/_(filled|text)$/, " $1")}`, disabled: element.disabled === true }, plain(element.text) || "…");
  node.addEventListener("click", async () => {
    if (element.confirm && !window.confirm([plain(element.confirm.title), plain(element.confirm.text)].filter(Boolean).join("\n\n"))) return;
    if (resets) return pen.form?.querySelectorAll("input, textarea").forEach((input) => { input.value = ""; });
    if (/^https?:/.test(opens ?? "")) window.open(opens, "_blank", "noopener,noreferrer");
    if (!calls) return;
    node.disabled = true;
    node.classList.add("busy");
    try {
      await pen.act(path, submits ? values(pen.form) : undefined);
    } finally {
      node.disabled = element.disabled === true;
      node.classList.remove("busy");
    }
  });
  return node;
}

const READ = new WeakMap();

// Inside a form a field waits for the form's button; outside it acts by itself.
function field(element, path, pen, node, read, extra) {
  READ.set(node, [element.name, () => read(node)]);
  node.classList.add("card-field");
  node.disabled = element.disabled === true;
  const label = plain(element.label) || plain(element.placeholder) || element.name || element.tag;
  if (node.type !== "checkbox") node.setAttribute("aria-label", label);
  if (!pen.form) node.addEventListener("change", () => pen.act(path, extra(read(node))));
  // Browsers show no placeholder in pickers of dates and times: it stands above them, so that two can be told apart.
  const above = plain(element.label) || (/^(date|time)/.test(node.type) ? plain(element.placeholder) : "");
  return above ? el("label", { class: "card-label" }, el("span", {}, above, element.required ? " *" : ""), node) : node;
}

// As Feishu writes what was picked: "2024-04-01 +0800", with the offset of who picked it.
function zoned(text) {
  if (!text) return text;
  const east = -new Date().getTimezoneOffset();
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  return `${text} ${east < 0 ? "-" : "+"}${two(Math.abs(east) / 60)}${two(Math.abs(east) % 60)}`;
}

function values(form) {
  const found = {};
  for (const node of form?.querySelectorAll(".card-field") ?? []) {
    const [name, read] = READ.get(node) ?? [];
    if (name) found[name] = read();
  }
  return found;
}

function select(element, multiple, mark) {
  const chosen = new Set([element.initial_option, ...(element.selected_values ?? [])]);
  return el("select", { multiple },
    multiple ? null : el("option", { value: "" }, mark ?? (plain(element.placeholder) || word("choosePlease"))),
    (element.options ?? []).map((option) => el("option", { value: option.value ?? "", selected: chosen.has(option.value) }, plain(option.text) || option.value)));
}

function people(element, pen, multiple) {
  const options = (element.options ?? []).map((option) => ({ value: option.value, text: { content: pen.names[option.value] ?? option.value } }));
  return select({ ...element, options }, multiple);
}

function textOf(text, pen) {
  if (!text) return null;
  return text.tag === "lark_md" || text.tag === "markdown" ? markdown(text.content, pen.names) : el("p", { class: text.text_size ?? "" }, String(text.content ?? ""));
}

function plain(text) {
  if (!text) return "";
  if (typeof text === "string") return text;
  return text.i18n?.[localeKey()] ?? text.i18n_content?.[localeKey()] ?? text.content ?? "";
}

function picture(text) {
  return el("div", { class: "picture", role: "img", "aria-label": `${word("image")} ${text ?? ""}` }, el("small", {}, text ?? ""));
}

function show(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? inline(JSON.stringify(value)) : inline(String(value));
}
