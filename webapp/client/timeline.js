// A list of any length of which only what is near the window is in the page.
//
// Items are numbered 1 to `total`. Their rows stand between two spacers, which are as high as the rows that aren't
// there are likely to be. While rows come and go above it, the browser's scroll anchoring keeps in place what is read.

import { itemAt, rowsFor, rowsWithin, spacers } from "./extent.js";

const OVERSCAN = 1.2; // windows of rows kept ready beyond each edge
const TRIM = 2.5; // windows beyond which they are taken away
const ROWS_AT_ONCE = 20; // there is time for so many in a frame, at either end
const AT_END = 32; // pixels from the end that still are the end
const anchors = CSS.supports("overflow-anchor", "auto");

/**
 * @typedef {object} Source
 * @property {() => number} total how many items there are
 * @property {(item: number) => boolean} has whether an item is there to be shown
 * @property {(first: number, last: number) => void} need have these fetched
 * @property {(item: number) => HTMLElement} make its row
 * @property {(row: HTMLElement, item: number) => void} renew draw a row again, if it would look different
 * @property {() => void} settled the rows are what they should be, for now
 */

export class Timeline {
  /** The element that scrolls. */
  element;
  /** Whether the end is in sight, and stays so when something is added. */
  atEnd = false;
  /** The item of the first row. */
  first = 1;
  /** @type {HTMLElement[]} */
  rows = [];

  /**
   * What to go to as soon as it is there; `place` 0 puts it at the upper edge, 1 at the lower.
   *
   * @type {{ item: number, place: number } | null}
   */
  #target = null;
  /** How high a row is likely to be, in pixels; 0 until there were enough to measure. */
  #likely = 0;
  #waiting = false;
  #source;
  #above = spacer();
  #list = document.createElement("div");
  #below = spacer();

