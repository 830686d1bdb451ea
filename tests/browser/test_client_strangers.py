"""The web client and people who don't know each other yet."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from duologue_lab.servers.server import DuologueServer
from tests.browser.conftest import Open
from tests.browser.people import Device, Person, newcomer
from tests.support.client import PATIENCE
from tests.support.handset import until

pytestmark = pytest.mark.browser

expect.set_options(timeout=PATIENCE * 1000)


def choose(person: Person, label: str, option: str) -> None:
    """Choose something in the settings, and close them."""
    person.page.get_by_role("button", name="Settings").click()
    dialog = person.page.get_by_role("dialog")
    dialog.get_by_label(label).select_option(label=option)
    expect(person.page.get_by_text("Saved.").first).to_be_visible()
    person.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_a_request_becomes_a_chat_when_it_is_accepted(server: DuologueServer, open_page: Open) -> None:
    vera = newcomer(open_page, server, "Vera")
    choose(vera, "Who can write to me", "Everyone, strangers as requests")
    drawer = vera.page.get_by_role("button", name="Requests")
    names = vera.page.locator(".chats .name")
    expect(drawer).to_be_hidden()
    ana = Device(server, name="Ana")
    ana.send(vera.phone, "Do you know me?")
    expect(drawer).to_be_visible()
    expect(names).to_have_count(0)
    drawer.click()
    expect(names).to_have_text(["Ana"])
    vera.chat_with("Ana")
    accept = vera.page.get_by_role("button", name="Accept")
    expect(accept).to_be_visible()
    chat = ana.ask("PUT", "/v1/chats", {"phone": vera.phone})
    assert (chat["peer"]["display_name"], chat["marks"]["peer_delivered"]) == ("", 0)
    accept.click()
    expect(accept).to_be_hidden()
    expect(drawer).to_be_hidden()
    expect(names).to_have_text(["Ana"])
    until(lambda: ana.ask("GET", f"/v1/chats/{chat['id']}")["marks"]["peer_read"] == 1)
    assert ana.ask("GET", f"/v1/chats/{chat['id']}")["peer"]["display_name"] == "Vera"


def test_choices_about_strangers_are_kept(server: DuologueServer, open_page: Open) -> None:
    vera = newcomer(open_page, server, "Vera")
    choose(vera, "Who can write to me", "Only those I have written to")
    device = Device(server, vera.phone)
    assert device.ask("GET", "/v1/me")["who_can_write"] == "nobody"
    vera.page.get_by_role("button", name="Settings").click()
    chosen = vera.page.get_by_role("dialog").get_by_label("Who can write to me")
    expect(chosen).to_have_value("nobody")


def test_a_message_that_never_arrives_stays_sent_when_a_later_one_is_read(
    server: DuologueServer, open_page: Open
) -> None:
    ana, vera = newcomer(open_page, server, "Ana"), Device(server, name="Vera")
    vera.ask("PATCH", "/v1/me", {"who_can_write": "nobody"})
    ana.new_chat(vera.phone)
    ana.write("Never seen")
    expect(ana.status_of("Never seen")).to_have_text("Sent")
    chat = vera.ask("PUT", "/v1/chats", {"phone": ana.phone})
    vera.ask("PUT", f"/v1/chats/{chat['id']}/accept")
    ana.write("Seen later")
    expect(ana.status_of("Seen later")).to_have_text("Sent")
    vera.ask("PUT", f"/v1/chats/{chat['id']}/read", {"seq": 2})
    expect(ana.status_of("Seen later")).to_have_text("Read")
    expect(ana.status_of("Never seen")).to_have_text("Sent")
    ana.page.reload()
    expect(ana.status_of("Seen later")).to_have_text("Read")
    expect(ana.status_of("Never seen")).to_have_text("Sent")
