// Web addresses in a text, found in one pass: the time grows with the length of the text and no faster.

/** The longest address that becomes a link, in UTF-16 units. A longer one stays text. */
export const MAX_LINK = 2048;

const SCHEME = /\bhttps?:\/\//giu;
const ENDS_ADDRESS = /[\s<>"“”«»]/u;
const PUNCTUATION = new Set(".,;:!?'’…");
const CLOSING = new Map([
  [")", "("],
  ["]", "["],
  ["}", "{"],
]);

/**
 * @typedef {object} Link
 * @property {number} start where it begins in the text
 * @property {number} end where it ends
 * @property {URL} url
 */

/** The links of a text, in order. @param {string} text @returns {Link[]} */
export function findLinks(text) {
  const links = [];
  SCHEME.lastIndex = 0;
  for (let found = SCHEME.exec(text); found; found = SCHEME.exec(text)) {
    const start = found.index;
    const stop = addressEnd(text, SCHEME.lastIndex);
    // All that belongs to the address is passed over, so that no character is read twice.
    SCHEME.lastIndex = stop;
    if (stop - start > MAX_LINK) continue;
    const end = start + sentenceEnd(text.slice(start, stop));
    const url = parsed(text.slice(start, end));
    if (url) links.push({ start, end, url });
  }
  return links;
}

function addressEnd(/** @type {string} */ text, /** @type {number} */ from) {
  let end = from;
  while (end < text.length && !ENDS_ADDRESS.test(text[end])) end += 1;
  return end;
}

/** The length of an address without the punctuation that ends the sentence around it. @param {string} address */
function sentenceEnd(address) {
  const surplus = unopened(address);
  let end = address.length;
  for (; end > 0; end -= 1) {
    const last = address[end - 1];
    const unmatched = surplus.get(last) ?? 0;
    if (unmatched > 0) surplus.set(last, unmatched - 1);
    else if (!PUNCTUATION.has(last)) break;
  }
  return end;
}

/** Count the closing brackets that have no opening one, by kind. @param {string} address */
function unopened(address) {
  const surplus = new Map();
  for (const [closing, opening] of CLOSING) {
    let depth = 0;
    for (const character of address) {
      if (character === closing) depth += 1;
      else if (character === opening) depth -= 1;
    }
    surplus.set(closing, Math.max(0, depth));
  }
  return surplus;
}

/** The address, unless it is none, or shows a user name that could be taken for the host. @param {string} written */
function parsed(written) {
  try {
    const url = new URL(written);
    return url.username || url.password ? null : url;
  } catch {
    return null;
  }
}
