"""Debian's Chromium, driven by Playwright. Without it these tests fail: `apt install chromium`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, sync_playwright

from duologue_lab.servers.server import DuologueServer
from tests.browser.scripts import ready
from tests.support.client import PATIENCE

EXECUTABLE = os.environ.get("TEST_CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for the tests of one module: while it is there, no other loop can run in this thread."""
    if not Path(EXECUTABLE).exists():
        pytest.fail(f"There is no Chromium at {EXECUTABLE}: apt install chromium, or set TEST_CHROMIUM.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    """A server that the tests of one module share: each has numbers of its own."""
    with DuologueServer(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Open]:
    """Opens a URL in a new window with a profile of its own; keywords are Playwright's, e.g. `color_scheme`.

    At the end no page may have failed: no uncaught error, and nothing that its security policy refused.
    """
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            faults.append(message.text)

    def failed(error: Error) -> None:
        faults.append(str(error))

    def opened(url: str, **options: Any) -> Page:
        context = chromium.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE * 1000)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", failed)
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def page(server: DuologueServer, open_page: Open) -> Page:
    """A page in which duologue.js is and nothing else, see `scripts.run`."""
    return ready(open_page(f"{server.url}/sdk/package.json"))
