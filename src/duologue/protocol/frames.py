"""Socket frames: what each side may say on a WebSocket, and the codes that close it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from duologue.protocol.bodies import ClientId, EventSeq, Me, Message, Phone, Seq, Text, Time
from duologue.protocol.positions import KnownAt

SUBPROTOCOL_JSON: Final = "duologue.v1"
SUBPROTOCOL_MSGPACK: Final = "duologue.v1.msgpack"
MAX_REF: Final = 64  # characters
MAX_WATCHED: Final = 200  # users

Ref = Annotated[
    str,
    Meta(
        max_length=MAX_REF, description="Any string of the client's; the answer repeats it.", examples=["r1"]
    ),
]
Id = Annotated[str, Meta(max_length=64)]


class ClientFrame(msgspec.Struct, tag_field="op", forbid_unknown_fields=True, kw_only=True, gc=False):
    """A frame that a client sends."""

    ref: Ref | UnsetType = UNSET


class Hello(ClientFrame, tag="hello"):
    """The first frame. `after`: replay everything since that seq, then go live; absent: live from now.

    `at`: the time of the event with the seq `after`. If the log has another event there, the answer is `log_changed`.
    """

    token: Annotated[str, Meta(max_length=128)] | UnsetType = UNSET
    after: EventSeq | UnsetType = UNSET
    at: KnownAt | UnsetType = UNSET


class Send(ClientFrame, tag="send"):
    """Send a message, to a phone number or to a chat. Answered by `sent` or `error`."""

    text: Text
    client_id: ClientId
    to: Phone | UnsetType = UNSET
    chat_id: Id | UnsetType = UNSET
    reply_to: Seq | None = None


class Ack(ClientFrame, tag="ack"):
    """Every event up to this seq is safe on this device. It is what makes messages `delivered`."""

    seq: EventSeq
    at: KnownAt | UnsetType = UNSET


class Read(ClientFrame, tag="read"):
    """Everything up to this seq of a chat is read."""

    chat_id: Id
    seq: Seq


class Typing(ClientFrame, tag="typing"):
    """The user has begun, or stopped, to type. Passed on if the peer is connected; never stored."""

    chat_id: Id
    active: bool


class Watch(ClientFrame, tag="watch"):
    """Tell of these users' presence from now on, instead of those named before."""

    user_ids: Annotated[list[Id], Meta(max_length=MAX_WATCHED)]


class Ping(ClientFrame, tag="ping"):
    """Answered by `pong`."""


AnyClientFrame = Hello | Send | Ack | Read | Typing | Watch | Ping


class ServerFrame(msgspec.Struct, tag_field="op", frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A frame that the server sends."""


class Ready(ServerFrame, tag="ready", frozen=True, kw_only=True):
    """Signed in; the replay follows. `latest` is the newest event, `heartbeat` the seconds between pings.

    `latest_at` is that event's `at`, left out where it isn't known.
    """

    user: Me
    session_id: str
    latest: EventSeq
    latest_at: Time | UnsetType = UNSET
    heartbeat: int
    ref: Ref | UnsetType = UNSET


class Event(ServerFrame, tag="event", frozen=True):
    """An event of one's log, in order, without a hole or a repeat on one connection. `data` as over HTTP."""

    seq: EventSeq
    type: str
    at: Time
    data: msgspec.Raw


class CaughtUp(ServerFrame, tag="caught_up", frozen=True):
    """The replay is over, up to this position; what follows happens now."""

    seq: EventSeq
    at: Time | UnsetType = UNSET


class Sent(ServerFrame, tag="sent", frozen=True):
    """The message is durably committed. `replayed`: this `client_id` had sent it before."""

    client_id: ClientId
    message: Message
    replayed: bool
    ref: Ref | UnsetType = UNSET


class PeerTyping(ServerFrame, tag="typing", frozen=True):
    """A peer has begun, or stopped, to type."""

    chat_id: str
    user_id: str
    active: bool


class Presence(ServerFrame, tag="presence", frozen=True):
    """A watched peer came or went. `last_seen_at` is coarse, and null while nothing is known."""

    user_id: str
    online: bool
    last_seen_at: Time | None


class Pong(ServerFrame, tag="pong", frozen=True):
    """The answer to `ping`."""

    ref: Ref | UnsetType = UNSET


class Error(ServerFrame, tag="error", frozen=True):
    """That frame failed and changed nothing; the connection goes on. `code` as over HTTP."""

    code: str
    detail: str
    errors: dict[str, str] | UnsetType = UNSET
    ref: Ref | UnsetType = UNSET
    client_id: ClientId | UnsetType = UNSET
    retry_after: float | UnsetType = UNSET
    latest: EventSeq | UnsetType = UNSET
    latest_at: Time | UnsetType = UNSET


AnyServerFrame = Ready | Event | CaughtUp | Sent | PeerTyping | Presence | Pong | Error


class CloseCode(msgspec.Struct, frozen=True):
    """Meaning of a close code, and whether a client should connect again by itself."""

    name: str
    meaning: str
    reconnect: Literal["yes", "no", "with jitter"]


CLOSE_CODES: Final[dict[int, CloseCode]] = {
    1000: CloseCode("bye", "The client has said good-bye.", "no"),
    1001: CloseCode("going_away", "The server stops, or has heard nothing for 35 seconds.", "with jitter"),
    1002: CloseCode("protocol_error", "A frame breaks RFC 6455.", "no"),
    1007: CloseCode("not_utf8", "A text frame is not UTF-8.", "no"),
    1009: CloseCode("too_big", "A frame is over the limit in `GET /v1/server`.", "no"),
    1011: CloseCode("internal", "Something failed on the server.", "with jitter"),
    4000: CloseCode("bad_frame", "A frame can't be decoded, or the first one is no valid `hello`.", "no"),
    4001: CloseCode("not_signed_in", "There is no token, or it is not valid: sign in.", "no"),
    4003: CloseCode("session_ended", "The session was ended: sign in again.", "no"),
    4008: CloseCode(
        "too_slow", "The client reads more slowly than events come. Resume with `after`.", "with jitter"
    ),
    4009: CloseCode("too_many_connections", "The user has as many sockets as the limits allow.", "no"),
    4010: CloseCode("hello_too_late", "No `hello` came within 10 seconds.", "with jitter"),
    4011: CloseCode("events_expired", "Events after that seq are no longer kept: refetch the chats.", "yes"),
    4012: CloseCode("log_changed", "The log is no longer the one you know: refetch the chats.", "yes"),
    4013: CloseCode("suspended", "The operator has suspended the account.", "no"),
}
