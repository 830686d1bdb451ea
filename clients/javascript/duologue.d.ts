/**
 * Types of duologue.js. Data is named as on the wire; every answer may have more fields than are named here. Bodies are
 * those of `wire.d.ts`, which is made from the server's OpenAPI document.
 */

import type { components } from "./wire.d.ts";

type Bodies = components["schemas"];

/** RFC 3339 in UTC with milliseconds, from the server's clock. */
export type Time = string;
/** E.164, as `+33612345678`. */
export type Phone = string;

export type Profile = Bodies["Profile"];
export type Me = Bodies["Me"];
/** When messages go on to one's phone by SMS. `offline`: if no device has them in time. */
export type SmsRelay = Me["sms_relay"];
/** Whose messages reach one. `requests`: a stranger's chat waits to be accepted. `nobody`: no stranger's. */
export type WhoCanWrite = Me["who_can_write"];
/** Who sees when one is online: of those whom one has written to or accepted, all or none. */
export type ShowPresence = Me["presence"];
export type MeChanges = Bodies["UpdateMe"];

export type Session = Bodies["Session"];
export type Server = Bodies["ServerInfo"];
export type Verification = Bodies["Verification"];
export type SignedIn = Bodies["SignedIn"];
type SignIn = Bodies["SignIn"];
/** A number, where sign-in is open; else what came of `requestCode`, and the code. */
export type Credentials =
  Required<Pick<SignIn, "phone">> & Pick<SignIn, "device_name">
  | Required<Pick<SignIn, "verification_id" | "code">> & Pick<SignIn, "device_name">;

export type Message = Bodies["Message"];
export type Reaction = Bodies["Reaction"];
export type Status = Message["status"];
export type MessagePage = Bodies["MessagePage"];
export type Trace = Bodies["Trace"];
export type Receipt = Bodies["Receipt"];
export type Chat = Bodies["Chat"];
export type ChatChanges = Bodies["UpdateChat"];

/** An entry of the user's log. Newer servers may have types that are not known here. */
export interface LogEvent extends Pick<Bodies["Event"], "seq" | "at"> {
  type: string;
  data: any;
}

/** A part of a list; `next` is the `cursor` for what follows. */
export type Page<Item> = Pick<Bodies["ChatPage"], "next"> & { items: Item[] };

/** Which chats: those that one has accepted (the default), requests of strangers, or all. */
export interface ChatsPage {
  limit?: number;
  cursor?: string | null;
  folder?: "chats" | "requests" | "all";
}

/** What to send: to a chat, or to a phone number. */
export interface Draft {
  chat_id?: string;
  to?: Phone;
  text: string;
  /** The seq of the message that this one answers. */
  reply_to?: number;
}

/** A message on its way. Plain data: it can be stored. */
export interface OutboxEntry extends Draft {
  client_id: string;
  queued_at: Time;
  /** Why the server won't take it; null while it waits or is in flight. */
  error: { code: string; detail: string; errors: Record<string, string> } | null;
}

/** `message`: it has arrived. `discarded`: it was given up. Neither: it is new, or was refused. */
export interface OutboxChange {
  entry: OutboxEntry;
  message?: Message;
  discarded?: true;
}

export interface Queued {
  entry: OutboxEntry;
  /** Resolves when the message is durably committed; rejects with a `DuologueError` if the server refuses it. */
  sent: Promise<Message>;
}

/** At most one of the bounds; none: the newest page. */
export interface Stretch {
  before?: number;
  after?: number;
  around?: number;
  limit?: number;
}

export type ConnectionState = "stopped" | "connecting" | "catching_up" | "live" | "waiting" | "ended";

/** What one can listen to, and what listeners get. */
export interface Events {
  state: ConnectionState;
  /**
   * Fetch what you show: events before this moment can't be had, those after it come. May return a promise.
   * `changed`: the server went back to an older state, so what you have may be wrong: forget it first.
   */
  resync: { changed: boolean };
  event: LogEvent;
  "message.created": Message;
  "message.updated": Message;
  "receipt.updated": Receipt;
  "chat.updated": Chat;
  "user.updated": Profile;
  "session.created": Session;
  "session.ended": Session;
  typing: { chat_id: string; user_id: string; active: boolean };
  presence: { user_id: string; online: boolean; last_seen_at: Time | null };
  outbox: OutboxChange;
  error: DuologueError;
  signed_out: { reason: "signed_out" | "session_ended" | "account_deleted" };
}

/** Where a device keeps its session and its outbox. `list` gives values in the order of their keys. */
export interface Store {
  get(key: string): Promise<any>;
  set(key: string, value: any): Promise<void>;
  delete(key: string): Promise<void>;
  list(prefix: string): Promise<any[]>;
  clear(prefix?: string): Promise<void>;
}

export interface Options {
  /** The server's address; the page's own origin by default. */
  url?: string;
  /** IndexedDB by default, or memory where there is none. */
  store?: Store;
}

export declare class DuologueError extends Error {
  constructor(code: string, message: string, about?: object);
  /** One of the server's codes, `network` (no answer came) or `no_session`. */
  code: string;
  status: number;
  errors: Record<string, string>;
  retryAfter: number | undefined;
  attemptsLeft: number | undefined;
  latest: number | undefined;
  readonly retryable: boolean;
}

export declare class Duologue {
  constructor(options?: Options);
  user: Me | null;
  sessionId: string | null;
  readonly position: number | undefined;
  readonly positionAt: Time | undefined;
  readonly state: ConnectionState;
  readonly retryAt: number;
  readonly closeCode: number;
  readonly outbox: OutboxEntry[];

  on<Name extends keyof Events>(name: Name, listener: (detail: Events[Name]) => unknown): () => void;

  server(): Promise<Server>;
  requestCode(phone: Phone): Promise<Verification>;
  signIn(credentials: Credentials): Promise<SignedIn>;
  restore(): Promise<Me | null>;
  signOut(): Promise<void>;

  connect(options?: { after?: number; at?: Time }): void;
  disconnect(): void;
  watch(userIds: string[]): void;
  typing(chatId: string, active: boolean): void;

  send(draft: Draft): Promise<Queued>;
  retry(clientId: string): Promise<Queued | undefined>;
  discard(clientId: string): Promise<void>;

  chats(page?: ChatsPage): Promise<Page<Chat>>;
  chat(chatId: string): Promise<Chat>;
  openChat(phone: Phone): Promise<Chat>;
  updateChat(chatId: string, changes: ChatChanges): Promise<Chat>;
  accept(chatId: string): Promise<void>;
  messages(chatId: string, stretch?: Stretch): Promise<MessagePage>;
  editMessage(chatId: string, seq: number, text: string): Promise<Message>;
  deleteMessage(chatId: string, seq: number): Promise<void>;
  react(chatId: string, seq: number, emoji: string): Promise<void>;
  unreact(chatId: string, seq: number, emoji: string): Promise<void>;
  markRead(chatId: string, seq: number): Promise<void>;
  trace(chatId: string, seq: number): Promise<Trace>;

  me(): Promise<Me>;
  updateMe(changes: MeChanges): Promise<Me>;
  deleteMe(): Promise<void>;
  exportMe(): Promise<any>;
  sessions(): Promise<Page<Session>>;
  endSession(sessionId: string): Promise<void>;
  endOtherSessions(): Promise<void>;
  request(method: string, path: string, body?: unknown): Promise<any>;
}

export declare function indexedDbStore(name: string): Store;
export declare function memoryStore(): Store;
/** A UUIDv7, greater than the one before. */
export declare function newClientId(): string;
