"""Texts that other people wrote are shown in time proportional to their length, and their links are right."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from duologue_lab.servers.server import DuologueServer
from tests.browser.conftest import Open

pytestmark = pytest.mark.browser

SHAPES = [
    *(
        ".",
        ")",
        "(",
        "[",
        "]",
        "'",
        "’",
        "!",
        "x)",
        "().",
        "a.b",
        "//",
        "http",
        "http://",
        "https://a.example",
    ),
    *(
        "http://a.example/).",
        " http://a",
        "😀",
        "😀\u200d",
        "\ufe0f",
        "\u0301",
        "\u202e",
        " ",
        "\n",
        "1 ",
        "«»",
    ),
]
GROWTH = """([shapes, heads, short, factor]) => {
  const work = {
    links: (text) => findLinks(text),
    nodes: (text) => withLinks(text),
    emoji: (text) => isEmojiOnly(text),
    preview: (text) => preview(text),
  };
  const fastest = (call, text) => {
    let least = Infinity;
    for (let turn = 0; turn < 4; turn += 1) {
      const begun = performance.now();
      call(text);
      least = Math.min(least, performance.now() - begun);
    }
    return Math.max(least, 0.2);
  };
  const slow = [];
  for (const [name, call] of Object.entries(work))
    for (const head of heads)
      for (const shape of shapes) {
        const text = (size) => head + shape.repeat(size / shape.length);
        const ratio = () => fastest(call, text(short * factor)) / fastest(call, text(short));
        if (Math.min(ratio(), ratio()) > factor * 4) slow.push([name, head, shape]);
      }
  return slow;
}"""
LINKS = {
    "See https://a.example/x_(y). And (http://b.example/), HTTP://C.example!!!": [
        "https://a.example/x_(y)",
        "http://b.example/",
        "HTTP://C.example",
    ],
    "[https://a.example/[1]] {https://b.example/}": ["https://a.example/[1]", "https://b.example/"],
    "“https://a.example/?q=1”, «https://b.example»…": ["https://a.example/?q=1", "https://b.example"],
    "https://user@host.example ftp://a.example xhttp://a.example http://": [],
    "https://a.example/" + "x" * (2048 - 18): ["https://a.example/" + "x" * (2048 - 18)],
    "https://a.example/" + "x" * (2049 - 18): [],
}


@pytest.fixture
def page(server: DuologueServer, open_page: Open) -> Page:
    page = open_page(server.url)
    page.evaluate("""async () => {
      const base = document.querySelector("script[type=module]").src;
      for (const name of ["links.js", "text.js"]) Object.assign(window, await import(new URL(name, base).href));
    }""")
    return page


def test_time_grows_with_the_length_of_a_text_and_no_faster(page: Page) -> None:
    heads = ["", "https://a.example/"]
    assert page.evaluate(GROWTH, [SHAPES, heads, 4096, 16]) == []


def test_links_end_where_the_sentence_goes_on(page: Page) -> None:
    found = page.evaluate(
        "(texts) => texts.map((text) => findLinks(text).map(({ start, end }) => text.slice(start, end)))",
        list(LINKS),
    )
    assert dict(zip(LINKS, found, strict=True)) == LINKS
