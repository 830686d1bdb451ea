import assert from "node:assert/strict";
import { test } from "node:test";
import { below, chance, oneOf } from "../../clients/javascript/test/chance.js";
import { findLinks, MAX_LINK } from "../client/links.js";

/** The texts of the links. @param {string} text */
const linksIn = (text) => findLinks(text).map(({ start, end }) => text.slice(start, end));

const CASES = {
  "See https://example.org.": ["https://example.org"],
  "HTTPS://EXAMPLE.ORG/A": ["HTTPS://EXAMPLE.ORG/A"],
  "(https://example.org/a_(b))": ["https://example.org/a_(b)"],
  "[https://example.org/]": ["https://example.org/"],
  "«https://example.org/é»": ["https://example.org/é"],
  "https://example.org/?q=1, https://example.net!": ["https://example.org/?q=1", "https://example.net"],
  "https://user:password@evil.example/": [],
  "https://user@evil.example/": [],
  "javascript:alert(1) data:text/html,x ftp://example.org": [],
  "xhttps://example.org": [],
  "https://": [],
  "https://]": [],
};
for (const [text, links] of Object.entries(CASES)) {
  test(`the links of ${text}`, () => assert.deepEqual(linksIn(text), links));
}

test("an address that is too long stays text, and the one after it is a link", () => {
  const head = "https://example.org/";
  const longest = head + "a".repeat(MAX_LINK - head.length);
  assert.deepEqual(linksIn(longest), [longest]);
  assert.deepEqual(linksIn(`${longest}a https://example.net`), ["https://example.net"]);
});

test("links lie in the text in order, don't overlap, and are found again by themselves", () => {
  const random = chance(7);
  const bits = [
    "https://",
    "http://",
    "example.org",
    "/",
    "(",
    ")",
    "[",
    "]",
    ".",
    ",",
    " ",
    "\n",
    "a",
    "é",
    "👍",
    "@",
  ];
  for (let round = 0; round < 3000; round += 1) {
    const text = Array.from({ length: below(random, 30) }, () => oneOf(random, bits)).join("");
    let last = 0;
    for (const { start, end, url } of findLinks(text)) {
      assert.ok(last <= start && start < end && end <= text.length, text);
      assert.match(url.protocol, /^https?:$/);
      assert.equal(url.username + url.password, "", text);
      assert.deepEqual(linksIn(text.slice(start, end)), [text.slice(start, end)], text);
      last = end;
    }
  }
});
