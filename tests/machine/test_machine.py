"""The real server, over HTTP, against the model: whatever people do, in whatever order, they must agree.

`make test` runs a short form; `DUOLOGUE_MACHINE_EXAMPLES=500` says how many examples to run.
"""

from __future__ import annotations

import os
import threading
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import httpx
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from duologue.protocol.bodies import MAX_SEQ
from tests.machine.driver import (
    Api,
    Replica,
    assert_answer,
    assert_chat,
    assert_events,
    assert_new_message,
    assert_ok,
    assert_refused,
    message_view,
)
from tests.machine.model import Chat, Json, Model, Refused, User
from tests.support.server import DuologueServer

EXAMPLES = int(os.environ.get("DUOLOGUE_MACHINE_EXAMPLES", "25"))
STEPS = 30
PEOPLE = 4

people = st.integers(0, PEOPLE - 1)
picks = st.integers(0, 1000)
"""Chooses among what there is: chats, messages, sessions."""
limits = st.sampled_from([1, 2, 3, 7, 50])
texts = st.sampled_from(["hello", "Are you there?", "½ ☃ 😀\n"])
keys = st.sampled_from(["a", "b", "c", "01936f3e-7d1c-7cc3-b9a4-1f0c2b6f8d11"])
replies = st.sampled_from([None, None, None, 1, 2, 9])
rare = st.sampled_from([False] * 9 + [True] + [False] * 10)
"""Restarts take seconds: few examples may have them."""
moments = st.sampled_from(
    [None, "2030-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"]
)

_blocks = count()


