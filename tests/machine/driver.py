"""Requests to a real server, and what the model says that their answers must be."""

from __future__ import annotations

from typing import Any

import httpx

from duologue.errors import CODES
from tests.machine.model import Model, Refused
from tests.machine.nouns import Chat, Json, Message, User

TIMEOUT = 30.0


class Api:
    """HTTP to one server, which may come and go."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=TIMEOUT)

    def call(self, method: str, path: str, token: str = "", body: Any = None, **query: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self._client.request(method, path, headers=headers, json=body, params=query)

    def close(self) -> None:
        self._client.close()


def assert_ok(answer: httpx.Response, status: int = 200) -> Any:
    """Return the content of the answer."""
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def assert_refused(answer: httpx.Response, code: str) -> None:
    """The answer is this error, as RFC 9457 has it."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code, problem
    assert answer.status_code == problem["status"] == CODES[code].status


def assert_answer(answer: httpx.Response, refusal: Refused | None, status: int) -> Any:
    """Refused as the model does, or what the answer holds."""
    if refusal:
        assert_refused(answer, str(refusal))
        return None
    return assert_ok(answer, status)


def message_view(chat: Chat, message: Message, phone: str) -> Json:
    """A message as one side sees it now."""
    view = message.answer | {"status": chat.status(message)}
    if message.withheld and message.sender != phone:
        view |= {"text": "", "client_id": "", "reply_to": None, "withheld": True}
    return view


def assert_new_message(answer: Json, model: Model, chat: Chat, message: Message) -> None:
    """Learn a message that has just been stored, if it is what the model expects."""
    assert answer["seq"] == message.seq
    assert answer["chat_id"] == chat.id
    assert answer["sender_id"] == model.users[message.sender].id
    assert (answer["client_id"], answer["text"]) == (message.client_id, message.text)
    assert answer["reply_to"] == message.reply_to
    assert answer["status"] == "sent"
    message.answer.update(answer)


def learn_change(answer: Json, model: Model, message: Message) -> None:
    """Learn when a message was changed, if it is what the model expects; nothing else of it has changed."""
    learnt = {"text": message.text, "reactions": model.reactions_view(message)}
    for name, done in (("edited_at", message.edited), ("deleted_at", message.deleted)):
        assert (answer[name] is not None) == done, answer
        assert not done or answer[name] >= answer["sent_at"]
        learnt[name] = answer[name]
    message.answer.update(learnt)
    assert answer | {"status": "sent"} == message.answer


def assert_profile(answer: Json, user: User, known: int) -> None:
    """A user as the peer of a chat sees it: a stranger tells no more than its number."""
    user.id = user.id or answer["id"]
    assert answer == {
        "id": user.id,
        "phone": None if user.is_gone else user.phone,
        "display_name": user.name if known == 2 else "",
        "registered": user.registered and known == 2,
    }


def assert_chat(answer: Json, model: Model, phone: str, chat: Chat) -> None:
    """A chat as this side sees it, every field of it."""
    if not chat.id:
        chat.learn(answer["id"])
        chat.made_at = answer["updated_at"]
    answer = dict(answer)
    peer = chat.peer_of(phone)
    assert_profile(answer.pop("peer"), model.users[peer], chat.known[peer])
    last = next(reversed(chat.seen_by(phone)), None)
    mine, theirs, settings = chat.marks[phone], chat.marks[chat.peer_of(phone)], chat.settings[phone]
    assert answer == {
        "id": chat.id,
        "last_message": message_view(chat, last, phone) if last else None,
        "last_seq": chat.last_seq,
        "unread": chat.unread(phone),
        "marks": {
            "delivered": mine.delivered,
            "read": mine.read,
            "peer_delivered": theirs.delivered_shown,
            "peer_read": theirs.read_shown,
        },
        "muted_until": settings.muted_until,
        "archived": settings.archived,
        "pinned": settings.pinned,
        "blocked": False,
        "request": model.users[phone].is_request(chat),
        "updated_at": last.answer["sent_at"] if last else chat.made_at,
    }


def assert_events(items: list[Json], user: User, after: int) -> None:
    """These are the events that follow `after` in the user's log, contiguous and no other."""
    assert [item["seq"] for item in items] == list(range(after + 1, after + 1 + len(items)))
    _settle_order(items, user, after)
    for item, expected in zip(items, user.log[after:], strict=False):
        assert item["type"] == expected.type, (item, expected)
        assert item["data"] | expected.data == item["data"], (item, expected)


def _settle_order(items: list[Json], user: User, after: int) -> None:
    """Of one group's events, seen for the first time, take the order in which they came."""
    for index in range(max(after, user.seen), after + len(items)):
        expected = user.log[index]
        rivals = range(index, len(user.log))
        came = items[index - after]
        for rival in rivals if expected.group else ():
            other = user.log[rival]
            if other.group != expected.group:
                break
            if other.type == came["type"] and came["data"] | other.data == came["data"]:
                user.log[index], user.log[rival] = other, expected
                break


class Replica:
    """A client that knows nothing but the events it has applied."""

    def __init__(self) -> None:
        self.position = 0
        self.messages: dict[str, dict[int, Json]] = {}
        self.marks: dict[tuple[str, str], tuple[int, int]] = {}
        self.chats: set[str] = set()

    def apply(self, event: Json) -> None:
        assert event["seq"] == self.position + 1
        self.position += 1
        data = event["data"]
        if event["type"] in {"message.created", "message.updated"}:
            self.messages.setdefault(data["chat_id"], {})[data["seq"]] = data
        elif event["type"] == "receipt.updated":
            self.marks[data["chat_id"], data["user_id"]] = (data["delivered"], data["read"])
        elif event["type"] == "chat.updated":
            self.chats.add(data["id"])

    def status(self, message: Json, recipient_id: str) -> str:
        delivered, read = self.marks.get((message["chat_id"], recipient_id), (0, 0))
        if message["seq"] <= read:
            return "read"
        return "delivered" if message["seq"] <= delivered else "sent"

    def assert_complete(self, model: Model, user: User) -> None:
        """Having applied everything, it knows all chats, messages, marks and statuses."""
        assert self.position == len(user.log)
        assert self.chats == {chat.id for chat in user.chats}
        for chat in user.chats:
            mine, theirs = chat.marks[user.phone], chat.marks[chat.peer_of(user.phone)]
            peer_id = model.users[chat.peer_of(user.phone)].id
            assert self.marks.get((chat.id, user.id), (0, 0)) == (mine.delivered, mine.read)
            assert self.marks.get((chat.id, peer_id), (0, 0)) == (
                theirs.delivered_shown,
                theirs.read_shown,
            )
            held = self.messages.get(chat.id, {})
            assert list(held) == [message.seq for message in chat.seen_by(user.phone)]
            for message in chat.seen_by(user.phone):
                assert held[message.seq] | {"status": "sent"} == message.answer
                if message.sender == user.phone and not message.withheld:
                    assert self.status(held[message.seq], peer_id) == chat.status(message)
