// Keys and pointers in a conversation's feed.

const PAGE = 8; // messages that PageUp and PageDown pass
/** How many rows a key moves the focus by. @type {Record<string, number>} */
const STEPS = { ArrowUp: -1, ArrowDown: 1, PageUp: -PAGE, PageDown: PAGE };

/** @typedef {(row: HTMLElement, opener: Element, point?: { x: number, y: number }) => void} OpenOptions */
/** @typedef {import("./timeline.js").Timeline} Timeline */

/**
 * Move through the rows with arrow and page keys; open a row's menu with Enter.
 *
 * @param {HTMLElement} feed
 * @param {Timeline} timeline
 * @param {() => HTMLElement[]} rows all that can be reached
 */
export function obeyKeys(feed, timeline, rows) {
  feed.addEventListener("keydown", (event) => {
    const row = rowAround(event);
    if (event.key === "End") timeline.showEnd();
    else if (event.key === "Home") timeline.show(1, 0);
    else if (event.key === "Enter" && row && event.target === row) optionsOf(row)?.click();
    else if (!focusAnother(rows(), row, STEPS[event.key])) return;
    event.preventDefault();
  });
}

/**
 * Open a row's menu by its button or a right click; scroll to the message that a clicked quote shows.
 *
 * @param {HTMLElement} feed
 * @param {Timeline} timeline
 * @param {OpenOptions} openOptions
 */
export function obeyPointer(feed, timeline, openOptions) {
  feed.addEventListener("click", (event) => {
    const target = /** @type {Element} */ (event.target);
    const row = rowAround(event);
    const quote = /** @type {HTMLElement | null} */ (target.closest(".quote"));
    if (quote) timeline.show(Number(quote.dataset.seq));
    else if (row && target.closest(".options")) openOptions(row, target);
  });
  feed.addEventListener("contextmenu", (event) => {
    const row = rowAround(event);
    if (!row || isForTheBrowser(/** @type {Element} */ (event.target))) return;
    event.preventDefault();
    openOptions(row, optionsOf(row) ?? row, pointOf(event));
  });
}

/** Give another row the focus; return whether there is one. @param {HTMLElement[]} rows
 * @param {HTMLElement | null} row the one that has it @param {number | undefined} step */
function focusAnother(rows, row, step) {
  const at = row ? rows.indexOf(row) : rows.length;
  const next = step && rows[Math.max(0, Math.min(at + step, rows.length - 1))];
  if (!next) return false;
  for (const one of rows) one.tabIndex = one === next ? 0 : -1;
  next.focus();
  return true;
}

/** Whether the browser's own menu is wanted: on a link, with a selection, or outside of the bubbles.
 * @param {Element} target */
const isForTheBrowser = (target) =>
  !target.closest(".bubble, .row:focus") || target.closest("a") !== null || String(getSelection()) !== "";

/** Where the pointer is; nowhere if a key opened the menu. @param {MouseEvent} event */
export const pointOf = ({ clientX: x, clientY: y }) => (x ? { x, y } : undefined);

/** @param {Event} event @returns {HTMLElement | null} */
const rowAround = ({ target }) => /** @type {Element} */ (target).closest(".row");

/** @param {HTMLElement} row @returns {HTMLElement | null} */
const optionsOf = (row) => row.querySelector(".options");
