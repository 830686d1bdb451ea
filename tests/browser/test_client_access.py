"""The web client for everybody: by keyboard and screen reader, at any width, light and dark, in both directions."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from duologue_lab.servers.server import DuologueServer
from tests.browser.conftest import Open
from tests.browser.people import USUAL, Device, Person, newcomer, pair
from tests.support.client import PATIENCE, new_phone

pytestmark = pytest.mark.browser

expect.set_options(timeout=PATIENCE * 1000)

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PHONE = {"width": 360, "height": 700}
FOCUSED = "(({ ariaLabel, id, textContent }) => ariaLabel || id || textContent)(document.activeElement)"


def violations(page: Page) -> list[str]:
    """Return axe-core's findings about the page as it is."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    options = json.dumps({"runOnly": RULES, "resultTypes": ["violations"]})
    found: Any = page.evaluate(f"axe.run(document, {options})")
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


def conversing(open_page: Open, server: DuologueServer, **options: Any) -> Person:
    """Ana in a chat in which there is something of everything."""
    ana, ben = newcomer(open_page, server, "Ana", **options), Device(server, name="Ben")
    question = ben.send(ana.phone, "Shall we meet? See https://example.org/map")
    Device(server, name="Eve").send(ana.phone, "Hello")
    ana.page.get_by_role("link", name="Ben").click()
    ben.send(ana.phone, "At eight", reply_to=question["seq"])
    ana.write("Gladly.")
    expect(ana.status_of("Gladly.")).to_have_text("Sent")
    return ana


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_wrong(server: DuologueServer, open_page: Open, scheme: str) -> None:
    page = open_page(server.url, **USUAL, color_scheme=scheme)
    expect(page.get_by_label("Phone number")).to_be_focused()
    page.get_by_role("button", name="Continue").click()
    assert violations(page) == []
    ana = conversing(open_page, server, color_scheme=scheme)
    assert violations(ana.page) == []
    ana.bubble("At eight").click(button="right")
    expect(ana.page.get_by_role("menu")).to_be_visible()
    assert violations(ana.page) == []
    ana.page.keyboard.press("Escape")
    ana.page.get_by_role("button", name="Settings").click()
    expect(ana.page.get_by_text("This device")).to_be_visible()
    assert violations(ana.page) == []
    ana.page.keyboard.press("Escape")
    ana.page.get_by_role("button", name="New chat").click()
    assert violations(ana.page) == []


def test_axe_finds_nothing_wrong_on_a_telephone(server: DuologueServer, open_page: Open) -> None:
    ana = conversing(open_page, server, viewport=PHONE, has_touch=True, is_mobile=True)
    assert violations(ana.page) == []
    ana.page.get_by_role("link", name="Back").click()
    expect(ana.page.get_by_role("link", name="Ben")).to_be_visible()
    assert violations(ana.page) == []


def test_all_is_done_with_the_keyboard(server: DuologueServer, open_page: Open) -> None:
    page = open_page(server.url, **USUAL)
    ben = Device(server, name="Ben")
    keys = page.keyboard
    expect(page.get_by_label("Phone number")).to_be_focused()
    keys.type(new_phone())
    keys.press("Enter")
    expect(page.get_by_label("Name")).to_be_focused()
    keys.type("Ana")
    keys.press("Enter")
    tab_to(page, "New chat")
    keys.press("Enter")
    expect(page.get_by_label("Phone number")).to_be_focused()
    keys.type(ben.phone)
    keys.press("Enter")
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    for text in ("one", "two"):
        keys.type(text)
        keys.press("Enter")
    expect(page.locator(".row[data-seq]")).to_have_count(2)
    keys.press("Shift+Tab")
    assert re.match("You, ", page.evaluate(FOCUSED))
    keys.press("ArrowUp")
    expect(page.locator('.row[data-seq="1"]')).to_be_focused()
    keys.press("Enter")
    expect(page.get_by_role("menuitem", name="Reply")).to_be_focused()
    keys.press("End")
    expect(page.get_by_role("menuitem", name="Where is my message?")).to_be_focused()
    keys.press("Home")
    keys.press("Enter")
    expect(page.get_by_text("Reply to You")).to_be_visible()
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    keys.press("Escape")
    expect(page.get_by_text("Reply to You")).to_be_hidden()
    keys.press("Escape")
    expect(page.get_by_text("Choose a chat, or start a new one.")).to_be_visible()
    keys.press("Control+k")
    expect(page.get_by_role("searchbox")).to_be_focused()


def tab_to(page: Page, name: str) -> None:
    """Press Tab until that has the focus."""
    visited = []
    while page.evaluate(FOCUSED) != name:
        page.keyboard.press("Tab")
        visited.append(page.evaluate(FOCUSED))
        assert len(visited) < 30, visited


