// Who is online and who is typing, as the server has told on the present connection.

const TYPING_FADES = 6000; // milliseconds

export class Presence {
  /** By user. @type {Map<string, { online: boolean, last_seen_at: string | null }>} */
  seen = new Map();
  /** Who is typing, by chat. @type {Map<string, ReturnType<typeof setTimeout>>} */
  typing = new Map();
  #changed;

  /** @param {() => void} changed */
  constructor(changed) {
    this.#changed = changed;
  }

  /** @param {import("./sdk.js").Events["presence"]} presence */
  see({ user_id, online, last_seen_at }) {
    this.seen.set(user_id, { online, last_seen_at });
    this.#changed();
  }

  /** A peer types, for some seconds unless that is told again; or no longer does.
   * @param {string} chatId @param {boolean} active */
  type(chatId, active) {
    clearTimeout(this.typing.get(chatId));
    this.typing.delete(chatId);
    const fade = () => this.type(chatId, false);
    if (active) this.typing.set(chatId, setTimeout(fade, TYPING_FADES));
    this.#changed();
  }

  /** The connection is gone: nobody is seen. */
  forget() {
    this.seen.clear();
    for (const chatId of this.typing.keys()) this.type(chatId, false);
    this.#changed();
  }
}
