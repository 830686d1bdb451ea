"""Cost and destinations of codes."""

from __future__ import annotations

from typing import Any

import pytest

from duologue.clock import DAY, HOUR
from duologue.core.sms_policy import (
    ACQUAINTANCES_PER_NUMBER,
    ASKER_PER_NUMBER,
    MILLION,
    SLOW,
    STOP,
    STRANGERS_PER_NUMBER,
    SmsPolicy,
    failures,
    is_budget,
    is_given_back,
    number_block,
    parse_countries,
    parse_prices,
)
from duologue.errors import ApiError
from duologue.storage.tables.quotas import Quota
from tests.support.spending import split_spending

FRENCH, AMERICAN, JAMAICAN, RUSSIAN = "+33612345678", "+12025550100", "+18765551234", "+79161234567"
NOBODYS = "+70000000000"
"""A possible number in a range of the code that Russia and Kazakhstan share, given to neither."""
CLIENT = "203.0.113.9"


def policy(**changes: Any) -> SmsPolicy:
    usual = {"prices": {"*": 1}, "trust_local": False, "unassigned": True}
    return SmsPolicy(**split_spending(usual | changes))


def allows(rules: SmsPolicy, phone: str) -> bool:
    try:
        rules.check_number(phone)
    except ApiError as fault:
        told = fault.code
    else:
        return True
    assert told == "country_not_allowed"
    return False


def test_without_lists_every_country_is_allowed() -> None:
    assert all(allows(policy(), phone) for phone in (FRENCH, AMERICAN, JAMAICAN, RUSSIAN, NOBODYS))


def test_an_allow_list_lets_nobody_else_in() -> None:
    rules = policy(allowed={"FR", "US"})
    assert allows(rules, FRENCH)
    assert allows(rules, AMERICAN)
    assert not allows(rules, JAMAICAN)
    assert not allows(rules, NOBODYS)


def test_a_deny_list_goes_before_the_allow_list() -> None:
    rules = policy(allowed={"FR", "US"}, denied={"FR"})
    assert not allows(rules, FRENCH)
    assert allows(rules, AMERICAN)


def test_countries_that_share_a_code_are_told_apart() -> None:
    rules = policy(denied={"JM"})
    assert allows(rules, AMERICAN)
    assert not allows(rules, JAMAICAN)


def test_a_range_that_is_nobodys_gets_round_no_deny_list() -> None:
    assert not allows(policy(denied={"RU"}), NOBODYS)
    assert not allows(policy(denied={"KZ"}), NOBODYS)
    assert allows(policy(denied={"FR"}), NOBODYS)
    assert allows(policy(allowed={"RU", "KZ"}), NOBODYS)


@pytest.mark.parametrize("phone", ["+33899123456", "+19005551234", "+979123456789"])
def test_no_code_goes_to_a_number_that_its_caller_pays_for(phone: str) -> None:
    with pytest.raises(ApiError, match="premium-rate") as caught:
        policy().check_number(phone)
    assert caught.value.code == "invalid_phone"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 307, 3),
        ("é" * 160, 1),
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("🔑" * 36, 2),
    ],
)
def test_the_cost_counts_every_part_in_the_alphabet_that_it_takes(text: str, parts: int) -> None:
    rules = policy(prices={"FR": 60_000, "*": 100_000})
    assert rules.spending.cost(FRENCH, text) == parts * 60_000
    assert rules.spending.cost(AMERICAN, text) == parts * 100_000


def limits(quotas: list[Quota]) -> dict[str, tuple[int, int]]:
    return {quota.key: (quota.limit, quota.window) for quota in quotas}


def test_a_code_is_taken_from_the_number_its_block_its_country_and_the_asking_network() -> None:
    assert limits(policy().quotas(FRENCH, CLIENT, 7, acquainted=False)) == {
        "number-day:+33612345678": (STRANGERS_PER_NUMBER, DAY),
        "number-asker:+33612345678 203.0.113.0/24": (ASKER_PER_NUMBER, DAY),
        "prefix:+3361234": (1_000, HOUR),
        "country:FR": (10_000, HOUR),
        "address-hour:203.0.113.0/24": (20, HOUR),
        "address-day:203.0.113.0/24": (100, DAY),
    }


