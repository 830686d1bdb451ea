"""SMPP against a real SMSC (another implementation, in a process of its own) over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from duologue.providers.sms.provider import (
    Accepted,
    DeliveryReport,
    GivenId,
    InboundSms,
    OutgoingSms,
    Rejected,
    SegmentHeader,
    Unavailable,
)
from duologue.providers.sms.segments import gsm_decode, gsm_encode
from duologue.providers.sms.smpp import Smpp, SmppAccount
from tests.support.sms_outside import Collector
from tests.support.sms_smsc import Smsc

pytestmark = pytest.mark.anyio

THROTTLED, BAD_NUMBER, BAD_SENDER, TRY_AGAIN = 0x58, 0x0B, 0x0A, 0x64
UDHI, RECEIPT = 0x40, 0x04


class Bound:
    """An SMSC and a provider that is bound to it."""

    def __init__(self, sink: Collector | None = None, **options: object) -> None:
        self.smsc = Smsc()
        self.sink = sink or Collector()
        settings = {"sender": "12345", "timeout": 20.0} | options
        account = SmppAccount("127.0.0.1", self.smsc.port, "duologue", "passw0rd", **settings)  # type: ignore[arg-type]
        self.provider = Smpp("smpp", account)

    async def start(self) -> None:
        await self.smsc.start()
        await self.provider.start(self.sink)
        await self.smsc.until("bound")

    async def close(self) -> None:
        await self.provider.aclose()
        await self.smsc.kill()

    async def send(self, text: str = "hello", **fields: object) -> Accepted:
        wish = {"to": "+33612345678", "text": text, "reference": "ref-1"} | fields
        return await self.provider.send(OutgoingSms(**wish))  # type: ignore[arg-type]

    async def receipt(self) -> DeliveryReport:
        async with asyncio.timeout(5):
            return await self.sink.receipt_queue.get()


@pytest.fixture
async def bound() -> AsyncIterator[Bound]:
    bound = Bound()
    await bound.start()
    yield bound
    await bound.close()


async def test_it_binds_with_its_system_id() -> None:
    bound = Bound()
    await bound.smsc.start()
    await bound.provider.start(bound.sink)
    assert (await bound.smsc.until("bound"))["system_id"] == "duologue"
    await bound.close()


async def test_a_gsm_text_goes_as_unpacked_septets_and_asks_for_a_receipt(bound: Bound) -> None:
    await bound.send("@£ é€")
    seen = await bound.smsc.until("submit")
    assert gsm_decode(bytes.fromhex(seen["data"])) == "@£ é€"
    assert (seen["coding"], seen["esm_class"], seen["registered"]) == (0, 0, 1)
    assert (seen["to"], seen["sender"]) == ([1, 1, "33612345678"], [3, 0, "12345"])


@pytest.mark.parametrize(
    ("sender", "wire"),
    [("+12025550100", [1, 1, "12025550100"]), ("Duologue", [5, 0, "Duologue"]), ("777", [3, 0, "777"])],
)
async def test_each_kind_of_sender_has_its_type_of_number(
    bound: Bound, sender: str, wire: list[object]
) -> None:
    await bound.send(sender=sender)
    assert (await bound.smsc.until("submit"))["sender"] == wire


async def test_any_other_text_goes_as_ucs2(bound: Bound) -> None:
    await bound.send("привет 😀")
    seen = await bound.smsc.until("submit")
    assert bytes.fromhex(seen["data"]).decode("utf-16-be") == "привет 😀"
    assert seen["coding"] == 8


async def test_a_carrier_without_the_gsm_alphabet_gets_latin1_or_ucs2() -> None:
    bound = Bound(alphabet="latin1")
    await bound.start()
    for text, coding, codec in (("@ é", 3, "latin-1"), ("5 €", 8, "utf-16-be")):
        await bound.send(text)
        seen = await bound.smsc.until("submit")
        assert (seen["coding"], bytes.fromhex(seen["data"]).decode(codec)) == (coding, text)
    bound.smsc.deliver("é@".encode("latin-1"))
    assert (await bound.sink.inbound_queue.get()).text == "é@"
    await bound.close()


@pytest.mark.parametrize(("text", "octets"), [("a" * 400, 153), ("ж" * 150, 134)])
async def test_a_long_text_goes_in_parts_under_one_header(bound: Bound, text: str, octets: int) -> None:
    accepted = await bound.send(text)
    seen = [await bound.smsc.until("submit") for _ in range(3)]
    heads = [bytes.fromhex(each["data"])[:6] for each in seen]
    assert [head[:3] + head[4:] for head in heads] == [bytes([5, 0, 3, 3, part]) for part in (1, 2, 3)]
    assert len({head[3] for head in heads}) == 1
    assert all(each["esm_class"] == UDHI for each in seen)
    bodies = [bytes.fromhex(each["data"])[6:] for each in seen]
    assert max(map(len, bodies)) == octets
    joined = b"".join(bodies)
    assert (gsm_decode(joined) if octets == 153 else joined.decode("utf-16-be")) == text
    assert accepted.provider_ids == tuple(each["id"] for each in seen)


async def test_the_next_long_text_has_another_reference(bound: Bound) -> None:
    references = set()
    for _ in range(2):
        await bound.send("a" * 200)
        references |= {bytes.fromhex((await bound.smsc.until("submit"))["data"])[3] for _ in range(2)}
    assert len(references) == 2


@pytest.mark.parametrize(
    ("status", "cause", "code"),
    [(BAD_NUMBER, "number", "ESME_RINVDSTADR"), (BAD_SENDER, "provider", "ESME_RINVSRCADR")],
)
async def test_a_refusal_carries_its_status(bound: Bound, status: int, cause: str, code: str) -> None:
    await bound.smsc.answers(status)
    with pytest.raises(Rejected) as refused:
        await bound.send()
    assert (refused.value.cause, refused.value.code) == (cause, code)


@pytest.mark.parametrize("status", [THROTTLED, 0x14, 0x08])
async def test_throttling_is_unavailable_with_a_time_to_wait(bound: Bound, status: int) -> None:
    await bound.smsc.answers(status)
    with pytest.raises(Unavailable) as busy:
        await bound.send()
    assert not busy.value.outcome_unknown
    assert busy.value.retry_after
    assert await bound.send()


async def test_a_part_that_is_throttled_waits_for_its_turn(bound: Bound) -> None:
    await bound.smsc.answers("accept", THROTTLED, THROTTLED, "accept", "accept")
    accepted = await bound.send("a" * 400)
    assert len(set(accepted.provider_ids)) == 3


@pytest.mark.parametrize("trouble", [BAD_NUMBER, "hold"])
async def test_parts_that_are_out_make_the_outcome_unknown(trouble: int | str) -> None:
    bound = Bound(timeout=0.3)
    await bound.start()
    await bound.smsc.answers("accept", trouble)
    with pytest.raises(Unavailable, match="1 of 3 parts") as partial:
        await bound.send("a" * 400)
    assert partial.value.outcome_unknown
    await bound.close()


async def test_the_window_is_never_exceeded_and_a_full_one_is_no_doubt() -> None:
    bound = Bound(window=2, timeout=0.3)
    await bound.start()
    await bound.smsc.answers("hold", "hold")
    results = await asyncio.gather(*(bound.send() for _ in range(3)), return_exceptions=True)
    doubts = sorted(each.outcome_unknown for each in results if isinstance(each, Unavailable))
    assert doubts in ([False, True, True], [True, True])
    await bound.smsc.caught_up()
    assert sum(event["event"] == "submit" for event in bound.smsc.events) == len(results) - doubts.count(
        False
    )
    await bound.close()


async def test_it_comes_back_after_the_carrier_was_gone(bound: Bound) -> None:
    await bound.smsc.kill()
    with pytest.raises(Unavailable):
        await bound.send()
    await bound.smsc.start()
    await bound.smsc.until("bound")
    assert await bound.send()


async def test_what_was_under_way_when_the_connection_broke_is_unknown(bound: Bound) -> None:
    await bound.smsc.answers("hold")
    sending = asyncio.create_task(bound.send())
    await bound.smsc.until("submit")
    await bound.smsc.kill()
    with pytest.raises(Unavailable) as lost:
        await sending
    assert lost.value.outcome_unknown


async def test_it_binds_again_when_the_carrier_says_goodbye(bound: Bound) -> None:
    bound.smsc.order(do="unbind")
    await bound.smsc.until("bound")
    assert await bound.send()


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("DELIVRD", "delivered"),
        ("EXPIRED", "undelivered"),
        ("UNDELIV", "undelivered"),
        ("REJECTD", "failed"),
        ("DELETED", "failed"),
        ("ENROUTE", "sent"),
        ("ACCEPTD", "sent"),
    ],
)
async def test_receipts_are_read_from_their_text(bound: Bound, word: str, state: str) -> None:
    text = (
        f"id:ab01 sub:001 dlvrd:001 submit date:2611230930 done date:2611230931 stat:{word} err:0a2 Text:hi"
    )
    await bound.sink.given("smpp", [GivenId("ab01", "5678")])
    bound.smsc.deliver(text.encode(), esm_class=RECEIPT)
    assert await bound.receipt() == DeliveryReport("ab01", state, code=f"{word}/0a2")  # type: ignore[arg-type]
    assert (await bound.smsc.until("delivered"))["status"] == 0


@pytest.mark.parametrize("identifier", [b"ab01\0", b"ab01"])
async def test_receipts_are_read_from_their_parameters(bound: Bound, identifier: bytes) -> None:
    await bound.sink.given("smpp", [GivenId("ab01", "5678")])
    tlvs = [[0x001E, identifier.hex()], [0x0427, "02"], [0x1403, "beef"], [0x0423, "030001"]]
    bound.smsc.deliver(b"", esm_class=RECEIPT, tlvs=tlvs)
    assert await bound.receipt() == DeliveryReport("ab01", "delivered", code="DELIVRD")


async def test_hexadecimal_answers_match_decimal_receipts() -> None:
    bound = Bound(ids="hex")
    await bound.start()
    accepted = await bound.send()
    spoken = int((await bound.smsc.until("submit"))["id"], 16)
    bound.smsc.deliver(f"id:{spoken:010} stat:DELIVRD err:000".encode(), esm_class=RECEIPT)
    assert (await bound.receipt()).provider_id == accepted.provider_ids[0]
    await bound.close()


async def test_a_receipt_that_means_nothing_is_confirmed_and_passed_over(bound: Bound) -> None:
    bound.smsc.deliver(b"hello", esm_class=RECEIPT)
    assert (await bound.smsc.until("delivered"))["status"] == 0
    assert bound.sink.calls == 0


@pytest.mark.parametrize(
    ("fields", "data", "part"),
    [
        ({}, b"one", None),
        ({"esm_class": UDHI}, bytes([5, 0, 3, 0x7F, 2, 1]) + b"one", SegmentHeader(0x7F, 1, 2)),
        ({"esm_class": UDHI}, bytes([6, 8, 4, 0x12, 0x34, 3, 2]) + b"one", SegmentHeader(0x1234, 2, 3)),
        ({"esm_class": UDHI}, bytes([10, 5, 2, 0, 0, 0, 3, 9, 2, 2]) + b"\0one", SegmentHeader(9, 2, 2)),
        ({"esm_class": UDHI}, bytes([4, 5, 2, 0, 0]) + b"one", None),
        (
            {"tlvs": [[0x020C, "0102"], [0x020E, "02"], [0x020F, "01"]]},
            b"one",
            SegmentHeader(0x0102, 1, 2),
        ),
    ],
)
async def test_parts_are_told_by_header_or_parameters(
    bound: Bound, fields: dict[str, object], data: bytes, part: SegmentHeader | None
) -> None:
    bound.smsc.deliver(data, **fields)
    message = await bound.sink.inbound_queue.get()
    assert (message.part, message.text.lstrip("@")) == (part, "one")
    assert (message.sender, message.to) == ("+33612345678", "12345")


@pytest.mark.parametrize(
    ("coding", "data"),
    [(0, gsm_encode("é€")), (8, "é€".encode("utf-16-be")), (3, "é€".replace("€", "x").encode("latin-1"))],
)
async def test_inbound_texts_are_read_in_their_alphabet(bound: Bound, coding: int, data: bytes) -> None:
    bound.smsc.deliver(data, coding=coding)
    assert (await bound.sink.inbound_queue.get()).text == ("éx" if coding == 3 else "é€")


async def test_a_long_inbound_text_may_come_in_the_payload(bound: Bound) -> None:
    bound.smsc.deliver(b"", tlvs=[[0x0424, (b"a" * 300).hex()]])
    assert (await bound.sink.inbound_queue.get()).text == "a" * 300


async def test_nothing_is_confirmed_before_it_is_stored() -> None:
    bound = Bound(Collector(failures=1))
    await bound.start()
    for status in (TRY_AGAIN, 0):
        bound.smsc.deliver(b"hello")
        assert (await bound.smsc.until("delivered"))["status"] == status
    assert bound.sink.inbound_queue.qsize() == 1
    await bound.close()


class Forgetful(Collector):
    """A database that stores, and then fails to say so, the first time."""

    async def inbound(self, provider: str, messages: Sequence[InboundSms]) -> None:
        await super().inbound(provider, messages)
        if self.calls == 1:
            raise TimeoutError


async def test_what_was_stored_but_not_confirmed_comes_again_under_its_id() -> None:
    bound = Bound(Forgetful())
    await bound.start()
    for status in (TRY_AGAIN, 0, 0):
        bound.smsc.deliver(b"hello")
        assert (await bound.smsc.until("delivered"))["status"] == status
    first, again, new = [(await bound.sink.inbound_queue.get()).provider_id for _ in range(3)]
    assert first == again != new
    await bound.close()


async def test_the_same_words_said_twice_are_two_messages(bound: Bound) -> None:
    for _ in range(2):
        bound.smsc.deliver(b"ok")
        await bound.smsc.until("delivered")
    first, second = await bound.sink.inbound_queue.get(), await bound.sink.inbound_queue.get()
    assert first.provider_id != second.provider_id


async def test_what_a_new_connection_repeats_keeps_its_id_once(bound: Bound) -> None:
    bound.smsc.deliver(b"ok")
    first = await bound.sink.inbound_queue.get()
    await bound.smsc.kill()
    await bound.smsc.start()
    await bound.smsc.until("bound")
    for _ in range(2):
        bound.smsc.deliver(b"ok")
        await bound.smsc.until("delivered")
    repeated, new = await bound.sink.inbound_queue.get(), await bound.sink.inbound_queue.get()
    assert repeated.provider_id == first.provider_id != new.provider_id
