// The page: who I am, which chat is open, and what the playground tells live.

import { Composer } from "./composer.js";
import { details, dialogs, newGroup, newUser } from "./dialogs.js";
import { avatar, el, find, toast } from "./dom.js";
import { message } from "./message.js";
import { call, listen, query } from "./wire.js";
import { locale, otherLanguage, translate, word } from "./words.js";

const KEPT = "playground-user";

// What is seen at present; drawing reads it, notes from the playground change it.
const view = {
  state: { apps: [], users: [], chats: [], names: {} },
  user: "", chat: null, messages: new Map(), unread: new Map(), names: {},
  people() {
    if (!this.chat) return [];
    const bots = this.state.apps.filter((a) => this.chat.apps.includes(a.app_id)).map((a) => ({ id: a.app_id, name: a.name, bot: true }));
    const users = this.state.users.filter((u) => this.chat.users.includes(u.user_id) && u.user_id !== this.user).map((u) => ({ id: u.user_id, name: u.name }));
    return this.chat.kind === "group" ? [...bots, ...users, { id: "all", name: word("everyone") }] : bots;
  },
  memberNames() {
    return [...this.state.apps, ...this.state.users].map((who) => who.name);
  },
};

const todo = {
  act: async (shown, path, extra) => {
    const result = await tried(() => call("POST", "/click", { user_id: view.user, message_id: shown.message_id, action: path, form: extra }));
    if (!result) return;
    if (result.code) toast("error", `${word(result.code)} (${result.code})`);
    else if (result.toast) toast(result.toast.type ?? "info", result.toast.i18n?.[locale() === "zh-CN" ? "zh_cn" : "en_us"] ?? result.toast.content ?? "");
  },
  react: (shown, emoji) => tried(() => call("POST", "/react", { user_id: view.user, message_id: shown.message_id, emoji })),
  recall: (shown) => tried(() => call("POST", "/recall", { message_id: shown.message_id })),
  reply: (shown) => composer.reply(shown),
  details: (shown) => tried(() => details(view.messages.get(shown.message_id) ?? shown, Object.fromEntries(view.state.apps.map((a) => [a.app_id, a.name])))),
};

const composer = new Composer(view, (text, mention, replyTo) =>
  tried(() => call("POST", "/says", { user_id: view.user, chat_id: view.chat.chat_id, text, mention, reply_to: replyTo })));

async function tried(work) {
  try {
    return (await work()) ?? {};
  } catch (error) {
    toast("error", word("notSent", error.message));
    return null;
  }
}

async function loadState() {
  view.state = await call("GET", "/state");
  view.names = view.state.names;
  if (!view.state.users.some((who) => who.user_id === view.user)) view.user = view.state.users[0]?.user_id ?? "";
  if (view.chat) view.chat = view.state.chats.find((c) => c.chat_id === view.chat.chat_id) ?? view.chat;
  drawUsers();
  drawChats();
  drawHead();
}

function drawUsers() {
  find("user").replaceChildren(...view.state.users.map((who) => el("option", { value: who.user_id, selected: who.user_id === view.user }, who.name)));
}

// A bot that was never spoken to stands in the list too: its chat is made when it is opened.
function rows() {
  const chats = view.state.chats.filter((c) => c.users.includes(view.user));
  const bots = view.state.apps.map((app) => ({ app, chat: chats.find((c) => c.kind === "p2p" && c.apps[0] === app.app_id) }));
  const groups = chats.filter((c) => c.kind === "group");
  return [
    ...bots.map(({ app, chat }) => ({ name: app.name, bot: true, chat, open: async () => chat ?? madeP2p(app) })),
    ...groups.map((chat) => ({ name: chat.name, bot: false, chat, open: async () => chat })),
  ];
}

async function madeP2p(app) {
  const made = await call("POST", "/p2p", { app_id: app.app_id, user_id: view.user });
  await loadState();
  return view.state.chats.find((c) => c.chat_id === made.chat_id);
}

function drawChats() {
  const nodes = rows().map((row) => {
    const unread = row.chat ? (view.unread.get(row.chat.chat_id) ?? 0) : 0;
    const last = row.chat?.last;
    return el("button", { type: "button", class: "row", "aria-current": row.chat && row.chat.chat_id === view.chat?.chat_id ? "true" : null, onclick: async () => openChat(await row.open()) },
      row.bot ? avatar(row.name, true) : el("span", { class: "avatar is-group", "aria-hidden": "true" }, "群"),
      el("span", { class: "row-text" },
        el("span", { class: "row-name" }, row.name, row.bot ? el("span", { class: "badge" }, word("bot")) : null),
        last && el("span", { class: "row-last" }, `${last.sender}: ${last.text || { recalled: word("recalled"), interactive: word("card"), image: word("image") }[last.kind] || word("file")}`)),
      unread ? el("span", { class: "unread", "aria-label": word("unread", unread) }, unread > 99 ? "99+" : String(unread)) : null);
  });
  find("chats").replaceChildren(...(nodes.length ? nodes : [el("p", { class: "empty-list" }, word("noBots"))]));
}

