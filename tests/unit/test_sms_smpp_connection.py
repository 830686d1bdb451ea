"""SMPP at its edges, byte by byte: a carrier that refuses, falls silent, or talks nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from duologue.providers.sms.provider import BadProviderUrl, InboundSms, OutgoingSms, Rejected, Unavailable
from duologue.providers.sms.registry import open_provider
from duologue.providers.sms.smpp import Smpp, SmppAccount
from duologue.providers.sms.smpp_inbound import inbound, is_flagged, receipt_text
from duologue.providers.sms.smpp_pdu import Malformed, address, decode, validity
from duologue.providers.sms.smpp_receipt import report
from tests.support.sms_outside import Collector
from tests.support.sms_wire import (
    BIND_RESP,
    DELIVER,
    DELIVER_RESP,
    ENQUIRE,
    ENQUIRE_RESP,
    NACK,
    SUBMIT,
    SUBMIT_RESP,
    UNBIND,
    RawCarrier,
    deliver_body,
    message,
    pdu,
)

pytestmark = pytest.mark.anyio


class SlowCollector(Collector):
    """A database that is busy until the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def inbound(self, provider: str, messages: Sequence[InboundSms]) -> None:
        await self.gate.wait()
        await super().inbound(provider, messages)


@contextlib.asynccontextmanager
async def running(
    carrier: RawCarrier, *, sink: Collector | None = None, **options: object
) -> AsyncIterator[tuple[Smpp, Collector]]:
    port = await carrier.start()
    sink = sink or Collector()
    settings = {"sender": "12345", "timeout": 20.0} | options
    provider = Smpp("smpp", SmppAccount("127.0.0.1", port, "me", "pass", **settings))  # type: ignore[arg-type]
    await provider.start(sink)
    try:
        yield provider, sink
    finally:
        await provider.aclose()
        await carrier.close()


def sms(**fields: object) -> OutgoingSms:
    return OutgoingSms(**({"to": "+33612345678", "text": "hello", "reference": "r"} | fields))  # type: ignore[arg-type]


async def test_the_bind_is_that_of_a_transceiver_of_version_3_4() -> None:
    carrier = RawCarrier()
    async with running(carrier, system_type="CHAT", timeout=0.2) as (provider, _):
        with pytest.raises(Unavailable):
            await provider.send(sms())
        assert carrier.binds == [b"me\0pass\0CHAT\0\x34\0\0\0"]


async def test_a_password_longer_than_the_standard_allows_is_sent_whole_where_the_operator_says_so() -> None:
    carrier = RawCarrier()
    url = f"smpp://me:{'p' * 20}@127.0.0.1:{await carrier.start()}?from=1&timeout=0.2"
    with pytest.raises(BadProviderUrl, match="long_password=yes"):
        open_provider(url)
    provider = open_provider(f"{url}&long_password=yes")
    await provider.start(Collector())
    await carrier.bound()
    await provider.aclose()
    await carrier.close()
    assert carrier.binds == [b"me\0" + b"p" * 20 + b"\0\0\x34\0\0\0"]


async def test_a_refused_bind_is_unavailable_with_its_status_and_tried_again() -> None:
    carrier = RawCarrier(bind_status=0x0E)
    async with running(carrier) as (provider, _):
        with pytest.raises(Unavailable, match="ESME_RINVPASWD") as refused:
            await provider.send(sms())
        assert not refused.value.outcome_unknown
        carrier.bind_status = 0
        sending = asyncio.create_task(_send_until_accepted(provider))
        sequence, _ = await carrier.until(SUBMIT)
        carrier.say(pdu(SUBMIT_RESP, sequence, b"id-1\0"))
        assert await sending == ("id-1",)


async def _send_until_accepted(provider: Smpp) -> tuple[str, ...]:
    while True:
        try:
            return (await provider.send(sms())).provider_ids
        except Unavailable:
            await asyncio.sleep(0.05)


async def test_the_validity_goes_along_and_an_answer_out_of_order_finds_its_request() -> None:
    carrier = RawCarrier()
    async with running(carrier) as (provider, _):
        sending = [asyncio.create_task(provider.send(sms(text=text, valid_for=90))) for text in "ab"]
        asked = [await carrier.until(SUBMIT) for _ in sending]
        assert all(b"000000000130000R\0" in body for _, body in asked)
        for sequence, body in reversed(asked):
            carrier.say(pdu(SUBMIT_RESP, sequence, b"id-" + body[-1:] + b"\0"))
        assert [(await each).provider_ids for each in sending] == [("id-a",), ("id-b",)]