  /** @param {Source} source @param {HTMLElement} element @param {HTMLElement} end stays below the last row */
  constructor(source, element, end) {
    this.#source = source;
    this.element = element;
    this.#list.setAttribute("role", "presentation");
    element.append(this.#above, this.#list, this.#below, end);
    element.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    const sizes = new ResizeObserver(() => this.#resized());
    for (const part of [element, this.#list, end]) sizes.observe(part);
  }

  /** The item of the last row. */
  get last() {
    return this.first + this.rows.length - 1;
  }

  /** Bring the rows up to date, before the next frame. */
  update() {
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      if (this.element.isConnected) this.#draw();
    });
  }

  /** Draw again the rows that would look different, and bring the rows up to date. */
  renew() {
    for (const [index, row] of this.rows.entries()) this.#source.renew(row, this.first + index);
    this.update();
  }

  /** Go to an item. @param {number} item @param {number} [place] 0 at the upper edge, 1 at the lower */
  show(item, place = 0.3) {
    this.#target = { item: Math.max(1, Math.min(item, this.#source.total())), place };
    this.atEnd = place === 1 && item >= this.#source.total();
    this.update();
  }

  /** Go to the end. */
  showEnd() {
    this.show(this.#source.total(), 1);
    this.atEnd = true;
  }

  /** An item's row, if it has one. @param {number} item */
  row(item) {
    return this.rows[item - this.first];
  }

  /** The last item that is all in sight; 0 if none is. */
  get lastVisible() {
    const edge = this.element.getBoundingClientRect().bottom + 4;
    const index = this.rows.findLastIndex((row) => row.getBoundingClientRect().bottom <= edge);
    return index < 0 ? 0 : this.first + index;
  }

  /** The first item that is at least partly in sight; 0 if none is. */
  get firstVisible() {
    const edge = this.element.getBoundingClientRect().top;
    const index = this.rows.findIndex((row) => row.getBoundingClientRect().bottom > edge);
    return index < 0 ? 0 : this.first + index;
  }

  #scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.element;
    this.atEnd = scrollHeight - scrollTop - clientHeight < AT_END && this.#below.style.height === "0px";
    this.update();
  }

  #resized() {
    if (this.atEnd) this.element.scrollTop = this.element.scrollHeight;
    this.update();
  }

  #draw() {
    this.#cut();
    if (!this.#goNear()) {
      this.#source.settled();
      return;
    }
    const anchor = anchors ? undefined : this.row(this.firstVisible);
    const was = anchor?.getBoundingClientRect().top ?? 0;
    const changed = this.#fill();
    if (this.#target) this.#aim(this.#target);
    else if (anchor?.isConnected) this.element.scrollTop += anchor.getBoundingClientRect().top - was;
    this.#target = null; // from here on the user's scrolling counts
    if (changed) this.update();
    const ahead = 3 * ROWS_AT_ONCE;
    this.#source.need(this.first - ahead, this.last + ahead);
    this.#source.settled();
  }

  /** Remove the rows of items beyond the total, and keep the target within it. */
  #cut() {
    const total = this.#source.total();
    for (const row of this.rows.splice(Math.max(0, total - this.first + 1))) row.remove();
    if (this.#target && this.#target.item > total) this.#target.item = Math.max(1, total);
  }

  /** Have a row where the window is, or where it should be. Says whether there is one. */
  #goNear() {
    const item = this.#target?.item ?? this.#lostAt();
    if (!item || this.row(item)) return this.rows.length > 0;
    this.#source.need(item - ROWS_AT_ONCE, item + ROWS_AT_ONCE);
    if (!this.#source.has(item)) return false;
    this.rows = [this.#source.make(item)];
    this.first = item;
    this.#list.replaceChildren(...this.rows);
    this.#space();
    this.#aim(this.#target ?? { item, place: 0 });
    return true;
  }

  /** The item that belongs where the window is, if it shows nothing but a spacer. */
  #lostAt() {
    const box = this.element.getBoundingClientRect();
    const list = this.#list.getBoundingClientRect();
    if (this.rows.length && list.bottom > box.top && list.top < box.bottom) return 0;
    return itemAt(this.#source.total(), this.element);
  }

  /** Add the rows that are missing, and take away those that are far. Says whether that has changed anything. */
  #fill() {
    const box = this.element.getBoundingClientRect();
    const list = this.#list.getBoundingClientRect();
    this.#measure(list.height);
    const reach = box.height * OVERSCAN;
    const far = box.height * TRIM;
    const trimmed = this.#trim(box.top - far, box.bottom + far);
    const before = this.#make(list.top - (box.top - reach), this.first - 1, -1).reverse();
    const after = this.#make(box.bottom + reach - list.bottom, this.last + 1, 1);
    this.#list.prepend(...before);
    this.#list.append(...after);
    this.rows = [...before, ...this.rows, ...after];
    this.first -= before.length;
    // What a row looks like depends on the one before it.
    if (before.length) this.#source.renew(this.rows[before.length], this.first + before.length);
    this.#space();
    return trimmed || before.length + after.length > 0;
  }

  /**
   * Rows for so many pixels, from an item on, as far as there are.
   *
   * @param {number} pixels
   * @param {number} item
   * @param {1 | -1} step
   */
  #make(pixels, item, step) {
    const count = Math.min(ROWS_AT_ONCE, rowsFor(pixels, this.#likely));
    const rows = [];
    while (rows.length < count && item >= 1 && item <= this.#source.total() && this.#source.has(item)) {
      rows.push(this.#source.make(item));
      item += step;
    }
    return rows;
  }

  /** Take away the rows beyond two edges. Says whether there were any. @param {number} top @param {number} bottom */
  #trim(top, bottom) {
    const boxes = this.rows.map((row) => row.getBoundingClientRect());
    const { from, to } = rowsWithin(boxes, top, bottom) ?? { from: 0, to: boxes.length };
    if (from === 0 && to === boxes.length) return false;
    for (const row of [...this.rows.slice(0, from), ...this.rows.slice(to)]) {
      if (row.contains(document.activeElement)) this.element.focus({ preventScroll: true });
      row.remove();
    }
    this.rows = this.rows.slice(from, to);
    this.first += from;
    return true;
  }

  /** Measure the average row, once: the scroll bar would jump if the spacers changed all the time. */
  #measure(/** @type {number} */ height) {
    if (!this.#likely && this.rows.length >= ROWS_AT_ONCE / 2) this.#likely = height / this.rows.length;
  }

  #space() {
    const { above, below } = spacers(this.#source.total(), this.first, this.last, this.#likely);
    this.#above.style.height = `${above}px`;
    this.#below.style.height = `${below}px`;
  }

  /** @param {{ item: number, place: number }} target */
  #aim({ item, place }) {
    const row = this.row(item);
    if (!row) return;
    const [box, at] = [this.element.getBoundingClientRect(), row.getBoundingClientRect()];
    if (this.atEnd) this.element.scrollTop = this.element.scrollHeight;
    else this.element.scrollTop += at.top - box.top - place * (box.height - at.height);
  }
}

function spacer() {
  const element = document.createElement("div");
  element.className = "spacer";
  element.setAttribute("aria-hidden", "true");
  return element;
}
