// The menu of a message that was sent, or that waits to be sent.

import { t } from "./i18n.js";
import { openMenu, reasonOf, toast } from "./overlay.js";
import { showTrace } from "./trace.js";

/** @typedef {import("./sdk.js").Duologue} Duologue */
/** @typedef {import("./sdk.js").Message} Message */
/** @typedef {import("./overlay.js").Item} Item */
/** @typedef {import("./talk.js").Talk} Talk */

/**
 * Return what opens the menu of a row.
 *
 * @param {Duologue} duologue
 * @param {Talk} talk
 * @param {(message: import("./composer.js").Answered) => void} reply
 * @returns {import("./feedkeys.js").OpenOptions}
 */
export const messageMenu = (duologue, talk, reply) => (row, opener, point) => {
  const message = talk.history.get(Number(row.dataset.seq));
  if (message) openMenu(opener, messageActions(duologue, talk, message, reply), point);
  else if (row.dataset.client) openMenu(opener, pendingActions(duologue, talk, row.dataset.client), point);
};

/**
 * @param {Duologue} duologue
 * @param {Talk} talk
 * @param {Message} message
 * @param {(message: import("./composer.js").Answered) => void} reply
 * @returns {(Item | false)[]}
 */
function messageActions(duologue, talk, message, reply) {
  const { seq, text } = message;
  const isThere = message.deleted_at === null;
  const answer = () => reply({ seq, text, author: talk.authorOf(message) });
  return [
    isThere && talk.chat.peer.phone !== null && { label: t("add_reply"), icon: "reply", act: answer },
    isThere && { label: t("copy"), icon: "copy", act: () => copy(text) },
    talk.isMine(message) && { label: t("trace"), icon: "route", act: () => showTrace(duologue, message) },
  ];
}

/** @param {Duologue} duologue @param {Talk} talk @param {string} clientId @returns {(Item | false)[]} */
function pendingActions(duologue, talk, clientId) {
  const entry = talk.pending.find(({ client_id }) => client_id === clientId);
  if (!entry) return [];
  return [
    entry.error !== null && { label: t("retry"), icon: "send", act: () => duologue.retry(clientId) },
    { label: t("copy"), icon: "copy", act: () => copy(entry.text) },
    { label: t("discard"), icon: "trash", danger: true, act: () => duologue.discard(clientId) },
  ];
}

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast(t("copied"));
  } catch (fault) {
    toast(reasonOf(fault));
  }
}
