"""Fail-over: the next provider only when the one before surely did not take the SMS."""

from __future__ import annotations

import asyncio

import pytest

from duologue.providers.sms.failover import FailoverProvider, find
from duologue.providers.sms.provider import (
    Accepted,
    Callback,
    Capabilities,
    DeliveryReport,
    InboundSms,
    OutgoingSms,
    Rejected,
    Sink,
    Unavailable,
    WithoutCallbacks,
)
from duologue.providers.sms.simulator import Simulator
from tests.support.sms_outside import Collector

pytestmark = pytest.mark.anyio

WISH = OutgoingSms(to="+33612345678", text="hello", reference="ref-1")
CODE = OutgoingSms(to="+33612345678", text="hello", reference="ref-1", duplicate_ok=True)


class Carrier(WithoutCallbacks):
    """A carrier that does as told: accept, raise, or keep silent."""

    capabilities = Capabilities(receipts=False, inbound=False, idempotent=False, explains=True)

    def __init__(self, name: str, failure: Exception | None = None, *, silent: bool = False) -> None:
        self.name = name
        self.failure = failure
        self.silent = silent
        self.asked = 0
        self.open = False

    async def start(self, sink: Sink) -> None:
        self.open = sink is not None

    async def aclose(self) -> None:
        self.open = False

    async def send(self, sms: OutgoingSms) -> Accepted:
        self.asked += bool(sms.text)
        if self.silent:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        return Accepted(self.name, (f"{self.name}-1",), 1)


def known() -> Unavailable:
    return Unavailable("busy")


def unknown() -> Unavailable:
    return Unavailable("timed out", outcome_unknown=True)


async def test_the_first_carries_what_it_can() -> None:
    first, second = Carrier("a"), Carrier("b")
    assert (await FailoverProvider([first, second]).send(WISH)).provider == "a"
    assert second.asked == 0


@pytest.mark.parametrize("failure", [known(), Rejected("no route", cause="provider")])
async def test_the_next_is_asked_after_a_failure_that_is_sure(failure: Exception) -> None:
    chain = FailoverProvider([Carrier("a", failure), Carrier("b")])
    assert (await chain.send(WISH)).provider == "b"


async def test_an_unknown_outcome_is_reported_and_not_tried_elsewhere() -> None:
    second = Carrier("b")
    with pytest.raises(Unavailable) as failure:
        await FailoverProvider([Carrier("a", unknown()), second]).send(WISH)
    assert failure.value.outcome_unknown
    assert second.asked == 0


async def test_a_member_that_takes_too_long_is_an_unknown_outcome() -> None:
    second = Carrier("b")
    with pytest.raises(Unavailable) as failure:
        await FailoverProvider([Carrier("a", silent=True), second], timeout=0.05).send(WISH)
    assert failure.value.outcome_unknown
    assert second.asked == 0


async def test_a_code_goes_elsewhere_even_so() -> None:
    chain = FailoverProvider([Carrier("a", silent=True), Carrier("b")], timeout=0.05)
    assert (await chain.send(CODE)).provider == "b"


@pytest.mark.parametrize("last", [known(), Rejected("no route", cause="provider"), Rejected("bad number")])
async def test_what_one_may_have_sent_stays_unknown_though_the_last_surely_did_not(last: Exception) -> None:
    with pytest.raises(Unavailable) as failure:
        await FailoverProvider([Carrier("a", unknown()), Carrier("b", last)]).send(CODE)
    assert failure.value.outcome_unknown


@pytest.mark.parametrize("cause", ["number", "opted_out", "content"])
async def test_no_carrier_is_used_to_get_around_a_refusal_that_holds_everywhere(cause: str) -> None:
    second = Carrier("b")
    refusal = Rejected("stop", cause=cause)  # type: ignore[arg-type]
    with pytest.raises(Rejected) as failure:
        await FailoverProvider([Carrier("a", refusal), second]).send(CODE)
    assert failure.value is refusal
    assert second.asked == 0


async def test_all_busy_is_busy() -> None:
    with pytest.raises(Unavailable) as failure:
        await FailoverProvider([Carrier("a", known()), Carrier("b", known())]).send(WISH)
    assert not failure.value.outcome_unknown


async def test_it_starts_and_closes_all_and_promises_only_what_all_keep() -> None:
    carrier, simulator = Carrier("a"), Simulator()
    chain = FailoverProvider([carrier, simulator])
    await chain.start(Collector())
    assert carrier.open
    await chain.aclose()
    assert not carrier.open
    assert chain.capabilities == Capabilities(receipts=False, inbound=True, idempotent=False, explains=True)


async def test_callbacks_are_read_by_the_member_that_signed_them() -> None:
    sink = Collector()
    one, other = Simulator("simulator"), Simulator("simulator-2")
    chain = FailoverProvider([one, other])
    await chain.start(sink)
    try:
        accepted = await other.send(WISH)
        _, call = await sink.callbacks.get()
        assert chain.parse_status(call) == [DeliveryReport(accepted.provider_ids[0], "sent", part=1)]
        other.text("+33612345678", "+12025550100", "an answer")
        found: list[InboundSms] = []
        while not found:
            found = chain.parse_inbound((await sink.callbacks.get())[1])
        assert found[0].text == "an answer"
    finally:
        await chain.aclose()


def test_a_member_is_found_by_the_name_in_the_callback_path() -> None:
    one, other = Carrier("a"), Carrier("b")
    chain = FailoverProvider([one, other])
    assert find(chain, "b") is other
    assert find(chain, "c") is None
    assert find(one, "a") is one


def test_a_callback_to_a_carrier_without_callbacks_is_an_impostors() -> None:
    with pytest.raises(Exception, match="calls back") as refused:
        Carrier("a").parse_inbound(Callback("https://chat.example/v1/sms/a/inbound?token=secret", {}))
    assert "secret" not in str(refused.value)