class Machine(RuleBasedStateMachine):
    """One example: four new people on a server that has served others before."""

    server: ClassVar[DuologueServer]

    def __init__(self) -> None:
        super().__init__()
        self.api = Api(self.server.url)
        self.model = Model()
        self.block = next(_blocks)
        self.phones = [f"+336{self.block:06}{number:02}" for number in range(PEOPLE)]
        self.replicas = {phone: Replica() for phone in self.phones}
        self.touched: list[Chat] = []
        self.may_crash = False
        self.sent = count()

    # --- Who and what ---

    def signed_in(self, who: int) -> User:
        """Somebody with a session, after signing in if need be."""
        phone = self.phones[who]
        if not self.model.user(phone).sessions:
            self.sign_in(who, "")
        return self.model.users[phone]

    def call(self, user: User, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        """A request from the user's oldest session."""
        return self.api.call(method, path, next(iter(user.sessions.values())), body, **query)

    def chat_of(self, user: User, pick: int) -> Chat:
        """One of the user's chats; if there is none, one is opened."""
        if not user.chats:
            self.open_chat(self.phones.index(user.phone), pick % PEOPLE)
        if not user.chats:
            self.open_chat(self.phones.index(user.phone), (pick + 1) % PEOPLE)
        return user.chats[pick % len(user.chats)]

    # --- Signing in and out ---

    @initialize(may_crash=rare)
    def begin(self, may_crash: bool) -> None:
        self.may_crash = may_crash

    @rule(who=people, device=st.sampled_from(["", "phone", "tablet"]))
    def sign_in(self, who: int, device: str) -> None:
        phone = self.phones[who]
        answer = assert_ok(
            self.api.call("POST", "/v1/sessions", body={"phone": phone, "device_name": device}), 201
        )
        first = self.model.sign_in(phone, answer["session"]["id"], answer["token"])
        assert answer["new_user"] == first
        assert answer["session"]["device_name"] == device
        user = self.model.users[phone]
        user.id = user.id or answer["user"]["id"]
        assert answer["user"]["id"] == user.id

    @rule(who=people, pick=picks, by_id=st.booleans())
    def end_one_session(self, who: int, pick: int, by_id: bool) -> None:
        user = self.signed_in(who)
        ended = list(user.sessions)[pick % len(user.sessions)]
        token = user.sessions[ended]
        if by_id:
            assert_ok(self.call(user, "DELETE", f"/v1/sessions/{ended}"), 204)
        else:
            assert_ok(self.api.call("DELETE", "/v1/sessions/current", token), 204)
        self.model.end_sessions(user.phone, [ended])
        assert_refused(self.api.call("GET", "/v1/me", token), "not_signed_in")

    @rule(who=people)
    def end_other_sessions(self, who: int) -> None:
        user = self.signed_in(who)
        _, *others = user.sessions
        tokens = [user.sessions[session_id] for session_id in others]
        assert_ok(self.call(user, "DELETE", "/v1/sessions"), 204)
        self.model.end_sessions(user.phone, others)
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
        assert (answer["display_name"], answer["read_receipts"]) == (user.name, user.receipts)

    # --- Chats ---

    @rule(who=people, peer=people)
    def open_chat(self, who: int, peer: int) -> None:
        user = self.signed_in(who)
        answer = self.call(user, "PUT", "/v1/chats", {"phone": self.phones[peer]})
        try:
            chat = self.model.open_chat(user.phone, self.phones[peer])
        except Refused as refusal:
            assert_refused(answer, str(refusal))
        else:
            assert_chat(assert_ok(answer), self.model, user.phone, chat)

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

    @rule(who=people, limit=limits)
    def list_chats(self, who: int, limit: int) -> None:
        self.assert_chat_list(self.signed_in(who), limit)

    def assert_chat_list(self, user: User, limit: int) -> None:
        found: list[Json] = []
        query: Json = {"limit": limit}
        while True:
            page = assert_ok(self.call(user, "GET", "/v1/chats", **query))
            found += page["items"]
            if page["next"] is None:
                break
            assert len(page["items"]) == limit
            query["cursor"] = page["next"]
        assert [item["id"] for item in found] == [chat.id for chat in user.chats]
        for item, chat in zip(found, user.chats, strict=True):
            assert_chat(item, self.model, user.phone, chat)

    @rule(who=people, other=people, pick=picks)
    def look_into_a_strangers_chat(self, who: int, other: int, pick: int) -> None:
        user, stranger = self.signed_in(who), self.model.user(self.phones[other])
        strange = [chat.id for chat in stranger.chats if user.phone not in chat.sides]
        chat_id = strange[pick % len(strange)] if strange else f"cht_{pick:016x}"
        path = f"/v1/chats/{chat_id}"
        sent = {"text": "hello", "client_id": "stranger"}
        for method, tail, body in (
            ("GET", "", None),
            ("GET", "/messages", None),
            ("POST", "/messages", sent),
            ("PUT", "/read", {"seq": 1}),
            ("PATCH", "", {"pinned": True}),
        ):
            assert_refused(self.call(user, method, path + tail, body), "not_found")

    # --- Messages ---

    @rule(who=people, peer=people, key=keys, text=texts, reply_to=replies)
    def send_to_a_phone(self, who: int, peer: int, key: str, text: str, reply_to: int | None) -> None:
        user = self.signed_in(who)
        self.send(
            user, self.phones[peer], {"client_id": key, "text": text, "reply_to": reply_to}, by_phone=True
        )

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
            self.send(
                user, peer, {"client_id": f"new-{next(self.sent)}", "text": "x" * 100}, by_phone=pick % 2 > 0
            )

    @rule(who=people, pick=picks, by_phone=st.booleans())
    def repeat_a_message(self, who: int, pick: int, by_phone: bool) -> None:
        user = self.signed_in(who)
        chat = self.chat_of(user, pick)
        mine = [message for message in chat.messages if message.sender == user.phone]
        if mine:
            old = mine[pick % len(mine)]
            body = {"client_id": old.client_id, "text": old.text, "reply_to": old.reply_to}
            self.send(user, chat.peer_of(user.phone), body, by_phone=by_phone)

    def send(self, user: User, peer: str, sent: Json, *, by_phone: bool) -> None:
        known = self.model.chat(user.phone, peer)
        if by_phone or known is None:
            answer = self.call(user, "POST", "/v1/messages", {"to": peer} | sent)
        else:
            answer = self.call(user, "POST", f"/v1/chats/{known.id}/messages", sent)
        try:
            message, replayed = self.model.send(user.phone, peer, sent)
        except Refused as refusal:
            assert_refused(answer, str(refusal))
            return
        chat = self.model.chat(user.phone, peer)
        assert chat
        if not chat.id:
            assert_chat_learnt(self, user, chat, answer)
        stored = assert_ok(answer, 200 if replayed else 201)
        assert (answer.headers.get("Idempotent-Replayed") == "true") == replayed
        if replayed:
            assert stored == message_view(chat, message)
        else:
            assert_new_message(stored, self.model, chat, message)
        self.touched.append(chat)

    @rule(who=people, pick=picks, limit=limits, bound=st.sampled_from(["", "before", "after", "around"]))
    def page_messages(self, who: int, pick: int, limit: int, bound: str) -> None:
        user = self.signed_in(who)
        chat = self.chat_of(user, pick)
        self.assert_page(
            user, chat, limit, **({bound: pick % (chat.last_seq + 3) + (bound != "after")} if bound else {})
        )

    def assert_page(self, user: User, chat: Chat, limit: int, **bound: int) -> None:
        answer = assert_ok(self.call(user, "GET", f"/v1/chats/{chat.id}/messages", limit=limit, **bound))
        messages, before, after = self.model.page(chat, limit, **bound)
        assert answer["items"] == [message_view(chat, message) for message in messages]
        assert (answer["has_more_before"], answer["has_more_after"]) == (before, after)

    # --- Marks and events ---

    @rule(who=people, pick=picks, read=st.booleans(), far=st.booleans())
    def mark(self, who: int, pick: int, read: bool, far: bool) -> None:
        user = self.signed_in(who)
        chat = self.chat_of(user, pick)
        seq = chat.last_seq + 1 + pick if far or not chat.messages else 1 + pick % chat.last_seq
        name = "read" if read else "delivered"
        answer = self.call(user, "PUT", f"/v1/chats/{chat.id}/{name}", {"seq": seq})
        assert_answer(answer, self.refusal(self.model.mark, user.phone, chat, **{name: seq}), 204)
        self.touched.append(chat)

    @rule(who=people, pick=picks)
    def acknowledge_events(self, who: int, pick: int) -> None:
        user = self.signed_in(who)
        seq = pick % (len(user.log) + 3)
        answer = self.call(user, "POST", "/v1/events/ack", {"seq": seq})
        assert_answer(answer, self.refusal(self.model.ack, user.phone, seq), 204)
        self.touched += user.chats

    @staticmethod
    def refusal(request: Any, *args: Any, **kwargs: Any) -> Refused | None:
        try:
            request(*args, **kwargs)
        except Refused as refusal:
            return refusal
        return None

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

    @rule(who=people)
    def read_events_beyond_the_end(self, who: int) -> None:
        user = self.signed_in(who)
        for after in (len(user.log) + 1, MAX_SEQ):
            assert_refused(self.call(user, "GET", "/v1/events", after=after), "seq_out_of_range")

    @rule(who=people, limit=limits, to_the_end=st.booleans())
    def follow_events(self, who: int, limit: int, to_the_end: bool) -> None:
        """A client folds what it reads, and knows everything once it has caught up."""
        user = self.signed_in(who)
        replica = self.replicas[user.phone]
        more = True
        while more:
            page = assert_ok(self.call(user, "GET", "/v1/events", after=replica.position, limit=limit))
            for event in page["items"]:
                replica.apply(event)
            more = page["has_more"] and to_the_end
        if replica.position == len(user.log):
            replica.assert_complete(self.model, user)

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
        """Whether these were stored before the crash nobody knows; repeated, each is there once."""
        self.may_crash = False
        user = self.signed_in(who)
        chat = self.chat_of(user, pick)
        path, token = f"/v1/chats/{chat.id}/messages", next(iter(user.sessions.values()))
        bodies = [{"client_id": f"crash-{next(self.sent)}", "text": "unheard"} for _ in range(often)]
        senders = [threading.Thread(target=self.try_to_send, args=(path, token, body)) for body in bodies]
        for sender in senders:
            sender.start()
        self.server.kill()
        for sender in senders:
            sender.join()
        self.server.start()
        self.reconnect()
        answers = [
            assert_ok(answer, answer.status_code)
            for answer in (self.call(user, "POST", path, body) for body in bodies)
        ]
        for stored in sorted(answers, key=lambda stored: int(stored["seq"])):
            message, _ = self.model.send(user.phone, chat.peer_of(user.phone), stored)
            assert_new_message(stored, self.model, chat, message)
        self.touched.append(chat)

    def try_to_send(self, path: str, token: str, body: Json) -> None:
        api = Api(self.server.url)
        try:
            api.call("POST", path, token, body)
        except httpx.TransportError:
            pass
        finally:
            api.close()

    def reconnect(self) -> None:
        self.api.close()
        self.api = Api(self.server.url)
        self.touched += [chat for user in self.model.users.values() for chat in user.chats]

    # --- What must hold after each step, and at the end ---

    @invariant()
    def logs_and_chats_agree(self) -> None:
        for user in self.model.users.values():
            if user.sessions:
                self.assert_new_events(user)
        for chat in {id(chat): chat for chat in self.touched}.values():
            for phone in chat.sides:
                user = self.model.users[phone]
                if user.sessions:
                    answer = self.call(user, "GET", f"/v1/chats/{chat.id}")
                    assert_chat(assert_ok(answer), self.model, phone, chat)
        self.touched.clear()

    def assert_new_events(self, user: User) -> None:
        page = assert_ok(self.call(user, "GET", "/v1/events", after=user.seen, limit=500))
        assert len(page["items"]) == len(user.log) - user.seen, (page["items"], user.log[user.seen :])
        assert_events(page["items"], user, user.seen)
        user.seen = len(user.log)

    def teardown(self) -> None:
        try:
            for who, phone in enumerate(self.phones):
                if phone in self.model.users:
                    self.assert_everything(self.signed_in(who))
        finally:
            self.api.close()

    def assert_everything(self, user: User) -> None:
        answer = assert_ok(self.call(user, "GET", "/v1/me"))
        assert (answer["id"], answer["display_name"], answer["read_receipts"]) == (
            user.id,
            user.name,
            user.receipts,
        )
        sessions = assert_ok(self.call(user, "GET", "/v1/sessions"))["items"]
        assert {session["id"] for session in sessions} == set(user.sessions)
        self.assert_new_events(user)
        self.assert_chat_list(user, 3)
        for chat in user.chats:
            self.assert_page(user, chat, 200, after=0)
        self.follow_events(self.phones.index(user.phone), 50, to_the_end=True)


def assert_chat_learnt(machine: Machine, user: User, chat: Chat, answer: httpx.Response) -> None:
    """A chat that came into being with its first message: its id stands in the answer."""
    chat.id = assert_ok(answer, 201)["chat_id"]
    chat.made["id"] = chat.id


def test_the_server_agrees_with_the_model(database_url: str, tmp_path: Path) -> None:
    options = ("--database-url", database_url, "--rate-limits", "off", "--sign-in", "open")
    with DuologueServer(tmp_path / "data", *options) as server:
        run_state_machine_as_test(
            type("Case", (Machine,), {"server": server}),
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
