import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Duologue, memoryStore } from "../../clients/javascript/duologue.js";
import { below, chance, oneOf } from "../../clients/javascript/test/chance.js";
import { ANA, at, BEN, chatOf, FakeServer, messageOf } from "../../clients/javascript/test/server.js";
import { Model } from "../client/model.js";

/** @typedef {import("../../clients/javascript/duologue.d.ts").Chat} Chat */

const FADES = 6000; // milliseconds after which nobody types any more

beforeEach(() => mock.timers.enable({ apis: ["Date", "setTimeout"], now: Date.parse(at(0)) }));
afterEach(() => mock.timers.reset());

/** Let all that waits for no timer happen. */
const settle = async () => {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((done) => setImmediate(done));
};

/** Ana's device, signed in and connected. @param {Chat[]} chats that the server has */
async function connected(chats) {
  const server = new FakeServer();
  server.chats = chats;
  const store = memoryStore();
  const duologue = new Duologue({ url: "https://chat.example", store });
  await duologue.signIn({ phone: "+33600000001" });
  const model = new Model(/** @type {any} */ (duologue), store);
  duologue.connect();
  await settle();
  return { server, duologue, model, chat: (id = "c1") => /** @type {Chat} */ (model.chats.get(id)) };
}

/** The marks of both sides, as a device of Ana's is told of them. @param {string} user_id
 * @param {number} delivered @param {number} read */
const receipt = (user_id, delivered, read) => ({ chat_id: "c1", user_id, delivered, read });

test("all chats are listed, page by page: pinned first, then the newest", async () => {
  const chats = [1, 5, 3, 2, 4].map((second) =>
    chatOf(`c${second}`, { updated_at: at(second), pinned: second === 2 }),
  );
  const { model } = await connected(chats);
  assert.equal(model.listed, true);
  assert.deepEqual(
    model.sorted.map(({ id }) => id),
    ["c2", "c5", "c4", "c3", "c1"],
  );
});

test("a chat in which something waits to be sent is as new as that", async () => {
  const { server, model, duologue } = await connected([chatOf("c1"), chatOf("c2", { updated_at: at(50) })]);
  server.drop();
  mock.timers.tick(60_000);
  await duologue.send({ chat_id: "c1", text: "Later" });
  assert.deepEqual(
    model.sorted.map(({ id }) => id),
    ["c1", "c2"],
  );
  assert.deepEqual(
    model.pending("c1").map(({ text }) => text),
    ["Later"],
  );
});

test("what an event tells while the chats are being listed stands against the older list", async () => {
  const { server, chat } = await connected([chatOf("c1")]);
  let release = () => {};
  server.listing = new Promise((done) => {
    release = () => done(undefined);
  });
  server.refusal = { op: "error", code: "events_expired", detail: "Too old." };
  server.drop();
  for (let time = 0; time < 3; time += 1) {
    mock.timers.tick(40_000);
    await settle();
  }
  server.event("chat.updated", chatOf("c1", { pinned: true }));
  release();
  await settle();
  assert.equal(chat().pinned, true);
});

test("a peer's message is unread and told of, one's own is neither; none counts twice", async () => {
  const { server, model, chat } = await connected([chatOf("c1")]);
  /** @type {string[]} */
  const told = [];
  model.addEventListener("incoming", (event) => told.push(/** @type {CustomEvent} */ (event).detail.message.text));
  server.event("message.created", messageOf("c1", 1, BEN));
  server.event("message.created", messageOf("c1", 2, ANA));
  server.event("message.created", messageOf("c1", 2, ANA));
  server.event("message.created", messageOf("c1", 1, BEN));
  await settle();
  assert.deepEqual([chat().unread, chat().last_seq, chat().last_message?.text], [1, 2, "Message 2"]);
  assert.deepEqual(told, ["Message 1"]);
});

test("a message in a chat that isn't known has the chat fetched", async () => {
  const { server, model, chat } = await connected([]);
  server.chats = [chatOf("c9", { last_seq: 1, unread: 1, last_message: messageOf("c9", 1, BEN) })];
  server.event("message.created", messageOf("c9", 1, BEN));
  await settle();
  mock.timers.tick(1);
  await settle();
  assert.deepEqual([model.chats.size, chat("c9").unread], [1, 1]);
});

test("muted chats, archived ones and requests don't count as unread", async () => {
  const { model } = await connected([
    chatOf("c1", { unread: 1 }),
    chatOf("c2", { unread: 10, muted_until: at(3600) }),
    chatOf("c3", { unread: 100, archived: true }),
    chatOf("c4", { unread: 1000, request: true }),
    chatOf("c5", { unread: 2, muted_until: at(-1) }),
  ]);
  assert.equal(model.unread, 3);
});

