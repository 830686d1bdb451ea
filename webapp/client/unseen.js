// One's own messages that never reach the peer, such as those to somebody who lets nobody write. A delivered mark may
// pass them; the server goes on to say `sent` of them.

/** @typedef {import("./sdk.js").Message} Message */

export class Unseen {
  /** @type {Set<string>} */
  #ids = new Set();
  #fetch;
  #delivered;

  /**
   * @param {(chatId: string, after: number, limit: number) => Promise<{ items: Message[] } | undefined>} fetch
   * @param {(chatId: string) => number} delivered the peer's delivered mark of a chat, as far as it is known
   */
  constructor(fetch, delivered) {
    this.#fetch = fetch;
    this.#delivered = delivered;
  }

  /** @param {string} id */
  has(id) {
    return this.#ids.has(id);
  }

  /** Forget them all. */
  clear() {
    this.#ids.clear();
  }

  /**
   * Fetch a page of a chat and note which of its messages the peer never gets. What a mark has passed since the page
   * was asked for is asked for again: that answer may be older than the mark.
   *
   * @param {string} chatId @param {number} after @param {number} limit
   */
  async page(chatId, after, limit) {
    for (;;) {
      const delivered = this.#delivered(chatId);
      const items = (await this.#fetch(chatId, after, limit))?.items;
      const waiting = (items ?? []).filter(({ status }) => status === "sent");
      for (const { id, seq } of waiting) if (seq <= delivered) this.#ids.add(id);
      if (!waiting.some(({ seq }) => seq > delivered && seq <= this.#delivered(chatId))) return items;
    }
  }
}
