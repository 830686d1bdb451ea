import assert from "node:assert/strict";
import { test } from "node:test";
import { isEmojiOnly, preview, withLinks } from "../client/text.js";

test("one to three emoji are shown larger, with their colours, families and flags of signs; nothing else is", () => {
  for (const text of ["👍", "👍🏽", "👍 👍", "❤️", "👨‍👩‍👧‍👦", "😀😀😀", "☎️ ☀️"]) {
    assert.equal(isEmojiOnly(text), true, text);
  }
  for (const text of ["", " ", "a", "1", "#", "👍a", "ok 👍", "\u200d", "😀 😀 😀 😀"]) {
    assert.equal(isEmojiOnly(text), false, text);
  }
});

test("a text of many emoji is judged at once", () => {
  assert.equal(isEmojiOnly("👍".repeat(15)), true);
  assert.equal(isEmojiOnly(`${"👍".repeat(15)}x`), false);
  assert.equal(isEmojiOnly("👍".repeat(2000)), false);
});

test("a preview is one line, and no longer than a list needs", () => {
  assert.equal(preview("  One\n\n two\tthree  "), "One two three");
  assert.equal(preview("a".repeat(5000)).length, 200);
  assert.equal(preview(" \n "), "");
});

test("a text without an address stays itself, whatever markup it looks like", () => {
  for (const text of ["<b onclick=a()>", "&lt;", "http:/example.org", "{{x}}"]) {
    assert.deepEqual(withLinks(text), [text]);
  }
  assert.deepEqual(withLinks(""), []);
});
