"""The page itself: small, kept for when there is no network, never stale, and deaf to what is hidden in a text."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Request, expect

from duologue_lab.servers.server import DuologueServer
from tests.browser.conftest import Open
from tests.browser.people import KEEPING, USUAL, Device, kept, newcomer, offline, shown_is_stored, sign_in
from tests.support.client import PATIENCE

pytestmark = pytest.mark.browser

expect.set_options(timeout=PATIENCE * 1000)

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "docs" / "screenshots"
ATTACKS = [
    '<img src=x onerror="document.title=1"><script>document.title=2</script>',
    "javascript:alert(1) data:text/html,<script>alert(1)</script>",
    "https://example.org/\"onmouseover='document.title=3'",
    "https://user:password@evil.example/",
    "\u202ehttps://example.org/\u2066gpj.exe",
    "{{constructor.constructor('document.title=4')()}}",
    "&lt;b&gt; &#x3c;b> <b hidden> </bdi></p></article>",
    "\u0001\u0007\ud7ff" + "Z̴͎̀a̷̤͐l̵͇̎g̵̺̃o̸͎͝" * 40,
]
NAME = "<b onclick=a()>\"'\u202eanA</b>"


def test_the_first_load_is_small(server: DuologueServer, open_page: Open) -> None:
    page = open_page("about:blank", service_workers="block")
    sizes: dict[str, int] = {}
    page.on("requestfinished", lambda request: sizes.update({request.url: compressed(request)}))
    page.goto(server.url, wait_until="networkidle")
    assert sum(sizes.values()) < 66_000, sizes
    assert {url for url in sizes if not url.startswith(server.url)} == set()
    assert len(sizes) < 65


def compressed(request: Request) -> int:
    """Bytes of an answer's body, as they came."""
    return request.sizes()["responseBodySize"]


def test_no_token_stands_in_an_address(server: DuologueServer, open_page: Open) -> None:
    page = open_page("about:blank")
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.on("websocket", lambda socket: urls.append(socket.url))
    page.goto(server.url)
    ana = sign_in(page, "Ana")
    ana.new_chat(Device(server).phone)
    ana.write("Hello")
    expect(ana.status_of("Hello")).to_have_text("Sent")
    assert any(url.startswith("ws:") for url in urls)
    assert [url for url in urls if "dlg_" in url] == []
    assert "dlg_" not in page.evaluate("JSON.stringify([document.cookie, { ...localStorage }])")


def test_nothing_that_is_written_is_run(server: DuologueServer, open_page: Open) -> None:
    """Markup, scripts, addresses and control characters in texts and names are shown, each in its place."""
    eve = Device(server, name=NAME)
    ana = newcomer(open_page, server, "Ana")
    for attack in ATTACKS:
        sent = eve.send(ana.phone, attack)
    eve.send(ana.phone, "The last", reply_to=sent["seq"])
    ana.page.locator(".chat").click()
    expect(ana.texts).to_have_text([*ATTACKS, "The last"])
    expect(ana.page.locator(".chats .name")).to_have_text(NAME)
    expect(ana.page.locator(".title h1")).to_have_text(NAME)
    assert ana.page.locator(".place :is(img, script, b, iframe, object)").count() == 0
    links = ana.page.locator(".text a")
    addresses = links.evaluate_all("(links) => links.map(({ href }) => href)")
    assert addresses == ["https://example.org/", "https://example.org/%E2%81%A6gpj.exe"]
    for attribute, value in {"target": "_blank", "rel": "noopener noreferrer nofollow"}.items():
        expect(links.first).to_have_attribute(attribute, value)
    expect(ana.page).to_have_title(re.compile("Duologue"))
    ana.page.get_by_role("button", name="Settings").click()
    ana.page.get_by_role("dialog").get_by_label("Name").fill(NAME.replace("\u202e", ""))
    ana.page.get_by_role("button", name="Save").click()
    expect(ana.page.get_by_text("Saved.").first).to_be_visible()


def test_scripts_from_text_are_refused_by_the_page_itself(server: DuologueServer, open_page: Open) -> None:
    """Should markup ever get in, it stays without effect. The policy is met on purpose, in a page of its own."""
    page = open_page(server.url).context.new_page()
    page.goto(server.url)
    for attempt in (
        "document.body.innerHTML = '<img src=x onerror=a()>'",
        "document.body.setAttribute('onclick', 'a()')",
        "document.body.append(Object.assign(document.createElement('script'), { text: 'document.title = 1' }))",
        "Object.assign(document.createElement('iframe'), { srcdoc: '<script>1</script>' })",
        "trustedTypes.createPolicy('another', {})",
    ):
        refused = page.evaluate(f"() => {{ try {{ {attempt}; return false }} catch {{ return true }} }}")
        assert refused, attempt


