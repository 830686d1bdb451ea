import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { TypingNotice } from "../client/typingnotice.js";

/** Milliseconds on a clock that only `wait` moves. */
let now = 0;

beforeEach(() => {
  now = 1000;
  mock.timers.enable({ apis: ["setTimeout"] });
  mock.method(performance, "now", () => now);
});
afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

/** @param {number} time in milliseconds */
function wait(time) {
  now += time;
  mock.timers.tick(time);
}

/** A notice, and what the peer was told. */
function makeNotice() {
  /** @type {boolean[]} */
  const told = [];
  return { notice: new TypingNotice((active) => told.push(active)), told };
}

test("who goes on typing is told again every three seconds, however many keys that are", () => {
  const { notice, told } = makeNotice();
  for (let key = 0; key < 61; key += 1) {
    notice.typed();
    wait(100);
  }
  assert.deepEqual(told, [true, true, true]);
});

test("five seconds without a key are an end, which is told once", () => {
  const { notice, told } = makeNotice();
  notice.typed();
  wait(4999);
  assert.deepEqual(told, [true]);
  wait(1);
  wait(60_000);
  assert.deepEqual(told, [true, false]);
});

test("what was sent ends it at once, and what is typed next is told at once", () => {
  const { notice, told } = makeNotice();
  notice.typed();
  notice.stop();
  notice.typed();
  assert.deepEqual(told, [true, false, true]);
});

test("nothing is told of somebody who hasn't typed", () => {
  const { notice, told } = makeNotice();
  notice.stop();
  wait(60_000);
  assert.deepEqual(told, []);
});
