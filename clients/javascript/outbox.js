// Messages on their way. Each is stored before it is sent, and sent until it is answered; the server knows it by its
// `client_id`, so that it is there exactly once however often it was sent.

import { errorIn } from "./errors.js";

/** @typedef {import("./duologue.d.ts").OutboxEntry} OutboxEntry */
/** @typedef {import("./duologue.d.ts").Draft} Draft */
/** @typedef {import("./duologue.d.ts").Message} Message */
/** @typedef {import("./duologue.d.ts").Store} Store */
/** @typedef {{ resolve: (message: Message) => void, reject: (fault: unknown) => void }} Waiter */

const SHORTEST_WAIT = 1; // second
const LATEST = 2 ** 47; // milliseconds: half of what fits into a UUIDv7

export class Outbox {
  /** In the order in which they were written. @type {Map<string, OutboxEntry>} */
  #entries = new Map();
  /** Where a message is in flight: the next one waits, so that their order is kept. @type {Map<string, string>} */
  #busy = new Map();
  /** @type {Map<string, Waiter>} */
  #waiters = new Map();
  /** Ids removed while the store was being read: the result may still contain them. @type {Set<string>} */
  #removed = new Set();
  #reading = 0;
  /** The author's part of the store: two windows may belong to two users. */
  #prefix = "";
  #store;
  #say;
  #tell;

  /**
   * @param {Store} store
   * @param {(frame: object) => boolean} say sends a frame, if it can
   * @param {(change: import("./duologue.d.ts").OutboxChange) => void} tell
   */
  constructor(store, say, tell) {
    this.#store = store;
    this.#say = say;
    this.#tell = tell;
  }

