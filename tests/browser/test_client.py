"""The web client: two people write to each other, each in a browser of their own."""

from __future__ import annotations

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from duologue_lab.servers.server import DuologueServer
from tests.browser.conftest import Open
from tests.browser.people import USUAL, Device, newcomer, pair, sign_in
from tests.support.client import PATIENCE, new_phone
from tests.support.handset import until

pytestmark = pytest.mark.browser

expect.set_options(timeout=PATIENCE * 1000)


def test_two_people_write_to_each_other(server: DuologueServer, open_page: Open) -> None:
    ana, ben = pair(open_page, server)
    ana.write("Are you at the station?")
    expect(ben.texts).to_have_text(["Are you at the station?"])
    expect(ana.status_of("station")).to_have_text("Read")
    ben.field.press_sequentially("Two")
    expect(ana.page.get_by_role("heading", name="Ben").locator("..")).to_contain_text("typing …")
    ben.write("Two minutes.")
    expect(ana.texts).to_have_text(["Are you at the station?", "Two minutes."])
    expect(ana.page.get_by_text("typing …")).to_have_count(0)


def test_ticks_rise_from_sent_to_delivered_to_read(server: DuologueServer, open_page: Open) -> None:
    ana = newcomer(open_page, server, "Ana")
    phone = new_phone()
    ana.new_chat(phone)
    expect(ana.page.get_by_text("No messages yet. Say hello.")).to_be_visible()
    ana.write("Are you there?")
    expect(ana.page.get_by_text("No messages yet. Say hello.")).to_be_hidden()
    expect(ana.status_of("there")).to_have_text("Sent")
    ben = sign_in(open_page(server.url, **USUAL), "Ben", phone)
    expect(ana.status_of("there")).to_have_text("Delivered")
    ben.page.get_by_role("link", name="Ana").click()
    expect(ana.status_of("there")).to_have_text("Read")


def test_presence_is_told_as_it_changes(server: DuologueServer, open_page: Open) -> None:
    ana, ben = pair(open_page, server)
    head = ana.page.get_by_role("heading", name="Ben").locator("..")
    expect(head).to_contain_text("online")
    ben.page.context.close()
    expect(head).to_contain_text("last seen")


def test_the_list_is_live(server: DuologueServer, open_page: Open) -> None:
    ana = newcomer(open_page, server, "Ana")
    ben, eve = Device(server, name="Ben"), Device(server, name="Eve")
    names = ana.page.locator(".chats .name")
    ben.send(ana.phone, "First")
    expect(names).to_have_text(["Ben"])
    eve.send(ana.phone, "Second")
    eve.send(ana.phone, "Third")
    expect(names).to_have_text(["Eve", "Ben"])
    row = ana.page.get_by_role("listitem").filter(has_text="Eve")
    expect(row.get_by_text("2 unread messages")).to_be_attached()
    expect(row).to_contain_text("Third")
    expect(ana.page).to_have_title("(3) Duologue")
    ben.send(ana.phone, "Fourth")
    expect(names).to_have_text(["Ben", "Eve"])
    ana.chat_with("Eve")
    expect(row.locator(".badge")).to_have_count(0)
    expect(ana.page).to_have_title("(2) Duologue")


def test_nothing_moves_away_while_it_is_pressed(server: DuologueServer, open_page: Open) -> None:
    ana = newcomer(open_page, server, "Ana")
    ben, eve = Device(server, name="Ben"), Device(server, name="Eve")
    names = ana.page.locator(".chats .name")
    ben.send(ana.phone, "First")
    expect(names).to_have_text(["Ben"])
    ana.page.get_by_role("link", name="Ben").hover()
    ana.page.mouse.down()
    eve.send(ana.phone, "Second")
    ben.send(ana.phone, "Third")
    expect(ana.page).to_have_title("(3) Duologue")
    expect(names).to_have_text(["Ben"])
    ana.page.mouse.up()
    expect(ana.page.get_by_role("region", name="Chat with Ben")).to_be_visible()
    expect(names).to_have_text(["Ben", "Eve"])


