// Tell the peer that somebody types, again every few seconds, and that they have stopped.

const TELL_AGAIN = 3000; // milliseconds
const STOPPED = 5000; // milliseconds without a key

export class TypingNotice {
  #tell;
  /** When the peer was told last, 0 if they think that nobody types. */
  #toldAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #stopping;

  /** @param {(active: boolean) => void} tell */
  constructor(tell) {
    this.#tell = tell;
  }

  /** A key was pressed. */
  typed() {
    clearTimeout(this.#stopping);
    this.#stopping = setTimeout(() => this.stop(), STOPPED);
    if (this.#toldAt && performance.now() - this.#toldAt < TELL_AGAIN) return;
    this.#toldAt = performance.now();
    this.#tell(true);
  }

  /** It was sent, or given up. */
  stop() {
    clearTimeout(this.#stopping);
    if (this.#toldAt) this.#tell(false);
    this.#toldAt = 0;
  }
}
