"""Answers over SMPP: whatever a network makes of a number and a text, it lands in its chat as it was written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import cycle
from typing import Any

import pytest

from duologue.storage.tables import opt_outs
from tests.support.relays import World, answers_to, world
from tests.support.smpp_people import OWN, has_been_written_to, number_of, smsc

pytestmark = pytest.mark.anyio

SERVICE = f"+{OWN}"
NATIONAL, INTERNATIONAL, UNKNOWN, ALPHANUMERIC = 2, 1, 0, 5
SPELLINGS = [
    (INTERNATIONAL, "{digits}"),
    (INTERNATIONAL, "+{digits}"),
    (INTERNATIONAL, "00{digits}"),
    (UNKNOWN, "+{digits}"),
    (UNKNOWN, "00{digits}"),
    (UNKNOWN, "{digits}"),
    (NATIONAL, "{digits}"),
    (ALPHANUMERIC, "{digits}"),
]
"""SMPP 3.4, 5.2.5: type of number. Kannel hands over bare digits."""
AT_HOME = [
    (UNKNOWN, "0{national}"),
    (NATIONAL, "0{national}"),
    (NATIONAL, "{national}"),
    (INTERNATIONAL, "0{national}"),
]
"""With region=FR."""
TEXTS: dict[int, tuple[str, Callable[[str], bytes]]] = {
    0: ("a€b [c] @ü", lambda _: bytes.fromhex("611b6562201b3c631b3e20007e")),
    8: ("a😀б\u0301c👍🏽", lambda text: text.encode("utf-16-be")),
    3: ("é@ß", lambda text: text.encode("latin-1")),
    5: ("日本語", lambda text: text.encode("shift_jis")),
    6: ("Привет", lambda text: text.encode("iso8859-5")),
    14: ("안녕", lambda text: text.encode("euc_kr")),
    0x19: ("żółw", lambda text: text.encode("utf-16-be")),
    0xF1: ("a€b [c] @ü", lambda _: bytes.fromhex("611b6562201b3c631b3e20007e")),
}
"""By `data_coding`: a text, and how the network has it (SMPP 3.4, 5.2.19; 3GPP TS 23.038, clause 4 and 6.2.1)."""


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    """Ana has written to Ben's phone."""
    async with world(store_url, services=(SERVICE,)) as people:
        yield people


def spelled(people: World, ton: int, form: str) -> tuple[int, str]:
    digits = number_of(people.ben)
    return ton, form.format(digits=digits, national=digits[2:])


async def stopped(people: World) -> bool:
    assert people.ben.phone
    return await people.store.db.read(opt_outs.is_opted_out, people.ben.phone)


@pytest.mark.parametrize("region", [None, "FR"])
async def test_a_number_in_any_spelling_finds_its_phone_and_its_stop_is_heeded(
    people: World, region: str | None
) -> None:
    async with smsc(people, region=region) as (carrier, node):
        await has_been_written_to(people, carrier, node)
        known = [*SPELLINGS, *(AT_HOME if region else [])]
        for number, (ton, form) in enumerate(known):
            await carrier.hears(f"text {number}".encode(), sender=spelled(people, ton, form), to=(0, OWN))
        assert await answers_to(people) == [f"text {number}" for number in range(len(known))]
        for ton, form in known:
            await carrier.hears(b"Stop", sender=spelled(people, ton, form), to=(1, OWN))
            assert await stopped(people), form
            await carrier.hears(b"START", sender=spelled(people, ton, form), to=(1, OWN))
            assert not await stopped(people), form


async def test_digits_that_are_no_phone_with_a_line_are_nobodys_and_told_to_the_operator(
    people: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with smsc(people) as (carrier, node):
        await has_been_written_to(people, carrier, node)
        for sender in ("33699999999", "0612345678", "Bank", OWN, "4444"):
            await carrier.hears(b"SECRET words", sender=(0, sender), to=(1, OWN))
        await carrier.hears(b"STOP", sender=(0, "33699999998"), to=(1, OWN))
        await node.replies.close()
    assert await answers_to(people) == []
    assert "set region= in the provider's URL" in caplog.text
    assert "one of our own numbers" in caplog.text or "our own number" in caplog.text
    assert "SECRET" not in caplog.text
    assert "33699999999" not in caplog.text


async def test_stop_of_a_phone_that_got_a_code_only_is_heeded_without_its_plus(people: World) -> None:
    async with smsc(people) as (carrier, _):
        await carrier.hears(b"STOP", sender=(0, number_of(people.ben)), to=(1, OWN))
        assert await stopped(people)


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """A text in two parts, cut between any two bytes; and in three."""
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]
    yield [data[:1], data[1:3], data[3:]]


def parts(pieces: list[bytes], reference: int, way: str) -> list[dict[str, Any]]:
    """The deliver_sm of the parts of a text, as one of three standards numbers them."""
    total = len(pieces)
    made: list[dict[str, Any]] = []
    for number, piece in enumerate(pieces, 1):
        if way == "parameters":
            tlvs = [
                (0x020C, reference.to_bytes(2, "big")),
                (0x020E, bytes([total])),
                (0x020F, bytes([number])),
            ]
            made.append({"data": piece, "tlvs": tlvs})
        else:
            wide = way == "16 bits"
            element = (
                bytes([8, 4]) + reference.to_bytes(2, "big") if wide else bytes([0, 3, reference & 0xFF])
            )
            head = element + bytes([total, number])
            made.append({"data": bytes([len(head)]) + head + piece, "esm_class": 0x40})
    return made


async def test_a_text_is_whole_wherever_the_network_cuts_it_and_in_whatever_order(people: World) -> None:
    wanted = []
    ways = cycle(["8 bits", "parameters", "16 bits"])
    async with smsc(people) as (carrier, node), smsc(people, "smpp-2") as (other, _):
        await has_been_written_to(people, carrier, node)
        sender, reference = (1, number_of(people.ben)), 0
        for coding, (text, encode) in TEXTS.items():
            for pieces in cuts(encode(text)):
                reference += 1
                made = parts(pieces, reference, next(ways))
                if reference % 2:
                    made.reverse()
                # The parts of every third text come to two nodes.
                for place, part in enumerate(made):
                    end = other if reference % 3 == 0 and place else carrier
                    await end.hears(**part, coding=coding, sender=sender, to=(1, OWN))
                wanted.append(text)
    assert await answers_to(people) == wanted
