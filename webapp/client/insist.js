// Try requests again. The connection may outlive a moment without a network, so waiting for a new one isn't enough.

import { DuologueError } from "./sdk.js";

const FIRST_WAIT = 300; // milliseconds; it doubles …
const LONGEST_WAIT = 30_000; // … up to this

export class Insistence {
  /** Functions that end a wait early. @type {Set<() => void>} */
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

  /** The connection is there: try at once whatever waits. */
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
