"""A network that fails for a moment: requests that get no answer, frames that are lost with their socket."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from duologue_lab.servers.server import DuologueServer
from tests.browser.conftest import Open
from tests.browser.people import Device, newcomer
from tests.support.client import PATIENCE
from tests.support.handset import until

pytestmark = pytest.mark.browser

expect.set_options(timeout=PATIENCE * 1000)


def fail_once(page: Page, requests: str) -> list[Route]:
    """The first of these requests gets no answer, while the socket stays as it is."""
    failed: list[Route] = []

    def answer(route: Route) -> None:
        if failed:
            route.continue_()
        else:
            failed.append(route)
            route.abort("internetdisconnected")

    page.route(requests, answer)
    return failed


def test_messages_that_could_not_be_fetched_are_asked_for_again(
    server: DuologueServer, open_page: Open
) -> None:
    ana, ben = newcomer(open_page, server, "Ana"), Device(server, name="Ben")
    ben.send(ana.phone, "Hello")
    failed = fail_once(ana.page, "**/messages?*")
    ana.chat_with("Ben")
    expect(ana.texts).to_have_text(["Hello"])
    assert failed


def test_a_count_that_could_not_be_fetched_is_asked_for_again(
    server: DuologueServer, open_page: Open
) -> None:
    """The server counts messages that another device has read, if they aren't here."""
    ana, ben = newcomer(open_page, server, "Ana"), Device(server, name="Ben")
    for text in ("One", "Two", "Three"):
        sent = ben.send(ana.phone, text)
    badge = ana.page.locator(".chats .badge").first
    expect(badge).to_contain_text("3")
    failed = fail_once(ana.page, "**/v1/chats/cht_*")
    Device(server, ana.phone).ask("PUT", f"/v1/chats/{sent['chat_id']}/read", {"seq": 1})
    expect(badge).to_contain_text("2")
    assert failed


LOST = """() => {
  const { send } = WebSocket.prototype;
  WebSocket.prototype.send = function (frame) {
    if (JSON.parse(frame).op !== "read") return send.call(this, frame);
    WebSocket.prototype.send = send;
    this.close();
  };
}"""
"""The socket breaks as the page says on it what has been read."""


def test_what_was_read_is_said_again_if_its_socket_was_lost(server: DuologueServer, open_page: Open) -> None:
    ana, ben = newcomer(open_page, server, "Ana"), Device(server, name="Ben")
    sent = ben.send(ana.phone, "Hello")
    ana.page.evaluate(LOST)
    ana.chat_with("Ben")
    expect(ana.texts).to_have_text(["Hello"])
    chat = f"/v1/chats/{sent['chat_id']}"
    until(lambda: bool(ana.page.evaluate("1")) and ben.ask("GET", chat)["marks"]["peer_read"] == 1)
