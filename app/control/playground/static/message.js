// Draws one message: bubble, marks, reactions, state of delivery, and what can be done with it.

import { card } from "./card.js";
import { avatar, el } from "./dom.js";
import { inline, link, markdown } from "./markdown.js";
import { locale, localeKey, word } from "./words.js";

export const EMOJI = { THUMBSUP: "👍", HEART: "❤️", SMILE: "😄", OK: "👌", DONE: "✅", CLAP: "👏", JIAYI: "➕", Typing: "⌨️", OnIt: "🫡", THANKS: "🙏", PARTY: "🎉", SOB: "😭", LAUGH: "😆", APPLAUSE: "👏", FISTBUMP: "🤜", MUSCLE: "💪", FIRE: "🔥", Get: "🆗", CrossMark: "❌", CheckMark: "✔️", LGTM: "🆗" };
const OFFERED = ["THUMBSUP", "HEART", "SMILE", "OK", "DONE"];

export function message(shown, view, todo) {
  const mine = shown.sender.id === view.user;
  const node = el("li", { class: `message${mine ? " mine" : ""}${shown.recalled ? " recalled" : ""}`, data: { id: shown.message_id, seq: shown.seq } });
  if (shown.recalled) {
    node.append(el("p", { class: "recalled-note" }, `${shown.sender.name} · ${word("recalled")}`));
    return node;
  }
  const time = new Date(shown.created * 1000);
  const head = el("div", { class: "message-head" },
    el("span", { class: "sender" }, shown.sender.name),
    shown.by_app ? el("span", { class: "badge" }, word("bot")) : null,
    el("time", { dateTime: time.toISOString(), title: time.toLocaleString(locale()) }, time.toLocaleTimeString(locale(), { hour: "2-digit", minute: "2-digit" })),
    shown.edited ? el("span", { class: "mark" }, word("edited")) : null,
    shown.ephemeral ? el("span", { class: "mark" }, word("onlyYou")) : null);
  const parent = shown.parent ? view.messages.get(shown.parent) : null;
  node.append(avatar(shown.sender.name, shown.by_app), el("div", { class: "message-main" }, head,
    el("div", { class: "message-line" },
      el("div", { class: `bubble${shown.msg_type === "interactive" ? " holds-card" : ""}` },
        parent ? el("div", { class: "quote" }, `${parent.sender.name}: ${summary(parent)}`) : null,
        content(shown, view, todo)),
      tools(shown, mine, todo)),
    reactions(shown, todo),
    shown.by_app ? null : delivery(shown, todo)));
  return node;
}

function content(shown, view, todo) {
  const body = shown.content;
  switch (shown.msg_type) {
    case "text": return el("p", { class: "text" }, mentions(shown.text, view));
    case "interactive": return card(body, (path, extra) => todo.act(shown, path, extra), view.names);
    case "post": return post(body, view);
    case "image": return el("div", { class: "picture", role: "img", "aria-label": word("image") }, el("small", {}, body.image_key));
    case "system": return el("p", { class: "text" }, body.params?.divider_text?.text ?? JSON.stringify(body));
    default: return el("p", { class: "text" }, body.file_name || body.file_key ? `📎 ${body.file_name ?? body.file_key}` : JSON.stringify(body));
  }
}

// Names of the chat's members stand out where they are mentioned.
function mentions(text, view) {
  const names = [...view.memberNames(), "所有人"].sort((a, b) => b.length - a.length).map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const parts = text.split(new RegExp(`(@(?:${names.join("|")}))`));
  return parts.map((part, index) => (index % 2 ? el("span", { class: "at" }, part) : inline(part, view.names)));
}

function post(body, view) {
  const shown = body.content ? body : (body[localeKey()] ?? Object.values(body)[0] ?? { content: [] });
  return el("div", { class: "post" }, shown.title ? el("p", { class: "post-title" }, shown.title) : null,
    (shown.content ?? []).map((paragraph) => el("div", {}, paragraph.map((node) => postNode(node, view)))));
}

function postNode(node, view) {
  switch (node.tag) {
    case "text": return styled(node.style ?? [], node.text ?? "");
    case "a": return /^https?:/.test(node.href ?? "") ? link(node.href, node.text) : node.text;
    case "at": return el("span", { class: "at" }, `@${view.names[node.user_id] ?? node.user_name ?? (node.user_id === "all" ? word("everyone") : node.user_id)}`);
    case "md": return markdown(node.text, view.names);
    case "hr": return el("hr");
    case "code_block": return el("pre", { tabIndex: 0 }, el("code", {}, node.text ?? ""));
    case "emotion": return EMOJI[node.emoji_type] ?? `[${node.emoji_type}]`;
    default: return el("span", { class: "picture" }, el("small", {}, node.image_key ?? node.tag));
  }
}

function styled(styles, text) {
  const tags = { bold: "strong", italic: "em", underline: "u", lineThrough: "s" };
  return styles.reduce((inner, style) => (tags[style] ? el(tags[style], {}, inner) : inner), text);
}

export function summary(shown) {
  if (shown.recalled) return word("recalled");
  if (shown.text) return shown.text.slice(0, 60);
  return { interactive: word("card"), image: word("image") }[shown.msg_type] ?? word("file");
}

function reactions(shown, todo) {
  const found = Object.entries(shown.reactions);
  if (!found.length) return null;
  return el("div", { class: "reactions" }, found.map(([emoji, names]) =>
    el("button", { type: "button", class: "reaction", title: `${emoji}: ${names.join(", ")}`, "aria-label": `${emoji}: ${names.join(", ")}`, onclick: () => todo.react(shown, emoji) },
      el("span", { "aria-hidden": "true" }, EMOJI[emoji] ?? emoji), ` ${names.join(", ")}`)));
}

function delivery(shown, todo) {
  const first = shown.deliveries.filter((d) => !d.duplicate);
  if (!first.length) return null;
  const done = first.filter((d) => d.state === "delivered").length;
  const state = done === first.length ? "delivered" : first.some((d) => d.state === "failed") ? "failed" : first.some((d) => d.state === "retrying") ? "retrying" : "sending";
  const mark = { delivered: "✓", failed: "✕", retrying: "↻", sending: "…" }[state];
  const text = first.length > 1 && state !== "failed" ? word("deliveredOf", done, first.length) : word(state);
  return el("button", { type: "button", class: `delivery ${state}`, title: word("raw"), onclick: () => todo.details(shown) }, el("span", { "aria-hidden": "true" }, mark), ` ${text}`);
}

function tools(shown, mine, todo) {
  const offered = OFFERED.map((emoji) => el("button", { type: "button", "aria-label": `${word("react")} ${emoji}`, onclick: () => todo.react(shown, emoji) }, EMOJI[emoji]));
  return el("div", { class: "tools", role: "group", "aria-label": word("more") }, offered,
    el("button", { type: "button", class: "said", onclick: () => todo.reply(shown) }, word("reply")),
    mine ? el("button", { type: "button", class: "said", onclick: () => todo.recall(shown) }, word("recall")) : null,
    el("button", { type: "button", class: "said", onclick: () => todo.details(shown) }, word("source")));
}
