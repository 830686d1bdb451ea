"""The number of a message in a path."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

_DIGITS: Final = 10  # digits of a seq
SeqInPath = Annotated[str, Meta(description="The message's seq.", examples=["42"])]


def seq_of(text: str) -> int:
    """The seq that a path names; 0, which no message has, for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else 0