def test_a_screen_reader_hears_what_comes_and_not_what_was(server: DuologueServer, open_page: Open) -> None:
    ana, ben = pair(open_page, server)
    ben.write("Hello Ana")
    expect(ana.page.locator("p[role=status]")).to_have_text("Ben: Hello Ana")
    feed = ana.page.get_by_role("feed", name="Chat with Ben")
    message = feed.get_by_role("article", name=re.compile("^Ben, "))
    expect(message).to_have_attribute("aria-posinset", "1")
    expect(message).to_have_attribute("aria-setsize", "1")
    assert ana.page.locator(".feed[aria-live], .feed [aria-live]").count() == 0


def test_it_speaks_french(server: DuologueServer, open_page: Open) -> None:
    page = open_page(server.url, locale="fr-CH")
    assert page.locator("html").get_attribute("lang") == "fr"
    page.get_by_label("Numéro de téléphone").fill(new_phone())
    page.get_by_role("button", name="Continuer").click()
    page.get_by_role("button", name="Plus tard").click()
    page.get_by_role("button", name="Réglages").click()
    page.get_by_label("Langue").select_option("en")
    expect(page.get_by_role("button", name="Settings")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "en"


def test_a_theme_is_chosen_and_kept(server: DuologueServer, open_page: Open) -> None:
    ana = newcomer(open_page, server, "Ana", color_scheme="light")
    shade = "getComputedStyle(document.body).backgroundColor"
    light = ana.page.evaluate(shade)
    ana.page.get_by_role("button", name="Settings").click()
    ana.page.get_by_label("Theme").select_option("dark")
    dark = ana.page.evaluate(shade)
    assert dark != light
    ana.page.reload()
    expect(ana.page.get_by_role("heading", name="Chats", exact=True)).to_be_visible()
    assert ana.page.evaluate(shade) == dark


def test_right_to_left_all_is_mirrored(server: DuologueServer, open_page: Open) -> None:
    ana = conversing(open_page, server)
    width = ana.page.viewport_size["width"] if ana.page.viewport_size else 0
    parts = [".sidebar", ".mine .bubble", ".theirs .bubble", ".send", ".search .icon", ".chats .avatar"]
    before = {part: ana.page.locator(part).first.bounding_box() for part in parts}
    ana.page.evaluate("document.documentElement.dir = 'rtl'")
    for part, left in before.items():
        right = ana.page.locator(part).first.bounding_box()
        assert left
        assert right
        # A scroll bar may stand on either side.
        assert right["x"] == pytest.approx(width - left["x"] - left["width"], abs=20), part


def test_each_text_has_its_own_direction(server: DuologueServer, open_page: Open) -> None:
    ana, ben = pair(open_page, server)
    ben.write("مرحبا!")
    text = ana.bubble("مرحبا").locator(".text")
    expect(text).to_have_css("direction", "rtl")
    expect(ana.page.locator(".conversation")).to_have_css("direction", "ltr")


@pytest.mark.parametrize("width", [320, 360, 1024])
def test_nothing_is_wider_than_the_window(server: DuologueServer, open_page: Open, width: int) -> None:
    viewport = {"width": width, "height": 640}
    ana = newcomer(open_page, server, "Ana", viewport=viewport)
    ben = Device(server, name="W" * 64)
    ben.send(ana.phone, "W" * 500)
    names: list[Any] = [None, "Settings", "New chat"]
    for name in names:
        if name:
            ana.page.get_by_role("button", name=name).click()
        fits(ana.page, width)
        ana.page.keyboard.press("Escape")
    ana.page.get_by_role("link", name="WWW").click()
    expect(ana.texts).to_have_count(1)
    ana.field.fill("W" * 300)
    fits(ana.page, width)


def fits(page: Page, width: int) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for part in page.locator("button, a, input, select, textarea, h1, h2, .bubble, .text").all():
        box = part.bounding_box()
        if box and part.is_visible():
            assert box["x"] >= 0, part
            assert box["x"] + box["width"] <= width + 0.5, part


def test_all_that_can_be_touched_is_large_enough(server: DuologueServer, open_page: Open) -> None:
    """WCAG 2.2, 2.5.8: at least 24 by 24 pixels."""
    ana = conversing(open_page, server, viewport=PHONE, has_touch=True, is_mobile=True)
    for part in ana.page.locator("button:visible, a:visible, input:visible, textarea:visible").all():
        box = part.bounding_box()
        inline = part.evaluate("(element) => element.closest('.text') !== null")
        assert box is None or inline or min(box["width"], box["height"]) >= 24, part
