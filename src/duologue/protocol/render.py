"""From records to what stands on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Literal

import msgspec
from msgspec import UnsetType

from duologue import model
from duologue.clock import rfc3339
from duologue.model import Kind, Relay, ShowPresence, WhoCanWrite, encode_id
from duologue.protocol import bodies, preferences
from duologue.protocol.trace import Step, Trace

EVENT_TYPES: Final = {
    Kind.MESSAGE_CREATED: "message.created",
    Kind.RECEIPT_MINE: "receipt.updated",
    Kind.RECEIPT_PEER: "receipt.updated",
    Kind.CHAT_UPDATED: "chat.updated",
    Kind.USER_UPDATED: "user.updated",
    Kind.SESSION_CREATED: "session.created",
    Kind.SESSION_ENDED: "session.ended",
    Kind.MESSAGE_UPDATED: "message.updated",
}
UNKNOWN: Final = "unknown"
"""Type of an event of a kind that only a newer release knows."""
_encode = msgspec.json.Encoder().encode


def chat_id(number: int) -> str:
    """The wire form of a chat id."""
    return encode_id("cht", number)


def user_id(number: int) -> str:
    """The wire form of a user id."""
    return encode_id("usr", number)


def session_id(number: int) -> str:
    """The wire form of a session id."""
    return encode_id("ses", number)


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def _reactions(records: Sequence[model.Reaction]) -> list[bodies.Reaction]:
    """Each emoji once, the first to come first, with the people in the order in which they put it there."""
    people: dict[str, list[str]] = {}
    for each in records:
        people.setdefault(each.emoji, []).append(user_id(each.user_id))
    return [bodies.Reaction(emoji, user_ids) for emoji, user_ids in people.items()]


def message(record: model.Message, delivered: int, read: int) -> bodies.Message:
    """A message; `delivered` and `read` are its recipient's marks, as its sender may see them.

    One that is withheld from its recipient stays `sent` to its sender.
    """
    status: Literal["sent", "delivered", "read"] = "sent"
    if record.withheld:
        pass
    elif record.seq <= read:
        status = "read"
    elif record.seq <= delivered:
        status = "delivered"
    return bodies.Message(
        id=f"msg_{record.chat_id:016x}_{record.seq}",
        chat_id=chat_id(record.chat_id),
        seq=record.seq,
        sender_id=user_id(record.sender_id),
        client_id=record.client_id,
        text=record.text,
        sent_at=rfc3339(record.sent_at),
        edited_at=_time(record.edited_at),
        deleted_at=_time(record.deleted_at),
        reply_to=record.reply_to or None,
        reactions=_reactions(record.reactions),
        status=status,
        via="sms" if record.by_sms else "app",
    )


def message_to(reader_id: int, record: model.Message, delivered: int, read: int) -> bodies.Message:
    """A message as one side of its chat sees it: of one that is withheld from the reader only the place."""
    body = message(record, delivered, read)
    hidden = record.withheld and record.sender_id != reader_id
    return msgspec.structs.replace(body, withheld=True) if hidden else body


def profile(user: model.User) -> bodies.Profile:
    """Render the part of a user that others see."""
    return bodies.Profile(user_id(user.id), user.phone, user.display_name, user.registered_at is not None)


@lru_cache(maxsize=8)
def _at(ms: int) -> bytes:
    """A batch has one time for all that it brings."""
    return rfc3339(ms).encode()


_MESSAGE: Final = (
    b'{"id":"msg_%016x_%d","chat_id":"cht_%016x","seq":%d,"sender_id":"usr_%016x","client_id":%s,"text":%s,'
    b'"sent_at":"%s","edited_at":null,"deleted_at":null,"reply_to":%s,"reactions":[],"status":"sent","via":"%s"}'
)
_RECEIPT: Final = b'{"chat_id":"cht_%016x","user_id":"usr_%016x","delivered":%d,"read":%d}'


@lru_cache(maxsize=512)
def message_json(record: model.Message) -> bytes:
    """`message(record, 0, 0)` as JSON: as it is just after it was sent.

    The message path renders each message once, for its sender's answer and for everybody's events.
    """
    if not record.is_as_sent:
        return _encode(message(record, 0, 0))
    return _MESSAGE % (
        record.chat_id,
        record.seq,
        record.chat_id,
        record.seq,
        record.sender_id,
        _encode(record.client_id),
        _encode(record.text),
        _at(record.sent_at),
        b"%d" % record.reply_to if record.reply_to else b"null",
        b"sms" if record.by_sms else b"app",
    )


def sent(record: model.Message, client_id: str, ref: str | UnsetType) -> bytes:
    """The frame that answers a message stored for the first time, as JSON."""
    known = b"" if isinstance(ref, UnsetType) else b',"ref":' + _encode(ref)
    return b'{"op":"sent","client_id":%s,"message":%s,"replayed":false%s}' % (
        _encode(client_id),
        message_json(record),
        known,
    )


_RELAYS: Final[dict[Relay, preferences.SmsRelay]] = {
    Relay.OFF: "off",
    Relay.OFFLINE: "offline",
    Relay.ALWAYS: "always",
}


_WRITERS: Final[dict[WhoCanWrite, preferences.WhoCanWrite]] = {
    WhoCanWrite.EVERYONE: "everyone",
    WhoCanWrite.REQUESTS: "requests",
    WhoCanWrite.NOBODY: "nobody",
}
_PRESENCES: Final[dict[ShowPresence, preferences.ShowPresence]] = {
    ShowPresence.EVERYONE: "everyone",
    ShowPresence.CHATS: "chats",
    ShowPresence.NOBODY: "nobody",
}


def me(user: model.User, presets: model.Presets) -> bodies.Me:
    """One's own profile and preferences; the presets stand in for what the user hasn't chosen."""
    return bodies.Me(
        id=user_id(user.id),
        phone=user.phone,
        display_name=user.display_name,
        registered=user.registered_at is not None,
        read_receipts=user.read_receipts,
        sms_relay=_RELAYS[presets.sms_relay if user.sms_relay is None else user.sms_relay],
        who_can_write=_WRITERS[presets.who_can_write if user.who_can_write is None else user.who_can_write],
        presence=_PRESENCES[presets.presence if user.presence is None else user.presence],
        discoverable=presets.discoverable if user.discoverable is None else user.discoverable,
        created_at=rfc3339(user.created_at),
    )


def session(record: model.Session, current_id: int | None = None) -> bodies.Session:
    """A session, as seen from the session `current_id`."""
    return bodies.Session(
        id=session_id(record.id),
        device_name=record.device_name,
        created_at=rfc3339(record.created_at),
        last_seen_at=rfc3339(record.last_seen_at),
        ip=record.ip,
        current=record.id == current_id,
    )


def chat(record: model.Chat) -> bodies.Chat:
    """A chat as its user sees it."""
    last = record.last_message
    mine = last is not None and last.sender_id == record.user_id
    delivered = record.peer_delivered if mine else record.delivered_shown
    read = record.peer_read if mine else record.read_shown
    return bodies.Chat(
        id=chat_id(record.id),
        peer=profile(record.peer),
        last_message=message(last, delivered, read) if last else None,
        last_seq=record.last_seq,
        unread=record.unread,
        marks=bodies.Marks(record.delivered, record.read, record.peer_delivered, record.peer_read),
        muted_until=rfc3339(record.muted_until) if record.muted_until else None,
        archived=record.archived,
        pinned=record.pinned,
        blocked=False,
        request=record.request,
        updated_at=rfc3339(last.sent_at if last else record.created_at),
    )


def trace(steps: Sequence[model.Step]) -> Trace:
    """Render the trace of a message."""
    return Trace([Step(step.hop, rfc3339(step.at), step.detail) for step in steps])


def event_type(kind: int) -> str:
    """Return the `type` of events of a kind, as it is stored."""
    return _TYPES.get(kind, UNKNOWN)


def _frame(name: str) -> bytes:
    return b'{"op":"event","seq":%%d,"type":"%s","at":"%%b","data":%%b}' % name.encode()


_TYPES: Final[Mapping[int, str]] = {int(kind): name for kind, name in EVENT_TYPES.items()}
_EVENTS: Final[Mapping[int, bytes]] = {kind: _frame(name) for kind, name in _TYPES.items()}
_UNKNOWN_EVENT: Final = _frame(UNKNOWN)


def event(record: model.Event) -> bytes:
    """The frame of an event, as JSON; the event in it is the same over every transport.

    Receipts are the same bytes at any time; messages, chats, users and sessions show their state when read. Of an
    event that a newer release has written only the place in the log is told.
    """
    body = record.body
    if isinstance(body, model.Message):
        # As it was created, so that folding the receipts that follow gives the present status.
        data = message_json(body)
    elif isinstance(body, model.Receipt):
        data = _RECEIPT % (body.chat_id, body.user_id, body.delivered, body.read)
    else:
        data = _state(body)
    return _EVENTS.get(record.kind, _UNKNOWN_EVENT) % (record.seq, _at(record.at), data)


def _state(body: model.Chat | model.User | model.Session | None) -> bytes:
    if body is None:
        return b"{}"
    if isinstance(body, model.Chat):
        return _encode(chat(body))
    if isinstance(body, model.User):
        return _encode(profile(body))
    return _encode(session(body))
