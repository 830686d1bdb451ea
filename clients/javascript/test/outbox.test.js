import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { newClientId, Outbox } from "../outbox.js";
import { memoryStore } from "../store.js";
import { below, chance, oneOf } from "./chance.js";

/** @typedef {import("../duologue.d.ts").OutboxChange} OutboxChange */
/** @typedef {{ client_id: string, chat_id: string, text: string }} Sent */

const NOON = Date.parse("2030-01-01T12:00:00Z");
const HOUR = 3_600_000; // milliseconds

/** @param {Partial<Record<string, unknown>>} frame @returns {any} */
const messageOf = (frame) => ({ ...frame, id: `m-${frame.client_id}` });

/** An outbox of one user, and what it has said and told. */
function makeOutbox(store = memoryStore()) {
  /** @type {Sent[]} */
  const said = [];
  /** @type {OutboxChange[]} */
  const told = [];
  const line = { open: true };
  const say = (/** @type {any} */ frame) => {
    if (line.open) said.push(frame);
    return line.open;
  };
  const outbox = new Outbox(store, say, (change) => told.push(change));
  return { outbox, said, told, line, store };
}

beforeEach(() => mock.timers.enable({ apis: ["Date", "setTimeout"], now: NOON }));
afterEach(() => mock.timers.reset());

test("ids rise within a millisecond, also when there are more than fit into it", () => {
  const ids = Array.from({ length: 10_000 }, newClientId);
  assert.deepEqual(ids, [...new Set(ids)].sort());
});

test("ids rise while the clock goes back and forth", () => {
  const random = chance(1);
  const ids = Array.from({ length: 1000 }, () => {
    mock.timers.setTime(NOON + below(random, 48) * HOUR);
    return newClientId();
  });
  assert.deepEqual(ids, [...new Set(ids)].sort());
});

