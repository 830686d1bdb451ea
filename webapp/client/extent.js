// The arithmetic of a timeline: which items are where, and how much room those take that have no row.
//
// All lengths are in pixels.

const MOST_HEIGHT = 8_000_000; // of both spacers: browsers limit the height of what scrolls
const LIKELY = 56; // of a row, as long as none was measured

/**
 * The heights of the spacers above the first row and below the last one.
 *
 * @param {number} total how many items there are
 * @param {number} first the item of the first row
 * @param {number} last the item of the last row
 * @param {number} likely how high a row is likely to be; 0 if that isn't known yet
 */
export function spacers(total, first, last, likely) {
  const each = Math.min(likely || LIKELY, MOST_HEIGHT / Math.max(1, total));
  return {
    above: Math.round((first - 1) * each),
    below: Math.round(Math.max(0, Math.max(1, total) - last) * each),
  };
}

/**
 * The item that belongs where somebody has scrolled to; 0 if there are none.
 *
 * @param {number} total
 * @param {{ scrollTop: number, scrollHeight: number, clientHeight: number }} element
 */
export function itemAt(total, { scrollTop, scrollHeight, clientHeight }) {
  const share = scrollTop / Math.max(1, scrollHeight - clientHeight);
  return Math.min(total, 1 + Math.floor(share * total));
}

/** How many rows fill a height. @param {number} height @param {number} likely */
export const rowsFor = (height, likely) => Math.ceil(height / (likely || LIKELY));

/**
 * The rows that are at least partly within two edges, as the part of their list from `from` up to, but without, `to`.
 * Null if there are none.
 *
 * @param {{ top: number, bottom: number }[]} rows from the highest to the lowest
 * @param {number} top
 * @param {number} bottom
 */
export function rowsWithin(rows, top, bottom) {
  const from = rows.findIndex((row) => row.bottom > top);
  const to = rows.findLastIndex((row) => row.top < bottom) + 1;
  return from < 0 || to <= from ? null : { from, to };
}
