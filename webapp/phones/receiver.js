// What a handset receives, as it comes: by long polls while it may hold a connection, else by looking each second.

import { inbox } from "./api.js";

/** @typedef {import("./api.js").Sms} Sms */
/**
 * @typedef {object} Owner
 * @property {string} phone
 * @property {() => boolean} isLive whether it may hold a connection now
 * @property {() => Promise<void>} connected before the first look, and before the first after a failure
 * @property {(sms: Sms) => void} arrived
 * @property {() => void} looked after each look
 * @property {(text: string, wrong?: boolean) => void} say
 */

const LONG_POLL = 20; // seconds
const LOOK_AGAIN = 900 * LONG_POLL; // milliseconds until the whole inbox is read again, in case nothing came
const SHORT_POLL = 1000; // milliseconds
const PAUSES = [500, 1000, 2000, 5000]; // milliseconds after each failure; the last one for all that follow

export class Receiver {
  #owner;
  #signal;
  /** What was shown. Ids start again at 1 with the server, so each has its time beside it. @type {Set<string>} */
  #shown = new Set();
  #after = 0;
  /** Whether the whole inbox is to be read, and not only what is new. */
  #whole = true;
  /** When the whole inbox was read last, in epoch milliseconds. */
  #lookedAt = 0;
  #failures = 0;

  /** @param {Owner} owner @param {AbortSignal} signal ends it */
  constructor(owner, signal) {
    this.#owner = owner;
    this.#signal = signal;
  }

  async receive() {
    while (!this.#signal.aborted) {
      try {
        await this.#look();
      } catch (fault) {
        if (this.#signal.aborted) return;
        await this.#failed(/** @type {Error} */ (fault));
      }
    }
  }

  async #look() {
    const isLive = this.#owner.isLive();
    if (this.#failures || !this.#lookedAt) await this.#owner.connected();
    const [after, wait] = [this.#whole ? 0 : this.#after, this.#whole || !isLive ? 0 : LONG_POLL];
    const items = await inbox(this.#owner.phone, after, wait, this.#signal);
    if (this.#failures) this.#owner.say("Connected again.");
    this.#failures = 0;
    this.#take(items);
    if (!isLive && !items.length) await sleep(SHORT_POLL);
  }

  /** @param {Sms[]} items */
  #take(items) {
    for (const sms of items) if (!this.#shown.has(key(sms))) this.#owner.arrived(sms);
    this.#shown = new Set([...(this.#whole ? [] : this.#shown), ...items.map(key)]);
    if (this.#whole) this.#lookedAt = Date.now();
    this.#owner.looked();
    if (items.length || this.#whole) this.#after = items.at(-1)?.id ?? 0;
    this.#whole = !items.length && Date.now() - this.#lookedAt > LOOK_AGAIN;
  }

  /** @param {Error} fault */
  async #failed(fault) {
    if (!this.#failures) this.#owner.say(`Connection lost: ${fault.message}. Trying again …`, true);
    this.#whole = true;
    const pause = PAUSES[Math.min(this.#failures, PAUSES.length - 1)];
    this.#failures += 1;
    await sleep(pause);
  }
}

const key = (/** @type {Sms} */ sms) => `${sms.id} ${sms.received_at}`;

const sleep = (/** @type {number} */ time) => new Promise((done) => setTimeout(done, time));
