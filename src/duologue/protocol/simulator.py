"""Bodies of the phone simulator."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from duologue.protocol.bodies import Body, Request, Text, Time

Rate = Annotated[float, Meta(ge=0, le=1, description="A share between 0 and 1.")]


class ReceivedSms(Body, frozen=True):
    """A text on a handset."""

    id: str
    sender: str = msgspec.field(name="from")
    to: str
    text: str
    parts: Annotated[int, Meta(description="How many SMS it took.")]
    received_at: Time


class Inbox(Body, frozen=True):
    """SMS that a handset received, oldest first."""

    items: list[ReceivedSms]


class Phones(Body, frozen=True):
    """The handsets in use."""

    items: list[str]


class HandsetSms(Request):
    """A text that the handset sends."""

    to: Annotated[str, Meta(max_length=32, description="The service number.")]
    text: Text


class SentSms(Body, frozen=True):
    """The network has taken it."""

    id: str


class SetBehaviour(Request):
    """Changes to a handset's behaviour; fields left out stay as they are."""

    reachable: Annotated[bool, Meta(description="Whether the network finds it.")] | UnsetType = UNSET
    delay_ms: Annotated[int, Meta(ge=0, le=600_000, description="How late texts arrive.")] | UnsetType = UNSET
    loss: Rate | UnsetType = UNSET
    duplicate: Rate | UnsetType = UNSET
    reorder: Rate | UnsetType = UNSET
    multipart: Annotated[bool, Meta(description="Whether its long texts reach us in parts.")] | UnsetType = (
        UNSET
    )


class Behaviour(Body, frozen=True):
    """The behaviour of a handset."""

    reachable: bool
    delay_ms: int
    loss: float
    duplicate: float
    reorder: float
    multipart: bool
