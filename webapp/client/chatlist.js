// The list of chats: live, pinned first, searched by name or number. Archived ones, and requests of strangers, are in
// lists of their own.

import { chatActions } from "./chatactions.js";
import { folderOf, matches } from "./chatfacts.js";
import { chatRow, signatureOf } from "./chatrow.js";
import { fill, h, icon, iconButton, oncePerFrame } from "./dom.js";
import { pointOf } from "./feedkeys.js";
import { t } from "./i18n.js";
import { openMenu } from "./overlay.js";

/** @typedef {import("./sdk.js").Chat} Chat */
/** @typedef {import("./chatfacts.js").Folder} Folder */
/** @typedef {import("./model.js").Model} Model */
/** @typedef {Exclude<Folder, "chats">} Drawer */

/** @type {Drawer[]} */
const DRAWERS = ["requests", "archived"];

export class ChatList {
  element;
  #model;
  #actions;
  #search = searchField(() => this.#showSoon());
  #list = h("ul", { class: "chats" });
  #empty = h("div", { class: "empty", hidden: true });
  #drawers = { requests: this.#drawer("requests"), archived: this.#drawer("archived") };
  /** @type {Map<string, { element: HTMLLIElement, shown: string }>} */
  #rows = new Map();
  /** The id of the chat that is open. */
  #open = "";
  /** @type {Folder} */
  #folder = "chats";
  /** Whether a button is down on the list. */
  #pressed = false;
  // While a button is down no row moves or is drawn again: the click would be lost, or would hit another row.
  #showSoon = oncePerFrame(() => this.#pressed || this.#show());

  /** @param {Model} model @param {{ newChat: () => void, settings: () => void }} actions */
  constructor(model, actions) {
    this.#model = model;
    this.#actions = actions;
    this.element = h(
      "nav",
      { class: "sidebar", "aria-label": t("chats") },
      this.#head(),
      h("div", { class: "search" }, icon("search"), this.#search),
      DRAWERS.map((name) => this.#drawers[name]),
      this.#list,
      this.#empty,
    );
    this.#listen();
    this.#show();
  }

  /** Mark the chat that is open. @param {string} chatId */
  select(chatId) {
    this.#open = chatId;
    this.#show();
  }

  searchFor() {
    this.#search.focus();
  }

  #head() {
    return h(
      "header",
      {},
      h("h1", {}, t("chats")),
      iconButton("gear", t("settings"), { onclick: this.#actions.settings }),
      iconButton("edit", t("new_chat"), { onclick: this.#actions.newChat, class: "icon-button accent" }),
    );
  }

  /** @param {Drawer} name */
  #drawer(name) {
    return h("button", { type: "button", class: "drawer", hidden: true, onclick: () => this.#toggle(name) });
  }

  #listen() {
    this.#list.addEventListener("pointerdown", () => this.#hold());
    this.#list.addEventListener("contextmenu", (event) => this.#openMenu(event));
    for (const name of ["chats", "people", "messages"]) this.#model.addEventListener(name, this.#showSoon);
  }

  /** Leave the rows as they are until the button is up again. */
  #hold() {
    this.#pressed = true;
    const release = () => {
      this.#pressed = false;
      this.#showSoon();
    };
    for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, release, { once: true });
  }

  /** @param {MouseEvent} event */
  #openMenu(event) {
    const link = /** @type {Element} */ (event.target).closest("a");
    const chat = this.#model.chats.get(link?.hash.slice(1) ?? "");
    if (!link || !chat) return;
    event.preventDefault();
    openMenu(link, chatActions(this.#model, chat), pointOf(event));
  }

  /** @param {Drawer} name */
  #toggle(name) {
    this.#folder = this.#folder === name ? "chats" : name;
    this.#show();
  }

  #show() {
    const all = this.#model.sorted;
    for (const name of DRAWERS) this.#showDrawer(name, all);
    const shown = all.filter((chat) => matches(chat, this.#search.value, this.#folder));
    this.#place(shown);
    this.#empty.hidden = shown.length > 0 || !this.#model.listed;
    if (!shown.length) fill(this.#empty, this.#search.value ? this.#noMatch() : this.#invitation());
  }

  /** @param {Drawer} name @param {Chat[]} all */
  #showDrawer(name, all) {
    const count = all.filter((chat) => folderOf(chat) === name).length;
    if (!count && this.#folder === name) this.#folder = "chats";
    const isOpen = this.#folder === name;
    const isOther = this.#folder !== "chats" && !isOpen;
    this.#drawers[name].hidden = !count || this.#search.value.trim() !== "" || isOther;
    fill(
      this.#drawers[name],
      icon(isOpen ? "arrow" : "archive"),
      isOpen ? t("chats") : t(name),
      h("span", { class: "count" }, isOpen ? "" : count),
    );
  }

  #noMatch() {
    return [h("p", {}, t("no_match", { query: this.#search.value.trim() }))];
  }

  #invitation() {
    const begin = h("button", { type: "button", class: "primary", onclick: this.#actions.newChat }, t("new_chat"));
    return [h("p", {}, h("strong", {}, t("no_chats"))), h("p", {}, t("no_chats_hint")), begin];
  }

  /** Put the rows in order. Move only what has to be, so that nothing loses its focus. @param {Chat[]} chats */
  #place(chats) {
    this.#removeAllBut(new Set(chats.map(({ id }) => id)));
    let next = this.#list.firstElementChild;
    for (const chat of chats) {
      const row = this.#rowOf(chat);
      if (row === next) next = next.nextElementSibling;
      else this.#list.insertBefore(row, next);
    }
  }

  /** @param {Set<string>} kept ids of chats */
  #removeAllBut(kept) {
    for (const [id, { element }] of this.#rows) {
      if (kept.has(id)) continue;
      element.remove();
      this.#rows.delete(id);
    }
  }

  /** A chat's row, drawn again if it has changed. @param {Chat} chat */
  #rowOf(chat) {
    const isOpen = chat.id === this.#open;
    const signature = signatureOf(chat, this.#model, isOpen);
    const known = this.#rows.get(chat.id);
    if (known?.shown === signature) return known.element;
    const element = known?.element ?? h("li", {});
    const hadFocus = element.contains(document.activeElement);
    fill(element, chatRow(chat, this.#model, isOpen));
    if (hadFocus) /** @type {HTMLElement} */ (element.firstElementChild).focus();
    this.#rows.set(chat.id, { element, shown: signature });
    return element;
  }
}

/** @param {() => void} oninput */
const searchField = (oninput) =>
  h("input", { type: "search", placeholder: t("search"), "aria-label": t("search"), autocomplete: "off", oninput });
