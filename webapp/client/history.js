// The messages of one chat, as far as they are loaded. Their seqs have no holes: any place in a chat can be named, and
// fetched, without what lies before it.

/** @typedef {import("./sdk.js").Message} Message */

const BLOCK = 100; // messages fetched at a time
const KEPT = 40; // blocks in memory

export class History {
  /** The seq of the newest message. */
  total;

  /** @type {Map<number, Message>} */
  #messages = new Map();
  /** The blocks in memory, in the order in which they were last needed. @type {Set<number>} */
  #used = new Set();
  /** @type {Set<number>} */
  #loading = new Set();
  /** How often all was forgotten. Answers to requests from before the last time are dropped. */
  #age = 0;
  #fetch;
  #changed;

  /**
   * @param {number} total
   * @param {(after: number, limit: number) => Promise<Message[] | undefined>} fetch
   * @param {() => void} changed
   */
  constructor(total, fetch, changed) {
    this.total = total;
    this.#fetch = fetch;
    this.#changed = changed;
  }

  /** @param {number} seq */
  get(seq) {
    return this.#messages.get(seq);
  }

  /** The messages from a seq to the end, if all of them are here. @param {number} seq */
  from(seq) {
    const found = [];
    for (let at = seq; at <= this.total; at += 1) {
      const message = this.#messages.get(at);
      if (!message) return null;
      found.push(message);
    }
    return found;
  }

  /** The number of a person's messages from a seq on, if all are here. @param {number} seq @param {string} senderId */
  unread(seq, senderId) {
    return this.from(seq)?.filter((message) => message.sender_id === senderId && !message.withheld).length;
  }

  /** @param {Message[]} messages */
  add(...messages) {
    for (const message of messages) {
      this.#messages.set(message.seq, message);
      this.total = Math.max(this.total, message.seq);
    }
  }

  /** Have these messages fetched, as far as they aren't here. @param {number} first @param {number} last */
  need(first, last) {
    for (let seq = Math.max(1, first); seq <= Math.min(last, this.total); seq = (blockOf(seq) + 1) * BLOCK + 1) {
      const block = blockOf(seq);
      this.#used.delete(block);
      this.#used.add(block);
      if (!this.#isComplete(block) && !this.#loading.has(block)) this.#load(block);
    }
  }

  /** Drop all messages, which may have changed meanwhile; those needed again are fetched again. */
  forget() {
    this.#messages.clear();
    this.#used.clear();
    this.#age += 1;
  }

  #isComplete(/** @type {number} */ block) {
    const end = Math.min((block + 1) * BLOCK, this.total);
    for (let seq = block * BLOCK + 1; seq <= end; seq += 1) if (!this.#messages.has(seq)) return false;
    return true;
  }

  async #load(/** @type {number} */ block) {
    this.#loading.add(block);
    const age = this.#age;
    const messages = await this.#fetch(block * BLOCK, BLOCK);
    if (!messages) return; // the server refused it: the block stays in #loading, so it isn't asked for again
    this.#loading.delete(block);
    if (age === this.#age) this.add(...messages);
    this.#evict();
    this.#changed();
  }

  #evict() {
    for (const block of this.#used) {
      if (this.#used.size <= KEPT) return;
      this.#used.delete(block);
      for (let seq = block * BLOCK + 1; seq <= (block + 1) * BLOCK; seq += 1) this.#messages.delete(seq);
    }
  }
}

const blockOf = (/** @type {number} */ seq) => Math.floor((seq - 1) / BLOCK);
