"""All that a carrier hands over: receipts go to the SMS that they speak of, handsets' texts to whom they are for.

SMPP 3.4 marks a receipt by `esm_class` (5.2.12), but there are SMSCs that leave it 0. Such a receipt, taken for a
text, would be shown as the phone owner's answer, and be relayed. So a receipt is known by what it says. It needs an
id that we were given: a person may write a text that only looks like one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter

from duologue.providers.sms.alphabets import Alphabet
from duologue.providers.sms.provider import DeliveryReport, GivenId, Sink
from duologue.providers.sms.rate_limited_logger import RateLimitedLogger
from duologue.providers.sms.smpp_deliveries import Deliveries
from duologue.providers.sms.smpp_ids import TAIL, IdsOption, Spellings
from duologue.providers.sms.smpp_inbound import (
    addresses,
    inbound,
    is_flagged,
    names_unknown_language,
    receipt_text,
)
from duologue.providers.sms.smpp_pdu import HEADER, Pdu
from duologue.providers.sms.smpp_receipt import (
    MESSAGE_STATE,
    RECEIPTED_ID,
    SmscReport,
    has_shape,
    is_whole,
    report,
)

_log = logging.getLogger(__name__)
_ODD: Final = Counter(
    "duologue_smpp_odd_total",
    "What carriers sent over SMPP and we could make nothing of: receipts that were not understood, are of no SMS of"
    " ours or of one whose answer was lost; texts from our own number; unknown national alphabets.",
    ["provider", "oddity"],
)
_ANSWER_BEHIND: Final = 2.0
"""Seconds that an unmarked receipt waits for the answer to an SMS that is being sent: it may have overtaken it."""
_OTHER_NODE: Final = 0.25
"""Seconds that it waits for another node to write down which id it was given."""
_LOOK_AGAIN: Final = (1.0, 4.0, 15.0)
"""Seconds after which a marked receipt of no known SMS is looked at again."""
_MOST_WAITING: Final = 1_000  # receipts


@dataclass(frozen=True, slots=True)
class Habits:
    """Spellings that a carrier uses."""

    alphabet: Alphabet = "gsm"
    ids: IdsOption = "auto"
    region: str | None = None
    own: str = ""
    """The number that we send from: nobody's answer comes from there."""


