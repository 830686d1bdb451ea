"""HTTP request and response bodies.

Requests refuse unknown fields: a typo must not be silently dropped. Responses may gain fields within v1.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

T = TypeVar("T")

MAX_TEXT: Final = 4096
MAX_CLIENT_ID: Final = 64
MAX_DEVICE_NAME: Final = 64
MAX_DISPLAY_NAME: Final = 64
MAX_PHONE_INPUT: Final = 32
MAX_SEQ: Final = 2**31 - 1
"""Seqs are stored in 31 bits: two thousand million messages in one chat, or events in one log."""

_NO_NUL: Final = "^[^\\u0000]*$"
# `$` alone would let a final newline through (Python's `re`); the look-ahead refuses it, in JavaScript too.
_PRINTABLE: Final = "^[ -~]*$(?!\\n)"
_LINE: Final = "^[^\\u0000-\\u001f\\u007f]*$(?!\\n)"

Phone = Annotated[
    str,
    Meta(
        max_length=MAX_PHONE_INPUT,
        description="A phone number in E.164, with its country code.",
        examples=["+33612345678"],
    ),
]
Text = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_TEXT,
        pattern=_NO_NUL,
        description=f"What was written: 1 to {MAX_TEXT} characters, any but NUL.",
        examples=["Are you at the station already?"],
    ),
]
ClientId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_CLIENT_ID,
        pattern=_PRINTABLE,
        description="The sender's own id for a message, unique per sender in a chat, for ever. A UUIDv7 is advised.",
        examples=["01936f3e-7d1c-7cc3-b9a4-1f0c2b6f8d11"],
    ),
]
Seq = Annotated[
    int, Meta(ge=1, le=MAX_SEQ, description="A position in a chat: 1, 2, 3… without holes.", examples=[42])
]
Mark = Annotated[
    int, Meta(ge=0, le=MAX_SEQ, description="Everything up to this seq; 0: nothing yet.", examples=[41])
]
EventSeq = Annotated[
    int,
    Meta(
        ge=0, le=MAX_SEQ, description="A position in one's event log: 1, 2, 3… without holes.", examples=[124]
    ),
]
Time = Annotated[
    str,
    Meta(
        description="RFC 3339 in UTC with milliseconds, from the server's clock.",
        examples=["2026-11-23T09:30:00.123Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
DeviceName = Annotated[
    str,
    Meta(
        max_length=MAX_DEVICE_NAME,
        pattern=_LINE,
        description="What the user calls this device.",
        examples=["Ana's phone"],
    ),
]
DisplayName = Annotated[
    str,
    Meta(
        max_length=MAX_DISPLAY_NAME,
        pattern=_LINE,
        description="What the user is called; empty when they haven't said.",
        examples=["Ana"],
    ),
]


class Request(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What a client sends."""


class Body(msgspec.Struct, frozen=True, gc=False):
    """What a client gets."""


class SignIn(Request):
    """Sign in with a phone number alone (open mode), or with a verification and its code (sms mode)."""

    phone: Phone | UnsetType = UNSET
    verification_id: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET
    code: Annotated[str, Meta(max_length=16)] | UnsetType = UNSET
    device_name: DeviceName = ""


class UpdateMe(Request):
    """What to change of one's own profile and preferences; what is left out stays."""

    display_name: DisplayName | UnsetType = UNSET
    read_receipts: Annotated[bool, Meta(description="Whether peers see what one has read.")] | UnsetType = (
        UNSET
    )


class OpenChat(Request):
    """Whom to talk to."""

    phone: Phone


class UpdateChat(Request):
    """What to change of one's own view of a chat; what is left out stays."""

    muted_until: Time | UnsetType | None = UNSET
    archived: bool | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET


class SendToChat(Request):
    """A message to a chat. `client_id` may stand in the `Idempotency-Key` header instead."""

    text: Text
    client_id: ClientId | UnsetType = UNSET
    reply_to: Seq | None = None


class SendToPhone(Request):
    """A message to a phone number; the chat comes into being with it."""

    to: Phone
    text: Text
    client_id: ClientId | UnsetType = UNSET
    reply_to: Seq | None = None


class MoveMark(Request):
    """Everything up to this seq is read, or delivered."""

    seq: Seq


