"""Choices of a user, as written in requests and answers."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

ReadReceipts = Annotated[bool, Meta(description="Whether peers see what one has read.")]
SmsRelay = Annotated[
    Literal["off", "offline", "always"],
    Meta(description="When messages go on to one's phone by SMS. `offline`: if no device has them in time."),
]
WhoCanWrite = Annotated[
    Literal["everyone", "requests", "nobody"],
    Meta(
        description="Whose messages reach one. `requests`: a stranger's chat is a request until one accepts it or"
        " writes in it. `nobody`: only those whom one has written to or accepted."
    ),
]
ShowPresence = Annotated[
    Literal["everyone", "chats", "nobody"],
    Meta(
        description="Who sees when one is online, of those whom one has written to or accepted: `everyone` and"
        " `chats` are all of them. Nobody else ever does."
    ),
]
Discoverable = Annotated[
    bool,
    Meta(
        description="Whether strangers may see that one's number has an account. If not, they see no delivered and no"
        " read mark until one answers or accepts them."
    ),
]
