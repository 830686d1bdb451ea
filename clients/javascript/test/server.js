// A server that stands in for the real one: the SDK talks to it by `fetch` and `WebSocket`, as it does in a browser.

/** @typedef {import("../duologue.d.ts").Chat} Chat */
/** @typedef {import("../duologue.d.ts").Message} Message */
/** @typedef {import("../duologue.d.ts").Profile} Profile */

const NOON = Date.parse("2030-01-01T12:00:00Z");

/** The time some seconds after noon. @param {number} seconds */
export const at = (seconds) => new Date(NOON + 1000 * seconds).toISOString();

/** @param {string} id @param {string} phone @returns {Profile} */
const profile = (id, phone) => ({ id, phone, display_name: id, registered: true });

export const ANA = profile("ana", "+33600000001");
export const BEN = profile("ben", "+447700900001");

/** A chat of Ana's. @param {string} id @param {Partial<Chat>} [more] @returns {Chat} */
export const chatOf = (id, more) => ({
  id,
  peer: BEN,
  last_message: null,
  last_seq: 0,
  unread: 0,
  marks: { delivered: 0, read: 0, peer_delivered: 0, peer_read: 0 },
  muted_until: null,
  archived: false,
  pinned: false,
  blocked: false,
  request: false,
  updated_at: at(0),
  ...more,
});

/** A message in a chat. @param {string} chat_id @param {number} seq @param {Profile} sender
 * @param {Partial<Message>} [more] @returns {Message} */
export const messageOf = (chat_id, seq, sender, more) => ({
  id: `${chat_id}/${seq}`,
  chat_id,
  seq,
  sender_id: sender.id,
  client_id: `client ${chat_id}/${seq}`,
  text: `Message ${seq}`,
  sent_at: at(seq),
  edited_at: null,
  deleted_at: null,
  reply_to: null,
  reactions: [],
  status: "sent",
  via: "app",
  ...more,
});

export class FakeServer {
  /** @type {Chat[]} */
  chats = [];
  /** What it takes for a page of chats. */
  pageSize = 2;
  /** What is waited for before chats are listed. @type {Promise<unknown>} */
  listing = Promise.resolve();
  /** All frames that came. @type {any[]} */
  frames = [];
  /** What is answered to `hello` instead of `ready`, once. @type {object | null} */
  refusal = null;
  #seq = 0;
  /** @type {FakeSocket | undefined} */
  #socket;

  constructor() {
    const take = (/** @type {FakeSocket} */ socket) => {
      this.#socket = socket;
    };
    const hear = (/** @type {any} */ frame) => this.#hear(frame);
    Object.assign(globalThis, {
      fetch: (/** @type {string} */ url, /** @type {RequestInit} */ options) => this.#fetch(new URL(url), options),
      WebSocket: class extends FakeSocket {
        constructor() {
          super(hear);
          take(this);
        }
      },
    });
  }

  /** Tell of something that happened. @param {string} type @param {object} data */
  event(type, data) {
    this.#seq += 1;
    this.say({ op: "event", seq: this.#seq, type, at: at(this.#seq), data });
  }

  /** @param {object} frame */
  say(frame) {
    this.#socket?.onmessage?.({ data: JSON.stringify(frame) });
  }

  /** Break the connection. */
  drop() {
    this.#socket?.onclose?.({ code: 1006 });
  }

  /** @param {any} frame */
  #hear(frame) {
    this.frames.push(frame);
    if (frame.op !== "hello") return;
    const ready = { op: "ready", user: ANA, heartbeat: 25, latest: this.#seq, latest_at: at(this.#seq) };
    this.say(this.refusal ?? ready);
    if (!this.refusal) this.say({ op: "caught_up" });
    this.refusal = null;
  }

  /** @param {URL} url @param {RequestInit} options */
  async #fetch(url, { method = "GET" }) {
    const { pathname, searchParams } = url;
    if (pathname === "/v1/chats") return this.#list(Number(searchParams.get("cursor")));
    if (`${method} ${pathname}` === "POST /v1/sessions") {
      return Response.json({ token: "t", user: ANA, session: { id: "s" }, new_user: false });
    }
    const chat = this.chats.find(({ id }) => pathname === `/v1/chats/${id}`);
    if (chat) return Response.json(chat);
    return Response.json({ code: "not_found", detail: "Nothing here." }, { status: 404 });
  }

  /** @param {number} from */
  async #list(from) {
    const items = structuredClone(this.chats.slice(from, from + this.pageSize));
    await this.listing;
    const next = from + this.pageSize < this.chats.length ? String(from + this.pageSize) : null;
    return Response.json({ items, next });
  }
}

class FakeSocket {
  static OPEN = 1;
  readyState = 1;
  /** @type {(() => void) | null} */
  onopen = null;
  /** @type {((event: { data: string }) => void) | null} */
  onmessage = null;
  /** @type {((event: { code: number }) => void) | null} */
  onclose = null;
  #hear;

  /** @param {(frame: any) => void} hear */
  constructor(hear) {
    this.#hear = hear;
    queueMicrotask(() => this.onopen?.());
  }

  /** @param {string} text */
  send(text) {
    this.#hear(JSON.parse(text));
  }

  close() {}
}
