"""Pages are bounded in bytes, too: a page ends early rather than grow, and says that there is more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from duologue.core.limits import MAX_PAGE_BYTES
from duologue.model import Chat, Message

T = TypeVar("T")

STEP: Final = 100
"""Rows that one statement reads. With the longest texts that is 1.6 MiB, which memory holds besides the page."""
_MESSAGE: Final = 640
"""Bytes of a message's JSON without its text, at most."""
_REACTION: Final = 112
"""Bytes of a reaction in a message's JSON, at most: the longest emoji has 35."""
_CHAT: Final = 1_536
"""Bytes of a chat's JSON without its last message, at most."""
_encode = msgspec.json.Encoder().encode


def fill(
    read: Callable[[int, int], Sequence[T]],
    weigh: Callable[[T], int],
    position: Callable[[T], int],
    start: int,
    limit: int,
    budget: int = MAX_PAGE_BYTES,
) -> tuple[list[T], bool]:
    """A page of at most `limit` items and `budget` bytes, but of one item at least if there is one.

    `read` gets a position and a number, and returns so many items that follow, or all if there are fewer. The second
    result is true when the page holds all that there is.
    """
    items: list[T] = []
    while len(items) < limit:
        wanted = min(limit - len(items), STEP)
        found = read(start, wanted)
        for item in found:
            budget -= weigh(item)
            if budget < 0 and items:
                return items, False
            items.append(item)
        if len(found) < wanted:
            return items, True
        start = position(found[-1])
    return items, False


def message_bytes(message: Message) -> int:
    """The size of a message's JSON, at most."""
    return _MESSAGE + len(_encode(message.text)) + _REACTION * len(message.reactions)


def chat_bytes(chat: Chat) -> int:
    """The size of a chat's JSON, at most."""
    return _CHAT + (message_bytes(chat.last_message) if chat.last_message else 0)
