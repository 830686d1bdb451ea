// Where one writes: grows with the text, says what it answers, tells the peer that one types.

import { fill, h, icon, iconButton } from "./dom.js";
import { t } from "./i18n.js";
import { preview } from "./text.js";

/** @typedef {{ seq: number, author: string, text: string }} Answered */

const TELL_AGAIN = 3000; // milliseconds
const STOPPED = 5000;
const grows = CSS.supports("field-sizing", "content");

/**
 * @param {{
 *   longest: number,
 *   send: (text: string, replyTo: number | undefined) => void,
 *   typing: (active: boolean) => void,
 *   keep: (draft: string) => void,
 * }} owner
 */
export function composer({ longest, send, typing, keep }) {
  /** @type {Answered | null} */
  let answered = null;
  let toldAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let stopping;

  const text = h("textarea", {
    rows: 1,
    dir: "auto",
    placeholder: t("message"),
    "aria-label": t("message"),
    "aria-describedby": "too-long",
    enterKeyHint: "send",
    oninput: changed,
    onkeydown: pressed,
  });
  const tooLong = h("p", { class: "hint", id: "too-long", role: "alert" });
  const answer = h("div", { class: "answering", hidden: true });
  const button = iconButton("send", t("send"), { type: "submit", class: "icon-button send" });
  const element = h(
    "form",
    { class: "composer", onsubmit: submitted },
    answer,
    h("div", { class: "writing" }, text, button),
    tooLong,
  );

  const excess = () => [...text.value.trim()].length - longest;

  function changed() {
    const over = text.value.length > longest ? excess() : 0; // characters are counted only when it may matter
    fit();
    tooLong.textContent = over > 0 ? t("too_long", { n: over }) : "";
    keep(text.value);
    if (text.value.trim()) tell();
    else stop();
  }

  /** As high as what is written, where the browser doesn't see to it. */
  function fit() {
    if (grows) return;
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight + 2}px`;
  }

  function tell() {
    clearTimeout(stopping);
    stopping = setTimeout(stop, STOPPED);
    if (toldAt && performance.now() - toldAt < TELL_AGAIN) return;
    toldAt = performance.now();
    typing(true);
  }

  function stop() {
    clearTimeout(stopping);
    if (toldAt) typing(false);
    toldAt = 0;
  }

  /** @param {KeyboardEvent} event */
  function pressed(event) {
    if (event.key === "Escape" && answered) {
      event.stopPropagation();
      reply(null);
    }
    // On a telephone Enter is a new line: there is a button under the thumb.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || matchMedia("(pointer: coarse)").matches)
      return;
    event.preventDefault();
    element.requestSubmit();
  }

  /** @param {SubmitEvent} event */
  function submitted(event) {
    event.preventDefault();
    const words = text.value.trim();
    if (!words || excess() > 0) {
      text.focus();
      return;
    }
    send(words, answered?.seq);
    text.value = "";
    fit();
    keep("");
    stop();
    reply(null);
  }

  /** Answer a message, or none. @param {Answered | null} message */
  function reply(message) {
    answered = message;
    answer.hidden = !message;
    if (message) {
      const close = iconButton("close", t("cancel"), { onclick: () => reply(null) });
      const author = h("span", { class: "name" }, t("replying_to", { name: message.author }));
      const quoted = h("div", { class: "quoted" }, author, h("span", { dir: "auto" }, preview(message.text)));
      fill(answer, icon("reply"), quoted, close);
    }
    text.focus();
  }

  return {
    element,
    reply,
    focus: () => text.focus(),
    /** What was written here before. @param {string} draft */
    restore(draft) {
      text.value = draft;
    },
    leave: stop,
  };
}
