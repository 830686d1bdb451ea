// A row of the chat list: who a chat is with, what was said last, how much is unread.

import { statusIcon } from "./bubble.js";
import { chatActions } from "./chatactions.js";
import { isMuted } from "./chatfacts.js";
import { h, icon, iconButton } from "./dom.js";
import { shortTime, t } from "./i18n.js";
import { openMenu } from "./overlay.js";
import { avatar, nameOf, nameTag } from "./people.js";
import { preview } from "./text.js";

/** @typedef {import("./sdk.js").Chat} Chat */
/** @typedef {import("./model.js").Model} Model */

/** What a row's looks depend on: it is drawn again if that has changed.
 * @param {Chat} chat @param {Model} model @param {boolean} isOpen */
export function signatureOf(chat, model, isOpen) {
  const { id, peer } = chat;
  const live = [model.typing.has(id), model.presence.get(peer.id)?.online, model.pending(id).at(-1)];
  return JSON.stringify([chat, isOpen, live, new Date().toDateString()]);
}

/** The link to a chat and its menu's button. @param {Chat} chat @param {Model} model @param {boolean} isOpen */
export const chatRow = (chat, model, isOpen) => [chatLink(chat, model, isOpen), moreButton(chat, model)];

/** @param {Chat} chat @param {Model} model @param {boolean} isOpen */
function chatLink(chat, model, isOpen) {
  const { id, peer } = chat;
  const online = model.presence.get(peer.id)?.online;
  const time = model.pending(id).at(-1)?.queued_at ?? chat.updated_at;
  return h(
    "a",
    { href: `#${id}`, class: "chat", "aria-current": isOpen ? "page" : null },
    h("span", { class: `portrait ${online ? "online" : ""}` }, avatar(peer)),
    h("span", { class: "line" }, nameTag(peer), h("time", { dateTime: time }, shortTime(time))),
    h("span", { class: "line" }, lastWords(chat, model), flags(chat)),
  );
}

/** @param {Chat} chat @param {Model} model */
function moreButton(chat, model) {
  const more = iconButton("more", t("actions_for", { name: nameOf(chat.peer) }), {
    class: "icon-button more",
    "aria-haspopup": "menu",
    onclick: () => openMenu(more, chatActions(model, chat)),
  });
  return more;
}

/** @param {Chat} chat */
function flags(chat) {
  const muted = isMuted(chat);
  return [
    muted && flag("mute", t("muted")),
    chat.pinned && flag("pin", t("pinned")),
    chat.unread > 0 && badge(chat.unread, muted),
  ];
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
