// What was shown last on this device, for when there is no network.

/** @typedef {import("./sdk.js").Chat} Chat */
/** @typedef {import("./sdk.js").Message} Message */

const CHATS = 100; // that are kept
const MESSAGES = 60; // that are kept of each chat

export class Cache {
  #store;
  #prefix;

  /** @param {import("./sdk.js").Store} store @param {string | undefined} userId */
  constructor(store, userId) {
    this.#store = store;
    this.#prefix = `cache/${userId}/`;
  }

  /** @returns {Promise<Chat[]>} */
  async chats() {
    return (await this.#store.get(`${this.#prefix}chats`)) ?? [];
  }

  /** @param {Chat[]} chats the ones to be shown first come first */
  keepChats(chats) {
    return this.#store.set(`${this.#prefix}chats`, chats.slice(0, CHATS));
  }

  /** @param {string} chatId @returns {Promise<Message[]>} */
  async messages(chatId) {
    return (await this.#store.get(`${this.#prefix}tail/${chatId}`)) ?? [];
  }

  /** @param {string} chatId @param {import("./history.js").History} history */
  async keepMessages(chatId, history) {
    const messages = history.from(Math.max(1, history.total - MESSAGES + 1));
    if (messages?.length) await this.#store.set(`${this.#prefix}tail/${chatId}`, messages);
  }

  /** Forget the messages of all chats. */
  dropMessages() {
    return this.#store.clear(`${this.#prefix}tail/`);
  }
}
