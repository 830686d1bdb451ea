"""Ids, on the wire and inside, and who is who in a chat."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.model import Kind, Pair, decode_id, encode_id, new_id, pair_id

IDS = st.integers(0, 2**63 - 1)


def test_ids_fit_every_database_and_dont_repeat() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert all(0 <= number < 2**63 for number in ids)
    assert max(ids) > 2**62


@given(IDS)
def test_an_id_goes_out_and_comes_back(number: int) -> None:
    text = encode_id("cht", number)
    assert re.fullmatch(r"cht_[0-9a-f]{16}", text)
    assert decode_id("cht", text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cht",
        "cht_",
        "usr_0000000000000001",
        "cht_000000000000001",
        "cht_00000000000000001",
        "cht_000000000000000G",
        "cht_000000000000000A",
        "cht_8000000000000000",
        "cht_ffffffffffffffff",
        "cht_-00000000000001a",
        "cht_0x0000000000001a",
        "cht_ 00000000000001a",
        "cht_00000000_000001a",
        "cht_000000000000000１",
        "CHT_0000000000000001",
        "cht_0000000000000001\n",
        "cht_\x00000000000000001",
    ],
)
def test_an_id_that_was_never_given_out_is_none(text: str) -> None:
    assert decode_id("cht", text) is None


@given(st.text())
def test_any_text_is_an_id_or_none(text: str) -> None:
    number = decode_id("cht", text)
    assert number is None or encode_id("cht", number) == text


@given(IDS, IDS)
def test_a_chats_id_follows_from_its_two_users(low: int, high: int) -> None:
    assert pair_id(low, high) == pair_id(low, high, 0)
    candidates = [pair_id(low, high, attempt) for attempt in range(8)]
    assert len(set(candidates)) == 8
    assert all(0 <= candidate < 2**63 for candidate in candidates)


def test_a_chats_id_is_the_same_in_every_release() -> None:
    assert pair_id(1, 2) == 6988480995946536055
    assert pair_id(1, 2, 1) == 4106968139382458344


def test_chat_ids_of_many_pairs_dont_meet() -> None:
    ids = Counter(pair_id(low, high) for low in range(200) for high in range(low + 1, 200))
    assert max(ids.values()) == 1


def test_a_pair_knows_its_sides() -> None:
    pair = Pair(7, 10, 20)
    assert (pair.peer_of(10), pair.peer_of(20)) == (20, 10)
    assert (pair.side_of(10), pair.side_of(20)) == (0, 1)


def test_the_kinds_in_the_databases_keep_their_numbers() -> None:
    assert {kind.name: kind.value for kind in Kind if kind <= 8} == {
        "MESSAGE_CREATED": 1,
        "RECEIPT_MINE": 2,
        "RECEIPT_PEER": 3,
        "CHAT_UPDATED": 4,
        "USER_UPDATED": 5,
        "SESSION_CREATED": 6,
        "SESSION_ENDED": 7,
        "MESSAGE_UPDATED": 8,
    }