async def test_an_answer_after_the_time_out_answers_nothing_else_and_its_receipt_is_no_text() -> None:
    carrier = RawCarrier()
    async with running(carrier, timeout=1) as (provider, sink):
        with pytest.raises(Unavailable) as late:
            await provider.send(sms())
        assert late.value.outcome_unknown
        sequence, _ = await carrier.until(SUBMIT)
        carrier.say(pdu(SUBMIT_RESP, sequence, b"late\0"))
        sending = asyncio.create_task(provider.send(sms()))
        sequence, _ = await carrier.until(SUBMIT)
        carrier.say(pdu(SUBMIT_RESP, sequence, b"right\0"))
        assert (await sending).provider_ids == ("right",)
        assert {each.provider_id for each in sink.ids} == {"late", "right", "unanswered 5678"}
        carrier.say(pdu(DELIVER, 1, deliver_body(b"id:late stat:DELIVRD err:000 text:hello")))
        await carrier.until(DELIVER_RESP)
        assert sink.inbound_queue.empty()


@pytest.mark.parametrize(
    ("code", "status", "shown"),
    [
        (NACK, 0x03, "ESME_RINVCMDID"),
        (SUBMIT_RESP, 0x0400, "0x00000400"),
        (SUBMIT_RESP, 0x45, "ESME_RSUBMITFAIL"),
    ],
)
async def test_a_refusal_shows_its_status_also_where_it_is_the_carriers_own(
    code: int, status: int, shown: str
) -> None:
    carrier = RawCarrier()
    async with running(carrier) as (provider, _):
        sending = asyncio.create_task(provider.send(sms()))
        sequence, _ = await carrier.until(SUBMIT)
        carrier.say(pdu(code, sequence, status=status))
        with pytest.raises(Rejected) as refused:
            await sending
        assert (refused.value.code, refused.value.cause) == (shown, "provider")


async def test_a_silent_link_is_asked_for_a_sign_of_life_and_given_up_without_one() -> None:
    carrier = RawCarrier()
    async with running(carrier, enquire_every=0.05, timeout=0.1):
        sequence, _ = await carrier.until(ENQUIRE)
        carrier.say(pdu(ENQUIRE_RESP, sequence))
        await carrier.until(ENQUIRE)
        while len(carrier.binds) < 2:
            await asyncio.sleep(0.01)
        assert carrier.ended >= 1


async def test_the_carriers_own_enquiries_are_answered() -> None:
    carrier = RawCarrier()
    async with running(carrier):
        while carrier.writer is None or not carrier.binds:
            await asyncio.sleep(0.01)
        carrier.say(pdu(ENQUIRE, 77))
        assert await carrier.until(ENQUIRE_RESP) == (77, b"")


async def test_a_pdu_that_nobody_knows_is_refused_and_the_link_lives_on() -> None:
    carrier = RawCarrier()
    async with running(carrier) as (provider, _):
        while not carrier.binds:
            await asyncio.sleep(0.01)
        carrier.say(pdu(0x0FFF, 5) + pdu(DELIVER, 6, b"\xff\xff") + pdu(0x8000_0FFF, 7))
        assert [(await carrier.until(NACK))[0] for _ in range(2)] == [5, 6]
        sending = asyncio.create_task(provider.send(sms()))
        sequence, _ = await carrier.until(SUBMIT)
        carrier.say(pdu(SUBMIT_RESP, sequence, b"id-1\0"))
        assert await sending
        assert len(carrier.binds) == 1


@pytest.mark.parametrize("length", [0, 15, 1 << 20])
async def test_an_impossible_length_ends_the_connection(length: int) -> None:
    carrier = RawCarrier()
    async with running(carrier):
        while not carrier.binds:
            await asyncio.sleep(0.01)
        carrier.say(struct.pack(">LLLL", length, ENQUIRE, 0, 1))
        while not carrier.ended:
            await asyncio.sleep(0.01)


