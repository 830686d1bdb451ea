"""The web client where numbers are proved by SMS, and where those who aren't there get one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from duologue_lab.servers.server import DuologueServer
from tests.browser.conftest import Open
from tests.browser.people import USUAL, Person
from tests.browser.test_client_access import violations
from tests.support.client import PATIENCE, new_phone
from tests.support.handset import ask, until

pytestmark = pytest.mark.browser

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    options = ("--sign-in", "sms", "--relay-delay", "1", "--relay-unregistered", "everyone")
    with DuologueServer(tmp_path_factory.mktemp("sms"), *options) as running:
        yield running


def received(server: DuologueServer, phone: str) -> Any:
    """The first text that a simulated phone gets."""
    items: list[Any] = []

    def has_come() -> bool:
        items.extend(ask(server, "GET", f"/v1/sim/phones/{phone}/messages?wait=3")["items"])
        return items != []

    until(has_come)
    return items[0]


def ask_for_code(page: Page, server: DuologueServer) -> tuple[str, str]:
    """A new number, and the code that it got."""
    phone = new_phone()
    page.get_by_label("Phone number").fill(phone)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_label("Code")).to_be_focused()
    code = re.search(r"\b\d{6}\b", received(server, phone)["text"])
    assert code
    return phone, code[0]


def test_a_code_is_asked_for_and_checked(server: DuologueServer, open_page: Open) -> None:
    page = open_page(server.url, **USUAL)
    expect(page.get_by_role("link", name="Open the simulated phones")).to_have_attribute("href", "/phones")
    _, code = ask_for_code(page, server)
    field = page.get_by_label("Code")
    expect(field).to_have_attribute("autocomplete", "one-time-code")
    expect(page.get_by_role("button", name=re.compile(r"Send again in \d:\d\d"))).to_be_disabled()
    field.fill(f"{(int(code) + 1) % 1_000_000:06d}")
    expect(page.get_by_role("alert")).to_have_text("That isn't the code. 4 tries left.")
    assert violations(page) == []
    field.fill(f"{code[:3]} {code[3:]}")
    expect(page.get_by_label("Name")).to_be_focused()
    page.get_by_role("button", name="Not now").click()
    expect(page.get_by_text("No chats yet")).to_be_visible()


def test_a_conversation_goes_on_by_sms(server: DuologueServer, open_page: Open) -> None:
    """Ana writes in the client, to a phone that has none; the answer comes back into the chat."""
    page = open_page(server.url, **USUAL)
    phone, code = ask_for_code(page, server)
    page.get_by_label("Code").fill(code)
    page.get_by_label("Name").fill("Ana")
    page.get_by_role("button", name="Continue").click()
    ana, other = Person(page, phone, "Ana"), new_phone()
    ana.new_chat(other)
    ana.write("Are you at the station?")
    text = received(server, other)
    assert "Are you at the station?" in text["text"]
    expect(ana.status_of("station")).to_have_text("Delivered")
    ask(server, "POST", f"/v1/sim/phones/{other}/messages", {"to": text["from"], "text": "Two minutes."})
    expect(ana.bubble("Two minutes.")).to_contain_text("by SMS")
    ana.bubble("station").click(button="right")
    page.get_by_role("menuitem", name="Where is my message?").click()
    dialog = page.get_by_role("dialog", name="Where is my message?")
    steps = ("Stored for good", "SMS handed to the network", "Receipt from the phone network")
    for step in steps:
        expect(dialog.get_by_text(step, exact=True).first).to_be_visible()


def test_a_whole_conversation_fits_in_one_window(server: DuologueServer, open_page: Open) -> None:
    """The simulated phones stand beside the client: the code is read there, and so are texts."""
    page = open_page(server.url, **USUAL)
    page.get_by_role("button", name="Show them beside").click()
    expect(page.get_by_role("button", name="Show them beside")).to_have_attribute("aria-pressed", "true")
    phones = page.frame_locator("iframe[title='Simulated phones']")
    expect(phones.get_by_role("heading").first).to_be_visible()
    phone, code = ask_for_code(page, server)
    phones.get_by_role("button", name=f"Add {phone}").click()
    expect(phones.get_by_text(code).first).to_be_visible()
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="Not now").click()
    expect(phones.get_by_text(code).first).to_be_visible()
    assert violations(page) == []
