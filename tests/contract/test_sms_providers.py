"""Promises of every SMS provider, each against the other end of it over a real socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TypeVar

import pytest

from duologue.providers.sms.provider import (
    BadSignature,
    Callback,
    OutgoingSms,
    Rejected,
    Unavailable,
)
from tests.support.sms_gateways import OUTSIDES, REMOTES
from tests.support.sms_outside import PATIENT, PUBLIC, SECRET, Outside, RemoteOutside

pytestmark = [
    pytest.mark.anyio,
    # Apprise loads all of its plugins, and one of them has an old module of Python's on its list.
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
]

PHONE = "+33612345678"
LONG = "This text is longer than one part." * 10
T = TypeVar("T", bound=Outside)


@pytest.fixture(params=sorted(OUTSIDES))
async def outside(request: pytest.FixtureRequest) -> AsyncIterator[Outside]:
    async for each in _started(OUTSIDES[request.param]):
        yield each


@pytest.fixture(params=sorted(REMOTES))
async def remote(request: pytest.FixtureRequest) -> AsyncIterator[RemoteOutside]:
    """Those that can be out of reach."""
    async for each in _started(REMOTES[request.param]):
        yield each


@pytest.fixture(params=sorted(REMOTES))
async def impatient(request: pytest.FixtureRequest) -> AsyncIterator[RemoteOutside]:
    """Those that can keep us waiting, which soon give up."""
    async for each in _started(REMOTES[request.param], timeout=0.3):
        yield each


async def _started(kind: type[T], timeout: float = PATIENT) -> AsyncIterator[T]:
    outside = kind(timeout)
    try:
        await outside.start()
        yield outside
    finally:
        await outside.close()


def sms(text: str = "hello", to: str = PHONE, reference: str = "ref-1") -> OutgoingSms:
    return OutgoingSms(to=to, text=text, reference=reference, callback_base=PUBLIC)


async def test_an_sms_is_accepted_under_an_id_and_goes_out_once(outside: Outside) -> None:
    accepted = await outside.provider.send(sms())
    assert outside.provider.name.startswith(accepted.provider)
    assert all(accepted.provider_ids)
    assert (accepted.parts, accepted.receipts, len(accepted.provider_ids)) == (1, 1, 1)
    assert await outside.arrived() == [(PHONE, "hello")]


async def test_a_long_text_arrives_whole_and_its_parts_are_counted(outside: Outside) -> None:
    accepted = await outside.provider.send(sms(LONG))
    assert accepted.parts == 3
    assert accepted.parts in {accepted.receipts, len(accepted.provider_ids)} or accepted.receipts == 1
    assert await outside.arrived() == [(PHONE, LONG)]


async def test_sms_sent_at_the_same_time_each_get_their_own_id(outside: Outside) -> None:
    wishes = [sms(f"text {number}", reference=f"ref-{number}") for number in range(20)]
    answers = await asyncio.gather(*(outside.provider.send(wish) for wish in wishes))
    assert len({answer.provider_ids for answer in answers}) == 20
    assert sorted(text for _, text in await outside.arrived()) == sorted(wish.text for wish in wishes)


@pytest.mark.parametrize("number", ["0612345678", "33612345678", "+0612345678", "+33 612345678", "+336x", ""])
async def test_a_number_not_in_e164_is_rejected_and_nothing_goes_out(outside: Outside, number: str) -> None:
    with pytest.raises(Rejected) as refused:
        await outside.provider.send(sms(to=number))
    assert refused.value.cause == "number"
    assert await outside.arrived() == []


async def test_a_number_that_the_provider_refuses_is_rejected_for_good(outside: Outside) -> None:
    number = await outside.refuse_next()
    if not outside.provider.capabilities.explains:
        with pytest.raises(Unavailable) as unclear:
            await outside.provider.send(sms(to=number))
        assert unclear.value.outcome_unknown
        return
    with pytest.raises(Rejected) as refused:
        await outside.provider.send(sms(to=number))
    assert refused.value.cause == "number"
    assert refused.value.code


async def test_a_busy_provider_is_unavailable_and_surely_did_not_send(outside: Outside) -> None:
    await outside.get_busy()
    with pytest.raises(Unavailable) as busy:
        await outside.provider.send(sms())
    assert busy.value.outcome_unknown is not outside.provider.capabilities.explains


async def test_no_answer_within_the_time_out_is_an_unknown_outcome(impatient: RemoteOutside) -> None:
    await impatient.fall_silent()
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable) as silent:
            await impatient.provider.send(sms())
    assert silent.value.outcome_unknown


async def test_a_provider_out_of_reach_is_unavailable_and_surely_did_not_send(remote: RemoteOutside) -> None:
    await remote.disappear()
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable) as gone:
            await remote.provider.send(sms())
    if gone.value.outcome_unknown and remote.provider.capabilities.explains:
        # It used a connection that had just died, and cannot know more; the next one is sure.
        with pytest.raises(Unavailable) as gone:
            await remote.provider.send(sms())
    assert gone.value.outcome_unknown is not remote.provider.capabilities.explains


async def test_it_serves_again_after_trouble(outside: Outside) -> None:
    number = await outside.refuse_next()
    with pytest.raises((Rejected, Unavailable)):
        await outside.provider.send(sms(to=number))
    assert await outside.provider.send(sms(reference="ref-2"))


async def test_secrets_and_texts_show_in_no_repr_error_or_log(
    remote: RemoteOutside, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    wish = sms("code 918273")
    told = [repr(remote.provider), str(remote.provider), repr(wish)]
    told.append(repr(await remote.provider.send(wish)))
    await remote.get_busy()
    with pytest.raises(Unavailable) as busy:
        await remote.provider.send(wish)
    await remote.disappear()
    with pytest.raises(Unavailable) as gone:
        await remote.provider.send(wish)
    for failure in (busy.value, gone.value):
        told += [str(failure), repr(failure), repr(vars(failure))]
        assert failure.__cause__ is None
        assert failure.__context__ is None or failure.__suppress_context__
    output = capfd.readouterr()
    told += [caplog.text, output.out, output.err]
    everything = "\n".join(told)
    assert SECRET[:8] not in everything
    assert "918273" not in everything


async def test_the_same_reference_goes_out_once_if_it_says_so(outside: Outside) -> None:
    first = await outside.provider.send(sms())
    again = await outside.provider.send(sms())
    idempotent = outside.provider.capabilities.idempotent
    assert len(await outside.arrived()) == (1 if idempotent else 2)
    assert not idempotent or again.provider_ids == first.provider_ids


async def test_receipts_come_if_it_says_so(outside: Outside) -> None:
    accepted = await outside.provider.send(sms(LONG))
    receipts = await outside.receipts_of(accepted)
    assert bool(receipts) is outside.provider.capabilities.receipts
    assert {receipt.state for receipt in receipts} <= {"delivered"}
    assert {receipt.provider_id for receipt in receipts} <= set(accepted.provider_ids)
    if receipts:
        assert len(set(receipts)) == accepted.receipts * len(accepted.provider_ids)


async def test_texts_from_handsets_come_if_it_says_so(outside: Outside) -> None:
    messages = await outside.inbound_from(PHONE, "an answer")
    assert bool(messages) is outside.provider.capabilities.inbound
    for message in messages:
        assert (message.sender, message.text, message.part) == (PHONE, "an answer", None)
        assert message.provider_id


async def test_a_callback_repeated_says_the_same(outside: Outside) -> None:
    accepted = await outside.provider.send(sms())
    for call in await outside.callbacks_of(accepted):
        assert outside.provider.parse_status(call) == outside.provider.parse_status(call) != []
    for call in await outside.callbacks_from(PHONE, "an answer"):
        assert outside.provider.parse_inbound(call) == outside.provider.parse_inbound(call) != []


async def test_a_callback_about_something_else_says_nothing(outside: Outside) -> None:
    accepted = await outside.provider.send(sms())
    for call in await outside.callbacks_from(PHONE, "an answer"):
        assert outside.provider.parse_status(call) == []
    for call in await outside.callbacks_of(accepted):
        assert outside.provider.parse_inbound(call) == []


async def test_a_callback_that_was_tampered_with_is_refused(outside: Outside) -> None:
    accepted = await outside.provider.send(sms())
    genuine = [*await outside.callbacks_of(accepted), *await outside.callbacks_from(PHONE, "an answer")]
    forged = [Callback(f"{PUBLIC}/{outside.provider.name}/status", {}, b'{"id": "1"}')]
    for call in genuine:
        forged.append(replace(call, headers={}, url=call.url.replace(SECRET, "guess")))
        forged.append(replace(call, headers={name: value[::-1] for name, value in call.headers.items()}))
        forged[-1] = replace(forged[-1], url=call.url.replace(SECRET, ""))
    for call in forged:
        with pytest.raises(BadSignature):
            outside.provider.parse_status(call)
        with pytest.raises(BadSignature):
            outside.provider.parse_inbound(call)


async def test_closing_leaves_no_task_behind(outside: Outside) -> None:
    await outside.provider.send(sms())
    await outside.provider.aclose()
    mine = {task for task in asyncio.all_tasks() if "duologue" in repr(task.get_coro())}
    assert {task for task in mine if not task.done()} == set()
