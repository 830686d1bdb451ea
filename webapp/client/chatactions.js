// What can be done with a chat, wherever it is shown.

import { isMuted } from "./chatfacts.js";
import { t } from "./i18n.js";
import { reasonOf, toast } from "./overlay.js";

/** @typedef {import("./sdk.js").Chat} Chat */
/** @typedef {import("./sdk.js").ChatChanges} ChatChanges */
/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./overlay.js").Item} Item */

const EIGHT_HOURS = 8 * 3_600_000; // milliseconds
const FOR_EVER = "9999-12-31T00:00:00Z";

/** The menu of a chat. @param {Model} model @param {Chat} chat @returns {Item[]} */
export function chatActions(model, chat) {
  const change = (/** @type {ChatChanges} */ changes) => () =>
    model.update(chat.id, changes).catch((fault) => toast(reasonOf(fault)));
  return [
    { label: t(chat.pinned ? "unpin" : "pin"), icon: "pin", act: change({ pinned: !chat.pinned }) },
    ...(isMuted(chat) ? [unmute(change)] : mutes(change)),
    { label: t(chat.archived ? "unarchive" : "archive"), icon: "archive", act: change({ archived: !chat.archived }) },
  ];
}

/** @param {(changes: ChatChanges) => () => void} change @returns {Item} */
const unmute = (change) => ({ label: t("unmute"), icon: "mute", act: change({ muted_until: null }) });

/** @param {(changes: ChatChanges) => () => void} change @returns {Item[]} */
function mutes(change) {
  const inEightHours = new Date(Date.now() + EIGHT_HOURS).toISOString();
  return [
    { label: t("mute_8h"), icon: "mute", act: change({ muted_until: inEightHours }) },
    { label: t("mute_ever"), icon: "mute", act: change({ muted_until: FOR_EVER }) },
  ];
}
