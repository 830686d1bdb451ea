// What the client knows, and how the log changes it. No element is touched here: who shows something listens.
//
// Events: `chats`, `messages` (of one chat: `detail` is its id), `people` (presence, typing), `me`, `connection`,
// `sessions`, `incoming` (a peer's new message: `detail` has it and its chat).

import { DuologueError } from "../sdk/duologue.js";
import { History } from "./history.js";
import { Unseen } from "./unseen.js";

/** @typedef {import("../sdk/duologue.d.ts").Chat} Chat */
/** @typedef {import("../sdk/duologue.d.ts").Message} Message */
/** @typedef {import("../sdk/duologue.d.ts").Receipt} Receipt */

const CHATS_PAGE = 100;
const MOST_CHATS = 2000;
const KEPT_CHATS = 100; // on this device, for when there is no network
const KEPT_MESSAGES = 60;
const CHECKED = 100; // messages, at most, that are asked for when a mark has passed them
const TYPING_FADES = 6000; // milliseconds
const SOON = 300;
const LONGEST_WAIT = 30_000; // until what could not be fetched is asked for again

export class Model extends EventTarget {
  /** @type {Map<string, Chat>} */
  chats = new Map();
  /** @type {Map<string, { online: boolean, last_seen_at: string | null }>} */
  presence = new Map();
  /** Who is typing, by chat. @type {Map<string, ReturnType<typeof setTimeout>>} */
  typing = new Map();
  /** Whether the chats have been listed since the page was opened. */
  listed = false;

  /** @type {Map<string, History>} */
  #histories = new Map();
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #later = new Map();
  /** What has been read here and isn't known to be on the server, by chat. @type {Map<string, number>} */
  #unsaid = new Map();
  /** The last seq before the peer answered for the first time, by chat. @type {Map<string, number>} */
  #beforeAnswer = new Map();
  /** What ends the waits to try something again. @type {Set<() => void>} */
  #pauses = new Set();
  /** Chats that events have told of since listing them began: what the list says of them may be older. */
  #told = new Set();
  #duologue;
  #store;
  #kept;
  #unseen;

