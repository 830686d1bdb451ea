// What the client knows, and how the log changes it. No element is touched here: who shows something listens.
//
// Events: `chats`, `messages` (of one chat: `detail` is its id), `people` (presence, typing), `me`, `connection`,
// `sessions`, `incoming` (a peer's new message: `detail` has it and its chat).

import { Cache } from "./cache.js";
import { History } from "./history.js";
import { Insistence } from "./insist.js";
import { Unseen } from "./unseen.js";

/** @typedef {import("../sdk/duologue.d.ts").Chat} Chat */
/** @typedef {import("../sdk/duologue.d.ts").Message} Message */
/** @typedef {import("../sdk/duologue.d.ts").Receipt} Receipt */
/** A peer's new message, in its chat. @typedef {{ chat: Chat, message: Message }} News */

const CHATS_PAGE = 100;
const MOST_CHATS = 2000;
const CHECKED = 100; // messages, at most, that are asked for when a mark has passed them
const TYPING_FADES = 6000; // milliseconds
const SOON = 300; // milliseconds

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
  /** Chats that events have told of since listing them began: what the list says of them may be older. */
  #told = new Set();
  /** Chats of which what is known may be wrong, and not only old: until the server has told of them. */
  #doubted = new Set();
  /** Histories with messages that were kept on this device. @type {Set<History>} */
  #fromCache = new Set();
  #requests = new Insistence();
  #duologue;
  #cache;
  #unseen;

  /** @param {import("../sdk/duologue.d.ts").Duologue} duologue @param {import("../sdk/duologue.d.ts").Store} store */
  constructor(duologue, store) {
    super();
    this.#duologue = duologue;
    this.#cache = new Cache(store, duologue.user?.id);
    this.#unseen = new Unseen(
      (chatId, after, limit) => this.#requests.insist(() => duologue.messages(chatId, { after, limit })),
      (chatId) => this.chats.get(chatId)?.marks.peer_delivered ?? 0,
    );
    this.#follow();
  }

  /** Listen to what the server tells. */
  #follow() {
    const on = this.#duologue.on.bind(this.#duologue);
    on("resync", ({ changed }) => this.#list(changed));
    on("message.created", (message) => this.#arrived(message));
    on("message.updated", (message) => this.#changed(message));
    on("receipt.updated", (receipt) => this.#marked(receipt));
    on("chat.updated", (chat) => this.#chatChanged(chat));
    on("user.updated", (profile) => this.#renamed(profile));
    on("session.created", () => this.#tell("sessions"));
    on("session.ended", () => this.#tell("sessions"));
    on("typing", ({ chat_id, active }) => this.#typed(chat_id, active));
    on("presence", (presence) => this.#seen(presence));
    on("outbox", (change) => this.#sending(change));
    on("state", (state) => this.#connectionChanged(state));
  }

  /** What was shown last on this device. */
  async restore() {
    for (const chat of await this.#cache.chats()) this.chats.set(chat.id, chat);
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
    this.#cache.messages(chatId).then((messages) => {
      // Once the chats are listed the server can be asked, and what is kept here may be older, or wrong.
      if (!this.listed) {
        history.add(...messages.filter(({ seq }) => !history.get(seq)));
        this.#fromCache.add(history);
      }
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

  /** @param {boolean} changed the server went back to an older state, so what is known may be wrong */
  async #list(changed) {
    for (const history of this.#histories.values()) history.forget();
    this.#told.clear();
    // What was kept on this device may be from before such a change, too.
    if (changed || !this.listed) this.#doubted = new Set(this.chats.keys());
    if (changed) await this.#distrust();
    /** @type {string | null} */
    let cursor = null;
    const before = [...this.chats.keys()];
    const found = new Set();
    do {
      const page = await this.#duologue.chats({ limit: CHATS_PAGE, cursor, folder: "all" });
      for (const chat of page.items) {
        found.add(chat.id);
        if (!this.#told.has(chat.id) || this.#doubted.has(chat.id)) this.#put(chat);
      }
      cursor = page.next;
    } while (cursor && found.size < MOST_CHATS);
    const gone = cursor ? [] : before.filter((id) => !found.has(id) && !this.#told.has(id));
    for (const id of [...gone, ...this.#doubted]) this.chats.delete(id);
    this.#doubted.clear();
    this.listed = true;
    for (const history of this.#fromCache) history.forget();
    this.#fromCache.clear();
    for (const id of this.#histories.keys()) this.#tell("messages", id);
    this.#tell("chats");
  }

  /** Forget what follows from messages that may be others now. */
  async #distrust() {
    for (const known of [this.#unsaid, this.#unseen, this.#beforeAnswer]) known.clear();
    await this.#cache.dropMessages();
  }

  /** Take a chat as the server tells it; what events have told since stands. @param {Chat} chat */
  #put(chat) {
    this.#said(chat.id, chat.marks.read);
    const history = this.#histories.get(chat.id);
    const before = this.chats.get(chat.id);
    const known = this.#doubted.delete(chat.id) ? undefined : before;
    if (history && !known) history.total = 0;
    if (known && known.last_seq > chat.last_seq) {
      const { last_seq, last_message, unread, updated_at } = known;
      chat = { ...chat, last_seq, last_message, unread, updated_at };
    }
    this.chats.set(chat.id, chat);
    const [passed, delivered] = [before?.marks.peer_delivered, chat.marks.peer_delivered];
    if (passed !== undefined && delivered > passed) this.#check(chat.id, passed, delivered);
    if (known) {
      this.#raise(chat, known.marks);
      this.#raisePeer(chat, known.marks.peer_delivered, known.marks.peer_read);
    } else {
      const read = Math.min(this.#unsaid.get(chat.id) ?? 0, chat.last_seq);
      this.#raise(chat, { delivered: read, read });
    }
    if (history) history.total = Math.max(history.total, chat.last_seq);
    this.#tell("messages", chat.id);
    this.#tell("chats");
  }

  #arrived(/** @type {Message} */ message) {
    const chat = this.chats.get(message.chat_id);
    if (!chat || this.#doubted.has(chat.id)) {
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
    if (this.#doubted.has(chat_id)) this.#soon(`chat ${chat_id}`, () => this.#refresh(chat_id), 0);
    else if (user_id === chat.peer.id) {
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
    const chat = await this.#requests.insist(() => this.#duologue.chat(chatId));
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

  #chatChanged(/** @type {Chat} */ chat) {
    this.#told.add(chat.id);
    this.#put(chat);
  }

  #seen(/** @type {import("../sdk/duologue.d.ts").Events["presence"]} */ { user_id, online, last_seen_at }) {
    this.presence.set(user_id, { online, last_seen_at });
    this.#tell("people");
  }

  #sending(/** @type {import("../sdk/duologue.d.ts").OutboxChange} */ { entry, message }) {
    if (message) this.#arrived(message);
    if (entry.chat_id) this.#tell("messages", entry.chat_id);
    this.#tell("chats");
  }

  #connectionChanged(/** @type {import("../sdk/duologue.d.ts").ConnectionState} */ state) {
    if (state === "live") this.#goOn();
    else this.#nobodyIsSeen();
    this.#tell("connection");
  }

  #goOn() {
    this.#requests.goOn();
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
    if (this.#duologue.user) this.#cache.keepChats(this.sorted);
  }

  #keepTail(/** @type {string} */ chatId) {
    const history = this.#histories.get(chatId);
    if (this.#duologue.user && history) this.#cache.keepMessages(chatId, history);
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