class AckEvents(Request):
    """This device has everything up to this seq of the user's log."""

    seq: EventSeq


class Profile(Body, frozen=True):
    """What others see of a user. `phone` is null once the account is deleted."""

    id: str
    phone: str | None
    display_name: str
    registered: Annotated[bool, Meta(description="Whether the number's owner has ever signed in.")]


class Me(Body, frozen=True):
    """One's own profile and preferences."""

    id: str
    phone: str | None
    display_name: str
    registered: bool
    read_receipts: bool
    created_at: Time


class Session(Body, frozen=True):
    """One signed-in device."""

    id: str
    device_name: str
    created_at: Time
    last_seen_at: Annotated[Time, Meta(description="Coarse: noted at most once a minute.")]
    ip: str
    current: Annotated[bool, Meta(description="Whether this is the session that asks.")]


class SignedIn(Body, frozen=True):
    """A new session. The token is shown here and never again."""

    token: Annotated[str, Meta(examples=["dlg_3q2-7wEjRWeJq83vASNFZ4mrze8BI0VniavN7wEjRWc"])]
    session: Session
    user: Me
    new_user: Annotated[bool, Meta(description="Whether this number has signed in for the first time.")]


class Message(Body, frozen=True):
    """One message. `status` is what its sender sees: it follows from the recipient's marks."""

    id: str
    chat_id: str
    seq: Seq
    sender_id: str
    client_id: str
    text: str
    sent_at: Time
    edited_at: Time | None
    deleted_at: Time | None
    reply_to: Annotated[int | None, Meta(description="The seq of the message that this one answers.")]
    reactions: list[Any]
    status: Literal["sent", "delivered", "read"]
    via: Literal["app", "sms"]


class Marks(Body, frozen=True):
    """How far I have got and read, and how far my peer has, as far as they show it."""

    delivered: Mark
    read: Mark
    peer_delivered: Mark
    peer_read: Mark


class Chat(Body, frozen=True):
    """A chat as I see it."""

    id: str
    peer: Profile
    last_message: Message | None
    last_seq: Mark
    unread: Annotated[int, Meta(ge=0, description="The peer's messages above my read mark. Exact.")]
    marks: Marks
    muted_until: Time | None
    archived: bool
    pinned: bool
    blocked: bool
    updated_at: Annotated[
        Time, Meta(description="When the last message was sent, or else the chat was made.")
    ]


class Receipt(Body, frozen=True):
    """A side's marks after they changed."""

    chat_id: str
    user_id: str
    delivered: Mark
    read: Mark


class Page(Body, Generic[T], frozen=True):
    """A part of a list. `next` is the cursor for what follows, or null at the end."""

    items: list[T]
    next: str | None


class MessagePage(Body, frozen=True):
    """A stretch of a chat, in rising seq."""

    items: list[Message]
    has_more_before: bool
    has_more_after: bool


class Event(Body, frozen=True):
    """Something that changed for me. `data` depends on `type`."""

    seq: EventSeq
    type: Literal[
        "message.created",
        "receipt.updated",
        "chat.updated",
        "user.updated",
        "session.created",
        "session.ended",
    ]
    at: Time
    data: Message | Receipt | Chat | Profile | Session


class EventPage(Body, frozen=True):
    """Events in the order of their seqs; go on with `after=next`."""

    items: list[Event]
    next: EventSeq
    has_more: bool


class Limits(Body, frozen=True):
    """Every limit that a client needs to know."""

    text_characters: int
    client_id_characters: int
    display_name_characters: int
    device_name_characters: int
    body_bytes: int
    chats_page: int
    messages_page: int
    events_page: int
    long_poll_seconds: int
    event_retention_days: int
    sessions_per_user: int
    profile_update_chats: int


class ServerInfo(Body, frozen=True):
    """What this server is and what it allows."""

    name: str
    version: str
    sign_in: Literal["open", "sms"]
    limits: Limits
    features: list[str]


class Health(Body, frozen=True):
    """An answer to a probe."""

    status: Literal["ok"]


class Problem(Body, frozen=True):
    """An error, as RFC 9457 says. `code` is from the closed list in `docs/errors.md`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: dict[str, str] | UnsetType = UNSET
    latest: EventSeq | UnsetType = UNSET
