"""Emoji by Unicode's data: what counts as one, in which form it is kept, and that loading it waits for the first."""

from __future__ import annotations

import subprocess
import sys

import emoji
import pytest

from duologue.core.limits import REACTIONS_PER_USER
from duologue.core.pages import message_bytes
from duologue.core.reactions import one_emoji
from duologue.errors import ApiError
from duologue.model import Message, Reaction
from duologue.protocol import render


@pytest.mark.parametrize("text", ["👍", "👍🏽", "❤️", "1️⃣", "🇫🇷", "👩‍👩‍👧‍👦", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🫩"])
def test_one_emoji_is_kept_as_it_is(text: str) -> None:
    assert one_emoji(text) == text


@pytest.mark.parametrize(("typed", "kept"), [("❤", "❤️"), ("☺", "☺️"), ("1⃣", "1️⃣"), ("🕵‍♂", "🕵️‍♂️")])
def test_forms_that_keyboards_leave_short_become_whole(typed: str, kept: str) -> None:
    assert one_emoji(typed) == kept


@pytest.mark.parametrize(
    "text", ["", "a", "1", ":+1:", "👍👍", "👍 ", "🏽", "\u200d", "\ufe0f", "🇫", "é", "x" * 5_000]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ApiError) as refusal:
        one_emoji(text)
    assert refusal.value.errors == {"emoji": "must be one emoji"}


def test_the_data_is_loaded_by_the_first_reaction_and_not_before() -> None:
    script = "import sys, duologue.app.node; assert 'emoji' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_reaction_counts_in_the_size_of_a_page() -> None:
    longest = sorted(emoji.EMOJI_DATA, key=lambda each: -len(each.encode()))[: 2 * REACTIONS_PER_USER]
    reactions = tuple(Reaction(2**63 - 1, each) for each in longest)
    record = Message(
        2**63 - 1,
        2**31 - 1,
        2**63 - 1,
        1,
        0,
        "\\" * 64,
        "text",
        2**31 - 1,
        0,
        edited_at=1,
        deleted_at=1,
        reactions=reactions,
    )
    assert len(render.message_json(record)) <= message_bytes(record)