  /** All that isn't sent yet, oldest first. */
  get entries() {
    return [...this.#entries.values()];
  }

  /** Take up what a user has left here to be sent. @param {string} userId */
  async open(userId) {
    this.#prefix = `outbox/${userId}/`;
    await this.#load();
  }

  /** Add what was stored before a reload, or by another window. */
  async #load() {
    this.#reading += 1;
    const stored = /** @type {OutboxEntry[]} */ (await this.#store.list(this.#prefix));
    stored.sort((one, other) => (one.client_id < other.client_id ? -1 : 1));
    if (stored.length) startAfter(stored[stored.length - 1].client_id);
    for (const entry of stored)
      if (!this.#entries.has(entry.client_id) && !this.#removed.has(entry.client_id)) this.#put(entry);
    this.#reading -= 1;
    if (!this.#reading) this.#removed.clear();
  }

  /**
   * Store a message and send it as soon as that can be done.
   *
   * @param {Draft} draft
   * @returns {Promise<{ entry: OutboxEntry, sent: Promise<Message> }>} resolves once it is stored
   */
  async add({ chat_id, to, text, reply_to }) {
    const entry = /** @type {OutboxEntry} */ ({
      client_id: newClientId(),
      ...(chat_id ? { chat_id } : { to }),
      text,
      ...(reply_to ? { reply_to } : {}),
      queued_at: new Date().toISOString(),
      error: null,
    });
    await this.#store.set(this.#prefix + entry.client_id, entry);
    const sent = new Promise((resolve, reject) => this.#waiters.set(entry.client_id, { resolve, reject }));
    sent.catch(() => {}); // a refusal that nobody awaits is no uncaught error: the entry's `error` tells it
    this.#put(entry);
    this.flush();
    return { entry, sent };
  }

  /** Send what can be sent now: the first of each chat. */
  flush() {
    for (const entry of this.#entries.values()) {
      const lane = laneOf(entry);
      if (entry.error || this.#busy.has(lane)) continue;
      const { client_id, chat_id, to, text, reply_to } = entry;
      if (!this.#say({ op: "send", ref: client_id, client_id, chat_id, to, text, reply_to })) return;
      this.#busy.set(lane, client_id);
    }
  }

  /** A new connection: whatever was in flight was perhaps not heard, so it is sent again. */
  async resume() {
    this.#busy.clear();
    await this.#load();
    this.flush();
  }

  /** The server has it: a `sent` frame says so, or the log, or a page of messages. */
  settle(/** @type {Message} */ message) {
    const entry = this.#entries.get(message.client_id);
    if (!entry) return;
    this.#remove(entry);
    this.#tell({ entry, message });
    this.#waiters.get(entry.client_id)?.resolve(message);
    this.#waiters.delete(entry.client_id);
    this.flush();
  }

  /** The server didn't take it: not now, or not at all. */
  refuse(/** @type {any} */ frame) {
    const entry = this.#entries.get(frame.client_id ?? frame.ref);
    if (!entry || entry.error) return;
    const error = errorIn(frame);
    if (error.retryable) {
      setTimeout(() => this.#release(entry), 1000 * Math.max(error.retryAfter ?? 0, SHORTEST_WAIT));
      return;
    }
    const failed = { ...entry, error: { code: error.code, detail: error.message, errors: error.errors } };
    this.#put(failed);
    this.#store.set(this.#prefix + entry.client_id, failed);
    this.#waiters.get(entry.client_id)?.reject(error);
    this.#waiters.delete(entry.client_id);
    this.#release(entry);
  }

  /** Try a refused message again, with a new `client_id`: the server may know another message by the old one. */
  async retry(/** @type {string} */ clientId) {
    const entry = this.#entries.get(clientId);
    if (!entry?.error) return undefined;
    await this.discard(clientId);
    return this.add(entry);
  }

  /** Forget a message. One that is in flight may arrive all the same. */
  async discard(/** @type {string} */ clientId) {
    const entry = this.#entries.get(clientId);
    if (!entry) return;
    await this.#remove(entry);
    this.#tell({ entry, discarded: true });
    this.flush();
  }

  /** Forget everything, with whoever has signed out. */
  clear() {
    this.#entries.clear();
    this.#busy.clear();
    this.#waiters.clear();
  }

  #put(/** @type {OutboxEntry} */ entry) {
    this.#entries.set(entry.client_id, entry);
    this.#tell({ entry });
  }

  #remove(/** @type {OutboxEntry} */ entry) {
    this.#entries.delete(entry.client_id);
    if (this.#reading) this.#removed.add(entry.client_id);
    if (this.#busy.get(laneOf(entry)) === entry.client_id) this.#busy.delete(laneOf(entry));
    return this.#store.delete(this.#prefix + entry.client_id);
  }

  #release(/** @type {OutboxEntry} */ entry) {
    if (this.#busy.get(laneOf(entry)) === entry.client_id) this.#busy.delete(laneOf(entry));
    this.flush();
  }
}

const laneOf = (/** @type {OutboxEntry} */ entry) => entry.chat_id ?? entry.to ?? "";

let [lastTime, counter] = [0, 0];

/**
 * Make ids from now on greater than this one, whatever the device's clock says: it may have been set back since.
 *
 * @param {string} clientId
 */
function startAfter(clientId) {
  const digits = clientId.replaceAll("-", "");
  const [time, step] = [parseInt(digits.slice(0, 12), 16), parseInt(digits.slice(13, 16), 16)];
  if (digits[12] !== "7" || !(time < LATEST)) return;
  if (time > lastTime || (time === lastTime && step > counter)) [lastTime, counter] = [time, step];
}

/** Make a UUIDv7 (RFC 9562), greater than the one before: it is the key in the store, which lists in order. */
export function newClientId() {
  const now = Math.max(Date.now(), lastTime);
  counter = now === lastTime ? counter + 1 : 0;
  lastTime = counter > 0xfff ? now + 1 : now;
  counter &= 0xfff;
  const random = crypto.getRandomValues(new Uint8Array(8));
  random[0] = (random[0] & 0x3f) | 0x80;
  const [time, step] = [lastTime.toString(16).padStart(12, "0"), counter.toString(16).padStart(3, "0")];
  const tail = Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${step}-${tail.slice(0, 4)}-${tail.slice(4)}`;
}
