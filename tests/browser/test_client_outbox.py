"""A message written in the client arrives exactly once: without a network, across a reload, through crashes."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from duologue_lab.servers.server import DuologueServer
from tests.browser.conftest import Open
from tests.browser.people import (
    KEEPING,
    USUAL,
    Device,
    Person,
    kept,
    look_again,
    newcomer,
    offline,
    pair,
    shown_is_stored,
    sign_in,
)
from tests.support.client import PATIENCE

pytestmark = pytest.mark.browser

expect.set_options(timeout=PATIENCE * 1000)

WAITS = "Waiting to be sent"
NO_CONNECTION = "No connection. What you write is kept, and sent when it is back."


def stored(server: DuologueServer, one: Person, other: Person) -> list[str]:
    """Return the server's messages of their chat."""
    return [message["text"] for message in Device(server, one.phone).history(other.phone)]


def test_what_is_written_offline_goes_out_exactly_once(server: DuologueServer, open_page: Open) -> None:
    ana, ben = pair(open_page, server)
    with offline(ana.page):
        ana.write("One")
        ana.write("Two")
        expect(ana.status_of("One")).to_have_text(WAITS)
        expect(ana.page.get_by_text(NO_CONNECTION)).to_be_visible()
    expect(ben.texts).to_have_text(["One", "Two"])
    expect(ana.status_of("Two")).to_have_text("Read")
    expect(ana.page.get_by_text(NO_CONNECTION)).to_be_hidden()
    assert stored(server, ana, ben) == ["One", "Two"]


def test_it_does_so_even_if_the_page_is_reloaded_meanwhile(server: DuologueServer, open_page: Open) -> None:
    ana, ben = pair(open_page, server, **KEEPING)
    ana.write("Before")
    expect(ana.status_of("Before")).to_have_text("Read")
    kept(ana.page)
    shown_is_stored(ana.page)
    with offline(ana.page):
        ana.write("One")
        ana.write("Two")
        expect(ana.status_of("Two")).to_have_text(WAITS)
        ana.page.reload()
        expect(ana.texts).to_have_text(["Before", "One", "Two"])
        expect(ana.status_of("Two")).to_have_text(WAITS)
        ana.write("Three")
        expect(ana.page.get_by_text(NO_CONNECTION)).to_be_visible()
    expect(ben.texts).to_have_text(["Before", "One", "Two", "Three"])
    assert stored(server, ana, ben) == ["Before", "One", "Two", "Three"]


DEAF = """() => {
  const { send } = WebSocket.prototype;
  WebSocket.prototype.send = function (frame) {
    send.call(this, frame);
    if (JSON.parse(frame).op === "send") this.onmessage = null;
  };
}"""
"""From its first message on, the page hears no more."""


def test_an_answer_that_was_lost_is_asked_for_again(server: DuologueServer, open_page: Open) -> None:
    """The message is stored, but its sender never hears: it sends the same again, and there is still one."""
    ana, ben = pair(open_page, server)
    ana.page.evaluate(DEAF)
    ana.write("Only once")
    expect(ben.texts).to_have_text(["Only once"])
    expect(ana.status_of("Only once")).to_have_text(WAITS)
    ana.page.reload()
    expect(ana.status_of("Only once")).to_have_text("Read")
    expect(ana.texts).to_have_count(1)
    assert stored(server, ana, ben) == ["Only once"]


def test_a_crash_of_the_server_loses_and_doubles_nothing(tmp_path: Path, open_page: Open) -> None:
    with DuologueServer(tmp_path) as server:
        ana, ben = pair(open_page, server)
        sent = [f"Ana {number}" for number in range(24)]
        for number, text in enumerate(sent):
            ana.write(text)
            if number % 8 == 4:
                server.kill()
            if number % 8 == 7:
                ben.write(f"Ben {number}")
                server.start()
        for person in (ana, ben):
            look_again(person.page)
            expect(person.page.locator(".pending")).to_have_count(0)
        texts = stored(server, ana, ben)
        assert [text for text in texts if text.startswith("Ana")] == sent
        assert [text for text in texts if text.startswith("Ben")] == ["Ben 7", "Ben 15", "Ben 23"]
        for person in (ana, ben):
            expect(person.texts.last).to_have_text(texts[-1])
            seen = person.page.locator(".row[data-seq]")
            expect(seen.last).to_have_attribute("aria-posinset", str(len(texts)))
            person.page.locator(".feed").press("Home")
            expect(person.texts.first).to_have_text(texts[0])


def test_two_devices_of_one_user_show_the_same(server: DuologueServer, open_page: Open) -> None:
    ana, ben = pair(open_page, server)
    second = sign_in(open_page(server.url, **USUAL), "Ana", ana.phone, known=True)
    ben.write("For both")
    row = second.page.get_by_role("listitem").filter(has_text="Ben")
    expect(row).to_contain_text("For both")
    expect(row.locator(".badge")).to_have_count(0)  # read on the first
    second.chat_with("Ben")
    with offline(ana.page):
        ana.write("From the first")
        second.write("From the second")
        expect(ben.texts).to_have_text(["For both", "From the second"])
    for person in (ana, second, ben):
        expect(person.texts).to_have_text(["For both", "From the second", "From the first"])
    expect(second.status_of("From the first")).to_have_text("Read")


def test_two_windows_of_one_device_send_each_message_once(server: DuologueServer, open_page: Open) -> None:
    ana, ben = pair(open_page, server)
    page = ana.page.context.new_page()
    page.goto(ana.page.url)
    second = Person(page, ana.phone, ana.name)
    expect(second.field).to_be_visible()
    with offline(ana.page):
        ana.write("From the first window")
        second.write("From the second window")
        expect(second.status_of("second window")).to_have_text(WAITS)
    expect(ben.texts).to_have_count(2)
    for person in (ana, second):
        expect(person.page.locator(".pending")).to_have_count(0)
        expect(person.texts).to_have_count(2)
    assert sorted(stored(server, ana, ben)) == ["From the first window", "From the second window"]


def test_a_message_that_is_refused_can_be_tried_again_or_discarded(
    server: DuologueServer, open_page: Open
) -> None:
    ana = newcomer(open_page, server, "Ana")
    ben = Device(server, name="Ben")
    ben.send(ana.phone, "Good-bye")
    ana.chat_with("Ben")
    with offline(ana.page):
        ana.write("Wait!")
        ben.ask("DELETE", "/v1/me")
    expect(ana.bubble("Wait!").locator(".failure")).to_contain_text("Not sent")
    ana.bubble("Wait!").click(button="right")
    ana.page.get_by_role("menuitem", name="Try again").click()
    expect(ana.bubble("Wait!").locator(".failure")).to_contain_text("Not sent")
    ana.bubble("Wait!").click(button="right")
    ana.page.get_by_role("menuitem", name="Discard").click()
    expect(ana.texts).to_have_text(["Good-bye"])