function drawHead() {
  const chat = view.chat;
  const app = chat && view.state.apps.find((a) => a.app_id === chat.apps[0]);
  find("chat-name").textContent = chat ? (chat.kind === "group" ? chat.name : (app?.name ?? "")) : "";
  const members = chat ? [...chat.apps.map((id) => view.state.apps.find((a) => a.app_id === id)?.name), ...chat.users.map((id) => view.state.users.find((u) => u.user_id === id)?.name)] : [];
  find("chat-members").textContent = chat ? members.filter(Boolean).join(locale() === "zh-CN" ? "、" : ", ") : "";
  find("composer").hidden = !chat;
  drawEmpty();
}

function drawEmpty() {
  const text = !view.state.apps.length ? word("noBots") : !view.chat ? word("choose") : view.messages.size ? "" : word("quiet");
  find("empty").replaceChildren(text);
  find("empty").hidden = !text;
  find("messages").hidden = Boolean(text);
}

async function openChat(chat) {
  view.chat = chat;
  view.unread.delete(chat.chat_id);
  composer.reply(null);
  find("app").classList.add("in-chat");
  const loaded = await call("GET", `/messages${query({ chat_id: chat.chat_id, user_id: view.user })}`);
  if (view.chat !== chat) return;
  view.messages = new Map(loaded.messages.map((shown) => [shown.message_id, shown]));
  drawChats();
  drawHead();
  drawMessages();
  if (matchMedia("(hover: hover)").matches) find("draft").focus();
}

function drawMessages() {
  const list = find("messages");
  list.replaceChildren(...[...view.messages.values()].map((shown) => message(shown, view, todo)));
  drawEmpty();
  list.scrollTop = list.scrollHeight;
}

function put(shown) {
  const list = find("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 120;
  const isNew = !view.messages.has(shown.message_id);
  const state = JSON.stringify(view.messages.get(shown.message_id));
  if (!isNew && state === JSON.stringify(shown)) return;
  view.messages.set(shown.message_id, shown);
  const node = message(shown, view, todo);
  const old = list.querySelector(`[data-id="${CSS.escape(shown.message_id)}"]`);
  if (old) old.replaceWith(node);
  else {
    const after = [...list.children].find((other) => Number(other.dataset.seq) > shown.seq);
    list.insertBefore(node, after ?? null);
  }
  drawEmpty();
  if (atEnd || (isNew && shown.sender.id === view.user)) list.scrollTop = list.scrollHeight;
}

// Notes come in bursts; messages are fetched once for each burst.
const stale = new Set();
let worldStale = false;
let flushing = false;

function onNote(note) {
  if (note.chat_id && note.type === "message" && note.chat_id !== view.chat?.chat_id) view.unread.set(note.chat_id, (view.unread.get(note.chat_id) ?? 0) + 1);
  if (note.type === "world" || note.type === "message") worldStale = true;
  const known = view.messages.has(note.message_id);
  if (note.message_id && note.chat_id === view.chat?.chat_id && (known || note.type === "message")) stale.add(note.message_id);
  if (!flushing) {
    flushing = true;
    setTimeout(flush, 40);
  }
}

async function flush() {
  const wanted = [...stale];
  stale.clear();
  const world = worldStale;
  worldStale = false;
  try {
    if (world) await loadState();
    if (wanted.length > 20) await openChat(view.chat);
    else {
      const chat = view.chat;
      const loaded = await Promise.all(wanted.map((id) => call("GET", `/messages${query({ message_id: id, user_id: view.user })}`)));
      if (chat === view.chat || chat?.chat_id === view.chat?.chat_id) for (const { messages } of loaded) messages.forEach(put);
    }
  } finally {
    flushing = false;
    if (stale.size || worldStale) onNote({});
  }
}

function onLine(state) {
  const line = find("line");
  line.textContent = state === "on" ? "" : word(state === "stale" ? "stale" : "offline");
  if (state === "on") loadState().then(() => view.chat && openChat(view.chat));
}

async function start() {
  translate();
  dialogs();
  view.user = localStorage.getItem(KEPT) ?? "";
  find("language").addEventListener("click", () => { otherLanguage(); drawChats(); drawHead(); drawMessages(); });
  find("back").addEventListener("click", () => find("app").classList.remove("in-chat"));
  find("user").addEventListener("change", async () => {
    view.user = find("user").value;
    localStorage.setItem(KEPT, view.user);
    view.chat = null;
    view.messages = new Map();
    find("messages").replaceChildren();
    await loadState();
  });
  find("new-user").addEventListener("click", () => newUser((made) => { view.user = made.user_id; localStorage.setItem(KEPT, view.user); view.chat = null; view.messages = new Map(); loadState(); }));
  find("new-group").addEventListener("click", () => newGroup(view.state, view.user, async (made) => { await loadState(); const chat = view.state.chats.find((c) => c.chat_id === made.chat_id); if (chat.users.includes(view.user)) openChat(chat); }));
  await loadState();
  if (matchMedia("(min-width: 700px)").matches && rows().length) await openChat(await rows()[0].open());
  listen(onNote, onLine);
}

start();
