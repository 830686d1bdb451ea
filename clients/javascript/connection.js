// The socket: opened, watched, and opened again unless the server says that it makes no sense.

const SUBPROTOCOL = "duologue.v1";
const FIRST_WAIT = 1000; // milliseconds; it doubles …
const LONGEST_WAIT = 30_000; // … up to this, and a random part of it is waited
const READY_WITHIN = 15_000;
const ANSWER_WITHIN = 10_000;
const ANSWER_SOON = 3000; // … when there is reason to doubt
const FINAL = new Set([1000, 1002, 1007, 1009, 4000, 4001, 4003, 4009, 4013]); // "reconnect: no" in docs/protocol.md
const AT_ONCE = new Set([4011, 4012]);

/** @typedef {import("./duologue.d.ts").ConnectionState} ConnectionState */

export class Connection {
  /** @type {ConnectionState} */
  state = "stopped";
  /** The close code that ended it for good. */
  code = 0;
  /** When the next try is due, in epoch milliseconds. */
  retryAt = 0;

  #url;
  #hello;
  #hear;
  #changed;
  /** @type {WebSocket | undefined} */
  #socket;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #wait = FIRST_WAIT;
  #heartbeat = 25_000;

  /**
   * @param {string} url of the server
   * @param {{ hello: () => object, hear: (frame: any) => void, changed: () => void }} owner `hello` makes the first
   *   frame, `hear` is told each other one, `changed` that `state` is another
   */
  constructor(url, { hello, hear, changed }) {
    this.#url = `${url.replace(/^http/, "ws")}/v1/socket`;
    this.#hello = hello;
    this.#hear = hear;
    this.#changed = changed;
  }

  /** Connect, now. Harmless while it is connected. */
  start() {
    if (this.#socket) return;
    globalThis.addEventListener?.("online", this.#nudge);
    globalThis.addEventListener?.("offline", this.#nudge);
    globalThis.document?.addEventListener("visibilitychange", this.#nudge);
    this.#open();
  }

  /** Disconnect, and stay so. */
  stop() {
    this.#end("stopped", 1000);
  }

  /** A message waits to be sent: try again within a second, however long the wait has become. */
  hurry() {
    if (this.state !== "waiting" || this.retryAt < Date.now() + FIRST_WAIT) return;
    this.#wait = FIRST_WAIT;
    this.#tryLater(Math.random() * FIRST_WAIT);
  }

  /** Send a frame, if that can be done now. */
  say(/** @type {object} */ frame) {
    const able =
      this.#socket?.readyState === WebSocket.OPEN && (this.state === "live" || this.state === "catching_up");
    if (able) this.#socket?.send(JSON.stringify(frame));
    return able;
  }

  #open() {
    clearTimeout(this.#timer);
    const socket = new WebSocket(this.#url, [SUBPROTOCOL]);
    this.#socket = socket;
    socket.onopen = () => socket.send(JSON.stringify(this.#hello()));
    socket.onmessage = ({ data }) => this.#heard(JSON.parse(data));
    socket.onclose = ({ code }) => this.#closed(code);
    this.#timer = setTimeout(() => this.lose(), READY_WITHIN);
    this.#become("connecting");
  }

  #heard(/** @type {any} */ frame) {
    if (frame.op === "ready") {
      this.#wait = FIRST_WAIT;
      this.#heartbeat = frame.heartbeat * 1000;
      this.#become("catching_up");
    }
    if (this.state !== "connecting") this.#watch();
    this.#hear(frame);
    if (frame.op === "caught_up") this.#become("live");
  }

  /** Send a ping after a long silence: a page sees neither a dead network nor the server's own pings. */
  #watch(quiet = this.#heartbeat, patience = ANSWER_WITHIN) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.say({ op: "ping" });
      this.#timer = setTimeout(() => this.lose(), patience);
    }, quiet);
  }

  /** The network has changed, or the page is looked at again. `navigator.onLine` knows nothing of a local server. */
  #nudge = () => {
    if (globalThis.document?.hidden) return;
    this.#wait = FIRST_WAIT;
    if (this.state === "waiting") this.#open();
    else if (this.state !== "connecting") this.#watch(0, ANSWER_SOON);
  };

  /** Drop the socket without a closing handshake, which might never end, and connect again in a moment. */
  lose() {
    this.#closed(1006);
  }

  #closed(/** @type {number} */ code) {
    if (FINAL.has(code)) {
      this.#end("ended", code);
      return;
    }
    this.#drop();
    const wait = AT_ONCE.has(code) ? 0 : Math.random() * this.#wait;
    this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT);
    this.#tryLater(wait);
    this.#become("waiting");
  }

  #tryLater(/** @type {number} */ wait) {
    clearTimeout(this.#timer);
    this.retryAt = Date.now() + wait;
    this.#timer = setTimeout(() => this.#open(), wait);
  }

  /** @param {ConnectionState} state @param {number} code */
  #end(state, code) {
    globalThis.removeEventListener?.("online", this.#nudge);
    globalThis.removeEventListener?.("offline", this.#nudge);
    globalThis.document?.removeEventListener("visibilitychange", this.#nudge);
    this.#drop();
    this.#wait = FIRST_WAIT;
    this.code = code;
    this.#become(state);
  }

  #drop() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = undefined;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(1000);
  }

  #become(/** @type {ConnectionState} */ state) {
    if (state === this.state) return;
    this.state = state;
    this.#changed();
  }
}
