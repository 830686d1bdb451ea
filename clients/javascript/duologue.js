// Duologue for JavaScript: sign in, follow the log, send exactly once. Runs wherever `fetch` and `WebSocket` do.
//
//   const duologue = new Duologue({ url: "https://chat.example" });
//   await duologue.restore() ?? await duologue.signIn({ phone: "+33612345678" });
//   duologue.on("message.created", (message) => console.log(message.text));
//   duologue.connect();
//   await duologue.send({ to: "+447700900123", text: "Are you at the station?" });
//
// Data is named as on the wire: `/docs` of any server shows it field by field. Types are in duologue.d.ts.

import { Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import { DuologueError, errorIn, errorOf } from "./errors.js";
import { newClientId, Outbox } from "./outbox.js";
import { Progress } from "./progress.js";
import { indexedDbStore, memoryStore } from "./store.js";

export { DuologueError, indexedDbStore, memoryStore, newClientId };

/** @typedef {import("./duologue.d.ts").Me} Me */
/** @typedef {import("./duologue.d.ts").SignedIn} SignedIn */

const SESSION = "session";
const OWNER = "owner";
const PATIENCE = 20_000; // milliseconds for an answer
const SIGNED_OUT = new Set([4001, 4003]);

const id = encodeURIComponent;
const query = (/** @type {Record<string, any>} */ parameters) => {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null);
  return given.length ? `?${new URLSearchParams(given)}` : "";
};

/** One device of one user. */
export class Duologue {
  /** Who is signed in. @type {Me | null} */
  user = null;
  /** The id of this device's session. @type {string | null} */
  sessionId = null;

  /** @type {string | null} */
  #token = null;
  #url;
  #store;
  #emitter = new Emitter();
  /** @type {Connection} */
  #connection;
  #outbox;
  /** @type {string[]} */
  #watched = [];
  /** @type {Progress} */
  #progress;

