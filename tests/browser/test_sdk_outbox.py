"""duologue.js by itself: what waits to be sent goes out once, in order, and from its author."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from duologue_lab.servers.server import DuologueServer
from tests.browser.scripts import ready, run
from tests.support.client import new_phone

pytestmark = pytest.mark.browser


def test_what_waits_survives_the_page_and_its_author_only_sends_it(
    server: DuologueServer, page: Page
) -> None:
    ana, ben, eve = new_phone(), new_phone(), new_phone()
    page.evaluate("window.store = indexedDbStore('mine')")
    run(page, "const ana = await person(one, store); await ana.send({ to: two, text: 'Later' });", ana, ben)
    page.reload()
    ready(page).evaluate("window.store = indexedDbStore('mine')")
    waiting = run(page, "return (await person(one, store)).outbox.map(({ text }) => text)", ana)
    assert waiting == ["Later"]
    # The session ends elsewhere: what was written waits for its author, whoever else signs in here doesn't get it.
    again = """
        const other = await person(one);
        await other.endOtherSessions();
        const ana = await person(one, store);
        ana.connect();
        await new Promise((done) => ana.on("signed_out", done));
        const back = await person(one, store);
        return { left: ana.outbox.length, back: back.outbox.map(({ text }) => text) };
        """
    assert run(page, again, ana) == {"left": 0, "back": ["Later"]}
    stranger = """
        const ana = await person(one, store);
        const mine = new Duologue({ store });
        await mine.signIn({ phone: two });
        return { outbox: mine.outbox.length, kept: (await store.list("")).length };
        """
    assert run(page, stranger, ana, eve) == {"outbox": 0, "kept": 2}


def test_what_was_sent_while_the_store_was_read_does_not_come_back(page: Page) -> None:
    texts, left = run(
        page,
        """
        const inner = memoryStore();
        let held = null;
        const list = async (prefix) => { const found = await inner.list(prefix); await held; return found; };
        const ana = await person(one, { ...inner, list });
        const texts = [];
        ana.on("outbox", ({ message }) => message && texts.push(message.text));
        await ana.send({ to: two, text: "One" });
        let release;
        held = new Promise((done) => { release = done; });
        ana.connect();
        await until(() => ana.state === "live");
        await (await ana.send({ to: two, text: "Two" })).sent;
        release();
        await (await ana.send({ to: two, text: "Three" })).sent;
        return [texts, ana.outbox.length];
        """,
        new_phone(),
        new_phone(),
    )
    assert texts == ["One", "Two", "Three"]
    assert left == 0


def test_a_message_that_is_found_in_its_chat_is_not_sent_again(page: Page) -> None:
    left = run(
        page,
        """
        const ana = await person(one);
        const { entry, sent } = await ana.send({ to: two, text: "One" });
        const { client_id, to, text } = entry;
        const { chat_id } = await ana.request("POST", "/v1/messages", { client_id, to, text });
        const before = ana.outbox.length;
        await ana.messages(chat_id);
        await sent;
        return [before, ana.outbox.length];
        """,
        new_phone(),
        new_phone(),
    )
    assert left == [1, 0]


def test_two_users_in_two_windows_each_send_their_own(page: Page) -> None:
    """The windows share a store; what one user has left there is nothing to the other."""
    found = run(
        page,
        """
        const store = indexedDbStore("shared");
        const ana = await person(one, store);
        const eve = new Duologue({ store });
        await eve.signIn({ phone: two });
        await ana.send({ to: "+12025550123", text: "Ana's" });
        eve.connect();
        await until(() => eve.state === "live");
        await (await eve.send({ to: "+12025550123", text: "Eve's" })).sent;
        const { items } = await eve.chats();
        return { said: items.map(({ last_seq }) => last_seq), left: [ana.outbox.length, eve.outbox.length] };
        """,
        new_phone(),
        new_phone(),
    )
    assert found == {"said": [1], "left": [1, 0]}


@pytest.mark.parametrize("store", ["memoryStore()", "indexedDbStore('back')"])
def test_messages_keep_their_order_when_the_clock_goes_back(page: Page, store: str) -> None:
    """A page that is loaded again knows nothing of its clock but what stands in its store."""
    page.evaluate(f"window.store = {store}")
    ana, ben = new_phone(), new_phone()
    write = """
        const ana = await person(one, store);
        const back = Number(sessionStorage.hours ?? 0);
        sessionStorage.hours = back + 1;
        const now = Date.now;
        Date.now = () => now() - back * 3600000;
        for (const part of ["a", "b"]) await ana.send({ to: two, text: `${back}${part}` });
        Date.now = now;
        """
    for _ in range(3):
        run(page, write, ana, ben)
        if store != "memoryStore()":
            page.reload()
            ready(page).evaluate(f"window.store = {store}")
    texts = run(
        page,
        """
        const ana = await person(one, store);
        const waiting = ana.outbox.map(({ text }) => text);
        ana.connect();
        await until(() => ana.outbox.length === 0);
        const { items } = await ana.chats();
        const { items: messages } = await ana.messages(items[0].id);
        return [waiting, messages.map(({ text }) => text).sort(), messages.map(({ seq, text }) => [seq, text])
          .sort((one, other) => one[0] - other[0]).map(([, text]) => text)];
        """,
        ana,
        ben,
    )
    assert texts == [["0a", "0b", "1a", "1b", "2a", "2b"]] * 3


def test_messages_of_a_chat_keep_their_order(page: Page) -> None:
    texts = run(
        page,
        """
        const [ana, ben] = [await person(one), await person(two)];
        await ben.accept((await ben.openChat(one)).id);
        ben.connect();
        await until(() => ben.state === "live");
        for (let number = 0; number < 60; number += 1) {
          await ana.send({ to: two, text: `Message ${number}` });
          if (number === 20) ana.connect();
        }
        const texts = () => ben.heard.filter(({ type }) => type === "message.created").map(({ data }) => data.text);
        await until(() => texts().length === 60);
        return texts();
        """,
        new_phone(),
        new_phone(),
    )
    assert texts == [f"Message {number}" for number in range(60)]
