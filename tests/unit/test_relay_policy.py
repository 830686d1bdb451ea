"""Rules of the relay: what it may send, when, in what words and at what cost."""

from __future__ import annotations

from typing import Any

import pytest

from duologue.clock import DAY
from duologue.core.delivery.relay_policy import (
    MAX_PARTS,
    RelayPolicy,
    parse_numbers,
    parse_sender,
    spent_reason,
)
from duologue.core.sms_policy import BUDGET
from duologue.model import User
from duologue.providers.sms.segments import measure
from duologue.storage.tables.quotas import Pace, Quota
from duologue.storage.tables.service_numbers import ServiceNumber
from tests.support.spending import split_spending

FRENCH, NEW_YORKER = "+33612345678", "+12125550123"
NEW, KNOWN = ServiceNumber("", introduced=False), ServiceNumber("", introduced=True)


def policy(**changes: Any) -> RelayPolicy:
    chosen: dict[str, Any] = {
        "app": "Duologue",
        "language": "en",
        "services": (),
        "quiet": None,
        "prices": {"FR": 60_000, "*": 100_000},
        "sender_budget": 0,
        "invite_once": False,
    } | changes
    return RelayPolicy(**split_spending(chosen))


def person(phone: str | None = FRENCH, name: str = "") -> User:
    return User(1, phone, name, 1, read_receipts=True, created_at=1)


# The text.


def test_the_first_text_says_who_writes_and_how_to_stop_it() -> None:
    text = policy().text(person(FRENCH, "Ana"), person(), "hi", NEW)
    assert text == "Ana (+33612345678): hi\nReply STOP for no more texts"
    assert policy().text(person(), person(), "hi", NEW).startswith("+33612345678: hi\n")


def test_later_texts_are_nothing_but_the_message() -> None:
    assert policy().text(person(FRENCH, "Ana"), person(), "hi", KNOWN) == "hi"


def test_a_text_of_somebody_who_has_left_is_not_signed_with_the_services_name() -> None:
    assert policy().text(person(None), person(), "hi", NEW).startswith("?: hi\n")


@pytest.mark.parametrize(
    "text",
    [
        "Your Duologue code is void",
        "DUO-LOGUE: call us",
        "ＤＵＯＬＯＧＵＥ",
        "your code is 123456",
        "123 456",
        "1-2-3-4-5-6",
        "1 2 3\u200b4 5 6",
        "١٢٣٤٥٦",
        "@chat.example #123456",
    ],
)
def test_a_text_that_could_be_taken_for_the_services_own_says_who_writes(text: str) -> None:
    sent = policy().text(person(FRENCH, "Ana"), person(), text, KNOWN)
    assert sent == f"Ana (+33612345678): {text}\nReply STOP for no more texts"


@pytest.mark.parametrize("text", ["hi", "see you at 18:30", "it's 12345", "in 2026, by 5", "duo"])
def test_a_text_like_any_other_does_not(text: str) -> None:
    assert policy().text(person(FRENCH, "Ana"), person(), text, KNOWN) == text


@pytest.mark.parametrize("name", ["Duologue", "duologue support", "Code 123456"])
def test_a_name_that_could_be_taken_for_the_services_is_not_shown(name: str) -> None:
    assert policy().text(person(FRENCH, name), person(), "hi", NEW).startswith("+33612345678: hi\n")


def test_each_text_from_a_number_that_others_share_says_who_writes() -> None:
    number = ServiceNumber("+33757000001", introduced=True, shared=True)
    assert policy().text(person(FRENCH, "Ana"), person(), "hi", number) == "Ana (+33612345678): hi"


def test_each_text_from_a_number_that_codes_come_from_says_who_writes() -> None:
    chosen = policy(code_senders={"", "+33757000001"})
    for service in ("", "+33757000001"):
        number = ServiceNumber(service, introduced=True)
        assert chosen.text(person(FRENCH, "Ana"), person(), "hi", number) == "Ana (+33612345678): hi"
    assert chosen.text(person(), person(), "hi", ServiceNumber("+33757000002", introduced=True)) == "hi"


@pytest.mark.parametrize("text", ["+33612345678", "36180", "Duologue", "My App-2"])
def test_a_codes_sender_is_a_number_or_a_short_name(text: str) -> None:
    assert parse_sender(text) == text


@pytest.mark.parametrize("text", ["0612345678", "+33", "1234567", "much too long", "né", "a;b"])
def test_what_is_no_sender_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="sms_code_sender"):
        parse_sender(text)


@pytest.mark.parametrize("number", [NEW, KNOWN], ids=["first", "later"])
@pytest.mark.parametrize("name", ["", "Ana", "😀" * 20])
@pytest.mark.parametrize("letter", ["x", "{", "ж", "😀", "x" * 50 + "ж"])
@pytest.mark.parametrize("length", [1, 70, 670, 1377, 4096])
def test_no_text_takes_more_than_ten_parts(
    number: ServiceNumber, name: str, letter: str, length: int
) -> None:
    text = (letter * length)[:length]
    sent = policy().text(person(FRENCH, name), person(), text, number)
    assert measure(sent).parts <= MAX_PARTS
    if text in sent:
        return
    assert " [...]" in sent
    kept = sent.partition(" [...]")[0]
    kept = kept.partition(": ")[2] if number is NEW else kept
    assert text.startswith(kept)
    wider = sent.replace(f"{kept} [...]", f"{text[: len(kept) + 1]} [...]", 1)
    assert measure(wider).parts > MAX_PARTS, "not a character more than needed was cut"


