// The position of this device in its user's log, what it has acknowledged, and whether the app must fetch anew.

import { report } from "./emitter.js";
import { DuologueError } from "./errors.js";

const ACK_WITHIN = 100; // milliseconds: one ack for all that comes meanwhile
const FIRST_WAIT = 1000; // milliseconds until the app is asked again to fetch; it doubles …
const LONGEST_WAIT = 30_000; // … up to this

/** @typedef {{ after?: number | undefined, at?: string | undefined }} Position */

export class Progress {
  /** The seq and the time of the last event that listeners were told of, if there was one. @type {Position} */
  position = {};

  #acked = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #ackTimer;
  #wanted = false;
  #fetching = false;
  /** Whether what the app has may be wrong, and not only old. */
  #changed = false;
  #say;
  #fetch;
  #isOver;

  /**
   * @param {(frame: object) => boolean} say sends a frame, if it can
   * @param {(detail: { changed: boolean }) => Promise<void>} fetch has the app fetch what it shows
   * @param {() => boolean} isOver tells whether nobody is signed in any more
   */
  constructor(say, fetch, isOver) {
    this.#say = say;
    this.#fetch = fetch;
    this.#isOver = isOver;
  }

  /** The log can't be followed from here: begin anew from its end. @param {boolean} changed it is another log now */
  lose(changed) {
    this.position = {};
    this.#changed ||= changed;
  }

  /** A connection stands. @param {{ latest: number, latest_at?: string }} ready */
  ready({ latest, latest_at }) {
    this.#acked = 0;
    if (this.position.after !== undefined) return;
    this.position = { after: latest, at: latest_at };
    this.#resync();
  }

  /** Listeners are being told of an event. @param {{ seq: number, at: string }} event */
  applied({ seq, at }) {
    this.position = { after: seq, at };
    this.ackSoon();
  }

  ackSoon() {
    this.#ackTimer ??= setTimeout(() => {
      this.#ackTimer = undefined;
      const { after: seq = 0, at } = this.position;
      if (this.#fetching || seq <= this.#acked) return;
      if (this.#say({ op: "ack", seq, at })) this.#acked = seq;
    }, ACK_WITHIN);
  }

  /** Have the app fetch what it shows, again until it succeeds; nothing is acknowledged before. */
  async #resync() {
    this.#wanted = true;
    if (this.#fetching) return;
    this.#fetching = true;
    for (let wait = FIRST_WAIT; this.#wanted && !this.#isOver(); wait = Math.min(2 * wait, LONGEST_WAIT)) {
      this.#wanted = false;
      const changed = this.#changed;
      this.#changed = false;
      try {
        await this.#fetch({ changed });
      } catch (fault) {
        this.#changed ||= changed;
        this.#wanted = fault instanceof DuologueError && fault.retryable;
        if (!this.#wanted) report(fault);
        else await new Promise((done) => setTimeout(done, Math.random() * wait));
      }
    }
    this.#fetching = false;
    this.ackSoon();
  }
}
