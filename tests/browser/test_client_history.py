"""A chat of 100,000 messages: any place in it is near, and scrolling is smooth."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from duologue_lab.servers.server import DuologueServer
from tests.browser.conftest import Open
from tests.browser.people import USUAL, Device, Person, fill_chat, sign_in
from tests.support.client import PATIENCE, new_phone
from tests.support.handset import until

pytestmark = pytest.mark.browser

expect.set_options(timeout=PATIENCE * 1000)

COUNT = 100_000
TURNS = 120
STEP = 400
"""Pixels of one turn of the wheel."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("history")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[DuologueServer]:
    with DuologueServer(folder) as running:
        yield running


@pytest.fixture(scope="module")
def phone(server: DuologueServer, folder: Path) -> str:
    """The number of somebody who has written a lot with Ben, and read it all."""
    phone = new_phone()
    ana, ben = Device(server, phone, "Ana"), Device(server, name="Ben")
    chat = ana.ask("PUT", "/v1/chats", {"phone": ben.phone})["id"]
    fill_chat(folder, chat, COUNT, days=400)
    ana.ask("PUT", f"/v1/chats/{chat}/read", {"seq": COUNT})
    return phone


@pytest.fixture
def ana(server: DuologueServer, phone: str, open_page: Open) -> Person:
    person = sign_in(open_page(server.url, **USUAL), "Ana", phone, known=True)
    person.chat_with("Ben")
    expect(row(person, COUNT)).to_be_in_viewport()
    return person


def row(person: Person, seq: int) -> Locator:
    return person.page.locator(f'.row[data-seq="{seq}"]')


def in_sight(page: Page) -> list[int]:
    """The seqs of what is in the window."""
    found: list[int] = page.evaluate("""() => {
      const edge = document.querySelector(".feed").getBoundingClientRect();
      const isSeen = (box) => box.bottom > edge.top && box.top < edge.bottom;
      const rows = [...document.querySelectorAll(".row[data-seq]")];
      return rows.filter((row) => isSeen(row.getBoundingClientRect())).map((row) => Number(row.dataset.seq));
    }""")
    return found


def test_only_what_is_near_is_in_the_page(ana: Person) -> None:
    expect(ana.texts.last).to_contain_text(f"No {COUNT}")
    assert ana.page.locator(".row").count() < 150


def test_the_beginning_and_the_end_are_one_key_away(ana: Person) -> None:
    feed = ana.page.get_by_role("feed")
    feed.press("Home")
    expect(row(ana, 1)).to_be_in_viewport()
    expect(ana.texts.first).to_contain_text("No 1")
    ana.page.get_by_role("button", name="Go to the newest message").click()
    expect(row(ana, COUNT)).to_be_in_viewport()
    feed.press("Home")
    expect(row(ana, 1)).to_be_in_viewport()
    feed.press("End")
    expect(row(ana, COUNT)).to_be_in_viewport()


def test_the_scroll_bar_leads_to_any_place(ana: Person) -> None:
    for share in (0.5, 0.1, 0.9, 0.25):
        ana.page.evaluate(
            "(share) => { const feed = document.querySelector('.feed');"
            " feed.scrollTop = share * feed.scrollHeight; }",
            share,
        )
        expect(row(ana, round(share * COUNT)).or_(row(ana, round(share * COUNT) - 1)).first).to_be_attached()
        seqs = in_sight(ana.page)
        assert abs(seqs[0] - share * COUNT) < COUNT / 100
        assert seqs == list(range(seqs[0], seqs[-1] + 1))
    assert ana.page.locator(".row").count() < 200


def test_reading_backwards_shows_every_message_where_it_belongs(ana: Person) -> None:
    """While rows are added above, what is read stays where it is: each turn moves it as far as the wheel says."""
    ana.page.locator(".feed").hover()
    for _ in range(40):
        top = in_sight(ana.page)[0]
        before = row(ana, top).bounding_box()
        ana.page.mouse.wheel(0, -STEP)
        ana.page.evaluate(SETTLED)
        after = row(ana, top).bounding_box()
        assert before
        assert after
        assert abs(after["y"] - before["y"] - STEP) <= 2
        seqs = in_sight(ana.page)
        assert seqs == list(range(seqs[0], seqs[-1] + 1))
    assert in_sight(ana.page)[0] < COUNT - 150


SETTLED = """() => new Promise((done) => {
  const feed = document.querySelector(".feed");
  let [last, still] = [NaN, 0];
  const look = () => {
    still = feed.scrollTop === last ? still + 1 : 0;
    last = feed.scrollTop;
    if (still > 3) done(true);
    else requestAnimationFrame(look);
  };
  look();
})"""

SCROLL = """([turns, step]) => new Promise((done) => {
  const feed = document.querySelector(".feed");
  const frames = [];
  const work = [];
  const tasks = new PerformanceObserver((list) => work.push(...list.getEntries().map(({ duration }) => duration)));
  tasks.observe({ type: "longtask" });
  let last = performance.now();
  let blank = 0;
  const frame = (now) => {
    frames.push(now - last);
    last = now;
    const box = feed.getBoundingClientRect();
    if (document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2)?.matches(".spacer")) blank += 1;
    if (frames.length > turns) {
      tasks.disconnect();
      done({ frames: frames.slice(1), work, blank });
      return;
    }
    feed.scrollTop -= step;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
})"""


def test_scrolling_is_smooth(ana: Person) -> None:
    """Half a window's height each frame, through messages that have to be fetched first."""
    found = ana.page.evaluate(SCROLL, [TURNS, STEP])
    frames = sorted(found["frames"])
    figures = {
        "median": frames[len(frames) // 2],
        "p95": frames[int(len(frames) * 0.95)],
        "longest": frames[-1],
        "tasks over 50 ms": len(found["work"]),
        "frames with nothing to read": found["blank"],
        "messages passed": COUNT - in_sight(ana.page)[0],
    }
    sys.stderr.write(f"{json.dumps(figures)}\n")
    assert figures["messages passed"] > 500
    assert figures["median"] < 50
    assert found["blank"] < TURNS / 4


def test_unread_messages_begin_where_one_left_off(server: DuologueServer, open_page: Open) -> None:
    ana, ben = Device(server, name="Ana"), Device(server, name="Ben")
    ana.accept(ben.phone)
    for number in range(1, 61):
        ben.send(ana.phone, f"Message {number}")
    chat = ana.ask("PUT", "/v1/chats", {"phone": ben.phone})["id"]
    ana.ask("PUT", f"/v1/chats/{chat}/read", {"seq": 20})
    person = sign_in(open_page(server.url, **USUAL), "Ana", ana.phone, known=True)
    expect(person.page.get_by_text("40 unread messages")).to_be_attached()
    person.chat_with("Ben")
    expect(person.page.get_by_text("New messages")).to_be_in_viewport()
    expect(row(person, 21)).to_be_in_viewport()
    expect(person.page.locator(".chats .badge").first).to_have_text(re.compile(r"^[23]\d"))
    person.page.get_by_role("button", name="Go to the newest message").click()
    expect(person.page.locator(".chats .badge")).to_have_count(0)
    until(lambda: ana.ask("GET", f"/v1/chats/{chat}")["unread"] == 0)
