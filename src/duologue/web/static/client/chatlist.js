// The list of chats: live, pinned first, searched by name or number. Archived ones, and requests of strangers, are in
// lists of their own.

import { statusIcon } from "./bubble.js";
import { fill, h, icon, iconButton, oncePerFrame } from "./dom.js";
import { shortTime, t } from "./i18n.js";
import { isMuted } from "./model.js";
import { openMenu, reasonOf, toast } from "./overlay.js";
import { avatar, nameOf, nameTag } from "./people.js";
import { preview } from "./text.js";

/** @typedef {import("../sdk/duologue.d.ts").Chat} Chat */
/** @typedef {import("./model.js").Model} Model */

const EIGHT_HOURS = 8 * 3_600_000;
const FOR_EVER = "9999-12-31T00:00:00Z";

/** @param {Model} model @param {{ newChat: () => void, settings: () => void }} actions */
export function chatList(model, actions) {
  /** @type {Map<string, { element: HTMLLIElement, shown: string }>} */
  const rows = new Map();
  let open = "";
  /** @type {"chats" | "archived" | "requests"} */
  let folder = "chats";

  const search = h("input", {
    type: "search",
    placeholder: t("search"),
    "aria-label": t("search"),
    autocomplete: "off",
    oninput: () => showSoon(),
  });
  const list = h("ul", { class: "chats" });
  const empty = h("div", { class: "empty", hidden: true });
  const drawers = {
    requests: h("button", { type: "button", class: "drawer", hidden: true, onclick: () => toggle("requests") }),
    archived: h("button", { type: "button", class: "drawer", hidden: true, onclick: () => toggle("archived") }),
  };
  const title = h("h1", {}, t("chats"));
  const element = h(
    "nav",
    { class: "sidebar", "aria-label": t("chats") },
    h(
      "header",
      {},
      title,
      iconButton("gear", t("settings"), { onclick: actions.settings }),
      iconButton("edit", t("new_chat"), { onclick: actions.newChat, class: "icon-button accent" }),
    ),
    h("div", { class: "search" }, icon("search"), search),
    drawers.requests,
    drawers.archived,
    list,
    empty,
  );

  /** @param {"archived" | "requests"} name */
  function toggle(name) {
    folder = folder === name ? "chats" : name;
    show();
  }

  /** @param {Chat} chat */
  function matches(chat) {
    const { peer } = chat;
    const query = search.value.trim().toLocaleLowerCase();
    if (!query) return folderOf(chat) === folder;
    const digits = query.replace(/\D/g, "");
    const name = peer.display_name.toLocaleLowerCase();
    return name.includes(query) || (digits.length > 1 && (peer.phone ?? "").includes(digits.replace(/^0/, "")));
  }

  function show() {
    const all = model.sorted;
    showDrawer("requests", all);
    showDrawer("archived", all);
    const shown = all.filter(matches);
    place(shown);
    empty.hidden = shown.length > 0 || !model.listed;
    if (!shown.length)
      fill(empty, search.value ? h("p", {}, t("no_match", { query: search.value.trim() })) : invitation());
  }

  /** @param {"archived" | "requests"} name @param {Chat[]} all */
  function showDrawer(name, all) {
    const count = all.filter((chat) => folderOf(chat) === name).length;
    if (!count && folder === name) folder = "chats";
    const isOpen = folder === name;
    drawers[name].hidden = !count || search.value.trim() !== "" || (folder !== "chats" && !isOpen);
    fill(
      drawers[name],
      icon(isOpen ? "arrow" : "archive"),
      isOpen ? t("chats") : t(name),
      h("span", { class: "count" }, isOpen ? "" : count),
    );
  }

  function invitation() {
    const begin = h("button", { type: "button", class: "primary", onclick: actions.newChat }, t("new_chat"));
    return [h("p", {}, h("strong", {}, t("no_chats"))), h("p", {}, t("no_chats_hint")), begin];
  }

  /** Move only what has to be, so that nothing loses its focus. @param {Chat[]} chats */
  function place(chats) {
    const kept = new Set(chats.map(({ id }) => id));
    for (const [id, { element }] of rows) {
      if (kept.has(id)) continue;
      element.remove();
      rows.delete(id);
    }
    let next = list.firstElementChild;
    for (const chat of chats) {
      const row = rowOf(chat);
      if (row === next) next = next.nextElementSibling;
      else list.insertBefore(row, next);
    }
  }

  /** @param {Chat} chat */
  function rowOf(chat) {
    const live = [model.typing.has(chat.id), model.presence.get(chat.peer.id)?.online, model.pending(chat.id).at(-1)];
    const state = JSON.stringify([chat, chat.id === open, live, new Date().toDateString()]);
    const known = rows.get(chat.id);
    if (known?.shown === state) return known.element;
    const element = known?.element ?? h("li", {});
    const focus = element.contains(document.activeElement);
    fill(element, row(chat, model, chat.id === open));
    if (focus) /** @type {HTMLElement} */ (element.firstElementChild).focus();
    rows.set(chat.id, { element, shown: state });
    return element;
  }

  // What is being pressed must not move away, nor be drawn anew: the click would be lost, or another's.
  let pressed = false;
  const showSoon = oncePerFrame(() => pressed || show());
  const release = () => {
    pressed = false;
    showSoon();
  };
  list.addEventListener("pointerdown", () => {
    pressed = true;
    for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, release, { once: true });
  });
  for (const name of ["chats", "people", "messages"]) model.addEventListener(name, showSoon);
  list.addEventListener("contextmenu", (event) => {
    const link = /** @type {Element} */ (event.target).closest("a");
    const chat = model.chats.get(link?.hash.slice(1) ?? "");
    if (!link || !chat) return;
    event.preventDefault();
    openMenu(link, chatActions(model, chat), event.clientX ? { x: event.clientX, y: event.clientY } : undefined);
  });
  show();

  return {
    element,
    /** Mark the chat that is open. @param {string} chatId */
    select(chatId) {
      open = chatId;
      show();
    },
    searchFor: () => search.focus(),
  };
}

