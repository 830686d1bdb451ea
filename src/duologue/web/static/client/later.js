// Work for which a moment's delay doesn't matter: done once for all who ask for it meanwhile.

const SOON = 300; // milliseconds

export class Later {
  /** What is due, by what it does. @type {Map<string, ReturnType<typeof setTimeout>>} */
  #due = new Map();

  /** Do this soon, unless it is due already. @param {string} key @param {() => unknown} work @param {number} [wait] */
  soon(key, work, wait = SOON) {
    if (this.#due.has(key)) return;
    const run = () => {
      this.#due.delete(key);
      work();
    };
    this.#due.set(key, setTimeout(run, wait));
  }
}
