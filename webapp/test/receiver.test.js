import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Receiver } from "../phones/receiver.js";

/** @typedef {import("../phones/api.js").Sms} Sms */

beforeEach(() => mock.timers.enable({ apis: ["Date", "setTimeout"], now: Date.parse("2030-01-01T12:00:00Z") }));
afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

/** @param {number} id @param {string} text @param {string} [received_at] @returns {Sms} */
const sms = (id, text, received_at = "2030-01-01T11:00:00Z") => ({
  id,
  from: "+33600000001",
  text,
  received_at,
  parts: 1,
});

const settle = async () => {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((done) => setImmediate(done));
};

/** A handset that looks each second, at an inbox that the test fills. */
function makeHandset() {
  const end = new AbortController();
  const network = { inbox: /** @type {Sms[]} */ ([]), isDown: false };
  /** @type {{ arrived: string[], said: string[], asked: string[], connected: number }} */
  const seen = { arrived: [], said: [], asked: [], connected: 0 };
  mock.method(globalThis, "fetch", async (/** @type {string} */ url) => {
    const after = Number(new URL(url, "https://chat.example").searchParams.get("after"));
    seen.asked.push(url);
    if (network.isDown) throw new TypeError("Failed to fetch");
    return Response.json({ items: network.inbox.filter(({ id }) => id > after) });
  });
  const owner = {
    phone: "+33612345678",
    isLive: () => false,
    connected: async () => {
      seen.connected += 1;
    },
    arrived: (/** @type {Sms} */ { text }) => seen.arrived.push(text),
    looked: () => {},
    say: (/** @type {string} */ text) => seen.said.push(text),
  };
  new Receiver(owner, end.signal).receive();
  return { network, seen, end: () => end.abort() };
}

/** @param {number} time in milliseconds */
async function wait(time) {
  await settle();
  mock.timers.tick(time);
  await settle();
}

test("what is there and what comes is shown once each", async () => {
  const { network, seen, end } = makeHandset();
  network.inbox = [sms(1, "One"), sms(2, "Two")];
  await wait(1000);
  network.inbox.push(sms(3, "Three"));
  for (let second = 0; second < 60; second += 1) await wait(1000);
  assert.deepEqual(seen.arrived, ["One", "Two", "Three"]);
  end();
});

test("a server that has started again counts from 1 again, and its texts are shown", async () => {
  const { network, seen, end } = makeHandset();
  network.inbox = [sms(1, "One"), sms(2, "Two")];
  await wait(1000);
  network.inbox = [sms(1, "New", "2030-01-01T12:00:05Z")];
  for (let second = 0; second < 30; second += 1) await wait(1000);
  assert.deepEqual(seen.arrived, ["One", "Two", "New"]);
  end();
});

test("a server that is gone is asked more and more rarely, told of once, and told of when it is back", async () => {
  const { network, seen, end } = makeHandset();
  await settle();
  network.isDown = true;
  await wait(1000);
  const before = seen.asked.length;
  for (let second = 0; second < 20; second += 1) await wait(1000);
  assert.ok(seen.asked.length - before <= 7, `asked ${seen.asked.length - before} times`);
  assert.equal(seen.said.length, 1);
  network.isDown = false;
  network.inbox = [sms(1, "One")];
  for (let second = 0; second < 6; second += 1) await wait(1000);
  assert.deepEqual(seen.said.slice(1), ["Connected again."]);
  assert.deepEqual(seen.arrived, ["One"]);
  assert.ok(seen.connected > 1);
  end();
});

test("a handset that was removed asks no more", async () => {
  const { seen, end } = makeHandset();
  await wait(1000);
  end();
  await wait(1000);
  const before = seen.asked.length;
  for (let second = 0; second < 10; second += 1) await wait(1000);
  assert.equal(seen.asked.length, before);
});
