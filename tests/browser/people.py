"""People who use the web client, each in a browser of their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from sqlite3 import connect
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, expect

from duologue_lab.servers.server import DuologueServer
from tests.support.client import PATIENCE, new_phone

DAY = 86_400_000  # milliseconds

OpenPage = Callable[..., Page]


@dataclass(frozen=True)
class Person:
    """Somebody with the client open."""

    page: Page
    phone: str
    name: str

    def chat_with(self, name: str) -> None:
        """Open a chat from the list."""
        self.page.get_by_role("navigation").get_by_role("link", name=name).click()
        expect(self.page.get_by_role("region", name=f"Chat with {name}")).to_be_visible()

    def new_chat(self, phone: str) -> None:
        """Open a chat with a number."""
        self.page.get_by_role("button", name="New chat").first.click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_label("Phone number").fill(phone)
        dialog.get_by_role("button", name="Start chat").click()
        expect(dialog).to_have_count(0)

    @property
    def field(self) -> Locator:
        return self.page.get_by_label("Message", exact=True)

    def write(self, text: str) -> None:
        """Send a message in the open chat."""
        self.field.fill(text)
        self.page.get_by_role("button", name="Send").click()
        expect(self.field).to_have_value("")

    @property
    def texts(self) -> Locator:
        """The messages in sight, and those on their way."""
        return self.page.locator(".row .text")

    def bubble(self, text: str) -> Locator:
        return self.page.locator(".row").filter(has_text=text)

    def status_of(self, text: str) -> Locator:
        """Sent, Delivered, Read, or that it waits."""
        return self.bubble(text).locator(".ticks .unseen")


def sign_in(page: Page, name: str, phone: str | None = None, *, known: bool = False) -> Person:
    """As one does on a server without codes; `known`: the server isn't met for the first time."""
    number = phone or new_phone()
    page.get_by_label("Phone number").fill(number)
    page.get_by_role("button", name="Continue").click()
    if not known:
        page.get_by_label("Name").fill(name)
        page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Chats", exact=True)).to_be_visible()
    return Person(page, number, name)


USUAL = {"locale": "en-GB", "reduced_motion": "reduce", "service_workers": "block"}
KEEPING = {"service_workers": "allow"}
"""Have the page kept on the device: that takes a while, and few tests need it."""


def newcomer(open_page: OpenPage, server: DuologueServer, name: str, **options: Any) -> Person:
    """A new person in a new window."""
    return sign_in(open_page(server.url, **(USUAL | options)), name)


def pair(open_page: OpenPage, server: DuologueServer, **options: Any) -> tuple[Person, Person]:
    """Ana and Ben, who have accepted each other, each with the chat with the other open."""
    ana, ben = (newcomer(open_page, server, name, **options) for name in ("Ana", "Ben"))
    for one, other in ((ana, ben), (ben, ana)):
        device = Device(server, one.phone)
        device.accept(other.phone)
        device.ask("DELETE", "/v1/sessions/current")
    ana.new_chat(ben.phone)
    expect(ana.page.get_by_role("region", name="Chat with Ben")).to_be_visible()
    ben.chat_with("Ana")
    return ana, ben


@cache
def _http() -> httpx.Client:
    return httpx.Client(trust_env=False, timeout=PATIENCE)


def look_again(page: Page) -> None:
    """Tell a page that the network is back, as a browser does: it doesn't wait until its next try is due."""
    page.evaluate("dispatchEvent(new Event('online'))")


KEPT = """async () => {
  const { active } = await navigator.serviceWorker.ready;
  const [release] = document.querySelector("script").src.match(/(?<=app.)[0-9a-f]+/);
  const isKept = async () => (await caches.keys()).join() === `duologue-${release}` && active.state === "activated";
  while (!(await isKept())) await new Promise((done) => setTimeout(done, 20));
}"""
STORED = """async () => {
  const { indexedDbStore } = await import("/sdk/duologue.js");
  const store = indexedDbStore("duologue");
  // A list of chats, and one of messages.
  const isThere = async () => (await store.list("cache/")).filter(({ length }) => length).length >= 2;
  while (!(await isThere())) await new Promise((done) => setTimeout(done, 20));
}"""


def kept(page: Page) -> None:
    """The service worker has all of the release that is shown, and nothing of another."""
    page.evaluate(KEPT)


def shown_is_stored(page: Page) -> None:
    """Wait until all that is shown would be there without a network."""
    page.evaluate(STORED)


class Device:
    """Somebody without a browser."""

    def __init__(self, server: DuologueServer, phone: str | None = None, name: str = "") -> None:
        self.phone = phone or new_phone()
        self._url = server.url
        self._headers: dict[str, str] = {}
        answer = self.ask("POST", "/v1/sessions", {"phone": self.phone, "device_name": "Script"})
        self._headers["Authorization"] = f"Bearer {answer['token']}"
        if name:
            self.ask("PATCH", "/v1/me", {"display_name": name})

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = _http().request(method, self._url + path, json=body, headers=self._headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def send(self, to: str, text: str, **more: Any) -> Any:
        body = {"to": to, "text": text, "client_id": f"{time.monotonic_ns()}"} | more
        return self.ask("POST", "/v1/messages", body)

    def accept(self, phone: str) -> None:
        """Let the owner of a number know who this is, as an answer would."""
        chat = self.ask("PUT", "/v1/chats", {"phone": phone})
        self.ask("PUT", f"/v1/chats/{chat['id']}/accept")

    def history(self, phone: str) -> list[Any]:
        """The newest 200 messages with a number."""
        chat = self.ask("PUT", "/v1/chats", {"phone": phone})
        items: list[Any] = self.ask("GET", f"/v1/chats/{chat['id']}/messages?limit=200")["items"]
        return items


_FILL = """
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < :count)
INSERT INTO messages (chat_id, seq, side, low_count, high_count, reply_to, sent_at, client_id, text)
SELECT :chat, n, n % 2, n / 2, (n + 1) / 2, 0, :now - (:count - n) * :apart,
       CAST(char(1) || printf('%016d', n) AS BLOB), 'No ' || n || ' ' || substr(:text, 1, (n * 7919) % 190)
FROM c
"""


def fill_chat(folder: Path, chat_id: str, count: int, days: int) -> None:
    """So many messages of different lengths in an empty chat, over so many days: rows as the server writes them."""
    values = {
        "chat": int(chat_id.removeprefix("cht_"), 16),
        "count": count,
        "now": time.time_ns() // 1_000_000,
        "apart": days * DAY // count,
        "text": "and something more that was worth saying, " * 5,
    }
    with closing(connect(next(folder.glob("*.db")), isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute(_FILL, values)
        counts = "UPDATE chats SET last_seq = :count, low_count = :count / 2, high_count = (:count + 1) / 2"
        database.execute(f"{counts} WHERE id = :chat", values)
        database.execute("UPDATE members SET known = 2 WHERE chat_id = :chat", values)
        database.execute("COMMIT")


@contextmanager
def offline(page: Page) -> Any:
    """No network for this window."""
    page.context.set_offline(offline=True)
    yield
    page.context.set_offline(offline=False)