test("ids are of version 7 and of the variant of RFC 9562", () => {
  for (let n = 0; n < 100; n += 1) {
    assert.match(newClientId(), /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
});

test("what is written after a reload comes after what waits, though the clock was set back since", async () => {
  const { outbox, line, store } = makeOutbox();
  line.open = false;
  await outbox.open("ana");
  await outbox.add({ chat_id: "c1", text: "One" });
  mock.timers.setTime(NOON - HOUR);
  const { outbox: later, said } = makeOutbox(store);
  await later.open("ana");
  await later.add({ chat_id: "c1", text: "Two" });
  assert.deepEqual(
    later.entries.map(({ text }) => text),
    ["One", "Two"],
  );
  assert.deepEqual(
    said.map(({ text }) => text),
    ["One"],
  );
});

test("ids come after those that another page has left here, whatever this device's clock says", async () => {
  const { outbox, store } = makeOutbox();
  const later = `${(NOON + 100 * HOUR)
    .toString(16)
    .padStart(12, "0")
    .replace(/(.{8})/, "$1-")}-7fff-8000-000000000000`;
  const strange = "00000000-0000-4000-8000-000000000000";
  for (const client_id of [strange, later]) {
    await store.set(`outbox/ana/${client_id}`, { client_id, chat_id: "c1", text: client_id, error: null });
  }
  await outbox.open("ana");
  const ids = [later, newClientId(), newClientId()];
  assert.deepEqual(ids, [...ids].sort());
});

test("what is stored is sent in the order in which it was written, however the store lists it", async () => {
  const store = memoryStore();
  const { outbox, line } = makeOutbox(store);
  line.open = false;
  await outbox.open("ana");
  const texts = ["One", "Two", "Three", "Four"];
  for (const text of texts) await outbox.add({ chat_id: "c1", text });
  const backwards = {
    ...store,
    list: async (/** @type {string} */ prefix) => (await store.list(prefix)).reverse(),
  };
  const { outbox: again } = makeOutbox(backwards);
  await again.open("ana");
  assert.deepEqual(
    again.entries.map(({ text }) => text),
    texts,
  );
});

test("one message of a chat is in flight at a time, and chats don't wait for each other", async () => {
  const { outbox, said } = makeOutbox();
  await outbox.open("ana");
  for (const chat_id of ["c1", "c1", "c2"]) await outbox.add({ chat_id, text: `to ${chat_id}` });
  assert.deepEqual(
    said.map(({ chat_id }) => chat_id),
    ["c1", "c2"],
  );
  outbox.settle(messageOf(said[0]));
  assert.deepEqual(
    said.map(({ chat_id }) => chat_id),
    ["c1", "c2", "c1"],
  );
});

test("a message is stored before it is sent", async () => {
  const store = memoryStore();
  /** @type {(value?: unknown) => void} */
  let written = () => {};
  const slow = { ...store, set: () => new Promise((done) => (written = done)).then(() => {}) };
  const { outbox, said } = makeOutbox(slow);
  await outbox.open("ana");
  const added = outbox.add({ chat_id: "c1", text: "Hello" });
  await Promise.resolve();
  assert.equal(said.length, 0);
  written();
  await added;
  assert.equal(said.length, 1);
});

test("a refused message stays with its reason, and the next one goes on", async () => {
  const { outbox, said } = makeOutbox();
  await outbox.open("ana");
  const { sent } = await outbox.add({ chat_id: "c1", text: "One" });
  await outbox.add({ chat_id: "c1", text: "Two" });
  outbox.refuse({ client_id: said[0].client_id, code: "invalid", detail: "Too long." });
  await assert.rejects(sent, { code: "invalid", message: "Too long." });
  assert.deepEqual(
    outbox.entries.map(({ text, error }) => [text, error?.code]),
    [
      ["One", "invalid"],
      ["Two", undefined],
    ],
  );
  assert.deepEqual(
    said.map(({ text }) => text),
    ["One", "Two"],
  );
});

test("a refusal that comes twice is told once", async () => {
  const { outbox, told } = makeOutbox();
  await outbox.open("ana");
  const { entry, sent } = await outbox.add({ chat_id: "c1", text: "One" });
  for (const detail of ["No.", "Still no."]) outbox.refuse({ client_id: entry.client_id, code: "invalid", detail });
  await assert.rejects(sent);
  assert.deepEqual(
    told.map((change) => change.entry.error?.detail),
    [undefined, "No."],
  );
});

test("a message that is tried again has another id", async () => {
  const { outbox, said } = makeOutbox();
  await outbox.open("ana");
  const { entry, sent } = await outbox.add({ chat_id: "c1", text: "One" });
  outbox.refuse({ client_id: entry.client_id, code: "invalid", detail: "No." });
  await assert.rejects(sent);
  await outbox.retry(entry.client_id);
  assert.equal(outbox.entries.length, 1);
  assert.notEqual(outbox.entries[0].client_id, entry.client_id);
  assert.deepEqual(
    said.map(({ text }) => text),
    ["One", "One"],
  );
});

test("a server that is busy is asked again when it said, and no sooner", async () => {
  const { outbox, said } = makeOutbox();
  await outbox.open("ana");
  const { entry } = await outbox.add({ chat_id: "c1", text: "One" });
  outbox.refuse({ client_id: entry.client_id, code: "rate_limited", detail: "Slow down.", retry_after: 7 });
  mock.timers.tick(6999);
  assert.equal(said.length, 1);
  mock.timers.tick(1);
  assert.deepEqual(
    said.map(({ client_id }) => client_id),
    [entry.client_id, entry.client_id],
  );
});

/** A server that may lose what it is told, and its answers, and may be busy; it keeps each client_id once. */
class LossyServer {
  /** @type {Map<string, Sent>} */
  log = new Map();

  /** @param {ReturnType<typeof makeOutbox>} device @param {() => number} random */
  answer({ outbox, said }, random) {
    for (const frame of said.splice(0)) {
      const fate = oneOf(random, ["lost", "unanswered", "busy", "sent", "sent"]);
      if (fate === "busy") outbox.refuse({ client_id: frame.client_id, code: "overloaded", detail: "Busy." });
      if (fate !== "unanswered" && fate !== "sent") continue;
      if (!this.log.has(frame.client_id)) this.log.set(frame.client_id, frame);
      if (fate === "sent") outbox.settle(messageOf(frame));
    }
  }
}

for (let seed = 1; seed <= 50; seed += 1) {
  test(`each message arrives once, in the order of its chat, whatever is lost (seed ${seed})`, async () => {
    const random = chance(seed);
    const server = new LossyServer();
    const device = makeOutbox();
    await device.outbox.open("ana");
    const written = [];
    for (let step = 0; step < 40; step += 1) {
      const chat_id = oneOf(random, ["c1", "c2", "c3"]);
      written.push([chat_id, String(step)]);
      await device.outbox.add({ chat_id, text: String(step) });
      server.answer(device, random);
      if (random() < 0.2) await device.outbox.resume();
      mock.timers.tick(below(random, 2000));
    }
    while (device.outbox.entries.length) {
      await device.outbox.resume();
      server.answer(device, random);
    }
    const arrived = [...server.log.values()].map(({ chat_id, text }) => [chat_id, text]);
    for (const chat of ["c1", "c2", "c3"]) {
      assert.deepEqual(
        arrived.filter(([id]) => id === chat),
        written.filter(([id]) => id === chat),
      );
    }
    assert.deepEqual(await device.store.list("outbox/"), []);
  });
}
