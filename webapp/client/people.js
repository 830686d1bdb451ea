// What people are called, and what they look like here.

import { h } from "./dom.js";
import { t } from "./i18n.js";
import { pretty } from "./phone.js";

/** @typedef {import("./sdk.js").Profile} Profile */

const HUES = 12;

/** What a peer is called. @param {Profile} peer */
export const nameOf = (peer) => peer.display_name || (peer.phone ? pretty(peer.phone) : t("account_gone"));

/** A peer's name as an element: a number is read from left to right wherever it stands. @param {Profile} peer */
export const nameTag = (peer) => h("bdi", { class: "name", dir: peer.display_name ? "auto" : "ltr" }, nameOf(peer));

/** @param {string | null} phone */
export const phoneTag = (phone) => h("bdi", { dir: "ltr" }, phone ? pretty(phone) : "");

/** A round picture: initials on a colour that depends on the number only. @param {Profile} peer */
export function avatar(peer) {
  const initials = peer.display_name
    .split(/\s+/u)
    .map((word) => [...word][0] ?? "")
    .slice(0, 2)
    .join("");
  const hue =
    [...(peer.phone ?? peer.id)].reduce((sum, character) => (sum * 31 + character.charCodeAt(0)) % 9973, 7) % HUES;
  const shown = initials.toLocaleUpperCase() || (peer.phone ?? "··").slice(-2);
  return h("span", { class: `avatar hue-${hue}`, "aria-hidden": "true" }, shown);
}
