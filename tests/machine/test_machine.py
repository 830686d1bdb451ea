"""The real server, over HTTP, against the model: whatever people do, in whatever order, the two must agree.

`make test` runs a short form. The long one, always the same 500 examples on each engine:
`TEST_MACHINE_EXAMPLES=500 make test ARGS=tests/machine`
"""

from __future__ import annotations

import faulthandler
import os
import threading
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from duologue.model import MAX_SEQ
from duologue_lab.servers.server import DuologueServer
from tests.machine.driver import (
    Replica,
    assert_answer,
    assert_chat,
    assert_events,
    assert_new_message,
    assert_ok,
    assert_refused,
)
from tests.machine.model import Refused
from tests.machine.people import PEOPLE, People

SHORT = 25
EXAMPLES = int(os.environ.get("TEST_MACHINE_EXAMPLES", SHORT))
STEPS = 30

people = st.integers(0, PEOPLE - 1)
picks = st.integers(0, 1000)
"""Chooses among what there is: chats, messages, sessions, seqs."""
limits = st.sampled_from([1, 2, 3, 7, 50])
texts = st.sampled_from(["hello", "Are you there?", "½ ☃ 😀\n"])
keys = st.sampled_from(["a", "b", "c", "01936f3e-7d1c-7cc3-b9a4-1f0c2b6f8d11"])
replies = st.sampled_from([None, None, None, 1, None, None, 2, 9])
moments = st.sampled_from([None, "2030-01-01T00:00:00.000Z", "9999-12-31T00:00:00.000Z"])
unlikely = st.sampled_from([False, False, True, False])
rare = st.sampled_from([False] * 9 + [True] + [False] * 10)
"""Restarts take seconds, so only few examples may have one."""


