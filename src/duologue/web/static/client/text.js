// What people wrote, as nodes: links are recognised, nothing else is interpreted.

import { h } from "./dom.js";

const LINK = /\bhttps?:\/\/[^\s<>"“”«»]+/giu;
const TRAILING = /[.,;:!?'’…]+$/u;
const EMOJI_ONLY =
  /^(?:\p{Extended_Pictographic}[\p{Emoji_Modifier}\u{fe0f}\u{200d}\p{Extended_Pictographic}]*\s?){1,3}$/u;

/** The nodes of a text. @param {string} text @returns {(Node | string)[]} */
export function withLinks(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    const written = trimmed(match[0]);
    const link = linkTo(written);
    if (!link) continue;
    parts.push(text.slice(end, match.index), link);
    end = match.index + written.length;
  }
  return [...parts, text.slice(end)].filter(Boolean);
}

/** Without the punctuation that ends the sentence rather than the address. @param {string} address */
function trimmed(address) {
  let rest = address.replace(TRAILING, "");
  while (rest.endsWith(")") && rest.split(")").length > rest.split("(").length)
    rest = rest.slice(0, -1).replace(TRAILING, "");
  return rest;
}

/** @param {string} written */
function linkTo(written) {
  const url = URL.parse ? URL.parse(written) : parse(written);
  // A name before the host is there to look like another host.
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password) return null;
  return h("a", { href: url.href, title: url.href, target: "_blank", rel: "noopener noreferrer nofollow" }, written);
}

function parse(/** @type {string} */ written) {
  try {
    return new URL(written);
  } catch {
    return null;
  }
}

/** Whether a text is one to three emoji, to be shown larger. @param {string} text */
export const isEmojiOnly = (text) => text.length < 40 && EMOJI_ONLY.test(text);

/** One line of it. @param {string} text */
export const preview = (text) => text.slice(0, 200).replace(/\s+/gu, " ").trim();
