import assert from "node:assert/strict";
import { test } from "node:test";
import { below, chance } from "../../clients/javascript/test/chance.js";
import { itemAt, rowsFor, rowsWithin, spacers } from "../client/extent.js";

const LIMIT = 8_000_000; // pixels
const HEIGHT = 600; // pixels of the window

test("the spacers take the room of the rows that aren't there", () => {
  assert.deepEqual(spacers(100, 11, 20, 50), { above: 500, below: 4000 });
  assert.deepEqual(spacers(100, 1, 100, 50), { above: 0, below: 0 });
});

test("without rows to measure they guess, and without items they take no room", () => {
  assert.ok(spacers(100, 11, 20, 0).above > 0);
  assert.deepEqual(spacers(0, 1, 0, 0).above, 0);
});

test("a chat of any length stays within what browsers can scroll, and moving a row moves the room with it", () => {
  const random = chance(3);
  for (let round = 0; round < 2000; round += 1) {
    const total = 1 + below(random, 10 ** (1 + below(random, 7)));
    const first = 1 + below(random, total);
    const last = Math.min(total, first + below(random, 200));
    const likely = below(random, 400);
    const { above, below: under } = spacers(total, first, last, likely);
    assert.ok(above >= 0 && under >= 0);
    assert.ok(above + under <= LIMIT);
    assert.ok(spacers(total, first, Math.min(total, last + 1), likely).below <= under);
    assert.equal(above === 0 && first > 1 && total < LIMIT, false);
  }
});

test("the scroll bar stands for the whole chat: its top is the first item, its end the last, and it never jumps back", () => {
  const scrollHeight = 100_000;
  const end = scrollHeight - HEIGHT;
  const find = (/** @type {number} */ total, /** @type {number} */ scrollTop) =>
    itemAt(total, { scrollTop, scrollHeight, clientHeight: HEIGHT });
  for (const total of [1, 2, 7, 1000, 1_000_000]) {
    assert.equal(find(total, 0), 1);
    assert.equal(find(total, end), total);
    let last = 0;
    for (let scrollTop = 0; scrollTop <= end; scrollTop += 97) {
      const item = find(total, scrollTop);
      assert.ok(item >= last && item >= 1 && item <= total);
      last = item;
    }
  }
  assert.equal(find(0, 0), 0);
});

test("each item has its share of the scroll bar", () => {
  const items = Array.from({ length: 100 }, (_, scrollTop) =>
    itemAt(4, { scrollTop, scrollHeight: HEIGHT + 100, clientHeight: HEIGHT }),
  );
  for (const item of [1, 2, 3, 4]) assert.equal(items.filter((one) => one === item).length, 25);
});

test("a window that shows all needs no scrolling, and begins with the first item", () => {
  assert.equal(itemAt(5, { scrollTop: 0, scrollHeight: HEIGHT, clientHeight: HEIGHT }), 1);
});

test("as many rows as fill a height are made, and none for less than nothing", () => {
  assert.equal(rowsFor(100, 50), 2);
  assert.equal(rowsFor(101, 50), 3);
  assert.ok(rowsFor(-80, 50) <= 0);
});

test("the rows between two edges are those that reach between them", () => {
  const random = chance(5);
  for (let round = 0; round < 2000; round += 1) {
    let edge = -below(random, 1000);
    const rows = Array.from({ length: below(random, 20) }, () => {
      const top = edge;
      edge += 1 + below(random, 90);
      return { top, bottom: edge };
    });
    const bounds = { top: -50, bottom: 300 };
    const wanted = rows.filter((row) => row.bottom > bounds.top && row.top < bounds.bottom);
    const found = rowsWithin(rows, bounds.top, bounds.bottom);
    assert.deepEqual(found ? rows.slice(found.from, found.to) : [], wanted);
  }
});
