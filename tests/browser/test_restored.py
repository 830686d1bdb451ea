"""The server is restored from an older backup: pages stay signed in, forget what was lost, and miss nothing new."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from duologue_lab.servers.server import DuologueServer
from tests.browser.conftest import Open
from tests.browser.people import USUAL, Device, look_again, newcomer, offline, shown_is_stored
from tests.browser.scripts import ready, run
from tests.support.backups import Backup
from tests.support.client import PATIENCE, new_phone

pytestmark = pytest.mark.browser

expect.set_options(timeout=PATIENCE * 1000)


@contextmanager
def stopped(server: DuologueServer, *pages: Page) -> Iterator[None]:
    """Meanwhile the server is stopped; afterwards the pages look whether it is back."""
    server.stop()
    yield
    server.start()
    for page in pages:
        look_again(page)


def back_up(server: DuologueServer, folder: Path, page: Page) -> Backup:
    with stopped(server, page):
        return Backup(f"sqlite:///{folder}/duologue.db")


BEGIN = """
    Object.assign(window, { ana: await person(one), changes: [] });
    ana.on("resync", ({ changed }) => changes.push(changed));
    window.chat = (await ana.openChat(two)).id;
    await ana.accept(chat);
    window.last = () => ana.heard.at(-1)?.data.text;
    ana.connect();
    await until(() => ana.state === "live");
"""
END = """
    await waiting;
    await until(() => changes.length === 3 && ana.state === "live");
    const texts = (await ana.messages(chat)).items.map(({ text }) => text);
    return { changes, phone: ana.user.phone, outbox: ana.outbox.length, texts };
"""


def test_the_sdk_asks_for_all_anew_and_goes_on(tmp_path: Path, open_page: Open) -> None:
    with DuologueServer(tmp_path) as server:
        page, phone = ready(open_page(f"{server.url}/sdk/package.json")), new_phone()
        ben = Device(server)
        run(page, BEGIN, phone, ben.phone)
        ben.accept(phone)
        ben.send(phone, "kept")
        run(page, "await until(() => last() === 'kept')")
        backup = back_up(server, tmp_path, page)
        for number in range(3):
            ben.send(phone, f"lost {number}")
        run(page, "await until(() => last() === 'lost 2')")

        # The log is shorter, and the page finds out by itself.
        with stopped(server, page):
            backup.put_back()
        run(page, "await until(() => changes.length === 2 && ana.state === 'live')")
        for number in range(3):
            ben.send(phone, f"lost again {number}")
        run(page, "await until(() => last() === 'lost again 2')")

        # The log is longer when the page comes back, and what it wrote meanwhile is still to be sent.
        with offline(page):
            with stopped(server):
                backup.put_back()
            for number in range(6):
                ben.send(phone, f"new {number}")
            run(page, "window.waiting = (await ana.send({ to: two, text: 'Waited' })).sent", "", ben.phone)
        look_again(page)
        found = run(page, END)
        assert found["changes"] == [False, True, True]
        assert found["phone"] == phone, "nobody was signed out"
        assert found["outbox"] == 0
        assert found["texts"] == ["kept", *(f"new {number}" for number in range(6)), "Waited"]
        ben.send(phone, "and then")
        run(page, "await until(() => last() === 'and then')")


def test_the_client_shows_what_the_server_has_and_forgets_what_was_lost(
    tmp_path: Path, open_page: Open
) -> None:
    with DuologueServer(tmp_path) as server:
        ana = newcomer(open_page, server, "Ana", **USUAL)
        ben = Device(server, name="Ben")
        ben.accept(ana.phone)
        ana.new_chat(ben.phone)
        ana.write("kept 0")
        ben.send(ana.phone, "kept 1")
        expect(ana.texts).to_have_text(["kept 0", "kept 1"])
        backup = back_up(server, tmp_path, ana.page)
        for number in range(4):
            ben.send(ana.phone, f"lost {number}")
        expect(ana.bubble("lost 3")).to_be_visible()
        shown_is_stored(ana.page)
        with offline(ana.page):
            with stopped(server):
                backup.put_back()
            for number in range(2):
                ben.send(ana.phone, f"new {number}")
        look_again(ana.page)
        now = ["kept 0", "kept 1", "new 0", "new 1"]
        expect(ana.texts).to_have_text(now)
        expect(ana.page.get_by_role("navigation").get_by_text("new 1")).to_be_visible()
        ben.send(ana.phone, "and then")
        expect(ana.texts).to_have_text([*now, "and then"])
        ana.page.wait_for_function(
            """async () => {
              const { indexedDbStore } = await import("/sdk/duologue.js");
              const kept = JSON.stringify(await indexedDbStore("duologue").list("cache/"));
              return kept.includes("and then") && !kept.includes("lost");
            }"""
        )
        ana.page.reload()
        expect(ana.texts).to_have_text([*now, "and then"])
