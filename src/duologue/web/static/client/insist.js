// Trying again. A moment without a network needn't cost the connection, so it isn't enough to try with the next one.

import { DuologueError } from "../sdk/duologue.js";

const FIRST_WAIT = 300; // milliseconds; it doubles …
const LONGEST_WAIT = 30_000; // … up to this

export class Insistence {
  /** What ends the waits. @type {Set<() => void>} */
  #pauses = new Set();

  /**
   * Try until it succeeds; resolves to nothing if it can't.
   *
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T | undefined>}
   */
  async insist(work) {
    for (let wait = FIRST_WAIT; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      try {
        return await work();
      } catch (fault) {
        if (!(fault instanceof DuologueError && fault.retryable)) return undefined;
      }
      await this.#pause(wait);
    }
  }

  /** The connection is there: whatever waits is tried now. */
  goOn() {
    for (const go of this.#pauses) go();
  }

  #pause(/** @type {number} */ wait) {
    return new Promise((/** @type {(_: void) => void} */ done) => {
      const go = () => {
        this.#pauses.delete(go);
        done();
      };
      this.#pauses.add(go);
      setTimeout(go, wait);
    });
  }
}