class Inward:
    """The way in for one provider. `sink` must be set before anything is delivered."""

    sink: Sink

    def __init__(self, name: str, habits: Habits) -> None:
        self._name = name
        self._habits = habits
        self._spellings = Spellings(habits.ids)
        self.deliveries = Deliveries()
        self._sending: set[asyncio.Future[None]] = set()
        self._waiting: set[asyncio.Task[None]] = set()
        self._complaints = {
            kind: RateLimitedLogger(_log)
            for kind in ("not_understood", "unmatched", "own_number", "language", "unanswered")
        }

    async def aclose(self) -> None:
        """Look no further."""
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """While this is open an SMS is being sent: a receipt may come before the answer with its id."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sending.add(over)
        try:
            yield
        finally:
            self._sending.discard(over)
            over.set_result(None)

    async def given(self, ids: Sequence[str], to: str) -> None:
        """Remember ids that the carrier gave. Never raises: the SMS is on its way, whatever happens here."""
        noted = [GivenId(message_id, to[-TAIL:]) for message_id in dict.fromkeys(ids) if message_id]
        try:
            await self.sink.given(self._name, noted)
        except Exception as failure:  # noqa: BLE001 - then its receipts may go unmatched
            _log.warning("%s: ids could not be noted: %s", self._name, type(failure).__name__)

    async def unanswered(self, to: str) -> None:
        """Remember that the answer to an SMS to this number was lost: we won't know the id in its receipt."""
        await self.given([_unanswered(to)], to)

    def given_late(self, message_id: str) -> None:
        """Remember an id that came after the time-out: its receipt, if unmarked, mustn't become an answer."""
        self._begin(self.given([message_id], ""))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def deliver(self, pdu: Pdu, data: bytes) -> None:
        """Hand over what is in a deliver_sm. If this raises, it must come again."""
        told = report(text := receipt_text(pdu), pdu.options)
        if is_flagged(pdu) or MESSAGE_STATE in pdu.options:
            await self._receipt(pdu, told)
        elif RECEIPTED_ID in pdu.options or has_shape(text):
            if found := await self._find(pdu, told) or await self._find_patiently(pdu, told):
                await self._hand_over(found, told)
            elif is_whole(text) and await self._awaits_answer(pdu):
                self._count("unanswered", "%s sent a receipt, it seems, for an SMS whose answer was lost")
            else:
                await self._text(pdu, data)
        else:
            await self._text(pdu, data)

    async def _receipt(self, pdu: Pdu, told: SmscReport) -> None:
        if not told.understood:
            self._count("not_understood", "%s sent a receipt that has no id or no state that we know")
        elif found := await self._find(pdu, told):
            await self._hand_over(found, told)
        elif len(self._waiting) < _MOST_WAITING:
            self._begin(self._look_again(pdu, told))
        else:
            self._unmatched()

    async def _find(self, pdu: Pdu, told: SmscReport) -> str | None:
        """The id of ours that a receipt speaks of."""
        known = await self.sink.known(self._name, self._spellings.wanted(told.ids)) if told.ids else []
        return self._spellings.resolve(told.ids, known, addresses(pdu)) if known else None

    async def _awaits_answer(self, pdu: Pdu) -> bool:
        """Tell whether an SMS went to one of a receipt's two numbers and the answer to it never came, on any node."""
        numbers = [number for number in addresses(pdu) if number[-TAIL:].isdecimal()]
        return bool(await self.sink.known(self._name, [_unanswered(number) for number in numbers]))

    async def _find_patiently(self, pdu: Pdu, told: SmscReport) -> str | None:
        if not told.ids:
            return None
        if self._sending:
            await asyncio.wait(set(self._sending), timeout=_ANSWER_BEHIND)
        else:
            await asyncio.sleep(_OTHER_NODE)
        return await self._find(pdu, told)

    async def _look_again(self, pdu: Pdu, told: SmscReport) -> None:
        for pause in _LOOK_AGAIN:
            if self._sending:
                await asyncio.wait(set(self._sending), timeout=pause)
            else:
                await asyncio.sleep(pause)
            try:
                if found := await self._find(pdu, told):
                    return await self._hand_over(found, told)
            except Exception as failure:  # noqa: BLE001 - the next look may succeed
                _log.warning("%s: a receipt waits: %s", self._name, type(failure).__name__)
        return self._unmatched()

    async def _hand_over(self, provider_id: str, told: SmscReport) -> None:
        if told.state is None:
            self._count("not_understood", "%s sent a receipt whose state we don't know")
        else:
            await self.sink.receipts(self._name, [DeliveryReport(provider_id, told.state, code=told.code)])

    def _unmatched(self) -> None:
        self._count("unmatched", "%s sent a receipt of no SMS of ours; if all are so, set ids= in its URL")

    async def _text(self, pdu: Pdu, data: bytes) -> None:
        if self._is_own(addresses(pdu)[0]):
            self._count("own_number", "%s delivered a text that has our own number as its sender")
            return
        if names_unknown_language(pdu):
            self._count("language", "%s delivered a text in a national alphabet that we don't know")
        habits, body = self._habits, data[HEADER.size :]
        provider_id = self.deliveries.id_of(pdu.sequence, body)
        try:
            await self.sink.inbound(self._name, [inbound(pdu, provider_id, habits.alphabet, habits.region)])
        except Exception:
            self.deliveries.comes_again(body, provider_id)
            raise

    def _is_own(self, sender: str) -> bool:
        own = self._habits.own.lstrip("+")
        return bool(own) and sender.lstrip("+0").casefold() == own.lstrip("0").casefold()

    def _count(self, oddity: str, complaint: str) -> None:
        _ODD.labels(self._name, oddity).inc()
        self._complaints[oddity].warning(complaint, self._name)


def _unanswered(number: str) -> str:
    """The id that stands for those that never came for SMS to a number. It has a blank, as no id in a receipt has."""
    return f"unanswered {number[-TAIL:]}"
