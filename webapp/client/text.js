// A message's text as nodes: links are recognised, nothing else is interpreted.

import { h } from "./dom.js";
import { findLinks } from "./links.js";

const EMOJI_ONLY =
  /^(?:\p{Extended_Pictographic}(?:\p{Emoji_Modifier}|\u{fe0f}|\u{200d}|\p{Extended_Pictographic})*\s?){1,3}$/u;

/** The nodes of a text. @param {string} text @returns {(Node | string)[]} */
export function withLinks(text) {
  const parts = [];
  let shown = 0;
  for (const { start, end, url } of findLinks(text)) {
    parts.push(text.slice(shown, start), linkTo(url, text.slice(start, end)));
    shown = end;
  }
  return [...parts, text.slice(shown)].filter(Boolean);
}

/** @param {URL} url @param {string} written */
const linkTo = ({ href }, written) =>
  h("a", { href, title: href, target: "_blank", rel: "noopener noreferrer nofollow" }, written);

/** Whether a text is one to three emoji, to be shown larger. @param {string} text */
export const isEmojiOnly = (text) => text.length < 40 && EMOJI_ONLY.test(text);

/** The beginning of a text, in one line. @param {string} text */
export const preview = (text) => text.slice(0, 200).replace(/\s+/gu, " ").trim();
