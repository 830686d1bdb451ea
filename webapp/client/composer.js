// Where one writes: grows with the text, shows what is being answered, tells the peer that one types.

import { fill, h, icon, iconButton } from "./dom.js";
import { t } from "./i18n.js";
import { preview } from "./text.js";
import { TypingNotice } from "./typingnotice.js";

/** @typedef {{ seq: number, author: string, text: string }} Answered */
/**
 * @typedef {{
 *   longest: number,
 *   send: (text: string, replyTo: number | undefined) => void,
 *   typing: (active: boolean) => void,
 *   keep: (draft: string) => void,
 * }} Owner
 */

const grows = CSS.supports("field-sizing", "content");

export class Composer {
  element;
  #owner;
  #typing;
  #text = textField();
  #tooLong = h("p", { class: "hint", id: "too-long", role: "alert" });
  #answer = h("div", { class: "answering", hidden: true });
  /** @type {Answered | null} */
  #answered = null;

  /** @param {Owner} owner */
  constructor(owner) {
    this.#owner = owner;
    this.#typing = new TypingNotice(owner.typing);
    const button = iconButton("send", t("send"), { type: "submit", class: "icon-button send" });
    const writing = h("div", { class: "writing" }, this.#text, button);
    this.element = h("form", { class: "composer" }, this.#answer, writing, this.#tooLong);
    this.#text.addEventListener("input", () => this.#changed());
    this.#text.addEventListener("keydown", (event) => this.#pressed(event));
    this.element.addEventListener("submit", (event) => this.#submitted(event));
  }

  focus() {
    this.#text.focus();
  }

  /** Show what was written here before. @param {string} draft */
  restore(draft) {
    this.#text.value = draft;
  }

  /** Say that nobody types here any more. */
  leave() {
    this.#typing.stop();
  }

  /** Answer a message, or none. @param {Answered | null} message */
  reply(message) {
    this.#answered = message;
    this.#answer.hidden = !message;
    const cancel = () => this.reply(null);
    if (message) fill(this.#answer, answering(message, cancel));
    this.#text.focus();
  }

  /** By how many characters the text is too long; negative if it isn't. */
  get #excess() {
    return [...this.#text.value.trim()].length - this.#owner.longest;
  }

  #changed() {
    const { value } = this.#text;
    // A text has at most as many characters as it has UTF-16 units, so counting them is rarely needed.
    const over = value.length > this.#owner.longest ? this.#excess : 0;
    this.#fit();
    this.#tooLong.textContent = over > 0 ? t("too_long", { n: over }) : "";
    this.#owner.keep(value);
    if (value.trim()) this.#typing.typed();
    else this.#typing.stop();
  }

  /** Make the field as high as what is written, where the browser doesn't see to it. */
  #fit() {
    if (grows) return;
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight + 2}px`;
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.key === "Escape" && this.#answered) {
      event.stopPropagation();
      this.reply(null);
    }
    if (!sends(event)) return;
    event.preventDefault();
    this.element.requestSubmit();
  }

  /** @param {SubmitEvent} event */
  #submitted(event) {
    event.preventDefault();
    const words = this.#text.value.trim();
    if (words && this.#excess <= 0) this.#send(words);
    else this.#text.focus();
  }

  /** @param {string} words */
  #send(words) {
    this.#owner.send(words, this.#answered?.seq);
    this.#text.value = "";
    this.#fit();
    this.#owner.keep("");
    this.#typing.stop();
    this.reply(null);
  }
}

const textField = () =>
  h("textarea", {
    rows: 1,
    dir: "auto",
    placeholder: t("message"),
    "aria-label": t("message"),
    "aria-describedby": "too-long",
    enterKeyHint: "send",
  });

/** Whether a key sends. On a telephone Enter is a new line: there is a button under the thumb.
 * @param {KeyboardEvent} event */
const sends = (event) =>
  event.key === "Enter" && !event.shiftKey && !event.isComposing && !matchMedia("(pointer: coarse)").matches;

/** The quoted message that is being answered, and a button that cancels.
 * @param {Answered} message @param {() => void} cancel */
function answering({ author, text }, cancel) {
  const name = h("span", { class: "name" }, t("replying_to", { name: author }));
  const quoted = h("div", { class: "quoted" }, name, h("span", { dir: "auto" }, preview(text)));
  return [icon("reply"), quoted, iconButton("close", t("cancel"), { onclick: cancel })];
}