  /** @param {import("../sdk/duologue.d.ts").Duologue} duologue @param {import("../sdk/duologue.d.ts").Store} store */
  constructor(duologue, store) {
    super();
    this.#duologue = duologue;
    this.#store = store;
    this.#kept = `cache/${duologue.user?.id}/`;
    this.#unseen = new Unseen(
      (chatId, after, limit) => this.#insist(() => duologue.messages(chatId, { after, limit })),
      (chatId) => this.chats.get(chatId)?.marks.peer_delivered ?? 0,
    );
    duologue.on("resync", () => this.#list());
    duologue.on("message.created", (message) => this.#arrived(message));
    duologue.on("message.updated", (message) => this.#changed(message));
    duologue.on("receipt.updated", (receipt) => this.#marked(receipt));
    duologue.on("chat.updated", (chat) => {
      this.#told.add(chat.id);
      this.#put(chat);
    });
    duologue.on("user.updated", (profile) => this.#renamed(profile));
    duologue.on("session.created", () => this.#tell("sessions"));
    duologue.on("session.ended", () => this.#tell("sessions"));
    duologue.on("typing", ({ chat_id, active }) => this.#typed(chat_id, active));
    duologue.on("presence", ({ user_id, online, last_seen_at }) => {
      this.presence.set(user_id, { online, last_seen_at });
      this.#tell("people");
    });
    duologue.on("outbox", ({ entry, message }) => {
      if (message) this.#arrived(message);
      if (entry.chat_id) this.#tell("messages", entry.chat_id);
      this.#tell("chats");
    });
    duologue.on("state", (state) => {
      if (state === "live") this.#goOn();
      else this.#nobodyIsSeen();
      this.#tell("connection");
    });
  }

  /** What was shown last on this device. */
  async restore() {
    for (const chat of (await this.#store.get(`${this.#kept}chats`)) ?? []) this.chats.set(chat.id, chat);
    this.#tell("chats");
  }

  /** Pinned first, then the newest. */
  get sorted() {
    const waiting = new Map(this.#duologue.outbox.map(({ chat_id, queued_at }) => [chat_id, queued_at]));
    const activity = (/** @type {Chat} */ { id, updated_at }) => Date.parse(waiting.get(id) ?? updated_at);
    return [...this.chats.values()].sort(
      (one, other) => Number(other.pinned) - Number(one.pinned) || activity(other) - activity(one),
    );
  }

  /** How many messages wait to be read in chats that are neither muted nor requests. */
  get unread() {
    return [...this.chats.values()].reduce(
      (sum, chat) => sum + (isMuted(chat) || chat.archived || chat.request ? 0 : chat.unread),
      0,
    );
  }

  /** What waits to be sent to a chat. @param {string} chatId */
  pending(chatId) {
    return this.#duologue.outbox.filter((entry) => entry.chat_id === chatId);
  }

  /** @param {string} chatId @returns {History} */
  history(chatId) {
    const known = this.#histories.get(chatId);
    if (known) return known;
    const history = new History(
      this.chats.get(chatId)?.last_seq ?? 0,
      (after, limit) => this.#unseen.page(chatId, after, limit),
      () => this.#tell("messages", chatId),
    );
    this.#histories.set(chatId, history);
    this.#store.get(`${this.#kept}tail/${chatId}`).then((/** @type {Message[] | undefined} */ tail) => {
      // Once the chats are listed the server can be asked, and what is kept here may be older.
      if (!this.listed) history.add(...(tail ?? []).filter(({ seq }) => !history.get(seq)));
      this.#tell("messages", chatId);
    });
    return history;
  }

  /** `sent`, `delivered` or `read`: what is known of a message of one's own. @param {Message} message */
  status(message) {
    if (this.#unseen.has(message.id)) return "sent";
    const marks = this.chats.get(message.chat_id)?.marks;
    if (message.status === "read" || message.seq <= (marks?.peer_read ?? 0)) return "read";
    if (message.status === "delivered" || message.seq <= (marks?.peer_delivered ?? 0)) return "delivered";
    return "sent";
  }

  /** Everything up to here has been seen. @param {string} chatId @param {number} seq */
  read(chatId, seq) {
    const chat = this.chats.get(chatId);
    if (!chat || seq <= chat.marks.read) return;
    this.#raise(chat, { delivered: seq, read: seq });
    this.#unsaid.set(chatId, seq);
    this.#soon(`read ${chatId}`, () => this.#sayRead(chatId));
  }

  /** Open the chat with a number. @param {string} phone */
  async open(phone) {
    const chat = await this.#duologue.openChat(phone);
    this.#put(chat);
    return chat;
  }

  /** Mute, archive or pin. @param {string} chatId @param {import("../sdk/duologue.d.ts").ChatChanges} changes */
  async update(chatId, changes) {
    this.#put(await this.#duologue.updateChat(chatId, changes));
  }

  /** Accept a stranger's chat. @param {string} chatId */
  async accept(chatId) {
    await this.#duologue.accept(chatId);
    await this.#refresh(chatId);
  }

  async #list() {
    for (const history of this.#histories.values()) history.forget();
    this.#told.clear();
    /** @type {string | null} */
    let cursor = null;
    const before = [...this.chats.keys()];
    const found = new Set();
    do {
      const page = await this.#duologue.chats({ limit: CHATS_PAGE, cursor, folder: "all" });
      for (const chat of page.items) {
        found.add(chat.id);
        if (!this.#told.has(chat.id)) this.#put(chat);
      }
      cursor = page.next;
    } while (cursor && found.size < MOST_CHATS);
    const gone = cursor ? [] : before.filter((id) => !found.has(id) && !this.#told.has(id));
    for (const id of gone) this.chats.delete(id);
    this.listed = true;
    for (const id of this.#histories.keys()) this.#tell("messages", id);
    this.#tell("chats");
  }

  /** Take a chat as the server tells it; what events have told since stands. @param {Chat} chat */
  #put(chat) {
    this.#said(chat.id, chat.marks.read);
    const known = this.chats.get(chat.id);
    if (known && known.last_seq > chat.last_seq) {
      const { last_seq, last_message, unread, updated_at } = known;
      chat = { ...chat, last_seq, last_message, unread, updated_at };
    }
    this.chats.set(chat.id, chat);
    if (known) {
      const before = known.marks.peer_delivered;
      if (chat.marks.peer_delivered > before) this.#check(chat.id, before, chat.marks.peer_delivered);
      this.#raise(chat, known.marks);
      this.#raisePeer(chat, known.marks.peer_delivered, known.marks.peer_read);
    }
    const history = this.#histories.get(chat.id);
    if (history) history.total = Math.max(history.total, chat.last_seq);
    this.#tell("messages", chat.id);
    this.#tell("chats");
  }

  #arrived(/** @type {Message} */ message) {
    const chat = this.chats.get(message.chat_id);
    if (!chat) {
      this.#soon(`chat ${message.chat_id}`, () => this.#refresh(message.chat_id), 0);
      return;
    }
    this.#histories.get(chat.id)?.add(message);
    if (message.seq > chat.last_seq) {
      const theirs = message.sender_id === chat.peer.id;
      Object.assign(chat, { last_seq: message.seq, last_message: message, updated_at: message.sent_at });
      if (theirs && message.seq > chat.marks.read) chat.unread += 1;
      if (theirs) {
        this.#typed(chat.id, false);
        if (!chat.request) this.#tell("incoming", { chat, message });
      }
    }
    this.#tell("messages", chat.id);
    this.#tell("chats");
  }

  #changed(/** @type {Message} */ message) {
    const chat = this.chats.get(message.chat_id);
    if (chat?.last_message?.seq === message.seq) chat.last_message = message;
    const history = this.#histories.get(message.chat_id);
    if (history?.get(message.seq)) history.add(message);
    this.#tell("messages", message.chat_id);
    this.#tell("chats");
  }

  /** Ask whether the peer got what a mark has passed. @param {string} id @param {number} before @param {number} last */
  async #check(id, before, last) {
    if (!this.#histories.has(id)) return;
    const after = Math.max(before, last - CHECKED);
    this.#histories.get(id)?.add(...((await this.#unseen.page(id, after, last - after)) ?? []));
    this.#tell("messages", id);
  }

  #marked(/** @type {Receipt} */ { chat_id, user_id, delivered, read }) {
    const chat = this.chats.get(chat_id);
    if (!chat) return;
    if (user_id === chat.peer.id) {
      const before = chat.marks.peer_delivered;
      this.#raisePeer(chat, delivered, read);
      // Only what was sent before the peer's first answer may be kept from the peer.
      const last = chat.peer.registered ? Math.min(delivered, this.#beforeAnswer.get(chat_id) ?? 0) : delivered;
      if (last > before) this.#check(chat_id, before, last);
    } else {
      this.#said(chat_id, read);
      this.#raise(chat, { delivered, read });
    }
    this.#tell("messages", chat_id);
  }

  #raisePeer(/** @type {Chat} */ { marks }, /** @type {number} */ delivered, /** @type {number} */ read) {
    marks.peer_delivered = Math.max(marks.peer_delivered, delivered);
    marks.peer_read = Math.max(marks.peer_read, read);
    this.#tell("chats");
  }

  /** @param {Chat} chat @param {{ delivered: number, read: number }} marks */
  #raise(chat, { delivered, read }) {
    chat.marks.delivered = Math.max(chat.marks.delivered, delivered);
    if (read <= chat.marks.read) return;
    chat.marks.read = read;
    const unread = read < chat.last_seq ? this.#histories.get(chat.id)?.unread(read + 1, chat.peer.id) : 0;
    if (typeof unread === "number") chat.unread = unread;
    else this.#soon(`chat ${chat.id}`, () => this.#refresh(chat.id));
    this.#tell("chats");
  }

  /** Until the server has it, it is said with each connection: a frame may be lost with the one it was sent on. */
  #sayRead(/** @type {string} */ chatId) {
    const seq = this.#unsaid.get(chatId);
    if (seq) this.#duologue.markRead(chatId, seq).catch(() => {});
  }

  #said(/** @type {string} */ chatId, /** @type {number} */ seq) {
    if ((this.#unsaid.get(chatId) ?? 0) <= seq) this.#unsaid.delete(chatId);
  }

  async #refresh(/** @type {string} */ chatId) {
    const chat = await this.#insist(() => this.#duologue.chat(chatId));
    if (!chat) return;
    const isNew = !this.chats.has(chatId);
    this.#put(chat);
    if (isNew && chat.last_message && chat.unread && !chat.request) {
      this.#tell("incoming", { chat, message: chat.last_message });
    }
  }

  #renamed(/** @type {import("../sdk/duologue.d.ts").Profile} */ profile) {
    const { user } = this.#duologue;
    if (user && profile.id === user.id) Object.assign(user, profile);
    for (const chat of this.chats.values()) {
      if (chat.peer.id !== profile.id) continue;
      this.#told.add(chat.id);
      if (profile.registered && !chat.peer.registered) this.#beforeAnswer.set(chat.id, chat.last_seq);
      chat.peer = profile;
    }
    for (const name of ["me", "chats", "people"]) this.#tell(name);
  }

  #typed(/** @type {string} */ chatId, /** @type {boolean} */ active) {
    clearTimeout(this.typing.get(chatId));
    this.typing.delete(chatId);
    if (active)
      this.typing.set(
        chatId,
        setTimeout(() => this.#typed(chatId, false), TYPING_FADES),
      );
    this.#tell("people");
  }

  /**
   * Try until it succeeds; resolves to nothing if it can't. A moment without a network needn't have cost the
   * connection, so that it isn't enough to try again with the next one.
   *
   * @template T
   * @param {() => Promise<T>} work
   */
  async #insist(work) {
    for (let wait = SOON; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      try {
        return await work();
      } catch (fault) {
        if (!(fault instanceof DuologueError && fault.retryable)) return undefined;
      }
      await this.#pause(wait);
    }
  }

  /** Some milliseconds, or less if the connection comes back meanwhile. */
  #pause(/** @type {number} */ wait) {
    return new Promise((/** @type {(_: void) => void} */ done) => {
      const go = () => {
        this.#pauses.delete(go);
        done();
      };
      this.#pauses.add(go);
      setTimeout(go, wait);
    });
  }

  #goOn() {
    for (const go of this.#pauses) go();
    for (const chatId of this.#unsaid.keys()) this.#sayRead(chatId);
  }

  #nobodyIsSeen() {
    this.presence.clear();
    for (const chatId of this.typing.keys()) this.#typed(chatId, false);
    this.#tell("people");
  }

  #tell(/** @type {string} */ name, /** @type {any} */ detail = undefined) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
    if (name === "chats") this.#soon("keep chats", () => this.#keepChats());
    if (name === "messages") this.#soon(`keep ${detail}`, () => this.#keepTail(detail));
  }

  #keepChats() {
    if (this.#duologue.user) this.#store.set(`${this.#kept}chats`, this.sorted.slice(0, KEPT_CHATS));
  }

  #keepTail(/** @type {string} */ chatId) {
    const history = this.#histories.get(chatId);
    const tail = history?.from(Math.max(1, history.total - KEPT_MESSAGES + 1));
    if (this.#duologue.user && tail?.length) this.#store.set(`${this.#kept}tail/${chatId}`, tail);
  }

  #soon(/** @type {string} */ key, /** @type {() => unknown} */ work, wait = SOON) {
    if (this.#later.has(key)) return;
    const run = () => {
      this.#later.delete(key);
      work();
    };
    this.#later.set(key, setTimeout(run, wait));
  }
}

/** @param {Chat} chat */
export const isMuted = (chat) => chat.muted_until !== null && Date.parse(chat.muted_until) > Date.now();
