"""HTTP request and response bodies.

Requests refuse unknown fields: a typo must not be silently dropped. Responses may gain fields within v1.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from duologue.model import MAX_SEQ
from duologue.protocol.positions import KnownAt
from duologue.protocol.preferences import Discoverable, ReadReceipts, ShowPresence, SmsRelay, WhoCanWrite

T = TypeVar("T")

MAX_TEXT: Final = 4096  # characters
MAX_CLIENT_ID: Final = 64  # characters
MAX_DEVICE_NAME: Final = 64  # characters
MAX_DISPLAY_NAME: Final = 64  # characters
MAX_PHONE_INPUT: Final = 32  # characters

_NO_NUL: Final = "^[^\\x00]*$"
# `$` alone would let a final newline through (Python's `re`); the look-ahead refuses it, in JavaScript too.
PRINTABLE: Final = "^[ -~]*$(?!\\n)"
_LINE: Final = "^[^\\x00-\\x1f\\x7f]*$(?!\\n)"

UserId = Annotated[
    str, Meta(description="A user. It is not made from the phone number.", examples=["usr_0b7e151628aed2a6"])
]
ChatId = Annotated[str, Meta(description="A chat.", examples=["cht_3243f6a8885a308d"])]
MessageId = Annotated[str, Meta(description="A message.", examples=["msg_3243f6a8885a308d_42"])]
SessionId = Annotated[str, Meta(description="A session.", examples=["ses_13198a2e03707344"])]
SessionIdOrCurrent = Annotated[
    str, Meta(description="A session, or `current`: the one that asks.", examples=["ses_13198a2e03707344"])
]
Phone = Annotated[
    str,
    Meta(
        max_length=MAX_PHONE_INPUT,
        description="A phone number in E.164, with its country code.",
        examples=["+33612345678"],
        extra_json_schema={"format": "e164"},
    ),
]
Folder = Annotated[
    Literal["chats", "requests", "all"],
    Meta(
        description="`requests`: chats of strangers that wait to be accepted, if `who_can_write` is `requests`."
        " `chats`: all others."
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
        pattern=PRINTABLE,
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
    """A body that a client sends."""


class Body(msgspec.Struct, frozen=True, gc=False):
    """A body that a client gets."""


class SignIn(Request):
    """Sign in with a phone number alone (open mode), or with a verification and its code (sms mode)."""

    phone: Phone | UnsetType = UNSET
    verification_id: (
        Annotated[str, Meta(max_length=64, description="In sms mode: the `id` of the verification.")]
        | UnsetType
    ) = UNSET
    code: (
        Annotated[
            str, Meta(max_length=16, description="In sms mode: what the SMS said.", examples=["204619"])
        ]
        | UnsetType
    ) = UNSET
    device_name: DeviceName = ""


class StartVerification(Request):
    """The number to send a code to."""

    phone: Phone


class UpdateMe(Request):
    """Changes to one's own profile and preferences; fields left out stay as they are."""

    display_name: DisplayName | UnsetType = UNSET
    read_receipts: ReadReceipts | UnsetType = UNSET
    sms_relay: SmsRelay | UnsetType = UNSET
    who_can_write: WhoCanWrite | UnsetType = UNSET
    presence: ShowPresence | UnsetType = UNSET
    discoverable: Discoverable | UnsetType = UNSET


class OpenChat(Request):
    """The person to open a chat with."""

    phone: Phone


class UpdateChat(Request):
    """Changes to one's own view of a chat; fields left out stay as they are."""

    muted_until: (
        Annotated[
            datetime,
            Meta(
                tz=True,
                description="RFC 3339, with an offset; null ends it. Kept to the millisecond.",
                examples=["2026-11-24T07:00:00Z"],
            ),
        ]
        | UnsetType
        | None
    ) = UNSET
    archived: bool | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET


class SendToChat(Request):
    """A message to a chat. `client_id` may stand in the `Idempotency-Key` header instead."""

    text: Text
    client_id: ClientId | UnsetType = UNSET
    reply_to: Annotated[Seq | None, Meta(description="The seq of the message that this one answers.")] = None


class SendToPhone(Request):
    """A message to a phone number; the chat comes into being with it."""

    to: Phone
    text: Text
    client_id: ClientId | UnsetType = UNSET
    reply_to: Annotated[Seq | None, Meta(description="The seq of the message that this one answers.")] = None


class MoveMark(Request):
    """Everything up to this seq is read, or delivered."""

    seq: Seq


class AckEvents(Request):
    """This device has everything up to this seq of the user's log."""

    seq: EventSeq
    at: KnownAt | UnsetType = UNSET


class Profile(Body, frozen=True):
    """The part of a user that others see."""

    id: UserId
    phone: Annotated[Phone | None, Meta(description="Null once the account is deleted.")]
    display_name: Annotated[
        DisplayName, Meta(description="What the user is called; empty until they have answered one.")
    ]
    registered: Annotated[
        bool,
        Meta(
            description="Whether the number's owner has ever signed in; false until they have answered one."
        ),
    ]


