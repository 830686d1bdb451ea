// Chance that can be played again: a test that fails names its seed.

/**
 * Make a generator of numbers from 0 to below 1 (mulberry32).
 *
 * @param {number} seed
 */
export function chance(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One of several. @template T @param {() => number} random @param {T[]} items @returns {T} */
export const oneOf = (random, items) => items[Math.floor(random() * items.length)];

/** A whole number from 0 to below a bound. @param {() => number} random @param {number} bound */
export const below = (random, bound) => Math.floor(random() * bound);