async def test_what_is_not_understood_is_logged_once_without_its_words_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def count(oddity: str) -> float:
        return (
            REGISTRY.get_sample_value("duologue_smpp_odd_total", {"provider": "smpp", "oddity": oddity}) or 0
        )

    oddities = "not_understood", "own_number", "language"
    before = [count(oddity) for oddity in oddities]
    carrier = RawCarrier()
    async with running(carrier):
        await carrier.bound()
        bodies = [deliver_body(b"id:1 stat:SECRET err:000", esm_class=4)] * 3
        bodies += [deliver_body(b"SECRET", sender=(3, "12345"))]
        bodies += [deliver_body(b"\x03\x24\x01\x20SECRET", esm_class=0x40)] * 2
        for sequence, body in enumerate(bodies, 1):
            carrier.say(pdu(DELIVER, sequence, body))
            await carrier.until(DELIVER_RESP)
    assert [count(oddity) - was for oddity, was in zip(oddities, before, strict=True)] == [3, 1, 2]
    assert caplog.text.count("a receipt that has no id or no state") == 1
    assert "SECRET" not in caplog.text
    assert "33612345678" not in caplog.text


async def test_closing_says_goodbye() -> None:
    carrier = RawCarrier()
    async with running(carrier) as (provider, _):
        while not provider.bound:
            await asyncio.sleep(0.01)
        await provider.aclose()
        assert await carrier.until(UNBIND)


async def test_more_than_can_be_stored_at_once_is_asked_for_again() -> None:
    carrier = RawCarrier()
    async with running(carrier, sink=SlowCollector()) as (provider, sink):
        while not provider.bound:
            await asyncio.sleep(0.01)
        for sequence in range(1, 121):
            carrier.say(message(sequence, b"ok"))
        refused = [(await carrier.until(DELIVER_RESP)) for _ in range(19)]
        assert min(sequence for sequence, _ in refused) > 100
        assert isinstance(sink, SlowCollector)
        sink.gate.set()
        stored = [(await carrier.until(DELIVER_RESP))[0] for _ in range(101)]
        assert stored == list(range(1, 102))


async def test_what_comes_with_the_bind_has_an_id_of_its_own_on_each_connection() -> None:
    carrier = RawCarrier()
    carrier.greeting = message(1, b"one")
    async with running(carrier) as (_, sink):
        first = await sink.inbound_queue.get()
        carrier.greeting = message(1, b"two") + message(2, b"one")
        carrier.say(pdu(UNBIND, 9))
        second, repeated = await sink.inbound_queue.get(), await sink.inbound_queue.get()
        assert (first.text, second.text, repeated.text) == ("one", "two", "one")
        assert first.provider_id == repeated.provider_id != second.provider_id


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.3, "000000000001000R"),
        (600, "000000001000000R"),
        (90_061, "000001010101000R"),
        (10**9, "000030014640000R"),
    ],
)
def test_a_validity_is_written_as_a_relative_time(seconds: float, text: str) -> None:
    assert validity(seconds) == text
    assert len(text) == 16


def test_addresses_are_typed() -> None:
    assert address("+33612345678") == (1, 1, "33612345678")
    assert address("12345") == (3, 0, "12345")
    assert address("Duologue") == (5, 0, "Duologue")


@given(st.sampled_from([SUBMIT_RESP, DELIVER, BIND_RESP, ENQUIRE, 0x77, 0x0103]), st.binary(max_size=120))
def test_any_bytes_are_a_pdu_or_malformed(code: int, body: bytes) -> None:
    try:
        sequence = decode(pdu(code, 9, body)).sequence
    except Malformed as refused:
        sequence = refused.sequence
    assert sequence == 9


@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=60), st.binary(max_size=60))
def test_any_message_and_parameters_are_read_or_malformed(
    esm_class: int, coding: int, message: bytes, tail: bytes
) -> None:
    fields = bytes([esm_class, 0, 0, 0, 0, 0, 0, coding, 0, len(message)])
    try:
        found = decode(pdu(DELIVER, 9, b"\0\x01\x0133612345678\0\x03\x0012345\0" + fields + message + tail))
    except Malformed:
        return
    told = report(receipt_text(found), found.options)
    assert all(0 < len(provider_id) < 65 for _, provider_id in told.ids)
    if not is_flagged(found):
        assert inbound(found, "id", "gsm").sender == "+33612345678"
