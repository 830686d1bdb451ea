// What the client knows, and how the log changes it. No element is touched here: views listen to its events.
//
// Events: `chats`, `messages` (of one chat: `detail` is its id), `people` (presence, typing), `me`, `connection`,
// `sessions`, `incoming` (a peer's new message: `detail` has it and its chat).

import { Cache } from "./cache.js";
import { inOrder, newsOf, unreadIn } from "./chatfacts.js";
import { History } from "./history.js";
import { Insistence } from "./insist.js";
import { Later } from "./later.js";
import { Presence } from "./presence.js";
import { Unseen } from "./unseen.js";

/** @typedef {import("./sdk.js").Chat} Chat */
/** @typedef {import("./sdk.js").Message} Message */
/** @typedef {import("./sdk.js").Receipt} Receipt */
/** A peer's new message, in its chat. @typedef {{ chat: Chat, message: Message }} News */

const CHATS_PAGE = 100;
const MOST_CHATS = 2000;
const CHECKED = 100; // messages, at most, that are asked for when a mark has passed them

export class Model extends EventTarget {
  /** @type {Map<string, Chat>} */
  chats = new Map();
  /** Whether the chats have been listed since the page was opened. */
  listed = false;

  /** @type {Map<string, History>} */
  #histories = new Map();
  #later = new Later();
  /** What has been read here and isn't known to be on the server, by chat. @type {Map<string, number>} */
  #unsaid = new Map();
  /** The last seq before the peer answered for the first time, by chat. @type {Map<string, number>} */
  #beforeAnswer = new Map();
  /** Ids of chats that events have told of since the listing began: what the list says of them may be older. */
  #told = new Set();
  /** Ids of chats whose known state may be wrong, not only old, until the server has sent them again. */
  #doubted = new Set();
  /** Histories with messages that were kept on this device. @type {Set<History>} */
  #fromCache = new Set();
  #requests = new Insistence();
  #people = new Presence(() => this.#tell("people"));
  #duologue;
  #cache;
  #unseen;