/** The list that a chat stands in. @param {Chat} chat */
const folderOf = ({ archived, request }) => (request ? "requests" : archived ? "archived" : "chats");

/** @param {Chat} chat @param {Model} model @param {boolean} isOpen */
function row(chat, model, isOpen) {
  const { peer, unread } = chat;
  const name = nameOf(peer);
  const online = model.presence.get(peer.id)?.online;
  const muted = isMuted(chat);
  const time = model.pending(chat.id).at(-1)?.queued_at ?? chat.updated_at;
  const link = h(
    "a",
    { href: `#${chat.id}`, class: "chat", "aria-current": isOpen ? "page" : null },
    h("span", { class: `portrait ${online ? "online" : ""}` }, avatar(peer)),
    h("span", { class: "line" }, nameTag(peer), h("time", { dateTime: time }, shortTime(time))),
    h(
      "span",
      { class: "line" },
      lastWords(chat, model),
      muted && flag("mute", t("muted")),
      chat.pinned && flag("pin", t("pinned")),
      unread > 0 && badge(unread, muted),
    ),
  );
  const more = iconButton("more", t("actions_for", { name }), {
    class: "icon-button more",
    "aria-haspopup": "menu",
    onclick: () => openMenu(more, chatActions(model, chat)),
  });
  return [link, more];
}

/** @param {number} unread @param {boolean} muted */
const badge = (unread, muted) =>
  h(
    "span",
    { class: `badge ${muted ? "quiet" : ""}` },
    h("span", { "aria-hidden": "true" }, unread),
    unseen(t("unread", { n: unread })),
  );

const unseen = (/** @type {string} */ text) => h("span", { class: "unseen" }, text);

/** @param {"mute" | "pin"} name @param {string} title */
const flag = (name, title) => h("span", { class: "flag", title }, icon(name), unseen(title));

/** @param {Chat} chat @param {Model} model */
function lastWords(chat, model) {
  if (model.typing.has(chat.id)) return h("span", { class: "preview typing" }, t("typing"));
  const waiting = model.pending(chat.id).at(-1);
  if (waiting)
    return h("bdi", { class: "preview" }, icon(waiting.error ? "warning" : "clock"), preview(waiting.text));
  const last = chat.last_message;
  if (!last) return h("span", { class: "preview" });
  if (last.deleted_at) return h("span", { class: "preview" }, t("deleted_message"));
  const mine = last.sender_id !== chat.peer.id;
  return h("bdi", { class: "preview" }, mine && statusIcon(model.status(last)), preview(last.text));
}

/** What can be done with a chat. @param {Model} model @param {Chat} chat @returns {import("./overlay.js").Item[]} */
export function chatActions(model, chat) {
  const change = (/** @type {import("../sdk/duologue.d.ts").ChatChanges} */ changes) => () =>
    model.update(chat.id, changes).catch((fault) => toast(reasonOf(fault)));
  const inEightHours = () => new Date(Date.now() + EIGHT_HOURS).toISOString();
  return [
    { label: t(chat.pinned ? "unpin" : "pin"), icon: "pin", act: change({ pinned: !chat.pinned }) },
    ...(isMuted(chat)
      ? [{ label: t("unmute"), icon: /** @type {const} */ ("mute"), act: change({ muted_until: null }) }]
      : [
          { label: t("mute_8h"), icon: /** @type {const} */ ("mute"), act: change({ muted_until: inEightHours() }) },
          { label: t("mute_ever"), icon: /** @type {const} */ ("mute"), act: change({ muted_until: FOR_EVER }) },
        ]),
    { label: t(chat.archived ? "unarchive" : "archive"), icon: "archive", act: change({ archived: !chat.archived }) },
  ];
}
