// The client of somebody who is signed in: the list of chats, the one that is open, and the state of the connection.

import { ChatList } from "./chatlist.js";
import { connectionBar } from "./connectionbar.js";
import { Conversation } from "./conversation.js";
import { fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { newChat } from "./newchat.js";
import { tellNews } from "./notices.js";
import { showSettings } from "./settings.js";

const WATCHED = 100; // peers whose presence is shown

export class Chats {
  #app;
  #list;
  #place = h("div", { class: "place" });
  #frame;
  /** The id of the chat that is shown, empty if it is none. */
  #shown = "";
  /** @type {Conversation | null} */
  #open = null;
  /** Whose presence was asked for last. */
  #watched = "";
  #end = new AbortController();

  /** Show it in an element. @param {import("./conversation.js").App} app @param {Element} root */
  constructor(app, root) {
    const { duologue, model } = app;
    this.#app = app;
    this.#list = new ChatList(model, {
      newChat: () => newChat(model, goTo),
      settings: () => showSettings(duologue, model),
    });
    this.#frame = h("main", { class: "frame" }, this.#list.element, this.#place);
    fill(root, connectionBar(duologue, model, this.#end.signal), this.#frame);
    this.#listen();
    tellNews(model, goTo, this.#end.signal);
    this.#show();
  }

  leave() {
    this.#end.abort();
    this.#open?.leave();
  }

  #listen() {
    const { signal } = this.#end;
    window.addEventListener("hashchange", () => this.#show(), { signal });
    window.addEventListener("keydown", (event) => this.#pressed(event), { signal });
    this.#app.model.addEventListener("chats", () => this.#show(), { signal });
    this.#app.model.addEventListener("chats", () => this.#watch(), { signal });
  }

  /** Show the chat that the address names. */
  #show() {
    const chatId = location.hash.slice(1);
    const known = this.#app.model.chats.has(chatId) ? chatId : "";
    if (known === this.#shown && this.#place.firstChild) return;
    this.#open?.leave();
    this.#shown = known;
    this.#open = known ? new Conversation(this.#app, known) : null;
    fill(this.#place, this.#open ? this.#open.element : h("p", { class: "nothing" }, t("no_chat")));
    this.#frame.classList.toggle("chatting", this.#open !== null);
    this.#list.select(known);
    if (matchMedia("(pointer: fine)").matches) this.#open?.focus();
  }

  /** Ask for the presence of those who are at the top. */
  #watch() {
    const peers = this.#app.model.sorted.slice(0, WATCHED).map(({ peer }) => peer);
    // A peer who has just answered may be watched from now on.
    const wanted = peers.map(({ id, registered }) => `${id} ${registered}`).join();
    if (wanted === this.#watched) return;
    this.#watched = wanted;
    this.#app.duologue.watch(peers.map(({ id }) => id));
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const isTaken = event.target instanceof HTMLInputElement || document.querySelector("dialog, .menu");
    if (event.key === "Escape" && !isTaken) goTo("");
    if (event.key === "k" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.#list.searchFor();
    }
  }
}

/** Open a chat; none if the id is empty. @param {string} chatId */
function goTo(chatId) {
  location.hash = chatId;
}