class Me(Body, frozen=True):
    """One's own profile and preferences."""

    id: UserId
    phone: Phone | None
    display_name: DisplayName
    registered: Annotated[bool, Meta(description="Always true of oneself.")]
    read_receipts: ReadReceipts
    sms_relay: SmsRelay
    who_can_write: WhoCanWrite
    presence: ShowPresence
    discoverable: Discoverable
    created_at: Time


class Session(Body, frozen=True):
    """One signed-in device."""

    id: SessionId
    device_name: DeviceName
    created_at: Time
    last_seen_at: Annotated[Time, Meta(description="Coarse: noted at most once a minute.")]
    ip: Annotated[str, Meta(description="The address that it signed in from.", examples=["127.0.0.1"])]
    current: Annotated[bool, Meta(description="Whether this is the session that asks.")]


class Verification(Body, frozen=True):
    """A code is on its way. Asking again before `resend_at` is refused."""

    id: Annotated[str, Meta(examples=["vrf_01b2c3d4e5f60718"])]
    expires_at: Time
    resend_at: Time
    channel: Literal["sms"]


class SignedIn(Body, frozen=True):
    """A new session. The token is shown here and never again."""

    token: Annotated[
        str,
        Meta(
            description="Goes with every other request: `Authorization: Bearer <token>`.",
            examples=["dlg_3q2-7wEjRWeJq83vASNFZ4mrze8BI0VniavN7wEjRWc"],
        ),
    ]
    session: Session
    user: Me
    new_user: Annotated[bool, Meta(description="Whether this number has signed in for the first time.")]


class Reaction(Body, frozen=True):
    """An emoji that people put on a message."""

    emoji: Annotated[str, Meta(description="One emoji.", examples=["👍"])]
    user_ids: Annotated[list[UserId], Meta(description="The people who put it there.")]


class Message(Body, frozen=True):
    """One message."""

    id: MessageId
    chat_id: ChatId
    seq: Seq
    sender_id: UserId
    client_id: Annotated[
        str,
        Meta(
            max_length=MAX_CLIENT_ID,
            pattern=PRINTABLE,
            description="The sender's own id for the message; empty if it is withheld.",
            examples=["01936f3e-7d1c-7cc3-b9a4-1f0c2b6f8d11"],
        ),
    ]
    text: Annotated[
        str,
        Meta(max_length=MAX_TEXT, description="What was written; empty once deleted, or if it is withheld."),
    ]
    sent_at: Annotated[Time, Meta(description="When the server took it.")]
    edited_at: Annotated[Time | None, Meta(description="When it was last edited; null: never.")]
    deleted_at: Annotated[Time | None, Meta(description="When it was deleted; null: it was not.")]
    reply_to: Annotated[Seq | None, Meta(description="The seq of the message that this one answers.")]
    reactions: list[Reaction]
    status: Annotated[
        Literal["sent", "delivered", "read"],
        Meta(description="What the sender sees. It follows from the recipient's marks."),
    ]
    via: Annotated[Literal["app", "sms"], Meta(description="How it came in.")]
    withheld: (
        Annotated[
            bool,
            Meta(
                description="True of a message that one's preferences keep from one: it holds its place, so that no"
                " seq is missing, and says nothing. Absent otherwise."
            ),
        ]
        | UnsetType
    ) = UNSET


class Marks(Body, frozen=True):
    """Delivered and read marks: one's own, and the peer's as far as the peer shows them."""

    delivered: Mark
    read: Mark
    peer_delivered: Mark
    peer_read: Mark


class Chat(Body, frozen=True):
    """A chat as I see it."""

    id: ChatId
    peer: Profile
    last_message: Message | None
    last_seq: Annotated[Mark, Meta(description="The newest message; 0: there is none yet.")]
    unread: Annotated[int, Meta(ge=0, description="The peer's messages above my read mark. Exact.")]
    marks: Marks
    muted_until: Annotated[Time | None, Meta(description="Null: not muted.")]
    archived: bool
    pinned: bool
    blocked: Annotated[bool, Meta(description="Whether I have blocked the peer.")]
    request: Annotated[
        bool, Meta(description="Whether a stranger made it, and I have yet to accept it or to write in it.")
    ]
    updated_at: Annotated[
        Time, Meta(description="When the last message was sent, or else the chat was made.")
    ]


class Receipt(Body, frozen=True):
    """A side's marks after they changed."""

    chat_id: ChatId
    user_id: Annotated[UserId, Meta(description="Whose marks these are: mine or my peer's.")]
    delivered: Mark
    read: Mark


class Page(Body, Generic[T], frozen=True):
    """A part of a list."""

    items: list[T]
    next: Annotated[str | None, Meta(description="The `cursor` for what follows; null at the end.")]


class MessagePage(Body, frozen=True):
    """A stretch of a chat, in rising seq."""

    items: list[Message]
    has_more_before: Annotated[bool, Meta(description="Whether there are older messages than these.")]
    has_more_after: Annotated[bool, Meta(description="Whether there are newer messages than these.")]


class ChatExport(Body, frozen=True):
    """One chat with all its messages."""

    chat: Chat
    messages: list[Message]


class Export(Body, frozen=True):
    """Everything that the server holds about a user."""

    user: Me
    sessions: list[Session]
    chats: list[ChatExport]