class Machine(People):
    """Actions of people, a rule for each request."""

    may_crash = False

    @initialize(may_crash=rare, talks=st.lists(st.tuples(people, st.integers(1, PEOPLE - 1)), max_size=20))
    def begin(self, may_crash: bool, talks: list[tuple[int, int]]) -> None:
        """They have talked before."""
        self.may_crash = may_crash
        for who, further in talks:
            sent = {"client_id": f"talk-{next(self.numbers)}", "text": "hello"}
            self.send(self.signed_in(who), self.phones[(who + further) % PEOPLE], sent, by_phone=True)

    # --- Signing in and out ---

    @rule(who=people, device=st.sampled_from(["", "phone", "tablet"]))
    def sign_in(self, who: int, device: str) -> None:
        self.sign_in_as(self.phones[who], device)

    @rule(who=people, pick=picks, which=st.sampled_from(["one", "current", "others"]))
    def end_sessions(self, who: int, pick: int, which: str) -> None:
        user = self.signed_in(who)
        asking, *others = user.sessions
        chosen = [asking] if which == "current" else others
        if which == "one":
            chosen = [list(user.sessions)[pick % len(user.sessions)]]
        path = {"one": f"/{chosen[0] if chosen else ''}", "current": "/current", "others": ""}[which]
        tokens = [user.sessions[session_id] for session_id in chosen]
        assert_ok(self.call(user, "DELETE", f"/v1/sessions{path}"), 204)
        self.model.end_sessions(user.phone, chosen)
        for token in tokens:
            assert_refused(self.api.call("GET", "/v1/me", token), "not_signed_in")

    @rule(
        who=people,
        name=st.sampled_from([None, "", "Ana", "Bo"]),
        receipts=st.sampled_from([None, True, False]),
    )
    def change_me(self, who: int, name: str | None, receipts: bool | None) -> None:
        user = self.signed_in(who)
        changes = {"display_name": name, "read_receipts": receipts}
        body = {field: value for field, value in changes.items() if value is not None}
        answer = assert_ok(self.call(user, "PATCH", "/v1/me", body))
        self.model.rename(user.phone, name, receipts)
        self.await_news()
        assert (answer["display_name"], answer["read_receipts"]) == (user.name, user.receipts)

    @rule(
        who=people,
        who_can_write=st.sampled_from([None, "everyone", "requests", "nobody"]),
        discoverable=st.sampled_from([None, True, False]),
    )
    def choose(self, who: int, who_can_write: str | None, discoverable: bool | None) -> None:
        user = self.signed_in(who)
        changes = {"who_can_write": who_can_write, "discoverable": discoverable}
        body = {field: value for field, value in changes.items() if value is not None}
        answer = assert_ok(self.call(user, "PATCH", "/v1/me", body))
        self.model.choose(user.phone, who_can_write, discoverable)
        assert answer["who_can_write"] == (user.who_can_write or "everyone")
        assert answer["discoverable"] == (user.discoverable is not False)
        self.touched += user.chats

    @rule(who=people, sure=unlikely)
    def delete_me(self, who: int, sure: bool) -> None:
        if sure:
            user = self.signed_in(who)
            tokens = list(user.sessions.values())
            assert_ok(self.call(user, "DELETE", "/v1/me"), 204)
            self.model.delete(user.phone)
            self.await_news()
            for token in tokens:
                assert_refused(self.api.call("GET", "/v1/me", token), "not_signed_in")
            self.replicas[user.phone] = Replica()
            self.touched += user.chats

    # --- Chats ---

    @rule(who=people, peer=people)
    def open_chat(self, who: int, peer: int) -> None:
        self.open_chat_with(self.signed_in(who), self.phones[peer])

    @rule(
        who=people,
        pick=picks,
        muted=moments,
        archived=st.booleans(),
        pinned=st.booleans(),
        mask=st.integers(0, 7),
    )
    def change_chat(
        self, who: int, pick: int, muted: str | None, archived: bool, pinned: bool, mask: int
    ) -> None:
        user = self.signed_in(who)
        chat = self.chat_of(user, pick)
        every = {"muted_until": muted, "archived": archived, "pinned": pinned}
        changes = {name: value for bit, (name, value) in enumerate(every.items()) if mask >> bit & 1}
        answer = assert_ok(self.call(user, "PATCH", f"/v1/chats/{chat.id}", changes))
        self.model.change_chat(user.phone, chat, changes)
        assert_chat(answer, self.model, user.phone, chat)

    @rule(who=people, pick=picks)
    def accept_chat(self, who: int, pick: int) -> None:
        user = self.signed_in(who)
        chat = self.chat_of(user, pick)
        assert_ok(self.call(user, "PUT", f"/v1/chats/{chat.id}/accept"), 204)
        self.model.accept(user.phone, chat)
        self.touched.append(chat)

    @rule(who=people, limit=limits, folder=st.sampled_from(["chats", "requests", "all"]))
    def list_chats(self, who: int, limit: int, folder: str) -> None:
        self.assert_chat_list(self.signed_in(who), limit, folder)

    @rule(who=people, other=people, pick=picks)
    def look_into_a_strangers_chat(self, who: int, other: int, pick: int) -> None:
        user, stranger = self.signed_in(who), self.model.user(self.phones[other])
        strange = [chat.id for chat in stranger.chats if user.phone not in chat.sides]
        path = f"/v1/chats/{strange[pick % len(strange)] if strange else f'cht_{pick:016x}'}"
        for method, tail, body in (
            ("GET", "", None),
            ("GET", "/messages", None),
            ("POST", "/messages", {"text": "hello", "client_id": "stranger"}),
            ("PUT", "/read", {"seq": 1}),
            ("PATCH", "", {"pinned": True}),
        ):
            assert_refused(self.call(user, method, path + tail, body), "not_found")

    # --- Messages ---

    @rule(who=people, further=st.integers(0, 7), key=keys, text=texts, reply_to=replies)
    def send_to_a_phone(self, who: int, further: int, key: str, text: str, reply_to: int | None) -> None:
        sent = {"client_id": key, "text": text, "reply_to": reply_to}
        self.send(self.signed_in(who), self.phones[(who + further) % PEOPLE], sent, by_phone=True)

    @rule(who=people, pick=picks, key=keys, text=texts, reply_to=replies)
    def send_to_a_chat(self, who: int, pick: int, key: str, text: str, reply_to: int | None) -> None:
        user = self.signed_in(who)
        peer = self.chat_of(user, pick).peer_of(user.phone)
        self.send(user, peer, {"client_id": key, "text": text, "reply_to": reply_to}, by_phone=False)

    @rule(who=people, pick=picks, often=st.integers(1, 5))
    def send_new_messages(self, who: int, pick: int, often: int) -> None:
        user = self.signed_in(who)
        peer = self.chat_of(user, pick).peer_of(user.phone)
        for _ in range(often):
            sent = {"client_id": f"new-{next(self.numbers)}", "text": "x" * 100}
            self.send(user, peer, sent, by_phone=pick % 2 > 0)

    @rule(who=people, pick=picks, by_phone=st.booleans())
    def repeat_a_message(self, who: int, pick: int, by_phone: bool) -> None:
        user = self.signed_in(who)
        mine = [(chat, old) for chat in user.chats for old in chat.messages if old.sender == user.phone]
        if mine:
            chat, old = mine[pick % len(mine)]
            # Of a deleted message nobody knows the text any more; whatever it says, it is a repeat.
            sent = {"client_id": old.client_id, "text": old.text or "as it was", "reply_to": old.reply_to}
            self.send(user, chat.peer_of(user.phone), sent, by_phone=by_phone)

    @rule(who=people, pick=picks, seq=picks, text=st.none() | texts)
    def change_a_message(self, who: int, pick: int, seq: int, text: str | None) -> None:
        user = self.signed_in(who)
        chat = self.chat_of(user, pick)
        self.change(user, chat, seq % (chat.last_seq + 2), text)

    @rule(who=people, pick=picks, text=st.none() | texts)
    def change_a_message_of_ones_own(self, who: int, pick: int, text: str | None) -> None:
        user = self.signed_in(who)
        mine = [(chat, old) for chat in user.chats for old in chat.messages if old.sender == user.phone]
        if mine:
            chat, old = mine[pick % len(mine)]
            self.change(user, chat, old.seq, text)

    @rule(who=people, pick=picks, seq=picks, emoji=st.sampled_from("👍🎉🚉🙏"), on=unlikely)
    def react(self, who: int, pick: int, seq: int, emoji: str, on: bool) -> None:
        user = self.signed_in(who)
        chat = self.chat_of(user, pick)
        self.react_to(user, chat, seq % (chat.last_seq + 2), emoji, on=not on)

    @rule(who=people, pick=picks, limit=limits, bound=st.sampled_from(["", "before", "after", "around"]))
    def page_messages(self, who: int, pick: int, limit: int, bound: str) -> None:
        user = self.signed_in(who)
        chat = self.chat_of(user, pick)
        seq = pick % (chat.last_seq + 3) + (bound != "after")
        self.assert_page(user, chat, limit, **({bound: seq} if bound else {}))

    # --- Marks and events ---

    @rule(
        who=people,
        pick=picks,
        marks=st.lists(st.tuples(st.booleans(), st.integers(1, 9)), min_size=1, max_size=4),
    )
    def mark(self, who: int, pick: int, marks: list[tuple[bool, int]]) -> None:
        user = self.signed_in(who)
        chat = self.chat_of(user, pick)
        for read, seq in marks:
            name = "read" if read else "delivered"
            answer = self.call(user, "PUT", f"/v1/chats/{chat.id}/{name}", {"seq": seq})
            assert_answer(answer, refusal(self.model.mark, user.phone, chat, **{name: seq}), 204)
        self.touched.append(chat)

    @rule(who=people, pick=picks)
    def acknowledge_events(self, who: int, pick: int) -> None:
        user = self.signed_in(who)
        seq = pick % (len(user.log) + 3)
        answer = self.call(user, "POST", "/v1/events/ack", {"seq": seq})
        assert_answer(answer, refusal(self.model.ack, user.phone, seq), 204)
        self.touched += user.chats

    @rule(who=people, pick=picks, limit=limits)
    def read_events_from_anywhere(self, who: int, pick: int, limit: int) -> None:
        user = self.signed_in(who)
        self.assert_new_events(user)
        after = pick % (len(user.log) + 1)
        page = assert_ok(self.call(user, "GET", "/v1/events", after=after, limit=limit))
        assert len(page["items"]) == min(limit, len(user.log) - after)
        assert_events(page["items"], user, after)
        assert page["next"] == after + len(page["items"])
        assert page["has_more"] == (page["next"] < len(user.log))
        for beyond in (len(user.log) + 1, MAX_SEQ):
            assert_refused(self.call(user, "GET", "/v1/events", after=beyond), "seq_out_of_range")

    @rule(who=people, limit=limits, to_the_end=st.booleans())
    def follow_events(self, who: int, limit: int, to_the_end: bool) -> None:
        self.follow(self.signed_in(who), limit, to_the_end=to_the_end)

    # --- The server itself ---

    @precondition(lambda self: self.may_crash)
    @rule(kill=st.booleans())
    def restart(self, kill: bool) -> None:
        self.may_crash = False
        self.server.restart(kill=kill)
        self.reconnect()

    @precondition(lambda self: self.may_crash)
    @rule(who=people, pick=picks, often=st.integers(1, 4))
    def crash_while_sending(self, who: int, pick: int, often: int) -> None:
        """Send messages that a crash may have lost; repeated, each is there once."""
        self.may_crash = False
        user = self.signed_in(who)
        chat = self.chat_of(user, pick)
        path, token = f"/v1/chats/{chat.id}/messages", next(iter(user.sessions.values()))
        bodies = [{"client_id": f"crash-{next(self.numbers)}", "text": "unheard"} for _ in range(often)]
        senders = [threading.Thread(target=self.try_to_send, args=(path, token, body)) for body in bodies]
        for sender in senders:
            sender.start()
        self.server.kill()
        for sender in senders:
            sender.join()
        self.server.start()
        self.reconnect()
        answers = [self.call(user, "POST", path, body) for body in bodies]
        if refused := refusal(self.model.check_peer, chat.peer_of(user.phone)):
            for answer in answers:
                assert_refused(answer, str(refused))
            return
        stored = [assert_ok(answer, answer.status_code) for answer in answers]
        for each in sorted(stored, key=lambda each: int(each["seq"])):
            message, _ = self.model.send(user.phone, chat.peer_of(user.phone), each)
            assert_new_message(each, self.model, chat, message)


def refusal(request: Any, *args: Any, **kwargs: Any) -> Refused | None:
    """Have the model carry out a request; whether it refused."""
    try:
        request(*args, **kwargs)
    except Refused as refused:
        return refused
    return None


def test_the_server_agrees_with_the_model(database_url: str, tmp_path: Path) -> None:
    if EXAMPLES > SHORT:
        faulthandler.cancel_dump_traceback_later()  # it takes long because it was asked to, not because it hangs
    options = ("--database-url", database_url, "--rate-limits", "off", "--sign-in", "open")
    with DuologueServer(tmp_path / "data", *options) as server:
        run_state_machine_as_test(
            type("Case", (Machine,), {"server": server, "database_url": database_url}),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                derandomize=True,
                phases=[Phase.generate, Phase.shrink],
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