def test_one_network_can_take_at_most_half_of_what_strangers_may_ask_for() -> None:
    assert ASKER_PER_NUMBER * 2 <= STRANGERS_PER_NUMBER


def test_strangers_and_acquaintances_of_a_number_share_no_allowance_for_it() -> None:
    strangers, known = (
        {quota.key for quota in policy().quotas(FRENCH, CLIENT, 7, acquainted=acquainted)}
        for acquainted in (False, True)
    )
    assert not any(key.startswith("number") for key in strangers & known)
    by_key = limits(policy().quotas(FRENCH, CLIENT, 7, acquainted=True))
    assert by_key["number-known:+33612345678"] == (ACQUAINTANCES_PER_NUMBER, DAY)


def test_money_is_counted_only_against_a_budget() -> None:
    assert not any(is_budget(quota) for quota in policy().quotas(FRENCH, CLIENT, 7, acquainted=False))
    [money] = filter(is_budget, policy(daily_budget=500).quotas(FRENCH, CLIENT, 7, acquainted=False))
    assert (money.limit, money.cost, money.window) == (450, 7, DAY)


def test_only_what_is_simulated_may_spare_this_machine() -> None:
    assert policy(trust_local=True).is_exempt("127.0.0.1")
    assert not policy(trust_local=True).is_exempt(CLIENT)
    assert not policy(trust_local=False).is_exempt("127.0.0.1")


def test_what_the_provider_surely_did_not_send_is_given_back_and_what_may_have_gone_is_paid_for() -> None:
    quotas = policy(daily_budget=500).quotas(FRENCH, CLIENT, 7, acquainted=False)
    assert all(is_given_back(quota, surely_not_sent=True) for quota in quotas)
    kept = {quota.key for quota in quotas if not is_given_back(quota, surely_not_sent=False)}
    assert kept == {"address-hour:203.0.113.0/24", "address-day:203.0.113.0/24", "sms-budget"}


def test_failures_are_counted_for_one_asker_and_not_for_the_neighbours() -> None:
    assert failures(CLIENT).key == "asker-failed:203.0.113.9"
    assert failures("2001:db8:1:2:3::4").key == "asker-failed:2001:db8:1:2::/64"


def test_numbers_of_ranges_that_nobody_is_known_to_have_are_for_the_operator_to_allow() -> None:
    strict = policy(unassigned=False).spending
    assert strict.refusal(NOBODYS) == strict.refusal("+881612345678") == "unassigned_number"
    assert strict.refusal(FRENCH) is None
    assert policy().spending.refusal(NOBODYS) is None


@pytest.mark.parametrize(
    ("sent", "redeemed", "slow", "stop"),
    [
        (19, 0, False, False),
        (20, 0, True, False),
        (20, 1, True, False),
        (20, 2, False, False),
        (59, 0, True, False),
        (60, 2, True, True),
        (60, 3, True, False),
        (60, 6, False, False),
        (1_000, 49, True, True),
    ],
)
def test_the_breaker_slows_below_a_tenth_and_stops_below_a_twentieth(
    sent: int, redeemed: int, *, slow: bool, stop: bool
) -> None:
    assert SLOW.tripped(sent, redeemed) is slow
    assert STOP.tripped(sent, redeemed) is stop


def test_a_block_is_ten_thousand_numbers() -> None:
    assert number_block(FRENCH) == "+3361234"
    assert number_block("+33612340000") == number_block("+33612349999")


def test_prices_are_millionths() -> None:
    assert parse_prices("fr=0.06, US=0.0079 ,*=1") == {"FR": 60_000, "US": 7_900, "*": MILLION}


@pytest.mark.parametrize(
    "text", ["FR", "FR=", "FR=x", "FR=-1,*=1", "*=nan", "*=inf", "*=1e400", "*=2000", "=1,*=1", "XX=1,*=1"]
)
def test_prices_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"sms_prices|no country"):
        parse_prices(text)


def test_there_must_be_a_price_for_the_rest_of_the_world() -> None:
    with pytest.raises(ValueError, match="any other country"):
        parse_prices("FR=0.06")


def test_countries_are_known_by_their_code() -> None:
    assert parse_countries(" fr,BE, ") == {"FR", "BE"}
    assert parse_countries("") == frozenset()
    with pytest.raises(ValueError, match="no country has the code FRANCE, XX"):
        parse_countries("FR,XX,France")