def test_without_a_network_the_page_and_the_chats_are_there(server: DuologueServer, open_page: Open) -> None:
    ana, ben = newcomer(open_page, server, "Ana", **KEEPING), Device(server, name="Ben")
    ben.send(ana.phone, "Hello")
    ana.chat_with("Ben")
    expect(ana.texts).to_have_text(["Hello"])
    kept(ana.page)
    shown_is_stored(ana.page)
    with offline(ana.page):
        ana.page.reload()
        expect(ana.texts).to_have_text(["Hello"])


def test_a_new_release_is_shown_at_once(tmp_path: Path, open_page: Open) -> None:
    """Neither the service worker nor a cache holds it back, and from then on it is what is kept."""
    newer = tmp_path / "newer"
    for folder in ("src", "clients", "webapp"):
        shutil.copytree(ROOT / folder, newer / folder, ignore=shutil.ignore_patterns("node_modules"))
    strings = newer / "webapp" / "client" / "strings.js"
    strings.write_text(strings.read_text().replace('chats: "Chats"', 'chats: "Talks"'))
    later = DuologueServer(tmp_path / "data", env={"PYTHONPATH": str(newer / "src")})
    with DuologueServer(tmp_path / "data") as server:
        ana = newcomer(open_page, server, "Ana", **KEEPING)
        kept(ana.page)
        server.stop()
        later.port = server.port
        with later:
            told = ana.page.get_by_text("There is a new version.")
            ana.page.reload()
            expect(ana.page.get_by_role("heading", name="Talks", exact=True)).to_be_visible()
            expect(told.first).to_be_attached()
            kept(ana.page)
        ana.page.reload()
        expect(ana.page.get_by_role("heading", name="Talks", exact=True)).to_be_visible()


def test_it_can_be_installed(server: DuologueServer, open_page: Open) -> None:
    page = open_page(server.url)
    found: Any = page.evaluate("""async () => {
      const { href } = document.querySelector("link[rel=manifest]");
      const manifest = await (await fetch(href)).json();
      const icons = await Promise.all(manifest.icons.map(({ src }) => fetch(src).then(({ ok }) => ok)));
      const worker = (await navigator.serviceWorker.ready).active.scriptURL;
      return { manifest, icons, worker };
    }""")
    assert found["manifest"]["display"] == "standalone"
    assert all(found["icons"])
    assert found["worker"] == f"{server.url}/worker.js"


FRIENDS = [
    ("+33698765432", "Marc", "The keys are under the mat."),
    ("+41791234567", "Élodie Petit", "Until Friday, then!"),
]
TALK = [
    ("Ben", "Good morning! Are you at the station already?"),
    ("Ana", "Nearly. The train is four minutes late."),
    ("Ana", "Platform 2, at the far end."),
    ("Ben", "I see it. Shall I get you a coffee?"),
    ("Ana", "Yes please, with milk. https://example.org/kiosk"),
]


ANY_TIME = """
  const { format } = Intl.RelativeTimeFormat.prototype;
  Intl.RelativeTimeFormat.prototype.format = function (value, unit) {
    return format.call(this, unit === "minute" ? -2 : value, unit);
  };
  Object.defineProperty(Intl.DateTimeFormat.prototype, "format", { get: () => () => "09:41" });
"""
"""Pictures of the same thing are to be the same, whenever they are taken."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_looks_good(tmp_path: Path, open_page: Open, scheme: str) -> None:
    """Writes the pictures in the documents."""
    with DuologueServer(tmp_path) as server:
        viewport = {"width": 1080, "height": 680}
        page = open_page("about:blank", **USUAL, color_scheme=scheme, viewport=viewport)
        page.add_init_script(ANY_TIME)
        page.goto(server.url)
        ana = sign_in(page, "Ana", "+33612345678")
        for phone, name, text in FRIENDS:
            Device(server, phone, name).send(ana.phone, text)
        ben = Device(server, "+447700900123", "Ben Osei")
        ben.send(ana.phone, "Hi Ana")
        ana.chat_with("Ben Osei")
        for number, (who, text) in enumerate(TALK):
            expect(page.locator(".row[data-seq]")).to_have_count(number + 1)
            if who == "Ana":
                ana.write(text)
            else:
                sent = ben.send(ana.phone, text)
                ben.ask("PUT", f"/v1/chats/{sent['chat_id']}/read", {"seq": sent["seq"]})
        expect(ana.status_of("kiosk")).to_have_text("Sent")
        expect(ana.status_of("Platform 2")).to_have_text("Read")
        expect(page.get_by_text("last seen")).to_be_visible()
        picture(page, f"desktop-{scheme}")
        page.set_viewport_size({"width": 390, "height": 780})
        expect(page.get_by_role("link", name="Back")).to_be_visible()
        picture(page, f"phone-{scheme}")


def picture(page: Page, name: str) -> None:
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(0, 0)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled", caret="hide")
