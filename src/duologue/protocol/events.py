"""The entries of a user's event log, as every transport hands them out."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from duologue.protocol.bodies import Body, Chat, EventSeq, Message, Profile, Receipt, Session, Time


class AnyEvent(Body, frozen=True, tag_field="type"):
    """Something that changed for me."""

    seq: EventSeq
    at: Time


class MessageCreated(AnyEvent, frozen=True, tag="message.created"):
    """A message was sent, by the peer or by oneself, with `status` still `sent`; read again later, as it is then."""

    data: Message


class MessageUpdated(AnyEvent, frozen=True, tag="message.updated"):
    """A message was edited, deleted or reacted to; as it is now.

    `status` is still `sent`: it follows from the receipts.
    """

    data: Message


class ReceiptUpdated(AnyEvent, frozen=True, tag="receipt.updated"):
    """One's own or a peer's marks have moved: messages up to them are delivered, or read."""

    data: Receipt


class ChatUpdated(AnyEvent, frozen=True, tag="chat.updated"):
    """A chat was opened, muted, archived or pinned; as it is now."""

    data: Chat


class UserUpdated(AnyEvent, frozen=True, tag="user.updated"):
    """One's own or a peer's public profile has changed; as it is now."""

    data: Profile


class SessionCreated(AnyEvent, frozen=True, tag="session.created"):
    """A device has signed in."""

    data: Session


class SessionEnded(AnyEvent, frozen=True, tag="session.ended"):
    """A device was signed out."""

    data: Session


class Nothing(Body, frozen=True):
    """Nothing is told."""


class UnknownEvent(AnyEvent, frozen=True, tag="unknown"):
    """Something that this server doesn't know: a newer release wrote it to the log, while servers are being upgraded.

    Apply nothing, and go on from its position as from any other's.
    """

    data: Nothing


Event = (
    MessageCreated
    | MessageUpdated
    | ReceiptUpdated
    | ChatUpdated
    | UserUpdated
    | SessionCreated
    | SessionEnded
    | UnknownEvent
)


class ServerSentEvent(Body, frozen=True):
    """One event of the stream (HTML Living Standard, section 9.2)."""

    id: Annotated[
        str,
        Meta(
            description="The event's seq and `at`, with `@` between them: `Last-Event-ID` resumes from there.",
            examples=["125@2026-11-23T09:30:01.480Z"],
        ),
    ]
    event: Annotated[str, Meta(description="The event's `type`.", examples=["receipt.updated"])]
    data: Annotated[
        str,
        Meta(
            description="The event, as `GET /v1/events` has it.",
            extra_json_schema={"contentMediaType": "application/json"},
        ),
    ]


class EventPage(Body, frozen=True):
    """Events in the order of their seqs; go on with `after=next&at=next_at`."""

    items: list[Event]
    next: EventSeq
    next_at: Annotated[
        Time | None, Meta(description="The `at` of the event with the seq `next`; null if it isn't known.")
    ]
    has_more: Annotated[bool, Meta(description="Whether the next page is there already.")]
