// The rows of a conversation's timeline: one for each message.

import { decorate, messageRow } from "./bubble.js";
import { h } from "./dom.js";

/** @typedef {import("./sdk.js").Message} Message */
/** @typedef {import("./timeline.js").Source} Source */

/** @implements {Source} */
export class Rows {
  settled;
  #talk;
  /** The signature of what each row shows. @type {WeakMap<HTMLElement, string>} */
  #shown = new WeakMap();

  /** @param {import("./talk.js").Talk} talk @param {() => void} settled */
  constructor(talk, settled) {
    this.#talk = talk;
    this.settled = settled;
  }

  total() {
    return this.#talk.history.total;
  }

  /** @param {number} seq */
  has(seq) {
    return this.#talk.history.get(seq) !== undefined;
  }

  /** @param {number} first @param {number} last */
  need(first, last) {
    this.#talk.history.need(first, last);
  }

  /** @param {number} seq */
  make(seq) {
    const message = /** @type {Message} */ (this.#talk.history.get(seq));
    if (message.withheld) return h("div", { class: "withheld", "aria-hidden": "true" });
    const row = messageRow(message, this.#talk.around(message));
    this.#shown.set(row, this.#talk.signature(message));
    return row;
  }

  /** @param {HTMLElement} row @param {number} seq */
  renew(row, seq) {
    const message = this.#talk.history.get(seq);
    if (!message || message.withheld) return;
    const signature = this.#talk.signature(message);
    if (this.#shown.get(row) === signature) return;
    this.#shown.set(row, signature);
    decorate(row, message, this.#talk.around(message));
  }
}
