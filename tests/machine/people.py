"""Four people on a real server: what they do, and what must hold afterwards."""

from __future__ import annotations

import contextlib
from itertools import count
from time import monotonic, sleep
from typing import Any, ClassVar
from urllib.parse import quote

import httpx
from hypothesis.stateful import RuleBasedStateMachine, invariant

from duologue_lab.servers.server import DuologueServer
from tests.contract.store import PATIENCE, rows
from tests.machine.driver import (
    Api,
    Replica,
    assert_chat,
    assert_events,
    assert_new_message,
    assert_ok,
    assert_refused,
    learn_change,
    message_view,
)
from tests.machine.model import Model, Refused
from tests.machine.nouns import Chat, Json, Message, User

PEOPLE = 4
UNTOLD = "SELECT count(*) FROM profile_news WHERE peers IS NULL OR next_peer * 8 < length(peers)"

_blocks = count()


class People(RuleBasedStateMachine):
    """One example: people whom the server has never seen, on a server that has served others before."""

    server: ClassVar[DuologueServer]
    database_url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        block = next(_blocks)
        self.phones = [f"+336{block:06}{number:02}" for number in range(PEOPLE)]
        self.api = Api(self.server.url)
        self.model = Model()
        self.replicas = {phone: Replica() for phone in self.phones}
        self.touched: list[Chat] = []
        self.numbers = count()

    def call(self, user: User, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        """A request from the user's oldest session."""
        return self.api.call(method, path, next(iter(user.sessions.values())), body, **query)

    # --- Who and what ---

    def signed_in(self, who: int) -> User:
        """Somebody with a session, after signing in if need be."""
        phone = self.phones[who]
        if not self.model.user(phone).sessions:
            self.sign_in_as(phone, "")
        return self.model.users[phone]

    def sign_in_as(self, phone: str, device: str) -> None:
        body = {"phone": phone, "device_name": device}
        answer = assert_ok(self.api.call("POST", "/v1/sessions", body=body), 201)
        session, user = answer["session"], answer["user"]
        first = self.model.sign_in(phone, user["id"], session["id"], answer["token"])
        assert answer["new_user"] == first
        assert session["device_name"] == device
        assert user["id"] == self.model.users[phone].id
        self.await_news()

    def await_news(self) -> None:
        """Peers hear of a profile soon afterwards, and before anything else happens here."""
        deadline = monotonic() + PATIENCE
        while rows(self.database_url, UNTOLD) != [[(0,)]]:
            assert monotonic() < deadline, "peers were not told"
            sleep(0.005)

    def chat_of(self, user: User, pick: int) -> Chat:
        """One of the user's chats, rather one with messages; if there is none, one is opened."""
        if not user.chats:
            others = [phone for phone in self.phones if phone != user.phone]
            self.open_chat_with(user, others[pick % len(others)])
        chats = [chat for chat in user.chats if chat.messages] or user.chats
        return chats[pick % len(chats)]

    def open_chat_with(self, user: User, peer: str) -> None:
        answer = self.call(user, "PUT", "/v1/chats", {"phone": peer})
        try:
            chat = self.model.open_chat(user.phone, peer)
        except Refused as refusal:
            assert_refused(answer, str(refusal))
        else:
            assert_chat(assert_ok(answer), self.model, user.phone, chat)

    def send(self, user: User, peer: str, sent: Json, *, by_phone: bool) -> None:
        """Send to somebody, by chat id if there is a chat and unless told otherwise."""
        known = self.model.chat(user.phone, peer)
        if known is None or (by_phone and peer in self.phones):
            answer = self.call(user, "POST", "/v1/messages", {"to": peer} | sent)
        else:
            answer = self.call(user, "POST", f"/v1/chats/{known.id}/messages", sent)
        try:
            message, replayed = self.model.send(user.phone, peer, sent)
        except Refused as refusal:
            assert_refused(answer, str(refusal))
            return
        stored = assert_ok(answer, 200 if replayed else 201)
        chat = self.model.chat(user.phone, peer)
        assert chat
        chat.learn(stored["chat_id"])
        assert (answer.headers.get("Idempotent-Replayed") == "true") == replayed
        if replayed:
            assert stored == message_view(chat, message, user.phone)
        else:
            assert_new_message(stored, self.model, chat, message)
        self.touched.append(chat)

    def change(self, user: User, chat: Chat, seq: int, text: str | None) -> None:
        """Edit a message, or delete it if there is no text for it."""
        path = f"/v1/chats/{chat.id}/messages"
        if text is None:
            answer = self.call(user, "DELETE", f"{path}/{seq}")
        else:
            answer = self.call(user, "PATCH", f"{path}/{seq}", {"text": text})
        try:
            if text is None:
                message = self.model.delete_message(user.phone, chat, seq)
            else:
                message = self.model.edit(user.phone, chat, seq, text)
        except Refused as refusal:
            assert_refused(answer, str(refusal))
            return
        told = assert_ok(answer, 204 if text is None else 200)
        assert told in (None, self.learn(user, chat, message))

    def learn(self, user: User, chat: Chat, message: Message) -> Json:
        """Look at a message that has changed; the answer of the server."""
        path = f"/v1/chats/{chat.id}/messages"
        page = assert_ok(self.call(user, "GET", path, after=message.seq - 1, limit=1))
        [found] = page["items"]
        learn_change({key: value for key, value in found.items() if key != "withheld"}, self.model, message)
        self.touched.append(chat)
        return dict(found)

    def react_to(self, user: User, chat: Chat, seq: int, emoji: str, *, on: bool) -> None:
        """Put an emoji on a message, or take it off."""
        path = f"/v1/chats/{chat.id}/messages/{seq}/reactions/{quote(emoji)}"
        answer = self.call(user, "PUT" if on else "DELETE", path)
        try:
            message = self.model.react(user.phone, chat, seq, emoji, on=on)
        except Refused as refusal:
            assert_refused(answer, str(refusal))
            return
        assert_ok(answer, 204)
        self.learn(user, chat, message)

    def try_to_send(self, path: str, token: str, body: Json) -> None:
        """Send once, on a connection of one's own; perhaps nobody answers."""
        api = Api(self.server.url)
        with contextlib.closing(api), contextlib.suppress(httpx.TransportError):
            api.call("POST", path, token, body)

    def reconnect(self) -> None:
        """The server has come back: everything must be as it was."""
        self.api.close()
        self.api = Api(self.server.url)
        self.touched += [chat for user in self.model.users.values() for chat in user.chats]

    # --- What must hold ---

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
        """Since the last look exactly that has happened which the model says."""
        page = assert_ok(self.call(user, "GET", "/v1/events", after=user.seen, limit=500))
        assert len(page["items"]) == len(user.log) - user.seen, (page["items"], user.log[user.seen :])
        assert_events(page["items"], user, user.seen)
        user.seen = len(user.log)

    def assert_chat_list(self, user: User, limit: int, folder: str = "all") -> None:
        apart = folder != "all" and user.who_can_write == "requests"
        wanted = [] if folder == "requests" and not apart else user.chats
        if apart:
            wanted = [chat for chat in wanted if user.is_request(chat) == (folder == "requests")]
        found: list[Json] = []
        query: Json = {"limit": limit, "folder": folder}
        while True:
            page = assert_ok(self.call(user, "GET", "/v1/chats", **query))
            found += page["items"]
            if page["next"] is None:
                break
            assert len(page["items"]) == limit
            query["cursor"] = page["next"]
        assert [item["id"] for item in found] == [chat.id for chat in wanted]
        for item, chat in zip(found, wanted, strict=True):
            assert_chat(item, self.model, user.phone, chat)

    def assert_page(self, user: User, chat: Chat, limit: int, **bound: int) -> None:
        answer = assert_ok(self.call(user, "GET", f"/v1/chats/{chat.id}/messages", limit=limit, **bound))
        messages, before, after = self.model.page(chat, limit, **bound)
        assert answer["items"] == [message_view(chat, message, user.phone) for message in messages]
        assert (answer["has_more_before"], answer["has_more_after"]) == (before, after)

    def follow(self, user: User, limit: int, *, to_the_end: bool) -> None:
        """A client folds what it reads, and knows everything once it has caught up."""
        replica = self.replicas[user.phone]
        more = True
        while more:
            page = assert_ok(self.call(user, "GET", "/v1/events", after=replica.position, limit=limit))
            for event in page["items"]:
                replica.apply(event)
            more = page["has_more"] and to_the_end
        if replica.position == len(user.log):
            replica.assert_complete(self.model, user)

    def teardown(self) -> None:
        with contextlib.closing(self.api):
            for who, phone in enumerate(self.phones):
                if phone in self.model.users:
                    self.assert_everything(self.signed_in(who))

    def assert_everything(self, user: User) -> None:
        me = assert_ok(self.call(user, "GET", "/v1/me"))
        assert (me["id"], me["phone"], me["registered"]) == (user.id, user.phone, True)
        assert (me["display_name"], me["read_receipts"]) == (user.name, user.receipts)
        sessions = assert_ok(self.call(user, "GET", "/v1/sessions"))["items"]
        assert {session["id"] for session in sessions} == set(user.sessions)
        self.assert_new_events(user)
        self.assert_chat_list(user, 3)
        for chat in user.chats:
            self.assert_page(user, chat, 200, after=0)
        self.follow(user, 50, to_the_end=True)
