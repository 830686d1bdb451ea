// The head of a conversation: who it is with, and whether they are there.

import { chatActions } from "./chatactions.js";
import { fill, h, icon, iconButton } from "./dom.js";
import { since, t } from "./i18n.js";
import { openMenu } from "./overlay.js";
import { avatar, nameOf, nameTag, phoneTag } from "./people.js";

/** @typedef {import("./talk.js").Talk} Talk */

/** `show` draws it again. @param {Talk} talk */
export function chatHeader(talk) {
  const title = h("div", { class: "title" });
  const more = iconButton("more", t("actions_for", { name: nameOf(talk.chat.peer) }), {
    "aria-haspopup": "menu",
    onclick: () => openMenu(more, chatActions(talk.model, talk.chat)),
  });
  const back = h("a", { href: "#", class: "icon-button back", "aria-label": t("back") }, icon("arrow"));
  return {
    element: h("header", {}, back, title, more),
    show: () => fill(title, avatar(talk.chat.peer), who(talk)),
  };
}

/** @param {Talk} talk */
function who(talk) {
  const { peer } = talk.chat;
  const { text, here } = presenceOf(talk);
  const number = peer.display_name ? phoneTag(peer.phone) : null;
  const state = h("p", { class: `state ${here ? "here" : ""}` }, number, number && text && " · ", text);
  return h("div", {}, h("h1", {}, nameTag(peer)), state);
}

/** What is known of the peer's presence, in words, and whether they are there. @param {Talk} talk */
function presenceOf({ model, chat, chatId }) {
  const seen = model.presence.get(chat.peer.id);
  if (model.typing.has(chatId)) return { text: t("typing"), here: true };
  if (seen?.online) return { text: t("online"), here: true };
  return { text: seen?.last_seen_at ? t("last_seen", { when: since(seen.last_seen_at) }) : "", here: false };
}