def test_a_chat_that_begins_while_the_list_is_fetched_is_not_lost(
    server: DuologueServer, open_page: Open
) -> None:
    page = open_page("about:blank", locale="en-GB", service_workers="block")
    lists: list[tuple[Route, APIResponse]] = []
    page.route("**/v1/chats?*", lambda route: lists.append((route, route.fetch())))
    page.goto(server.url)
    ana, ben = sign_in(page, "Ana"), Device(server, name="Ben")
    until(lambda: page.evaluate("1") == 1 and len(lists) == 1)
    sent = ben.send(ana.phone, "Hello")
    names = page.locator(".chats .name")
    expect(names).to_have_text(["Ben"])
    route, before = lists[0]
    route.fulfill(response=before)
    # Only then is anything acknowledged.
    chat = f"/v1/chats/{sent['chat_id']}"
    until(lambda: bool(page.evaluate("1")) and ben.ask("GET", chat)["marks"]["peer_delivered"] == 1)
    expect(names).to_have_text(["Ben"])


def test_the_list_is_searched_by_name_and_number(server: DuologueServer, open_page: Open) -> None:
    ana = newcomer(open_page, server, "Ana")
    people = [Device(server, name=name) for name in ("Élodie", "Marc")]
    for one in people:
        one.send(ana.phone, "Hello")
    names = ana.page.locator(".chats .name")
    expect(names).to_have_count(2)
    search = ana.page.get_by_role("searchbox")
    search.fill("élo")
    expect(names).to_have_text(["Élodie"])
    search.fill(f"0{people[1].phone[3:7]}")
    expect(names).to_have_text(["Marc"])
    search.fill("nobody")
    expect(ana.page.get_by_text("No chat matches “nobody”.")).to_be_visible()


def test_chats_are_pinned_muted_and_archived(server: DuologueServer, open_page: Open) -> None:
    ana = newcomer(open_page, server, "Ana")
    for name in ("Ben", "Eve"):
        Device(server, name=name).send(ana.phone, "Hello")
    names = ana.page.locator(".chats .name")
    expect(names).to_have_text(["Eve", "Ben"])
    choose(ana.page, "Ben", "Pin")
    expect(names).to_have_text(["Ben", "Eve"])
    choose(ana.page, "Ben", "Mute for 8 hours")
    expect(ana.page.get_by_role("listitem").filter(has_text="Ben").locator(".badge.quiet")).to_be_visible()
    expect(ana.page).to_have_title("(1) Duologue")
    choose(ana.page, "Eve", "Archive")
    expect(names).to_have_text(["Ben"])
    ana.page.get_by_role("button", name="Archived").click()
    expect(names).to_have_text(["Eve"])
    choose(ana.page, "Eve", "Unarchive")
    expect(names).to_have_text(["Ben", "Eve"])
    ana.page.reload()
    expect(names).to_have_text(["Ben", "Eve"])


def choose(page: Page, name: str, action: str) -> None:
    row = page.get_by_role("listitem").filter(has_text=name)
    row.hover()
    row.get_by_role("button").click()
    page.get_by_role("menuitem", name=action, exact=True).click()


def test_a_reply_leads_to_what_it_answers(server: DuologueServer, open_page: Open) -> None:
    ana, ben = pair(open_page, server)
    ana.write("Tea or coffee?")
    ben.bubble("Tea or coffee?").click(button="right")
    ben.page.get_by_role("menuitem", name="Reply").click()
    ben.write("Tea!")
    quote = ana.bubble("Tea!").get_by_role("button", name="Tea or coffee?")
    expect(quote).to_contain_text("You")
    quote.click()
    expect(ana.bubble("Tea or coffee?").first).to_be_in_viewport()


def test_where_is_my_message_is_asked_from_its_menu(server: DuologueServer, open_page: Open) -> None:
    ana, _ = pair(open_page, server)
    ana.write("Hello?")
    expect(ana.status_of("Hello?")).to_have_text("Read")
    ana.bubble("Hello?").click(button="right")
    ana.page.get_by_role("menuitem", name="Where is my message?").click()
    dialog = ana.page.get_by_role("dialog", name="Where is my message?")
    for step in ("Stored for good", "Pushed to a device", "Confirmed by a device"):
        expect(dialog.get_by_text(step)).to_be_visible()