  /** @param {import("./sdk.js").Duologue} duologue @param {import("./sdk.js").Store} store */
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
    on("typing", ({ chat_id, active }) => this.#people.type(chat_id, active));
    on("presence", (presence) => this.#people.see(presence));
    on("outbox", (change) => this.#sending(change));
    on("state", (state) => this.#connectionChanged(state));
  }

  /** Load what was shown last on this device. */
  async restore() {
    for (const chat of await this.#cache.chats()) this.chats.set(chat.id, chat);
    this.#tell("chats");
  }

  /** What is known of peers' presence, by user. */
  get presence() {
    return this.#people.seen;
  }

  /** The chats in which the peer is typing. @returns {{ has(chatId: string): boolean }} */
  get typing() {
    return this.#people.typing;
  }

  /** Pinned first, then the newest. */
  get sorted() {
    return inOrder(this.chats.values(), this.#duologue.outbox);
  }

  /** How many messages wait to be read in chats that are neither muted, archived nor requests. */
  get unread() {
    return unreadIn(this.chats.values());
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

  /** Mark everything up to a seq as read. @param {string} chatId @param {number} seq */
  read(chatId, seq) {
    const chat = this.chats.get(chatId);
    if (!chat || seq <= chat.marks.read) return;
    this.#raise(chat, { delivered: seq, read: seq });
    this.#unsaid.set(chatId, seq);
    this.#later.soon(`read ${chatId}`, () => this.#sayRead(chatId));
  }

  /** Open the chat with a number. @param {string} phone */
  async open(phone) {
    const chat = await this.#duologue.openChat(phone);
    this.#put(chat);
    return chat;
  }

  /** Mute, archive or pin. @param {string} chatId @param {import("./sdk.js").ChatChanges} changes */
  async update(chatId, changes) {
    this.#put(await this.#duologue.updateChat(chatId, changes));
  }

  /** Accept a stranger's chat. @param {string} chatId */
  async accept(chatId) {
    await this.#duologue.accept(chatId);
    await this.#refresh(chatId);
  }

  /** List all chats. @param {boolean} changed the server went back to an older state, so what is known may be wrong */
  async #list(changed) {
    for (const history of this.#histories.values()) history.forget();
    this.#told.clear();
    // What was kept on this device may be from before such a change, too.
    if (changed || !this.listed) this.#doubted = new Set(this.chats.keys());
    if (changed) await this.#distrust();
    const before = [...this.chats.keys()];
    const { found, isWhole } = await this.#fetchChats();
    const gone = isWhole ? before.filter((id) => !found.has(id) && !this.#told.has(id)) : [];
    for (const id of [...gone, ...this.#doubted]) this.chats.delete(id);
    this.#doubted.clear();
    this.listed = true;
    this.#forgetCached();
    for (const id of this.#histories.keys()) this.#tell("messages", id);
    this.#tell("chats");
  }

  /** Fetch the chats page by page. Returns the ids of those that there are, and whether these are all. */
  async #fetchChats() {
    const found = new Set();
    /** @type {string | null} */
    let cursor = null;
    do {
      const page = await this.#duologue.chats({ limit: CHATS_PAGE, cursor, folder: "all" });
      for (const chat of page.items) {
        found.add(chat.id);
        if (!this.#told.has(chat.id) || this.#doubted.has(chat.id)) this.#put(chat);
      }
      cursor = page.next;
    } while (cursor && found.size < MOST_CHATS);
    return { found, isWhole: !cursor };
  }

  #forgetCached() {
    for (const history of this.#fromCache) history.forget();
    this.#fromCache.clear();
  }

  /** Forget what was derived from messages: at their seqs there may be others now. */
  async #distrust() {
    for (const known of [this.#unsaid, this.#unseen, this.#beforeAnswer]) known.clear();
    await this.#cache.dropMessages();
  }

  /** Store a chat as the server sent it, but keep what newer events have told. @param {Chat} told */
  #put(told) {
    this.#said(told.id, told.marks.read);
    const history = this.#histories.get(told.id);
    const before = this.chats.get(told.id);
    const known = this.#doubted.delete(told.id) ? undefined : before;
    const chat = known && known.last_seq > told.last_seq ? { ...told, ...newsOf(known) } : told;
    if (history && !known) history.total = 0;
    this.chats.set(chat.id, chat);
    this.#checkPassed(chat, before);
    if (known) this.#keepMarks(chat, known.marks);
    else this.#raiseToUnsaid(chat);
    if (history) history.total = Math.max(history.total, chat.last_seq);
    this.#tell("messages", chat.id);
    this.#tell("chats");
  }

  /** @param {Chat} chat @param {Chat | undefined} before what was known of it */
  #checkPassed({ id, marks }, before) {
    const passed = before?.marks.peer_delivered;
    if (passed !== undefined && marks.peer_delivered > passed) this.#check(id, passed, marks.peer_delivered);
  }

  /** Marks never fall. @param {Chat} chat @param {Chat["marks"]} marks that were known */
  #keepMarks(chat, marks) {
    this.#raise(chat, marks);
    this.#raisePeer(chat, marks.peer_delivered, marks.peer_read);
  }

  /** What was read here counts, though the server doesn't know of it yet. @param {Chat} chat */
  #raiseToUnsaid(chat) {
    const read = Math.min(this.#unsaid.get(chat.id) ?? 0, chat.last_seq);
    this.#raise(chat, { delivered: read, read });
  }

  #arrived(/** @type {Message} */ message) {
    const chat = this.chats.get(message.chat_id);
    if (!chat || this.#doubted.has(chat.id)) {
      this.#later.soon(`chat ${message.chat_id}`, () => this.#refresh(message.chat_id), 0);
      return;
    }
    this.#histories.get(chat.id)?.add(message);
    if (message.seq > chat.last_seq) {
      const theirs = message.sender_id === chat.peer.id;
      Object.assign(chat, { last_seq: message.seq, last_message: message, updated_at: message.sent_at });
      if (theirs && message.seq > chat.marks.read) chat.unread += 1;
      if (theirs) {
        this.#people.type(chat.id, false);
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
    if (this.#doubted.has(chat_id)) this.#later.soon(`chat ${chat_id}`, () => this.#refresh(chat_id), 0);
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
    else this.#later.soon(`chat ${chat.id}`, () => this.#refresh(chat.id));
    this.#tell("chats");
  }

  /** Tell the server what has been read. Repeated with each connection until it knows: frames get lost with theirs. */
  #sayRead(/** @type {string} */ chatId) {
    const seq = this.#unsaid.get(chatId);
    if (seq) this.#duologue.markRead(chatId, seq).catch(() => {});
  }

  /** The server knows that a chat is read up to here: no need to tell it. */
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

  #renamed(/** @type {import("./sdk.js").Profile} */ profile) {
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

  #chatChanged(/** @type {Chat} */ chat) {
    this.#told.add(chat.id);
    this.#put(chat);
  }

  #sending(/** @type {import("./sdk.js").OutboxChange} */ { entry, message }) {
    if (message) this.#arrived(message);
    if (entry.chat_id) this.#tell("messages", entry.chat_id);
    this.#tell("chats");
  }

  #connectionChanged(/** @type {import("./sdk.js").ConnectionState} */ state) {
    if (state === "live") this.#goOn();
    else this.#people.forget();
    this.#tell("connection");
  }

  #goOn() {
    this.#requests.goOn();
    for (const chatId of this.#unsaid.keys()) this.#sayRead(chatId);
  }

  #tell(/** @type {string} */ name, /** @type {any} */ detail = undefined) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
    if (name === "chats") this.#later.soon("keep chats", () => this.#keepChats());
    if (name === "messages") this.#later.soon(`keep ${detail}`, () => this.#keepTail(detail));
  }

  #keepChats() {
    if (this.#duologue.user) this.#cache.keepChats(this.sorted);
  }

  #keepTail(/** @type {string} */ chatId) {
    const history = this.#histories.get(chatId);
    if (this.#duologue.user && history) this.#cache.keepMessages(chatId, history);
  }
}
