"""All that SMSCs do to receipts and ids, in every combination and order: no message in a wrong state."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, product
from random import Random
from typing import Any

import pytest

from duologue.clock import SECOND
from tests.support.relays import Node, World, answers_to, world
from tests.support.smpp_people import OWN, Place, Smsc, number_of, smsc, until_states
from tests.support.sms_wire import DELIVER_RESP

pytestmark = pytest.mark.anyio

SERVICE = f"+{OWN}"
DATES = "sub:001 dlvrd:001 submit date:2611230930 done date:2611230931"
WORDS = {2: "DELIVRD", 5: "UNDELIV", 1: "ENROUTE"}
DELIVERED, FAILED, ON_ITS_WAY = 2, 5, 1

Spell = Callable[[int], str]
IDS: dict[str, tuple[Spell, Spell]] = {
    "decimal": (str, str),
    "hexadecimal": ("{:x}".format, "{:x}".format),
    "other case": ("{:X}".format, "{:x}".format),
    "padded report": (str, "{:012}".format),
    "padded answer": ("{:012}".format, str),
    "hexadecimal, reported in decimal": ("{:08X}".format, str),
    "hexadecimal, reported in decimal, padded": ("{:x}".format, "{:010}".format),
    "decimal, reported in hexadecimal": (str, "{:x}".format),
    "random": ("4f7b-{:x}-Z".format, "4f7b-{:x}-Z".format),
}
"""How the SMSC writes the number of a message in its answer, and in its receipts."""


def _text(spelled: str, state: int, words: str = "") -> bytes:
    return f"id:{spelled} {DATES} stat:{WORDS[state]} err:000 text:{words}".encode()


def _parameters(spelled: str, state: int) -> list[tuple[int, bytes]]:
    return [(0x001E, spelled.encode() + b"\0"), (0x0427, bytes([state]))]


RECEIPTS: dict[str, Callable[[str, int], dict[str, Any]]] = {
    "text": lambda spelled, state: {"data": _text(spelled, state), "esm_class": 4},
    "text, unmarked": lambda spelled, state: {"data": _text(spelled, state)},
    "parameters": lambda spelled, state: {"data": b"", "esm_class": 4, "tlvs": _parameters(spelled, state)},
    "parameters, unmarked": lambda spelled, state: {"data": b"?", "tlvs": _parameters(spelled, state)},
    "payload": lambda spelled, state: {
        "data": b"",
        "esm_class": 4,
        "tlvs": [(0x0424, _text(spelled, state))],
    },
    "the user's words": lambda spelled, state: {
        "data": _text(spelled, state, f"id:{int(state == DELIVERED)} stat:REJECTD"),
        "esm_class": 4,
    },
    "small letters": lambda spelled, state: {
        "data": f"ID: {spelled}  STAT: {WORDS[state].lower()}   ERR: 000".encode(),
        "esm_class": 4,
    },
    "UCS-2": lambda spelled, state: {
        "data": _text(spelled, state).decode().encode("utf-16-be"),
        "coding": 8,
        "esm_class": 4,
    },
    "not swapped": lambda spelled, state: {"data": _text(spelled, state), "sender": (1, OWN)},
}
NUMBERS = [
    (1, "{digits}"),
    (1, "+{digits}"),
    (1, "00{digits}"),
    (0, "{digits}"),
    (0, "+{digits}"),
    (0, "00{digits}"),
    (2, "0{national}"),
    (2, "{national}"),
    (5, "+{digits}"),
]
"""How a receipt writes the phone's number: type of number (SMPP 3.4, 5.2.5) and form."""
CODINGS = [0, 1, 3, 4, 0x11, 0xF1]
"""What `data_coding` a receipt has, if its text isn't UCS-2; receipts are ASCII whatever it says."""
ORDERS: dict[str, tuple[list[int], bool, str]] = {
    "delivered": ([DELIVERED], False, "delivered"),
    "failed": ([FAILED], False, "failed"),
    "twice": ([DELIVERED, DELIVERED], False, "delivered"),
    "failed, then delivered": ([FAILED, DELIVERED], False, "delivered"),
    "delivered, then failed": ([DELIVERED, FAILED], False, "delivered"),
    "delivered, then on its way": ([DELIVERED, ON_ITS_WAY], False, "delivered"),
    "before the answer": ([DELIVERED], True, "delivered"),
    "on its way, and no more": ([ON_ITS_WAY], False, "sent"),
}
"""The states that are reported, whether before the answer with the id, and the state of the message at the end."""


@dataclass(frozen=True)
class Case:
    """One message, and what the SMSC reports about it."""

    number: int
    receipt: str
    order: str

    @property
    def end(self) -> str:
        return ORDERS[self.order][2]


CASES = [
    Case(number, receipt, order) for number, (receipt, order) in enumerate(product(RECEIPTS, ORDERS), 70_000)
]
CHATS = 24
"""Chats that the messages are spread over: as many SMS are under way at a time."""


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    async with world(store_url, services=(SERVICE,)) as people:
        yield people


def play(case: Case, habit: str, carrier: Smsc, phone: str, tell: Callable[[str], None]) -> int:
    """Have the SMSC answer a submission and report about it; how many receipts that takes.

    Over all habits each case meets each way to write the number, and most codings.
    """
    answer, report = IDS[habit]
    states, early, _ = ORDERS[case.order]
    turn = case.number + list(IDS).index(habit)
    ton, form = NUMBERS[turn % len(NUMBERS)]
    number = ton, form.format(digits=phone, national=phone[2:])
    if not early:
        tell(answer(case.number))
    for state in states:
        told = RECEIPTS[case.receipt](report(case.number), state)
        fields = {"coding": CODINGS[turn % len(CODINGS)]} | told
        fields["to" if "sender" in told else "sender"] = number
        carrier.deliver(**fields)
    if early:
        tell(answer(case.number))
    return len(states)


async def play_wave(people: World, node: Node, habit: str, carrier: Smsc, wave: Sequence[Case]) -> None:
    """Have the SMSC take an SMS for each case, and play them in an order that it likes."""
    await node.round()
    taken = {}
    for _ in wave:
        body, tell = await carrier.submitted()
        [found] = re.findall(rb"message ([0-9]+)", body)
        taken[int(found)] = tell
    receipts = 0
    for case in Random(f"{habit} {wave[0].number}").sample(wave, len(wave)):
        receipts += play(case, habit, carrier, number_of(people.ben), taken[case.number])
    for _ in range(receipts):
        await carrier.raw.until(DELIVER_RESP)
    await node.sent()


async def test_every_receipt_leads_to_the_right_state(people: World) -> None:
    """All spellings of ids, each on a connection of its own, as an SMSC has one for all its messages."""
    chats = [await people.friend_of(people.ben) for _ in range(CHATS)]
    for habit in IDS:
        wanted: dict[Place, str] = {}
        async with smsc(people, habit.replace(" ", "-"), timeout=20.0, window=CHATS) as (carrier, node):
            messages = await asyncio.gather(
                *(
                    people.writes(f"message {case.number}", pair=pair, by=friend)
                    for case, (friend, pair) in zip(CASES, cycle(chats), strict=False)
                )
            )
            for case, message in zip(CASES, messages, strict=True):
                wanted[message.chat_id, message.seq] = case.end
            people.clock.pass_by(31 * SECOND)
            for start in range(0, len(CASES), CHATS):
                await play_wave(people, node, habit, carrier, CASES[start : start + CHATS])
            assert await until_states(people, wanted) == wanted, habit
    for friend, pair in chats:
        assert await answers_to(people, pair, friend) == []
        assert await answers_to(people, pair) == []
