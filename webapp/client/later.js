// Work that may be done a moment later: once, however often it is asked for until then.

const SOON = 300; // milliseconds

export class Later {
  /** The timers of work that is due, by the key of the work. @type {Map<string, ReturnType<typeof setTimeout>>} */
  #due = new Map();

  /** Do this work soon, unless work with that key is due already.
   * @param {string} key @param {() => unknown} work @param {number} [wait] in milliseconds */
  soon(key, work, wait = SOON) {
    if (this.#due.has(key)) return;
    const run = () => {
      this.#due.delete(key);
      work();
    };
    this.#due.set(key, setTimeout(run, wait));
  }
}