def test_what_fits_is_never_cut() -> None:
    whole = "x" * 153 * MAX_PARTS
    assert policy().text(person(), person(), whole, KNOWN) == whole
    assert policy().text(person(), person(), whole + "x", KNOWN) != whole + "x"


def test_a_cut_does_not_double_the_price() -> None:
    assert measure(policy().text(person(), person(), "x" * 4096, KNOWN)).encoding == "GSM-7"


# Money.


def test_a_text_costs_by_its_parts_and_country() -> None:
    chosen = policy(daily_budget=1_000_000, sender_budget=500_000)
    day, everybody, sender = sorted(chosen.allowances(7, FRENCH, "x" * 161, 0), key=lambda each: each.key)[
        ::-1
    ]
    assert day == Quota(BUDGET, 700_000, DAY, 120_000)
    assert sender == Pace("relay-all", -(-2 * 120_000 * DAY // 700_000), DAY)
    assert everybody == Pace("relay-sender:7", 2 * 120_000 * DAY // 500_000, DAY)
    assert chosen.allowances(7, NEW_YORKER, "x", 0)[0].cost == 2 * 100_000 * DAY // 500_000


def test_a_reserve_of_everybodys_money_is_left_to_those_who_have_used_little() -> None:
    chosen = policy(daily_budget=1_000_000, sender_budget=500_000)
    much, little = (chosen.allowances(7, FRENCH, "x", spent)[1] for spent in (DAY // 4, DAY // 4 - 1))
    assert isinstance(much, Pace)
    assert isinstance(little, Pace)
    assert (much.ahead, little.ahead) == (DAY * 3 // 4, DAY)


def test_without_limits_nothing_is_counted() -> None:
    assert policy().allowances(7, FRENCH, "x", 0) == []
    assert policy().notice_quotas("help", FRENCH, "x", known=False) == []


def test_senders_have_caps_of_their_own() -> None:
    chosen = policy(sender_budget=1)
    assert chosen.allowances(7, FRENCH, "x", 0)[0].key != chosen.allowances(8, FRENCH, "x", 0)[0].key


def test_it_is_told_whose_money_is_spent() -> None:
    chosen = policy(daily_budget=100, sender_budget=1)
    assert {spent_reason(each) for each in chosen.allowances(7, FRENCH, "x", 0)} == {
        "sender_budget_spent",
        "budget_spent",
    }


def test_confirmations_have_a_purse_that_nothing_else_uses() -> None:
    chosen = policy(daily_budget=1_000_000)
    relayed = {each.key for each in chosen.allowances(7, FRENCH, "x", 0)}
    for kind, share in (("stopped", 100_000), ("code", 100_000), ("started", 50_000), ("help", 50_000)):
        [purse] = chosen.notice_quotas(kind, FRENCH, "x", known=True)  # type: ignore[arg-type]
        assert isinstance(purse, Quota)
        assert (purse.limit, purse.key in relayed) == (share, False)
        strangers = chosen.notice_quotas(kind, FRENCH, "x", known=False)  # type: ignore[arg-type]
        assert purse.key not in {each.key for each in strangers}


# Service numbers.


def test_service_numbers_are_e164_or_short_codes() -> None:
    assert parse_numbers("") == []
    assert parse_numbers(" +33757000001, 36180 ,+12025550123") == ["+33757000001", "36180", "+12025550123"]


def test_service_numbers_keep_the_spelling_that_the_provider_knows() -> None:
    own = policy(services=parse_numbers("+541123456789, 36180"))
    assert own.services == ["+541123456789", "36180"]
    assert own.service_of("+54 11 2345-6789") == "+541123456789"


@pytest.mark.parametrize("text", ["0757000001", "Duologue", "+33", "+33757000001,+33757000001", "1234567"])
def test_what_is_no_service_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="sms_numbers"):
        parse_numbers(text)


def test_the_number_that_a_text_came_to_is_recognised() -> None:
    several = policy(services=["+33757000001", "36180"])
    assert several.service_of("+33757000001") == "+33757000001"
    assert several.service_of("+33 7 57 00 00 01") == "+33757000001"
    assert several.service_of("36180") == "36180"
    assert several.service_of("+33757000009") == "+33757000009"
    assert several.service_of("anything") == "anything"
    assert several.service_of(None) is None
    assert policy().service_of("+33757000001") == ""


def test_a_chat_is_guessed_only_where_there_is_nothing_to_confuse() -> None:
    assert policy(services=["+33757000001"]).may_guess("+33757000009")
    assert not policy(services=["+33757000001", "36180"]).may_guess("+33757000009")
    assert policy(services=["+33757000001", "36180"]).may_guess(None)