test("what is read is said within a moment, once for all that was read meanwhile", async () => {
  const { server, model, chat } = await connected([chatOf("c1", { last_seq: 5, unread: 5 })]);
  for (const seq of [1, 4, 5, 3]) model.read("c1", seq);
  assert.equal(chat().unread, 0);
  mock.timers.tick(300);
  const reads = server.frames.filter(({ op }) => op === "read");
  assert.deepEqual(reads, [{ op: "read", chat_id: "c1", seq: 5 }]);
});

test("what was read without the server hearing of it is said again with the next connection", async () => {
  const { server, model } = await connected([chatOf("c1", { last_seq: 5, unread: 5 })]);
  model.read("c1", 5);
  mock.timers.tick(300);
  server.drop();
  server.frames.length = 0;
  mock.timers.tick(2000);
  await settle();
  assert.deepEqual(
    server.frames.filter(({ op }) => op === "read").map(({ seq }) => seq),
    [5],
  );
  server.event("receipt.updated", receipt("ana", 5, 5));
  server.drop();
  server.frames.length = 0;
  mock.timers.tick(4000);
  await settle();
  assert.deepEqual(
    server.frames.filter(({ op }) => op === "hello" || op === "read").map(({ op }) => op),
    ["hello"],
  );
});

test("somebody types until they stop, until they have written, or for six seconds", async () => {
  const { server, model } = await connected([chatOf("c1")]);
  const type = (active = true) => server.say({ op: "typing", chat_id: "c1", user_id: "ben", active });
  type();
  mock.timers.tick(FADES - 1);
  assert.ok(model.typing.has("c1"));
  mock.timers.tick(1);
  assert.ok(!model.typing.has("c1"));
  type();
  type(false);
  assert.ok(!model.typing.has("c1"));
  type();
  server.event("message.created", messageOf("c1", 1, BEN));
  assert.ok(!model.typing.has("c1"));
});

test("nobody is seen while there is no connection", async () => {
  const { server, model } = await connected([chatOf("c1")]);
  server.say({ op: "presence", user_id: "ben", online: true, last_seen_at: null });
  assert.equal(model.presence.get("ben")?.online, true);
  server.drop();
  assert.equal(model.presence.size, 0);
});

test("after the server went back to an older state, what it has counts: lower marks, and chats that are gone", async () => {
  const old = chatOf("c1", { last_seq: 9, marks: { delivered: 9, read: 9, peer_delivered: 9, peer_read: 9 } });
  const { server, model, chat } = await connected([old, chatOf("c2")]);
  server.chats = [chatOf("c1", { last_seq: 4, marks: { delivered: 4, read: 2, peer_delivered: 3, peer_read: 1 } })];
  server.refusal = { op: "error", code: "log_changed", detail: "Another log." };
  server.drop();
  for (let time = 0; time < 3; time += 1) {
    mock.timers.tick(40_000);
    await settle();
  }
  assert.deepEqual([...model.chats.keys()], ["c1"]);
  assert.deepEqual(chat().marks, { delivered: 4, read: 2, peer_delivered: 3, peer_read: 1 });
  assert.equal(chat().last_seq, 4);
});

for (let seed = 1; seed <= 20; seed += 1) {
  test(`marks never fall, and a message's status never goes back, in whatever order they come (seed ${seed})`, async () => {
    const random = chance(seed);
    const { server, model, chat } = await connected([chatOf("c1", { last_seq: 50, unread: 25 })]);
    const message = messageOf("c1", 1 + below(random, 50), ANA);
    const ranks = ["sent", "delivered", "read"];
    const most = { ana: [0, 0], ben: [0, 0] };
    let rank = 0;
    for (let step = 0; step < 60; step += 1) {
      const who = oneOf(random, /** @type {("ana" | "ben")[]} */ (["ana", "ben"]));
      const delivered = below(random, 51);
      const read = below(random, delivered + 1);
      most[who] = [Math.max(most[who][0], delivered), Math.max(most[who][1], read)];
      server.event("receipt.updated", receipt(who, delivered, read));
      const now = ranks.indexOf(model.status(message));
      assert.ok(now >= rank);
      rank = now;
    }
    const { marks } = chat();
    assert.deepEqual([marks.peer_delivered, marks.peer_read], most.ben);
    assert.equal(marks.read, most.ana[1]);
    assert.equal(marks.delivered, most.ana[0]);
  });
}