  /** @param {import("./duologue.d.ts").Options} [options] */
  constructor({ url = globalThis.location?.origin, store = indexedDbStore("duologue") } = {}) {
    this.#url = new URL(url).href.replace(/\/$/, "");
    this.#store = store;
    this.#connection = new Connection(this.#url, {
      hello: () => ({ op: "hello", token: this.#token, ...this.#progress.position }),
      hear: (frame) => this.#hear(frame),
      changed: () => this.#connectionChanged(),
    });
    const say = (/** @type {object} */ frame) => this.#connection.say(frame);
    this.#outbox = new Outbox(store, say, (change) => this.#emitter.emit("outbox", change));
    this.#progress = new Progress(
      say,
      (detail) => this.#emitter.ask("resync", detail),
      () => !this.#token,
    );
  }

  /** Listen. Returns what ends it. */
  on(/** @type {string} */ name, /** @type {Function} */ listener) {
    return this.#emitter.on(name, listener);
  }

  // Signing in.

  /** What the server is: how one signs in, and every limit. */
  server() {
    return this.request("GET", "/v1/server");
  }

  /** Have a code sent by SMS. */
  requestCode(/** @type {string} */ phone) {
    return this.request("POST", "/v1/verifications", { phone });
  }

  /**
   * Sign in, with a phone number or with a code, and remember it on this device.
   *
   * @param {import("./duologue.d.ts").Credentials} credentials
   * @returns {Promise<SignedIn>}
   */
  async signIn(credentials) {
    const signedIn = await this.request("POST", "/v1/sessions", credentials);
    this.disconnect();
    // Another user's messages that wait here are deleted.
    if ((await this.#store.get(OWNER)) !== signedIn.user.id) await this.#store.clear();
    await this.#store.set(OWNER, signedIn.user.id);
    const { token, user, session } = signedIn;
    await this.#store.set(SESSION, { url: this.#url, token, user, session_id: session.id });
    await this.#take(token, user, session.id);
    return signedIn;
  }

  /** Take up the session that this device remembers. Null if there is none; the server isn't asked. */
  async restore() {
    const kept = await this.#store.get(SESSION);
    if (kept?.url !== this.#url) return null;
    await this.#take(kept.token, kept.user, kept.session_id);
    return this.user;
  }

  /** End the session, and forget everything on this device. If the server can't be told, the session only idles. */
  async signOut() {
    await this.request("DELETE", "/v1/sessions/current").catch(() => {});
    await this.#store.clear();
    await this.#leave("signed_out");
  }

  // The connection.

  /** `stopped`, `connecting`, `catching_up`, `live`, `waiting` (to try again at `retryAt`) or `ended`. */
  get state() {
    return this.#connection.state;
  }

  /** When the next try to connect is due, in epoch milliseconds. */
  get retryAt() {
    return this.#connection.retryAt;
  }

  /** The code that the socket was last closed with for good, when `ended`. */
  get closeCode() {
    return this.#connection.code;
  }

  /** The seq of the last event that listeners were told of, if there was one. */
  get position() {
    return this.#progress.position.after;
  }

  /** That event's `at`: by it a server that went back to an older state notices that it has another one there. */
  get positionAt() {
    return this.#progress.position.at;
  }

  /**
   * Connect, and stay connected. `after` and `at` are `position` and `positionAt` as of the last event that you
   * applied; without them, `resync` asks you to fetch what you show, and events follow.
   */
  connect({ after, at } = /** @type {import("./progress.js").Position} */ ({})) {
    if (!this.#token) throw new DuologueError("no_session", "Sign in first.");
    if (this.state === "stopped") this.#progress.position = { after, at };
    this.#connection.start();
  }

  /** Disconnect. What is in the outbox waits. */
  disconnect() {
    this.#connection.stop();
  }

  /** Tell of these peers' presence from now on, instead of those named before. */
  watch(/** @type {string[]} */ userIds) {
    this.#watched = userIds;
    this.#connection.say({ op: "watch", user_ids: userIds });
  }

  /** Pass on that the user types, or no longer does. */
  typing(/** @type {string} */ chatId, /** @type {boolean} */ active) {
    this.#connection.say({ op: "typing", chat_id: chatId, active });
  }

  // Sending.

  /**
   * Send a message, exactly once. Resolves when it is safe on this device; `sent` does when it is safe on the server.
   *
   * @param {import("./duologue.d.ts").Draft} draft
   */
  async send(draft) {
    if (!this.#token) throw new DuologueError("no_session", "Sign in first.");
    this.#connection.hurry();
    return this.#outbox.add(draft);
  }

  /** What isn't sent yet, oldest first. An entry with an `error` won't be, unless it is tried again. */
  get outbox() {
    return this.#outbox.entries;
  }

  /** Try a refused message again. */
  retry(/** @type {string} */ clientId) {
    return this.#outbox.retry(clientId);
  }

  /** Forget a message that isn't sent yet. */
  discard(/** @type {string} */ clientId) {
    return this.#outbox.discard(clientId);
  }

  // Chats and messages.
  chats(/** @type {import("./duologue.d.ts").ChatsPage} */ { limit, cursor, folder } = {}) {
    return this.request("GET", `/v1/chats${query({ limit, cursor, folder })}`);
  }

  chat(/** @type {string} */ chatId) {
    return this.request("GET", `/v1/chats/${id(chatId)}`);
  }

  openChat(/** @type {string} */ phone) {
    return this.request("PUT", "/v1/chats", { phone });
  }

  updateChat(/** @type {string} */ chatId, /** @type {import("./duologue.d.ts").ChatChanges} */ changes) {
    return this.request("PATCH", `/v1/chats/${id(chatId)}`, changes);
  }

  /** Accept a stranger's chat: it is no request any more, and the peer learns who one is. */
  async accept(/** @type {string} */ chatId) {
    await this.request("PUT", `/v1/chats/${id(chatId)}/accept`);
  }

  /** A page of messages in rising seq: below, above or around a seq, or the newest. */
  async messages(/** @type {string} */ chatId, /** @type {import("./duologue.d.ts").Stretch} */ stretch = {}) {
    const { before, after, around, limit } = stretch;
    const path = `/v1/chats/${id(chatId)}/messages${query({ before, after, around, limit })}`;
    const page = await this.request("GET", path);
    for (const message of page.items) this.#stored(message);
    return page;
  }

  /** Give a message of one's own another text, while the server's `edit_window_seconds` aren't over. */
  editMessage(/** @type {string} */ chatId, /** @type {number} */ seq, /** @type {string} */ text) {
    return this.request("PATCH", `/v1/chats/${id(chatId)}/messages/${seq}`, { text });
  }

  /** Delete a message of one's own for both sides: only its place stays. */
  async deleteMessage(/** @type {string} */ chatId, /** @type {number} */ seq) {
    await this.request("DELETE", `/v1/chats/${id(chatId)}/messages/${seq}`);
  }

  /** Put an emoji on a message, one's own or the peer's. */
  async react(/** @type {string} */ chatId, /** @type {number} */ seq, /** @type {string} */ emoji) {
    await this.request("PUT", `/v1/chats/${id(chatId)}/messages/${seq}/reactions/${encodeURIComponent(emoji)}`);
  }

  /** Take an emoji of one's own back. */
  async unreact(/** @type {string} */ chatId, /** @type {number} */ seq, /** @type {string} */ emoji) {
    await this.request("DELETE", `/v1/chats/${id(chatId)}/messages/${seq}/reactions/${encodeURIComponent(emoji)}`);
  }

  /** Everything up to `seq` is read. */
  async markRead(/** @type {string} */ chatId, /** @type {number} */ seq) {
    if (this.#connection.say({ op: "read", chat_id: chatId, seq })) return;
    await this.request("PUT", `/v1/chats/${id(chatId)}/read`, { seq });
  }

  /** Where a message of one's own has got to. */
  trace(/** @type {string} */ chatId, /** @type {number} */ seq) {
    return this.request("GET", `/v1/chats/${id(chatId)}/messages/${seq}/trace`);
  }

  // The account.
  me() {
    return this.request("GET", "/v1/me");
  }

  async updateMe(/** @type {import("./duologue.d.ts").MeChanges} */ changes) {
    this.user = await this.request("PATCH", "/v1/me", changes);
    return this.user;
  }

  /** Delete the account, for ever. */
  async deleteMe() {
    await this.request("DELETE", "/v1/me");
    await this.#store.clear();
    await this.#leave("account_deleted");
  }

  exportMe() {
    return this.request("GET", "/v1/me/export");
  }

  sessions() {
    return this.request("GET", "/v1/sessions");
  }

  endSession(/** @type {string} */ sessionId) {
    return this.request("DELETE", `/v1/sessions/${id(sessionId)}`);
  }

  endOtherSessions() {
    return this.request("DELETE", "/v1/sessions");
  }

  /**
   * Any request, for what has no method here. Rejects with `DuologueError`.
   *
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   * @returns {Promise<any>}
   */
  async request(method, path, body) {
    /** @type {Record<string, string>} */
    const headers = {};
    const token = this.#token;
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const signal = AbortSignal.timeout(PATIENCE);
    try {
      const answer = await fetch(this.#url + path, { method, headers, body: payload, signal, cache: "no-store" });
      if (!answer.ok) throw await errorOf(answer);
      return answer.status === 204 ? undefined : await answer.json();
    } catch (fault) {
      if (!(fault instanceof DuologueError)) {
        throw new DuologueError("network", "The server can't be reached.", { cause: fault });
      }
      if (fault.code === "not_signed_in" && token && token === this.#token) await this.#leave("session_ended");
      throw fault;
    }
  }

  // What comes in.
  #hear(/** @type {any} */ frame) {
    const { op, ...rest } = frame;
    if (op === "event") this.#apply(rest);
    else if (op === "sent") this.#outbox.settle(rest.message);
    else if (op === "ready") this.#ready(rest);
    else if (op === "caught_up") this.#progress.ackSoon();
    else if (op === "typing" || op === "presence") this.#emitter.emit(op, rest);
    else if (op === "error") this.#refused(rest);
  }

  #ready(/** @type {any} */ ready) {
    this.user = ready.user;
    this.#progress.ready(ready);
    if (this.#watched.length) this.watch(this.#watched);
    this.#outbox.resume();
  }

  #apply(/** @type {any} */ event) {
    this.#progress.applied(event);
    if (event.type === "message.created") this.#stored(event.data);
    this.#emitter.emit(event.type, event.data);
    this.#emitter.emit("event", event);
  }

  /** A message of this user's needn't be sent any more: the server has it. */
  #stored(/** @type {import("./duologue.d.ts").Message} */ message) {
    if (message.sender_id === this.user?.id) this.#outbox.settle(message);
  }

  #refused(/** @type {any} */ frame) {
    const connecting = this.state === "connecting";
    const changed = frame.code === "log_changed" || (frame.code === "seq_out_of_range" && connecting);
    if (changed || frame.code === "events_expired") {
      this.#progress.lose(changed);
      if (connecting) this.#connection.lose();
    }
    this.#outbox.refuse(frame);
    this.#emitter.emit("error", errorIn(frame));
  }

  #connectionChanged() {
    const { state, code } = this.#connection;
    this.#emitter.emit("state", state);
    if (state === "ended" && SIGNED_OUT.has(code)) this.#leave("session_ended");
  }

  async #take(/** @type {string} */ token, /** @type {Me} */ user, /** @type {string} */ sessionId) {
    this.#outbox.clear();
    await this.#outbox.open(user.id);
    this.#token = token;
    this.user = user;
    this.sessionId = sessionId;
  }

  async #leave(/** @type {string} */ reason) {
    if (!this.#token) return;
    this.#token = this.user = this.sessionId = null;
    this.#progress.lose(false);
    this.#watched = [];
    this.#outbox.clear();
    this.#connection.stop();
    await this.#store.delete(SESSION);
    this.#emitter.emit("signed_out", { reason });
  }
}
