"""duologue.js by itself, as another page would use it: no client around it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from duologue_lab.servers.server import DuologueServer
from tests.browser.conftest import Open
from tests.browser.people import look_again, offline
from tests.browser.scripts import ready, run
from tests.support.client import new_phone

pytestmark = pytest.mark.browser


def test_send_tells_when_a_message_is_safe(page: Page) -> None:
    message = run(
        page,
        """
        const ana = await person(one);
        ana.connect();
        const { entry, sent } = await ana.send({ to: two, text: "Hello" });
        const message = await sent;
        return { message, entry, left: ana.outbox.length };
        """,
        new_phone(),
        new_phone(),
    )
    assert message["message"]["text"] == "Hello"
    assert message["message"]["client_id"] == message["entry"]["client_id"]
    assert message["left"] == 0


def test_a_refusal_is_an_error_with_the_servers_code(page: Page) -> None:
    mine = new_phone()
    found = run(
        page,
        """
        const ana = await person(one);
        const caught = async (work) => {
          try { await work(); return null; }
          catch (fault) {
            return { typed: fault instanceof DuologueError, code: fault.code, status: fault.status,
              retryable: fault.retryable, errors: Object.keys(fault.errors) };
          }
        };
        ana.connect();
        const { sent } = await ana.send({ to: one, text: "To myself" });
        const elsewhere = new Duologue({ url: "http://127.0.0.1:9", store: memoryStore() });
        return [
          await caught(() => ana.openChat("12345")),
          await caught(() => ana.chat("cht_0000000000000001")),
          await caught(() => sent),
          await caught(() => elsewhere.server()),
          await caught(() => elsewhere.connect()),
        ];
        """,
        mine,
    )
    assert found[0] == {
        "typed": True,
        "code": "invalid_phone",
        "status": 422,
        "retryable": False,
        "errors": ["phone"],
    }
    assert [one["code"] for one in found] == [
        "invalid_phone",
        "not_found",
        "self_chat",
        "network",
        "no_session",
    ]
    assert all(one["typed"] for one in found)
    assert [one["retryable"] for one in found] == [False, False, False, True, False]


def test_the_log_is_heard_without_hole_or_repeat_through_crashes(tmp_path: Path, open_page: Open) -> None:
    with DuologueServer(tmp_path) as server:
        page = ready(open_page(f"{server.url}/sdk/package.json"))
        run(
            page,
            """
            Object.assign(window, { ana: await person(one), ben: await person(two) });
            await ben.accept((await ben.openChat(one)).id);
            for (const each of [ana, ben]) each.connect();
            await until(() => ben.state === "live" && ana.state === "live");
            window.all = (async () => {
              for (let number = 0; number < 30; number += 1) {
                await (await ana.send({ to: two, text: String(number) })).sent;
              }
            })();
            """,
            new_phone(),
            new_phone(),
        )
        for count in (5, 12, 20):
            run(page, f"await until(() => ben.heard.length > {count})")
            server.restart(kill=True)
            look_again(page)
        found = run(
            page,
            """
            await all;
            const created = () => ben.heard.filter(({ type }) => type === "message.created");
            await until(() => created().length === 30);
            return {
              texts: created().map(({ data }) => data.text),
              seqs: ben.heard.map(({ seq }) => seq),
              resyncs: [ana.resyncs, ben.resyncs],
            };
            """,
        )
    assert found["texts"] == [str(number) for number in range(30)]
    assert found["seqs"] == list(range(found["seqs"][0], found["seqs"][0] + len(found["seqs"])))
    assert found["resyncs"] == [1, 1]


def test_one_goes_on_from_where_one_left_off(page: Page) -> None:
    heard = run(
        page,
        """
        const [ana, ben] = [await person(one), await person(two)];
        ben.connect();
        await until(() => ben.state === "live");
        const after = ben.position;
        ben.disconnect();
        ana.connect();
        for (const text of ["a", "b"]) await (await ana.send({ to: two, text })).sent;
        ben.connect({ after });
        await until(() => ben.state === "live");
        const texts = ben.heard.filter(({ type }) => type === "message.created").map(({ data }) => data.text);
        return { texts, resyncs: ben.resyncs };
        """,
        new_phone(),
        new_phone(),
    )
    assert heard == {"texts": ["a", "b"], "resyncs": 1}


def test_a_position_that_the_server_does_not_know_is_given_up(page: Page) -> None:
    """As after the server was restored from an older backup: the app is asked to fetch again, and goes on."""
    resyncs = run(
        page,
        """
        const ana = await person(one);
        ana.connect({ after: 1_000_000 });
        await until(() => ana.state === "live");
        return ana.resyncs;
        """,
        new_phone(),
    )
    assert resyncs == 1


def test_nothing_is_acknowledged_before_the_app_has_fetched(page: Page) -> None:
    found = run(
        page,
        """
        const [ana, ben] = [await person(one), new Duologue({ store: memoryStore() })];
        await ben.signIn({ phone: two });
        ana.connect();
        const { chat_id, seq } = await (await ana.send({ to: two, text: "Hello" })).sent;
        const delivered = async () => (await ana.chat(chat_id)).marks.peer_delivered;
        let [tries, fetched] = [0, null];
        ben.on("resync", () => {
          tries += 1;
          if (tries < 3) throw new DuologueError("network", "not yet");
          return new Promise((done) => { fetched = done; });
        });
        ben.connect();
        await until(() => fetched);
        await until(() => ben.state === "live");
        const before = await delivered();
        fetched();
        await until(async () => (await delivered()) === seq);
        return { tries, before };
        """,
        new_phone(),
        new_phone(),
    )
    assert found == {"tries": 3, "before": 0}


def test_state_tells_the_truth(server: DuologueServer, page: Page) -> None:
    page.evaluate("window.states = []")
    run(
        page,
        """
        window.ana = await person(one);
        ana.on("state", (state) => states.push(state));
        ana.connect();
        await until(() => ana.state === "live");
        """,
        new_phone(),
    )
    with offline(page):
        run(page, "await until(() => ana.state === 'waiting' && ana.retryAt > 0)")
    run(page, "await until(() => ana.state === 'live'); ana.disconnect()")
    states = page.evaluate("states")
    assert states[:4] == ["connecting", "catching_up", "live", "waiting"]
    assert states[-4:] == ["connecting", "catching_up", "live", "stopped"]


def test_typing_and_presence_are_passed_on(page: Page) -> None:
    found = run(
        page,
        """
        const [ana, ben] = [await person(one), await person(two)];
        const { id } = await ana.openChat(two);
        await ben.accept((await ben.openChat(one)).id);
        const heard = [];
        ana.on("typing", (typing) => heard.push(["typing", typing.chat_id === id, typing.active]));
        ana.on("presence", ({ user_id, online }) => heard.push(["presence", user_id === ben.user.id, online]));
        ana.watch([ben.user.id]);
        ana.connect();
        await until(() => heard.length === 1);
        ben.connect();
        await until(() => heard.length === 2 && ben.state === "live");
        ben.typing(id, true);
        await until(() => heard.length === 3);
        return heard;
        """,
        new_phone(),
        new_phone(),
    )
    assert found == [["presence", True, False], ["presence", True, True], ["typing", True, True]]


def test_client_ids_are_unique_rise_and_are_uuids_of_version_7(page: Page) -> None:
    ids = page.evaluate("Array.from({ length: 20000 }, newClientId)")
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    for one in (ids[0], ids[-1]):
        assert len(one) == 36
        assert one[14] == "7"
        assert one[19] in "89ab"


def test_a_listener_that_fails_harms_no_other(page: Page, open_page: Open) -> None:
    heard = page.evaluate("""async () => {
      const [one] = [new Duologue({ store: memoryStore() })];
      const faults = [];
      addEventListener("error", (event) => { faults.push(event.error.message); event.preventDefault(); });
      let heard = 0;
      one.on("state", () => { throw new Error("mine"); });
      const end = one.on("state", () => { heard += 1; });
      await one.signIn({ phone: "+33612345678" });
      one.connect();
      await until(() => one.state === "live" && faults.length >= 3);
      end();
      one.disconnect();
      return [heard, faults[0]];
    }""")
    assert heard == [3, "mine"]
