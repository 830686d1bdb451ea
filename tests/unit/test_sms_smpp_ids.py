"""One message id in two spellings: each receipt finds its own SMS, and never another one."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable

import pytest

from duologue.providers.sms.provider import GivenId
from duologue.providers.sms.smpp_ids import IdsOption, Spellings, folded, readings

PHONE = "+33612345678"
HABITS: dict[str, tuple[Callable[[int], str], Callable[[int], str]]] = {
    "same, decimal": (str, str),
    "same, hexadecimal": ("{:x}".format, "{:x}".format),
    "another case": ("{:X}".format, "{:x}".format),
    "padded report": (str, "{:010}".format),
    "padded answer": ("{:08x}".format, "{:x}".format),
    "answered in hexadecimal, reported in decimal": ("{:08X}".format, str),
    "… padded": ("{:x}".format, "{:010}".format),
    "answered in decimal, reported in hexadecimal": (str, "{:x}".format),
    "… padded too": ("{:010}".format, "{:08X}".format),
}
"""How an SMSC writes the number of a message: in its answer, and in its receipts (Kannel's msg-id-type 0 to 3)."""


class Carrier:
    """An SMSC that numbers messages one after the other, and what we remember of its answers."""

    def __init__(self, habit: str) -> None:
        self._answer, self._report = HABITS[habit]
        self._given: defaultdict[str, list[GivenId]] = defaultdict(list)

    def answers(self, number: int, phone: str) -> str:
        given = GivenId(self._answer(number), phone[-4:])
        self._given[folded(given.provider_id)].append(given)
        return given.provider_id

    def id_of(self, number: int) -> str:
        return self._answer(number)

    def reports(self, spellings: Spellings, number: int, phone: str, source: str = "text") -> str | None:
        """The id that a receipt about the message is found to mean."""
        ids = [(source, self._report(number))]
        known = [given for form in spellings.wanted(ids) for given in self._given[form]]
        return spellings.resolve(ids, known, (phone, "12345"))


@pytest.mark.parametrize("habit", HABITS)
def test_every_receipt_finds_its_message_whatever_the_spelling(habit: str) -> None:
    carrier, spellings = Carrier(habit), Spellings("auto")
    numbers = random.Random(1).sample(range(10**9, 9 * 10**9), 300)
    wanted = {number: carrier.answers(number, PHONE) for number in numbers}
    assert {number: carrier.reports(spellings, number, PHONE) for number in numbers} == wanted


@pytest.mark.parametrize("habit", HABITS)
def test_no_receipt_counts_for_another_message(habit: str) -> None:
    """A dense counter, the worst case, of which one answer in a hundred was lost."""
    chance = random.Random(7)
    carrier, spellings = Carrier(habit), Spellings("auto")
    numbers = range(12_000, 32_000)
    phones = {number: f"+336{chance.randrange(10**8):08}" for number in numbers}
    lost = set(chance.sample(numbers, 200))
    for number in numbers:
        if number not in lost:
            carrier.answers(number, phones[number])
    wrong = missed = 0
    for number in chance.sample(numbers, 2_000):
        found = carrier.reports(spellings, number, phones[number])
        missed += found is None and number not in lost
        wrong += found is not None and (number in lost or found != carrier.id_of(number))
    assert (wrong, missed) == (0, 0)


@pytest.mark.parametrize("habit", HABITS)
def test_messages_to_one_phone_are_told_apart_or_not_at_all(habit: str) -> None:
    """A dense counter and one phone: the receipts before the spelling is settled may be left, never mistaken."""
    carrier, spellings = Carrier(habit), Spellings("auto")
    numbers = range(300, 3_000)
    for number in numbers:
        carrier.answers(number, PHONE)
    found = {
        number: carrier.reports(spellings, number, PHONE) for number in random.Random(5).sample(numbers, 600)
    }
    assert all(each in (None, carrier.id_of(number)) for number, each in found.items())


@pytest.mark.parametrize("option", ["same", "hex", "dec"])
def test_what_the_operator_says_holds_from_the_first_receipt_on(option: IdsOption) -> None:
    habit = {"same": "padded report", "hex": "… padded", "dec": "… padded too"}[option]
    carrier, spellings = Carrier(habit), Spellings(option)
    for number in range(300, 3_000):
        carrier.answers(number, PHONE)
    assert all(
        carrier.reports(spellings, number, "masked") == carrier.id_of(number) for number in range(300, 3_000)
    )


def test_parameter_and_text_may_have_a_spelling_each() -> None:
    hexadecimal, spellings = Carrier("answered in decimal, reported in hexadecimal"), Spellings("auto")
    decimal = Carrier("padded report")
    for number in range(10**6, 10**6 + 20):
        hexadecimal.answers(number, PHONE)
        decimal.answers(number, PHONE)
        assert hexadecimal.reports(spellings, number, PHONE, "tlv") == str(number)
        assert decimal.reports(spellings, number, PHONE, "text") == str(number)


def test_a_carrier_that_changes_its_habit_is_learned_anew() -> None:
    spellings = Spellings("auto")
    before, after = Carrier("same, decimal"), Carrier("answered in hexadecimal, reported in decimal")
    for number in range(10**6, 10**6 + 10):
        before.answers(number, PHONE)
        assert before.reports(spellings, number, PHONE)
    numbers = range(2 * 10**6, 2 * 10**6 + 10)
    found = []
    for number in numbers:
        after.answers(number, PHONE)
        found.append(after.reports(spellings, number, PHONE))
    assert found[3:] == [after.id_of(number) for number in numbers][3:]


@pytest.mark.parametrize(
    ("reported", "forms"),
    [
        ("000AbC", {"same": "abc", "dec": "2748"}),
        ("0010", {"same": "10", "hex": "a", "dec": "16"}),
        ("4f-77", {"same": "4f-77"}),
        ("9" * 40, {"same": "9" * 40}),
    ],
)
def test_an_id_has_at_most_three_readings(reported: str, forms: dict[str, str]) -> None:
    assert readings(reported) == forms
