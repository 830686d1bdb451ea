// One chat: who it is with, its history, and where one writes.

import { chatHeader } from "./chatheader.js";
import { Composer } from "./composer.js";
import { h, oncePerFrame } from "./dom.js";
import { Feed } from "./feed.js";
import { t } from "./i18n.js";
import { messageMenu } from "./messagemenu.js";
import { announce, reasonOf, toast } from "./overlay.js";
import { nameOf } from "./people.js";
import { Talk } from "./talk.js";

/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./model.js").News} News */
/** @typedef {import("./sdk.js").Duologue} Duologue */
/** @typedef {{ duologue: Duologue, model: Model, limits: Record<string, number> }} App */

const LONGEST = 4096; // characters, unless the server tells otherwise
const AGAIN = 60_000; // milliseconds after which "5 minutes ago" is written again

/** Texts that were written and not sent, by chat. @type {Map<string, string>} */
const drafts = new Map();

export class Conversation {
  element;
  #duologue;
  #talk;
  #header;
  #feed;
  #request;
  #writer;
  #end = new AbortController();

  /** @param {App} app @param {string} chatId */
  constructor({ duologue, model, limits }, chatId) {
    const talk = new Talk(model, chatId);
    this.#duologue = duologue;
    this.#talk = talk;
    this.#header = chatHeader(talk);
    this.#writer = this.#composer(limits.text_characters ?? LONGEST);
    this.#feed = new Feed(
      talk,
      messageMenu(duologue, talk, (message) => this.#writer.reply(message)),
    );
    this.#request = requestBar(() => this.#accept());
    this.element = h(
      "section",
      { class: "conversation", "aria-label": t("chat_with", { name: nameOf(talk.chat.peer) }) },
      this.#header.element,
      this.#feed.element,
      this.#request,
      this.#writer.element,
    );
    this.#listen();
    this.#show();
    if (talk.firstUnread) this.#feed.timeline.show(talk.firstUnread);
    else this.#feed.timeline.showEnd();
  }

  focus() {
    this.#writer.focus();
  }

  /** Stop listening, before another conversation takes its place. */
  leave() {
    this.#end.abort();
    this.#writer.leave();
  }

  /** @param {number} longest */
  #composer(longest) {
    const { chatId } = this.#talk;
    const writer = new Composer({
      longest,
      send: (text, replyTo) => this.#send(text, replyTo),
      typing: (active) => this.#duologue.typing(chatId, active),
      keep: (draft) => drafts.set(chatId, draft),
    });
    writer.restore(drafts.get(chatId) ?? "");
    return writer;
  }

  /** @param {string} text @param {number | undefined} reply_to */
  async #send(text, reply_to) {
    this.#talk.firstUnread = 0;
    this.#feed.timeline.showEnd();
    await this.#duologue.send({ chat_id: this.#talk.chatId, text, reply_to });
  }

  async #accept() {
    try {
      await this.#talk.model.accept(this.#talk.chatId);
    } catch (fault) {
      toast(reasonOf(fault));
    }
  }

  #listen() {
    const { signal } = this.#end;
    const { model, chatId } = this.#talk;
    const redraw = oncePerFrame(() => {
      if (!signal.aborted) this.#show();
    });
    const settle = () => this.#feed.settle();
    listen(model, "messages", (/** @type {string} */ changed) => changed === chatId && redraw(), signal);
    listen(model, "people", redraw, signal);
    listen(model, "incoming", (/** @type {News} */ news) => this.#announce(news), signal);
    document.addEventListener("visibilitychange", settle, { signal });
    window.addEventListener("focus", settle, { signal });
    const clock = setInterval(() => this.#showPeer(), AGAIN);
    signal.addEventListener("abort", () => clearInterval(clock));
  }

  #show() {
    this.#showPeer();
    this.#feed.show();
  }

  #showPeer() {
    const { peer, request } = this.#talk.chat;
    this.#header.show();
    this.#writer.element.hidden = peer.phone === null;
    this.#request.hidden = !request;
  }

  /** Have a screen reader read a message out as it comes. @param {News} news */
  #announce({ chat, message }) {
    if (chat.id === this.#talk.chatId) announce(`${this.#talk.authorOf(message)}: ${message.text}`);
  }
}

/** @param {EventTarget} target @param {string} name @param {(detail: any) => void} act @param {AbortSignal} signal */
const listen = (target, name, act, signal) =>
  target.addEventListener(name, (event) => act(/** @type {CustomEvent} */ (event).detail), { signal });

/** What a stranger's chat shows above the composer. @param {() => void} accept */
const requestBar = (accept) =>
  h(
    "div",
    { class: "request", role: "status", hidden: true },
    h("p", {}, t("request_hint")),
    h("button", { type: "button", class: "primary", onclick: accept }, t("accept")),
  );
