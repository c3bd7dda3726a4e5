// Dialogs: a message's events and attempts, a new person, a new group.

import { closers, el, find } from "./dom.js";
import { call, query } from "./wire.js";
import { locale, word } from "./words.js";

export async function details(shown, names) {
  find("details-title").textContent = word("raw");
  const parts = [];
  if (!shown.by_app) {
    const found = await call("GET", `/deliveries${query({ identity: shown.message_id, documents: 1 })}`);
    if (!found.deliveries.length) parts.push(el("p", {}, word("noEvents")));
    for (const delivery of found.deliveries) parts.push(oneDelivery(delivery, names));
  }
  parts.push(el("h3", {}, `${word("source")} · ${shown.msg_type}`), json(shown.content));
  find("details-body").replaceChildren(...parts);
  find("details").showModal();
}

function oneDelivery(delivery, names) {
  const attempts = delivery.attempts.map((attempt) => el("li", {},
    `${new Date(attempt.at * 1000).toLocaleTimeString(locale())} · ${word("status")} ${attempt.status || attempt.error} · ${attempt.seconds.toFixed(3)} ${word("seconds")}`));
  return el("section", {},
    el("h3", {}, `${names[delivery.app_id] ?? delivery.app_id} · ${delivery.event_type} `, el("span", { class: `delivery ${delivery.state}` }, word(delivery.state))),
    el("ol", { class: "attempts", "aria-label": word("attempts") }, attempts), json(delivery.document));
}

function json(document_) {
  return el("pre", { class: "json", tabIndex: 0 }, el("code", {}, JSON.stringify(document_, null, 2)));
}

export function newUser(done) {
  ask(word("newUser"), [labelled(word("name"), el("input", { id: "ask-name", required: true, maxLength: 40 }))], async () => {
    done(await call("POST", "/users", { name: find("ask-name").value.trim() }));
  });
}

export function newGroup(state, user, done) {
  const box = (kind, id, name, checked) => el("label", { class: "tick" }, el("input", { type: "checkbox", name: kind, value: id, checked }), name);
  ask(word("newGroup"), [
    labelled(word("name"), el("input", { id: "ask-name", required: true, maxLength: 60 })),
    el("fieldset", {}, el("legend", {}, word("bots")), state.apps.map((app) => box("app", app.app_id, app.name, true))),
    el("fieldset", {}, el("legend", {}, word("people")), state.users.map((who) => box("user", who.user_id, who.name, who.user_id === user))),
  ], async () => {
    const chosen = (kind) => [...find("ask-body").querySelectorAll(`input[name=${kind}]:checked`)].map((node) => node.value);
    done(await call("POST", "/groups", { name: find("ask-name").value.trim(), apps: chosen("app"), users: chosen("user") }));
  });
}

function labelled(text, input) {
  return el("label", { class: "labelled" }, el("span", {}, text), input);
}

let submitted = null;

function ask(title, fields, onOk) {
  find("ask-title").textContent = title;
  find("ask-body").replaceChildren(...fields);
  submitted = onOk;
  find("ask").showModal();
  find("ask-name").focus();
}

export function dialogs() {
  closers();
  find("ask-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    await submitted();
    find("ask").close();
  });
}
