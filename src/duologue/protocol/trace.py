"""Body of a message's trace."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from duologue.model import HopName
from duologue.protocol.bodies import Body, Time


class Step(Body, frozen=True):
    """One hop of a message."""

    hop: Annotated[
        HopName,
        Meta(
            description="`pushed` and `acknowledged` are about the recipient's devices; `sms_…` about its phone;"
            " `edited` and `deleted` about the message itself."
        ),
    ]
    at: Time
    detail: Annotated[str, Meta(description="Which, or why; empty where there is nothing to add.")]


class Trace(Body, frozen=True):
    """Places that a message has been, in the order of time."""

    items: list[Step]
