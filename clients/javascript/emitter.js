/** Tells listeners what happens. A listener that throws doesn't keep the others from hearing. */
export class Emitter {
  /** @type {Map<string, Set<Function>>} */
  #listeners = new Map();

  /**
   * @param {string} name
   * @param {Function} listener
   * @returns {() => void} ends it
   */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** @param {string} name @param {unknown} [detail] */
  emit(name, detail) {
    for (const outcome of this.#call(name, detail)) outcome.catch(report);
  }

  /**
   * Tell listeners, and wait for those that take their time. Rejects as the first of them that does.
   *
   * @param {string} name
   * @param {unknown} [detail]
   */
  async ask(name, detail) {
    await Promise.all(this.#call(name, detail));
  }

  #call(/** @type {string} */ name, /** @type {unknown} */ detail) {
    return [...(this.#listeners.get(name) ?? [])].map(async (listener) => listener(detail));
  }
}

/** Throw an error as an uncaught one, in a task of its own, so that the caller goes on. */
export function report(/** @type {unknown} */ fault) {
  setTimeout(() => {
    throw fault;
  });
}