@pytest.mark.parametrize(
    ("country", "number", "hint"),
    [
        ("FR", "", "Enter a phone number."),
        ("FR", "06 12 34", "Too short: France numbers have 9 digits after +33."),
        ("FR", "06 12 34 56 78 90", "Too long: France numbers have 9 digits after +33."),
        ("GB", "123", "A number in United Kingdom has 7, 9 or 10 digits after +44."),
        ("FR", "+999 123 456", "No country has that code."),
    ],
)
def test_a_number_is_checked_by_its_countrys_rules(
    server: DuologueServer, open_page: Open, country: str, number: str, hint: str
) -> None:
    page = open_page(server.url, **USUAL)
    page.get_by_label("Country").select_option(country)
    page.get_by_label("Phone number").fill(number)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_have_text(hint)
    expect(page.get_by_label("Phone number")).to_be_focused()


def test_a_number_is_taken_as_one_writes_it_at_home(server: DuologueServer, open_page: Open) -> None:
    ana = newcomer(open_page, server, "Ana")
    ana.page.get_by_role("button", name="New chat").first.click()
    dialog = ana.page.get_by_role("dialog")
    dialog.get_by_label("Country").select_option("FR")
    dialog.get_by_label("Phone number").fill("06.12.34.56.78")
    dialog.get_by_role("button", name="Start chat").click()
    expect(ana.page.get_by_role("region", name="Chat with +33 6 12 34 56 78")).to_be_visible()


def test_ones_own_number_is_refused_by_the_server(server: DuologueServer, open_page: Open) -> None:
    ana = newcomer(open_page, server, "Ana")
    ana.page.get_by_role("button", name="New chat").first.click()
    dialog = ana.page.get_by_role("dialog")
    dialog.get_by_label("Phone number").fill(ana.phone)
    dialog.get_by_role("button", name="Start chat").click()
    expect(dialog.get_by_role("alert")).to_have_text("That is your own number")


def test_devices_are_listed_and_signed_out(server: DuologueServer, open_page: Open) -> None:
    first = newcomer(open_page, server, "Ana")
    second = sign_in(open_page(server.url, **USUAL), "Ana", first.phone, known=True)
    Device(server, first.phone)
    first.page.get_by_role("button", name="Settings").click()
    devices = first.page.get_by_role("dialog").get_by_role("listitem")
    expect(devices).to_have_count(3)
    first.page.get_by_role("button", name="Sign out Script").click()
    expect(devices).to_have_count(2)
    first.page.get_by_role("button", name="Sign out all other devices").click()
    expect(devices).to_have_count(1)
    expect(second.page.get_by_label("Phone number")).to_be_visible()
    expect(second.page.get_by_text("You were signed out on this device.").first).to_be_visible()
    expect(first.page.get_by_text("This device")).to_be_visible()


def test_a_new_name_and_private_reading_are_kept(server: DuologueServer, open_page: Open) -> None:
    ana, ben = pair(open_page, server)
    ben.page.get_by_role("button", name="Settings").click()
    dialog = ben.page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Benjamin")
    dialog.get_by_role("button", name="Save").click()
    expect(ana.page.get_by_role("heading", name="Benjamin")).to_be_visible()
    dialog.get_by_label("Let others see what I have read").uncheck()
    dialog.get_by_role("button", name="Close").click()
    ana.write("Did you see this?")
    expect(ben.texts).to_have_text(["Did you see this?"])
    expect(ana.status_of("Did you")).to_have_text("Delivered")


def test_signing_out_leaves_nothing_on_the_device(server: DuologueServer, open_page: Open) -> None:
    ana, ben = pair(open_page, server)
    ben.write("A secret")
    expect(ana.texts).to_have_text(["A secret"])
    ana.page.get_by_role("button", name="Settings").click()
    ana.page.get_by_role("button", name="Sign out", exact=True).click()
    ana.page.get_by_role("dialog", name="Sign out on this device?").get_by_role(
        "button", name="Sign out"
    ).click()
    expect(ana.page.get_by_label("Phone number")).to_be_visible()
    ana.page.reload()
    expect(ana.page.get_by_label("Phone number")).to_be_visible()
    assert ana.page.evaluate(STORED) == []


STORED = """() => new Promise((done) => {
  indexedDB.open("duologue").onsuccess = ({ target }) => {
    const all = target.result.transaction("values").objectStore("values").getAllKeys();
    all.onsuccess = () => done(all.result);
  };
})"""
