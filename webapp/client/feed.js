// The history of the open chat, with what waits to be sent below its last message.

import { pendingRow } from "./bubble.js";
import { fill, h, iconButton } from "./dom.js";
import { obeyKeys, obeyPointer } from "./feedkeys.js";
import { dayName, t } from "./i18n.js";
import { nameOf } from "./people.js";
import { Rows } from "./rows.js";
import { Timeline } from "./timeline.js";

const CHIP = 1200; // milliseconds that the day stays in sight after scrolling

export class Feed {
  /** The feed and what lies above it. */
  element;
  timeline;
  #talk;
  #chip = dayChip();
  #pending = h("div", { class: "pending-rows", role: "presentation" });
  #empty = h("p", { class: "empty", hidden: true }, t("empty_chat"));
  #unread = h("span", { class: "badge", hidden: true });
  #toEnd = iconButton("down", t("jump_to_end"), {
    class: "to-end",
    hidden: true,
    onclick: () => this.timeline.showEnd(),
  });
  #list;
  /** What the rows of waiting messages show, to draw them again only if that has changed. */
  #waiting = "";

  /** @param {import("./talk.js").Talk} talk @param {import("./feedkeys.js").OpenOptions} openOptions */
  constructor(talk, openOptions) {
    const label = t("chat_with", { name: nameOf(talk.chat.peer) });
    this.#talk = talk;
    this.#list = h("div", { class: "feed", role: "feed", "aria-label": label, tabIndex: 0 });
    this.#toEnd.append(this.#unread);
    this.element = h("div", { class: "history" }, this.#list, this.#chip.element, this.#empty, this.#toEnd);
    this.timeline = new Timeline(new Rows(talk, () => this.settle()), this.#list, this.#pending);
    obeyPointer(this.#list, this.timeline, openOptions);
    obeyKeys(this.#list, this.timeline, () => [...this.#shownRows, ...this.#pendingRows]);
    this.#list.addEventListener("scroll", () => this.#showDay(), { passive: true });
  }

  /** Draw again what has changed. */
  show() {
    const entries = this.#talk.pending;
    const now = JSON.stringify(entries);
    if (now !== this.#waiting) fill(this.#pending, entries.map(pendingRow));
    this.#waiting = now;
    this.timeline.renew();
  }

  /** Update what depends on the rows in sight: the button to the end, the focus, what is read. */
  settle() {
    const { total } = this.#talk.history;
    const { unread } = this.#talk.chat;
    this.#toEnd.hidden = this.timeline.atEnd || this.timeline.last === 0;
    this.#unread.textContent = String(unread);
    this.#unread.hidden = unread === 0;
    this.#empty.hidden = total > 0 || this.#talk.pending.length > 0;
    this.#list.setAttribute("aria-busy", String(this.timeline.rows.length === 0 && total > 0));
    this.#makeReachable();
    this.#markRead();
  }

  get #shownRows() {
    return this.timeline.rows.filter((row) => !row.classList.contains("withheld"));
  }

  /** @returns {NodeListOf<HTMLElement>} */
  get #pendingRows() {
    return this.#pending.querySelectorAll(".row");
  }

  /** Have one row that Tab leads to; the arrows lead to the others. */
  #makeReachable() {
    const rows = this.#shownRows;
    if (!rows.some((row) => row.tabIndex === 0)) rows.at(-1)?.setAttribute("tabindex", "0");
  }

  #markRead() {
    if (document.hidden || !document.hasFocus()) return;
    this.#talk.read(this.timeline.atEnd ? this.timeline.last : this.timeline.lastVisible);
  }

  #showDay() {
    const message = this.#talk.history.get(this.timeline.firstVisible);
    if (message && !this.timeline.atEnd) this.#chip.show(dayName(message.sent_at));
  }
}

/** The day of what is in sight, while one scrolls. */
function dayChip() {
  const element = h("div", { class: "day-chip", "aria-hidden": "true" });
  let hiding = 0;
  return {
    element,
    /** @param {string} day */
    show(day) {
      element.textContent = day;
      element.classList.add("shown");
      clearTimeout(hiding);
      hiding = window.setTimeout(() => element.classList.remove("shown"), CHIP);
    },
  };
}
