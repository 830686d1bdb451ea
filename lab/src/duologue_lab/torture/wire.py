"""Bodies and frames as the torture reads them: leniently, without the server's own types."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from duologue_lab.torture.history import EventEntry, LoggedEntry


class Data(msgspec.Struct, gc=False):
    """The body of any event: the fields that are compared."""

    id: str = ""
    chat_id: str = ""
    user_id: str = ""
    sender_id: str = ""
    client_id: str = ""
    text: str = ""
    seq: int = 0
    delivered: int = 0
    read: int = 0


class WireEvent(msgspec.Struct, gc=False):
    """An event, from any of the ways to follow a log."""

    seq: int
    type: str
    at: str
    data: Data


class AnyFrame(msgspec.Struct, gc=False):
    """Any frame of the server's."""

    op: str
    seq: int = 0
    type: str = ""
    at: str = ""
    data: Data | None = None
    latest: int = 0
    latest_at: str = ""
    client_id: str = ""
    message: Data | None = None
    replayed: bool = False
    code: str = ""
    ref: str = ""


class EventPageReply(msgspec.Struct, gc=False):
    """A page of a log."""

    items: list[WireEvent]
    has_more: bool


class MessagePageReply(msgspec.Struct, gc=False):
    """A page of a chat."""

    items: list[Data]
    has_more_after: bool


class MarksReply(msgspec.Struct, gc=False):
    """The marks in a chat."""

    delivered: int
    read: int
    peer_delivered: int
    peer_read: int


class ChatView(msgspec.Struct, gc=False):
    """A chat as its user sees it."""

    id: str
    last_seq: int
    unread: int
    marks: MarksReply


class Named(msgspec.Struct, gc=False):
    """Whatever has an id."""

    id: str
    phone: str = ""


class SessionReply(msgspec.Struct, gc=False):
    """A signed-in device."""

    id: str
    current: bool


class SessionListReply(msgspec.Struct, gc=False):
    """Those of a user."""

    items: list[SessionReply]


class SignInReply(msgspec.Struct, gc=False):
    """The answer to a sign-in."""

    token: str
    session: Named
    user: Named
    new_user: bool


class ErrorReply(msgspec.Struct, gc=False):
    """An answer that says no; `latest`: where a log that can't be followed any longer ends now."""

    code: str = ""
    latest: int = 0
    latest_at: str = ""


read_frame: Final = msgspec.json.Decoder(AnyFrame).decode
read_event: Final = msgspec.json.Decoder(WireEvent).decode
write: Final = msgspec.json.Encoder().encode


def hello(token: str, after: int, at: str) -> bytes:
    """The first frame; without `at` before the first event."""
    return write({"op": "hello", "token": token, "after": after} | ({"at": at} if at else {}))


def fields(event: WireEvent | AnyFrame, texts: dict[str, str]) -> dict[str, Any]:
    """An event's fields as a history has them. `texts` holds each text once, however often it is seen."""
    data = event.data or Data()
    noted: dict[str, Any] = {"seq": event.seq, "type": event.type, "at": event.at}
    if event.type == "message.created":
        text = texts.setdefault(data.text, data.text)
        client_id = texts.setdefault(data.client_id, data.client_id)
        noted |= {
            "about": data.chat_id,
            "who": data.sender_id,
            "a": data.seq,
            "client_id": client_id,
            "text": text,
        }
    elif event.type == "receipt.updated":
        noted |= {"about": data.chat_id, "who": data.user_id, "a": data.delivered, "b": data.read}
    else:
        return noted | {"about": data.id}
    return noted | {name: texts.setdefault(noted[name], noted[name]) for name in ("at", "about", "who")}


def given(device: int, event: WireEvent | AnyFrame, texts: dict[str, str]) -> EventEntry:
    """An event that a device was given."""
    return EventEntry(device, **fields(event, texts))


def logged(user: str, event: WireEvent, texts: dict[str, str]) -> LoggedEntry:
    """An event that was read back."""
    return LoggedEntry(user, **fields(event, texts))
