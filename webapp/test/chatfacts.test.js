import assert from "node:assert/strict";
import { test } from "node:test";
import { below, chance } from "../../clients/javascript/test/chance.js";
import { at, BEN, chatOf } from "../../clients/javascript/test/server.js";
import { folderOf, inOrder, isMuted, matches, unreadIn } from "../client/chatfacts.js";

const LONG_AGO = "2001-01-01T00:00:00Z";
const FAR_OFF = "9999-12-31T00:00:00Z";

test("a chat is muted until its time has come", () => {
  assert.equal(isMuted(chatOf("c1")), false);
  assert.equal(isMuted(chatOf("c1", { muted_until: LONG_AGO })), false);
  assert.equal(isMuted(chatOf("c1", { muted_until: FAR_OFF })), true);
});

test("a request stands with the requests, also if it is archived", () => {
  assert.equal(folderOf(chatOf("c1", { request: true, archived: true })), "requests");
  assert.equal(folderOf(chatOf("c1", { archived: true })), "archived");
  assert.equal(folderOf(chatOf("c1")), "chats");
});

test("the order doesn't depend on that of before: pinned, then by what happened last, here or there", () => {
  const random = chance(13);
  const chats = Array.from({ length: 50 }, (_, second) =>
    chatOf(`c${second}`, { updated_at: at(second), pinned: second % 7 === 0 }),
  );
  const outbox = [
    { client_id: "1", chat_id: "c3", text: "", queued_at: at(100), error: null },
    { client_id: "2", chat_id: "c4", text: "", queued_at: at(99), error: null },
    { client_id: "3", to: "+33600000009", text: "", queued_at: at(101), error: null },
  ];
  const order = inOrder(chats, outbox).map(({ id }) => id);
  assert.deepEqual(order.slice(0, 11), ["c49", "c42", "c35", "c28", "c21", "c14", "c7", "c0", "c3", "c4", "c48"]);
  for (let round = 0; round < 20; round += 1) {
    const shuffled = [...chats];
    for (let last = shuffled.length - 1; last > 0; last -= 1) {
      const other = below(random, last + 1);
      [shuffled[last], shuffled[other]] = [shuffled[other], shuffled[last]];
    }
    assert.deepEqual(
      inOrder(shuffled, outbox).map(({ id }) => id),
      order,
    );
  }
});

test("what counts as unread is in chats that somebody wants to hear of", () => {
  const kinds = [{}, { archived: true }, { request: true }, { muted_until: FAR_OFF }, { muted_until: LONG_AGO }];
  const chats = kinds.map((kind, index) => chatOf(`c${index}`, { unread: 10 ** index, ...kind }));
  assert.equal(unreadIn(chats), 10001);
  assert.equal(unreadIn([]), 0);
});

test("a search finds names and numbers in any folder; without one a folder shows its own", () => {
  const chat = chatOf("c1", { peer: { ...BEN, display_name: "Ben Osei", phone: "+447700900123" }, archived: true });
  for (const search of ["ben", " OSEI ", "n o", "7700 900", "0770", "+44 77"]) {
    assert.equal(matches(chat, search, "chats"), true, search);
  }
  for (const search of ["anna", "7701", "7"]) assert.equal(matches(chat, search, "archived"), false, search);
  assert.equal(matches(chat, "  ", "archived"), true);
  assert.equal(matches(chat, "", "chats"), false);
});

test("an account that is gone has no number to be found by", () => {
  const chat = chatOf("c1", { peer: { ...BEN, display_name: "", phone: null } });
  assert.equal(matches(chat, "77", "chats"), false);
});
