// The field one writes in: Enter sends, @ offers names.

import { el, find } from "./dom.js";
import { word } from "./words.js";

export class Composer {
  #view;
  #chosen = 0;

  constructor(view, onSend) {
    this.#view = view;
    this.draft = find("draft");
    this.draft.addEventListener("input", () => { this.#grow(); this.#suggest(); });
    this.draft.addEventListener("keydown", (event) => this.#key(event));
    // Who is back by then has begun to write anew.
    this.draft.addEventListener("blur", () => setTimeout(() => { if (document.activeElement !== this.draft) this.#hide(); }, 150));
    find("mention").addEventListener("click", () => { this.#insert("@"); this.draft.focus(); this.#suggest(); });
    find("composer").addEventListener("submit", (event) => { event.preventDefault(); this.#send(onSend); });
    this.onSend = onSend;
  }

  reply(shown) {
    this.replyTo = shown?.message_id;
    const bar = find("replying");
    bar.hidden = !shown;
    bar.replaceChildren(...(shown ? [el("span", {}, word("replyTo", shown.sender.name)), el("button", { type: "button", class: "quiet", "aria-label": word("noReply"), onclick: () => this.reply(null) }, "✕")] : []));
    if (shown) this.draft.focus();
  }

  async #send(onSend) {
    const text = this.draft.value.trim();
    if (!text) return;
    const mention = this.#view.people().filter((who) => text.includes(`@${who.name}`)).map((who) => who.id);
    this.draft.value = "";
    this.#grow();
    if (!(await onSend(text, mention, this.replyTo))) {
      this.draft.value = text;
      this.#grow();
    } else this.reply(null);
  }

  #grow() {
    this.draft.style.height = "auto";
    this.draft.style.height = `${Math.min(this.draft.scrollHeight, 160)}px`;
  }

  #key(event) {
    const options = [...find("suggestions").children];
    if (options.length && !find("suggestions").hidden) {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        this.#choose((this.#chosen + (event.key === "ArrowDown" ? 1 : options.length - 1)) % options.length);
        return event.preventDefault();
      }
      if (event.key === "Enter" || event.key === "Tab") {
        options[this.#chosen].click();
        return event.preventDefault();
      }
      if (event.key === "Escape") return this.#hide();
    }
    // While an input method composes, Enter belongs to it.
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
      event.preventDefault();
      this.#send(this.onSend);
    }
  }

  #suggest() {
    const before = this.draft.value.slice(0, this.draft.selectionStart);
    const typed = before.match(/@([^@\s]*)$/);
    const found = typed ? this.#view.people().filter((who) => who.name.toLowerCase().startsWith(typed[1].toLowerCase())) : [];
    if (!found.length) return this.#hide();
    const list = find("suggestions");
    list.replaceChildren(...found.map((who, index) => el("li", {
      id: `suggestion-${index}`, role: "option", class: "suggestion",
      onmousedown: (event) => event.preventDefault(),
      onclick: () => this.#insert(`@${who.name} `, typed[0].length) }, who.name, el("small", {}, who.bot ? ` ${word("bot")}` : ""))));
    list.hidden = false;
    this.#choose(0);
  }

  #choose(index) {
    this.#chosen = index;
    [...find("suggestions").children].forEach((node, at) => node.setAttribute("aria-selected", String(at === index)));
    this.draft.setAttribute("aria-activedescendant", `suggestion-${index}`);
  }

  #hide() {
    find("suggestions").hidden = true;
    this.draft.removeAttribute("aria-activedescendant");
  }

  #insert(text, replaced = 0) {
    const at = this.draft.selectionStart;
    this.draft.setRangeText(text, at - replaced, this.draft.selectionEnd, "end");
    this.#hide();
    this.draft.focus();
    this.#grow();
  }
}
