"""The phone simulator's page, as people use it: with eyes, with a keyboard, with a screen reader, on a telephone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from duologue_lab.servers.server import DuologueServer
from tests.browser.conftest import Open
from tests.support.client import PATIENCE, new_phone
from tests.support.handset import SERVICE, USUAL, ask, ask_for_code, received_by_server, until

pytestmark = pytest.mark.browser

expect.set_options(timeout=PATIENCE * 1000)

SOON = 10_000
"""Milliseconds: long for a busy machine, short for a poll that is waiting for the wrong thing."""
ATTACK = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
FOCUSED = "(({ ariaLabel, name, textContent }) => ariaLabel || name || textContent)(document.activeElement)"
LONGEST = "+491511234567890"
"""E.164 allows no more digits."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    """A server with simulated phones, which the tests share: each has numbers of its own."""
    with DuologueServer(tmp_path_factory.mktemp("phones"), "--sign-in", "sms") as running:
        yield running


@pytest.fixture
def page(server: DuologueServer, open_page: Open) -> Page:
    return open_page(f"{server.url}/phones", permissions=["clipboard-read", "clipboard-write"])


def add(page: Page, phone: str) -> Locator:
    """A handset on the page, added as one does."""
    page.get_by_label("Number").fill(phone)
    page.get_by_role("button", name="Add phone").click()
    return handset(page, phone)


def handset(page: Page, phone: str) -> Locator:
    return page.get_by_role("region", name=f"Phone {phone}", exact=True)


def texts(handset: Locator) -> Locator:
    """Return the SMS that it shows as received and sent."""
    return handset.get_by_role("log").locator(".text")


def behaviour(server: DuologueServer, phone: str) -> Any:
    return ask(server, "PUT", f"/v1/sim/phones/{phone}", {})


def test_a_user_signs_in_with_the_code_on_the_page(server: DuologueServer, page: Page) -> None:
    phone = new_phone()
    mine = add(page, phone)
    expect(mine.get_by_text("reachable", exact=True)).to_be_visible()
    verification = ask_for_code(server, phone)
    expect(mine.get_by_text(SERVICE)).to_be_visible()
    mine.get_by_role("button", name="Copy code").click()
    expect(mine.get_by_role("status")).to_have_text(re.compile(r"Copied \d{6}\."))
    code = page.evaluate("navigator.clipboard.readText()")
    assert mine.locator("mark").text_content() == code
    signed_in = ask(server, "POST", "/v1/sessions", {"verification_id": verification, "code": code})
    assert signed_in["user"]["phone"] == phone


def test_what_came_before_the_page_was_opened_is_shown(server: DuologueServer, page: Page) -> None:
    phone = new_phone()
    ask_for_code(server, phone)
    expect(texts(add(page, phone))).to_have_text(re.compile(r"\d{6}"))


def test_a_reply_goes_to_whoever_wrote_and_reaches_the_callback(server: DuologueServer, page: Page) -> None:
    phone = new_phone()
    before = received_by_server(server)
    mine = add(page, phone)
    ask_for_code(server, phone)
    expect(mine.get_by_label("To", exact=True)).to_have_value(SERVICE)
    mine.get_by_label("Text", exact=True).fill("STOP")
    mine.get_by_role("button", name="Send").click()
    expect(mine.get_by_role("status")).to_have_text("Sent.")
    expect(texts(mine).nth(1)).to_have_text("STOP")
    expect(mine.get_by_label("Text", exact=True)).to_have_value("")
    until(lambda: received_by_server(server) == before + 1)


def test_one_may_write_to_another_number(server: DuologueServer, page: Page) -> None:
    phone = new_phone()
    before = received_by_server(server)
    mine = add(page, phone)
    mine.get_by_label("Text", exact=True).fill("Hello?")
    mine.get_by_role("button", name="Send").click()
    expect(mine.get_by_role("status")).to_contain_text("Whom to?")
    mine.get_by_label("To", exact=True).fill("+12025550188")
    mine.get_by_role("button", name="Send").click()
    expect(mine.get_by_text("to +12025550188")).to_be_visible()
    ask_for_code(server, phone)
    expect(texts(mine).filter(has_text=re.compile(r"\d{6}"))).to_have_count(1)
    expect(mine.get_by_label("To", exact=True)).to_have_value("+12025550188")
    until(lambda: received_by_server(server) == before + 1)


def test_markup_in_a_text_is_shown_as_text(tmp_path: Path, open_page: Open) -> None:
    phone = new_phone()
    with DuologueServer(tmp_path, "--sign-in", "sms", "--sms-app-name", ATTACK) as server:
        page = open_page(f"{server.url}/phones")
        mine = add(page, phone)
        ask_for_code(server, phone)
        expect(texts(mine)).to_contain_text(ATTACK)
        mine.get_by_label("To", exact=True).fill('"><b>')
        mine.get_by_label("Text", exact=True).fill(ATTACK)
        mine.get_by_label("Text", exact=True).press("Enter")
        expect(texts(mine).nth(1)).to_have_text(ATTACK)
        expect(mine.get_by_text('to "><b>')).to_be_visible()
        assert mine.get_by_role("log").locator("img, script, b").count() == 0
        assert page.title() == "Phones · Duologue"


def test_what_waits_for_an_unreachable_phone_arrives_once_it_is_back(
    server: DuologueServer, page: Page
) -> None:
    phone = new_phone()
    mine = add(page, phone)
    network = mine.get_by_role("switch", name="Network")
    network.click()
    expect(mine.get_by_text("no network")).to_be_visible()
    ask_for_code(server, phone)
    mine.get_by_label("To", exact=True).fill(SERVICE)
    mine.get_by_label("Text", exact=True).fill("Hello?")
    mine.get_by_label("Text", exact=True).press("Enter")
    expect(mine.get_by_role("status")).to_have_text("Not sent: phone: is unreachable, so it can't send")
    assert ask(server, "GET", f"/v1/sim/phones/{phone}/messages?wait=0.3")["items"] == []
    expect(texts(mine)).to_have_count(0)
    network.click()
    expect(mine.get_by_text("reachable", exact=True)).to_be_visible()
    expect(texts(mine)).to_have_text(re.compile(r"\d{6}"))


def test_each_phone_behaves_as_it_is_set(server: DuologueServer, page: Page) -> None:
    one, other = new_phone(), new_phone()
    mine = add(page, one)
    add(page, other)
    mine.get_by_text("Behaviour").click()
    mine.get_by_label("Delay").fill("2000")
    mine.get_by_label("Delay").press("Tab")
    mine.get_by_label("Loss").press("ArrowRight")
    mine.get_by_label("Duplicates").press("End")
    mine.get_by_label("Reorder").fill("0.5")
    mine.get_by_label("Multipart").uncheck()
    expected = {"delay_ms": 2000, "loss": 0.05, "duplicate": 1, "reorder": 0.5, "multipart": False}
    shown = "reachable · 2000 ms late · loss 5% · duplicate 100% · reorder 50% · multipart off"
    expect(mine.get_by_text(shown)).to_be_visible()
    assert behaviour(server, one) == USUAL | expected
    assert behaviour(server, other) == USUAL
    page.reload()
    expect(handset(page, one).get_by_text(shown)).to_be_visible()


def test_what_cannot_be_set_is_explained_and_taken_back(server: DuologueServer, page: Page) -> None:
    phone = new_phone()
    mine = add(page, phone)
    mine.get_by_text("Behaviour").click()
    mine.get_by_label("Delay").fill("600001")
    mine.get_by_label("Delay").press("Tab")
    expect(mine.get_by_role("status")).to_contain_text("600000")
    expect(mine.get_by_label("Delay")).to_have_value("0")
    assert behaviour(server, phone) == USUAL


@pytest.mark.parametrize("number", ["0612345678", "", "+33", "+33/../..", "<b>"])
def test_a_bad_number_is_refused_with_the_servers_hint(page: Page, number: str) -> None:
    page.get_by_label("Number").fill(number)
    page.get_by_role("button", name="Add phone").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile(r"\w+ .*\."))
    expect(page.get_by_label("Number")).to_be_focused()
    assert page.get_by_role("region").count() == 0


def test_a_number_is_the_same_however_it_is_written(page: Page) -> None:
    phone = new_phone()
    add(page, phone)
    page.get_by_label("Number").fill(f" {phone[:3]} ({phone[3:6]}) {phone[6:9]}-{phone[9:]}")
    page.get_by_label("Number").press("Enter")
    expect(page.get_by_label("Number")).to_have_value("")
    expect(page.get_by_role("region")).to_have_count(1)


def test_more_phones_than_a_browser_has_connections_all_receive(server: DuologueServer, page: Page) -> None:
    phones = [new_phone() for _ in range(8)]
    for phone in phones:
        expect(add(page, phone)).to_be_visible(timeout=SOON)
    for phone in reversed(phones):
        ask_for_code(server, phone)
        expect(texts(handset(page, phone))).to_have_text(re.compile(r"\d{6}"), timeout=SOON)


def test_phones_stay_until_they_are_removed(server: DuologueServer, page: Page) -> None:
    one, other = new_phone(), new_phone()
    expect(add(page, one)).to_be_visible()
    expect(add(page, other)).to_be_visible()
    page.reload()
    expect(page.get_by_role("region")).to_have_count(2)
    page.get_by_role("button", name=f"Remove {one}").click()
    expect(page.get_by_role("button", name=f"Remove {other}")).to_be_focused()
    page.get_by_role("button", name=f"Remove {other}").press("Enter")
    expect(page.get_by_label("Number")).to_be_focused()
    expect(page.get_by_text("No phone here yet")).to_be_visible()
    page.reload()
    expect(page.get_by_text("No phone here yet")).to_be_visible()
    page.get_by_role("button", name=f"Add {one}").click()
    expect(handset(page, one)).to_be_visible()


def test_a_restart_of_the_server_is_survived(tmp_path: Path, open_page: Open) -> None:
    phone = new_phone()
    with DuologueServer(tmp_path / "data", "--sign-in", "sms") as server:
        page = open_page(f"{server.url}/phones")
        mine = add(page, phone)
        ask_for_code(server, phone)
        expect(texts(mine)).to_have_count(1)
        mine.get_by_text("Behaviour").click()
        mine.get_by_label("Delay").fill("1")
        mine.get_by_label("Delay").press("Enter")
        expect(mine.get_by_text("1 ms late")).to_be_visible()
        server.kill()
        expect(mine.get_by_role("status")).to_contain_text("Connection lost")
        shutil.rmtree(tmp_path / "data")  # a server that remembers would send no second code so soon
        server.start()
        expect(mine.get_by_role("status")).to_have_text("Connected again.", timeout=SOON)
        assert behaviour(server, phone) == USUAL | {"delay_ms": 1}
        ask_for_code(server, phone)
        expect(texts(mine)).to_have_count(2, timeout=SOON)


def test_everything_can_be_done_with_the_keyboard(server: DuologueServer, page: Page) -> None:
    phone = new_phone()
    page.keyboard.press("Tab")
    page.keyboard.type(phone)
    page.keyboard.press("Enter")
    mine = handset(page, phone)
    ask_for_code(server, phone)
    expect(texts(mine)).to_have_count(1)
    code = mine.locator("mark").text_content()
    stops = [
        "reachable",
        f"Remove {phone}",
        "Behaviour",
        f"Texts of {phone}",
        f"Copy code {code}",
        "to",
        "text",
    ]
    visited: list[str] = []
    while visited[-1:] != ["text"]:
        page.keyboard.press("Tab")
        visited.append(page.evaluate(FOCUSED))
    assert visited[-len(stops) :] == stops
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.keyboard.press("Enter")
    expect(texts(mine).nth(1)).to_have_text("one\ntwo", use_inner_text=True)


def test_a_screen_reader_is_told_what_is_what(server: DuologueServer, page: Page) -> None:
    phone = new_phone()
    mine = add(page, phone)
    mine.get_by_text("Behaviour").click()
    ask_for_code(server, phone)
    expect(texts(mine)).to_have_count(1)
    log = mine.get_by_role("log", name=f"Texts of {phone}")
    expect(log).to_have_attribute("aria-live", "polite")
    expect(page.locator("#said")).to_have_text(f"Added {phone}.")
    expect(mine.get_by_role("heading", level=2)).to_have_text(phone)
    for control in page.locator("input, textarea, button, summary").all():
        expect(control).to_have_accessible_name(re.compile(r"\w"))
    assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("width", [320, 375, 1280])
def test_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    mine = add(page, LONGEST)
    mine.get_by_text("Behaviour").click()
    mine.get_by_role("switch").click()
    mine.get_by_label("To", exact=True).fill(SERVICE)
    expect(mine.get_by_text("no network")).to_be_visible()
    mine.get_by_role("switch").click()
    expect(mine.get_by_text("no network")).to_have_count(0)
    mine.get_by_label("Text", exact=True).fill("W" * 300)
    mine.get_by_label("Text", exact=True).press("Enter")
    expect(texts(mine).first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    # Other tests' handsets stand beside it, and those that come later push it out of sight.
    mine.scroll_into_view_if_needed()
    for part in mine.locator("header *, label, button, .text").all():
        box = part.bounding_box()
        assert box is None or (box["x"] >= 0 and box["x"] + box["width"] <= width), part
    number, switch = mine.get_by_role("heading").bounding_box(), mine.locator(".switch").bounding_box()
    assert number
    assert switch
    assert number["x"] + number["width"] <= switch["x"]


CONTRAST = """() => {
  const style = getComputedStyle(document.documentElement);
  const probe = document.body.appendChild(document.createElement("i"));
  const light = (name) => {
    probe.style.color = style.getPropertyValue(`--${name}`);
    const parts = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
    const [r, g, b] = parts.map((part) => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + .05) / (low + .05);
  };
  const pairs = ["text card", "text soft", "dim card", "dim soft", "dim back", "accent card", "on-accent accent",
    "code-text code", "good card", "bad card"];
  return Object.fromEntries(pairs.map((pair) => [pair, ratio(...pair.split(" "))]));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_its_background(
    server: DuologueServer, open_page: Open, scheme: str
) -> None:
    page = open_page(f"{server.url}/phones", color_scheme=scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) < 200) == (scheme == "dark")
    # WCAG 2.2, 1.4.3: at least 4.5 to 1.
    assert {pair: ratio for pair, ratio in page.evaluate(CONTRAST).items() if ratio < 4.5} == {}
