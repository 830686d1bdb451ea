"""The nouns inside the server: ids and records. Ids are integers here and opaque strings on the wire."""

from __future__ import annotations

import hashlib
import re
import secrets
from enum import Enum, IntEnum
from typing import Final, Literal

import msgspec

MAX_SEQ: Final = 2**31 - 1
"""The last number of a message in its chat, and of an event in its log: they are stored and sent in 31 bits."""
_ID_BITS: Final = 63  # bits
_ID: Final = re.compile("[0-9a-f]{16}").fullmatch


def new_id() -> int:
    """A random id of 63 bits: positive in every database, and telling nothing of how many there are."""
    return secrets.randbits(_ID_BITS)


def pair_id(low: int, high: int, attempt: int = 0) -> int:
    """The chat id of two users: derived, so that creating a chat is idempotent without a look-up.

    `attempt` gives the next candidate when the id is taken by another pair (63 bits do collide in a
    very large system; storage compares the pair and goes on).
    """
    digest = hashlib.blake2b(b"%d.%d.%d" % (low, high, attempt), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def encode_id(prefix: str, number: int) -> str:
    """The wire form of an id: its prefix, then 16 hexadecimal digits."""
    return f"{prefix}_{number:016x}"


def decode_id(prefix: str, text: str) -> int | None:
    """The number inside a wire id, or None for anything that this server can't have given out."""
    head, _, digits = text.partition("_")
    if head != prefix or not _ID(digits):
        return None
    number = int(digits, 16)
    return number if number < 1 << _ID_BITS else None


class Kind(IntEnum):
    """Kind of an event, as stored. Append only: the numbers are in every database."""

    MESSAGE_CREATED = 1
    RECEIPT_MINE = 2
    RECEIPT_PEER = 3
    CHAT_UPDATED = 4
    USER_UPDATED = 5
    SESSION_CREATED = 6
    SESSION_ENDED = 7
    MESSAGE_UPDATED = 8


class Subject(Enum):
    """Record that an event is about; the event's `ref` is its id, or its chat's."""

    MESSAGE = "message"
    RECEIPT = "receipt"
    CHAT = "chat"
    USER = "user"
    SESSION = "session"


SUBJECTS: Final = {
    Kind.MESSAGE_CREATED: Subject.MESSAGE,
    Kind.RECEIPT_MINE: Subject.RECEIPT,
    Kind.RECEIPT_PEER: Subject.RECEIPT,
    Kind.CHAT_UPDATED: Subject.CHAT,
    Kind.USER_UPDATED: Subject.USER,
    Kind.SESSION_CREATED: Subject.SESSION,
    Kind.SESSION_ENDED: Subject.SESSION,
    Kind.MESSAGE_UPDATED: Subject.MESSAGE,
}


def kinds_about(*subjects: Subject) -> tuple[int, ...]:
    """Return the kinds of events about one of these subjects, as they are stored, in rising order."""
    return tuple(sorted(int(kind) for kind, subject in SUBJECTS.items() if subject in subjects))


class Relay(IntEnum):
    """A user's choice when messages go on to the phone by SMS, as stored. Append only."""

    OFF = 0
    OFFLINE = 1
    """When no device has acknowledged them in time."""
    ALWAYS = 2


NEVER: Final = -1
"""No alarm at all, where a number of milliseconds stands otherwise."""
LONGEST: Final = 2**31 - 1
"""As many milliseconds as an alarm may wait: the server's own bound is what counts."""
_ALARM_AFTER: Final = {Relay.OFF: NEVER, Relay.OFFLINE: LONGEST, Relay.ALWAYS: 0}


def alarm_after(sms_relay: Relay | None) -> int | None:
    """Milliseconds after a message at which its recipient's choices ask for an alarm; None for who chose nothing.

    `NEVER` for no alarm, 0 for an alarm whether a device acknowledges the message or not.
    """
    return None if sms_relay is None else _ALARM_AFTER[sms_relay]


class Known(IntEnum):
    """A user's relation to the peer of a chat, as stored. It only rises."""

    STRANGER = 0
    """Neither opened the chat nor wrote in it."""
    OPENED = 1
    """Opened the chat without writing."""
    ANSWERED = 2
    """Wrote in the chat or accepted it: the peer may learn the user's name and presence."""


class WhoCanWrite(IntEnum):
    """A user's choice whose messages arrive, as stored. Append only."""

    EVERYONE = 0
    REQUESTS = 1
    """Everybody's, but a stranger's chat is a request until the user accepts it."""
    NOBODY = 2
    """Only the messages of those whom the user has written to or accepted."""


class ShowPresence(IntEnum):
    """A user's choice who may see when they are online, as stored. Append only. Strangers never may."""

    EVERYONE = 0
    CHATS = 1
    NOBODY = 2


class Record(msgspec.Struct, frozen=True, gc=False):
    """A row as it was read. Never changed; times are epoch milliseconds."""


class User(Record, frozen=True):
    """Somebody known by a phone number; `registered_at` is None until its owner has signed in.

    `suspended_at` is None unless the operator has suspended the user, who may do nothing then.
    `sms_relay`, `who_can_write`, `presence` and `discoverable` are None for a user who chose nothing: then the
    server's `Presets` hold.
    """

    id: int
    phone: str | None
    display_name: str
    registered_at: int | None
    read_receipts: bool
    created_at: int
    sms_relay: Relay | None = None
    who_can_write: WhoCanWrite | None = None
    presence: ShowPresence | None = None
    discoverable: bool | None = None
    suspended_at: int | None = None


class Privacy(Record, frozen=True):
    """A user's choices about strangers; None leaves a choice as it is."""

    who_can_write: WhoCanWrite | None = None
    presence: ShowPresence | None = None
    discoverable: bool | None = None


class Presets(Record, frozen=True):
    """The operator's preferences for users who chose nothing."""

    who_can_write: WhoCanWrite = WhoCanWrite.EVERYONE
    presence: ShowPresence = ShowPresence.CHATS
    discoverable: bool = True
    sms_relay: Relay = Relay.OFF


class Session(Record, frozen=True):
    """One signed-in device."""

    id: int
    user_id: int
    device_name: str
    ip: str
    created_at: int
    last_seen_at: int
    ended_at: int | None


class Pair(Record, frozen=True):
    """The two sides of a chat. They never change, so they may be cached for ever."""

    chat_id: int
    low: int
    high: int

    def peer_of(self, user_id: int) -> int:
        return self.high if user_id == self.low else self.low

    def side_of(self, user_id: int) -> int:
        """0 for the lower user id, 1 for the higher."""
        return 0 if user_id == self.low else 1


class Reaction(Record, frozen=True):
    """An emoji that a user has put on a message."""

    user_id: int
    emoji: str


class Message(Record, frozen=True):
    """One message. `low_count` and `high_count`: messages of each side up to and including this one.

    A `withheld` message is kept from its recipient and is in neither count. Of a deleted one the text is gone.
    """

    chat_id: int
    seq: int
    sender_id: int
    low_count: int
    high_count: int
    client_id: str
    text: str
    reply_to: int
    sent_at: int
    by_sms: bool = False
    withheld: bool = False
    edited_at: int | None = None
    deleted_at: int | None = None
    reactions: tuple[Reaction, ...] = ()

    @property
    def is_as_sent(self) -> bool:
        """True if it was neither edited nor deleted, and nobody has reacted to it."""
        return self.edited_at is None and self.deleted_at is None and not self.reactions


class Chat(Record, frozen=True):
    """A chat as one of its two users sees it.

    `peer` has neither name nor `registered_at` until the peer has written in the chat or accepted it.
    `delivered_shown`, `read_shown`: the parts of the user's own marks that the peer may see.
    """

    id: int
    user_id: int
    peer: User
    last_seq: int
    last_message: Message | None
    unread: int
    delivered: int
    read: int
    peer_delivered: int
    peer_read: int
    delivered_shown: int
    read_shown: int
    known: Known
    request: bool
    muted_until: int | None
    archived: bool
    pinned: bool
    activity: int
    created_at: int


class Receipt(Record, frozen=True):
    """A side's marks after they changed, as the reader of the event may see them."""

    chat_id: int
    user_id: int
    delivered: int
    read: int


class Event(Record, frozen=True):
    """One entry of a user's log.

    `ref` is the chat, user or session; `a` and `b` are a message's seq and whether it is the user's own (1), or
    the delivered and read marks after their change.
    `body` is the record that the event is about. An event that a newer release has written may be of a `kind` that
    isn't a `Kind` here; its body is None.
    """

    user_id: int
    seq: int
    kind: int
    ref: int
    a: int
    b: int
    at: int
    body: Message | Receipt | Chat | User | Session | None


HopName = Literal[
    "accepted",
    "committed",
    "pushed",
    "acknowledged",
    "sms_due",
    "sms_sent",
    "sms_receipt",
    "sms_cancelled",
    "sms_failed",
    "edited",
    "deleted",
]


class Step(Record, frozen=True):
    """One hop of a message, and when (epoch ms); `detail` says which, or why."""

    hop: HopName
    at: int
    detail: str = ""
