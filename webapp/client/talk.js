// The chat that is open: its messages, each with what a reader needs to know around it. No element is made here.

import { t } from "./i18n.js";
import { nameOf } from "./people.js";

/** @typedef {import("./sdk.js").Chat} Chat */
/** @typedef {import("./sdk.js").Message} Message */
/** @typedef {import("./bubble.js").Surroundings} Surroundings */

export class Talk {
  model;
  chatId;
  history;
  /** The seq above which the line "New messages" is shown, until the user sends something; 0 for none. */
  firstUnread;

  /** @param {import("./model.js").Model} model @param {string} chatId */
  constructor(model, chatId) {
    this.model = model;
    this.chatId = chatId;
    this.history = model.history(chatId);
    const { unread, marks } = this.chat;
    this.firstUnread = unread ? marks.read + 1 : 0;
  }

  get chat() {
    return /** @type {Chat} */ (this.model.chats.get(this.chatId));
  }

  /** What waits to be sent. */
  get pending() {
    return this.model.pending(this.chatId);
  }

  /** @param {Message} message */
  isMine(message) {
    return message.sender_id !== this.chat.peer.id;
  }

  /** What a message's author is called. @param {Message} message */
  authorOf(message) {
    return this.isMine(message) ? t("you") : nameOf(this.chat.peer);
  }

  /** Everything up to here has been seen. @param {number} seq */
  read(seq) {
    if (seq > this.chat.marks.read) this.model.read(this.chatId, seq);
  }

  /** @param {Message} message @returns {Surroundings} */
  around(message) {
    return {
      previous: this.#shownAbove(message.seq),
      mine: this.isMine(message),
      author: this.authorOf(message),
      status: this.model.status(message),
      total: this.history.total,
      firstUnread: message.seq === this.firstUnread,
      quoted: this.#quoted(message.reply_to),
    };
  }

  /** What a message's looks depend on: they are drawn again if it has changed. @param {Message} message */
  signature(message) {
    const { previous, quoted, status, mine, firstUnread } = this.around(message);
    return [
      message.sent_at, // another message has this seq if the server went back to an older state
      previous?.sent_at,
      quoted?.text,
      mine && status,
      firstUnread,
      message.edited_at,
      message.deleted_at,
      JSON.stringify(message.reactions),
    ].join();
  }

  /** The message that is shown above a seq, if it is loaded. @param {number} seq */
  #shownAbove(seq) {
    let above = this.history.get(seq - 1);
    while (above?.withheld) above = this.history.get(above.seq - 1);
    return above;
  }

  /** The message that another one answers, if it is loaded; else have it fetched. @param {number | null} seq */
  #quoted(seq) {
    if (!seq) return null;
    const quoted = this.history.get(seq);
    if (!quoted) {
      this.history.need(seq, seq);
      return null;
    }
    return { author: this.authorOf(quoted), text: quoted.deleted_at ? t("deleted_message") : quoted.text };
  }
}
