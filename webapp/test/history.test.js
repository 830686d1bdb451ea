import assert from "node:assert/strict";
import { test } from "node:test";
import { below, chance } from "../../clients/javascript/test/chance.js";
import { History } from "../client/history.js";

const BLOCK = 100; // messages that are fetched at a time
const KEPT = 40; // blocks in memory

/** @param {number} seq @param {object} [more] @returns {any} */
const message = (seq, more) => ({ seq, sender_id: seq % 2 ? "ana" : "ben", text: `${seq}`, ...more });

/** A chat on a server, and what was asked of it. @param {number} total */
function makeHistory(total) {
  /** @type {[number, number][]} */
  const asked = [];
  const fetch = async (/** @type {number} */ after, /** @type {number} */ limit) => {
    asked.push([after, limit]);
    const count = Math.max(0, Math.min(limit, total - after));
    return Array.from({ length: count }, (_, index) => message(after + index + 1));
  };
  const history = new History(total, fetch, () => {});
  return { history, asked };
}

const settled = () => new Promise((done) => setImmediate(done));

test("what is needed is fetched in blocks, each once, and is there then", async () => {
  const { history, asked } = makeHistory(1000);
  history.need(150, 320);
  history.need(201, 201);
  await settled();
  history.need(150, 320);
  assert.deepEqual(asked, [
    [100, BLOCK],
    [200, BLOCK],
    [300, BLOCK],
  ]);
  for (let seq = 101; seq <= 400; seq += 1) assert.equal(history.get(seq)?.seq, seq);
});

test("nothing is asked for beyond the ends of the chat", async () => {
  const { history, asked } = makeHistory(30);
  history.need(-60, 500);
  await settled();
  assert.deepEqual(asked, [[0, BLOCK]]);
});

test("an answer to what was asked before all was forgotten is not believed", async () => {
  const { history } = makeHistory(10);
  history.need(1, 10);
  history.forget();
  await settled();
  assert.equal(history.get(5), undefined);
  history.need(1, 10);
  await settled();
  assert.equal(history.get(5)?.text, "5");
});

test("what can't be had isn't asked for again and again", async () => {
  let asked = 0;
  const refuse = async () => {
    asked += 1;
    return undefined;
  };
  const history = new History(10, refuse, () => {});
  for (let time = 0; time < 3; time += 1) {
    history.need(1, 10);
    await settled();
  }
  assert.equal(asked, 1);
});

test("unread messages are counted only if all are here, without one's own and those that are withheld", () => {
  const { history } = makeHistory(6);
  history.add(...[2, 3, 4, 5].map((seq) => message(seq)));
  assert.equal(history.unread(2, "ana"), undefined);
  history.add(message(6, { withheld: true }));
  assert.equal(history.unread(2, "ana"), 2);
  assert.equal(history.unread(2, "ben"), 2);
});

test("the total never falls with what is added", () => {
  const { history } = makeHistory(5);
  history.add(message(9), message(2));
  assert.equal(history.total, 9);
});

for (const seed of [1, 2, 3, 4, 5]) {
  test(`memory is bounded, and what was needed last is still there (seed ${seed})`, async () => {
    const random = chance(seed);
    const total = 20_000;
    const { history } = makeHistory(total);
    for (let step = 0; step < 200; step += 1) {
      const first = 1 + below(random, total);
      const last = Math.min(total, first + below(random, 150));
      history.need(first, last);
      await settled();
      for (let seq = first; seq <= last; seq += 1) assert.equal(history.get(seq)?.seq, seq);
    }
    const kept = Array.from({ length: total }, (_, index) => history.get(index + 1)).filter(Boolean).length;
    assert.ok(kept <= KEPT * BLOCK, `${kept} messages`);
  });
}
