"""The relay: what no device acknowledged in time goes on to its recipient's phone by SMS.

A background loop on every node. Each round leases what is in the outbox, hands it to the provider, and writes down
what came of that. Whatever dies in between is taken up again once its lease is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import msgspec
from prometheus_client import Counter

from duologue.clock import HOUR, MINUTE, SECOND, Clock
from duologue.core.delivery.offline import Later, messages_due
from duologue.core.delivery.relay_policy import PHONES, RelayPolicy, purse_of, spent_reason, storable
from duologue.core.loop_guard import LOOKS_BACK, pause_after
from duologue.core.receipts import mark_of
from duologue.core.rounds import TROUBLE, Rounds
from duologue.core.tasks import Tasks
from duologue.errors import ApiError
from duologue.model import Known, Message, Pair, Relay, User, WhoCanWrite, alarm_after, encode_id
from duologue.sms.provider import Accepted, OutgoingSms, Provider, Rejected, SmsError, Unavailable
from duologue.storage import opt_outs, outbox, quotas, service_numbers, sms_relay, unanswered
from duologue.storage.accounts import user_by_id
from duologue.storage.alarms import Alarm
from duologue.storage.batch import NoSuchChat, OutOfRange
from duologue.storage.chats import pair_of, write_rule
from duologue.storage.database import AlarmRule, Database, Marked, Tx, settle
from duologue.storage.messages import page_after
from duologue.storage.outbox import Outgoing, State
from duologue.storage.quotas import Allowance
from duologue.storage.service_numbers import ServiceNumber
from duologue.storage.sms_relay import RelayRule
from duologue.storage.unanswered import UNANSWERED

T = TypeVar("T")

_log = logging.getLogger(__name__)

_OUTCOMES: Final = Counter("duologue_relay_total", "Relayed messages, by what became of them.", ["outcome"])
LEASE: Final = 2 * MINUTE
"""Longer than any provider takes: an SMS under way mustn't be taken up by another node."""
_AT_ONCE: Final = 32  # SMS
_FIRST_RETRY: Final = 5 * SECOND
_LONGEST_RETRY: Final = 10 * MINUTE
_NEXT_LOOK: Final = 2 * MINUTE
"""Between looks at whether a device has acknowledged anything, while an SMS waits for an answer."""
_UNKNOWN_RETRY: Final = MINUTE
"""At the least, before an SMS that may have been sent is sent again: time for its receipt, or for an ack."""


class Text(msgspec.Struct, frozen=True):
    """An SMS that is to be sent now, and what was taken for it."""

    row: Outgoing
    sms: OutgoingSms
    number: ServiceNumber
    taken: list[Allowance]


class Round(msgspec.Struct, frozen=True):
    """Result of one look at the outbox: texts to send, and arrivals whose sender is to be told."""

    texts: list[Text]
    arrived: list[tuple[Outgoing, Pair, int]]
    more: bool
    """Whether there may be more to do at once: others were left, or may go as what stood before them has ended."""


def alarm_rule(rule: RelayRule) -> AlarmRule:
    """Return the rule for alarms that lets the relay look at messages in time."""
    preset, unregistered = alarm_after(rule.default), alarm_after(rule.unregistered)
    assert preset is not None
    assert unregistered is not None
    return AlarmRule(preset, unregistered, rule.delay)


class SmsRelay:
    """The channel to a user's phone, and the loop that sees to its outbox, on behalf of all nodes together."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        provider: Provider,
        rule: RelayRule,
        policy: RelayPolicy,
        *,
        valid_for: int = 24 * HOUR,
        callback_base: str | None = None,
        doubtful: Callable[[], bool] = lambda: False,
    ) -> None:
        """While the clock is `doubtful`, nothing expires."""
        self._db = db
        self._clock = clock
        self._provider = provider
        self._rule = rule
        self._policy = policy
        self._valid_for = valid_for
        self._callback_base = callback_base
        self._doubtful = doubtful
        self._rounds = Rounds(self.round, waits="the relay waits", fails="the relay failed")
        self._sending = Tasks()

    def wake(self) -> None:
        """There may be something to do already."""
        self._rounds.wake()

    def stop(self) -> None:
        """Send nothing more than what is being sent."""
        self._rounds.stop()

    async def run(self) -> None:
        """The background loop. It ends when it is told to stop and what is being sent has come to its end."""
        await self._rounds.run()
        await self._sending.ended()

    async def round(self) -> None:
        """Do all there is to do now. Raises `ApiError` `overloaded`."""
        self._rounds.begin()
        open_rows = await self._db.read(outbox.oldest_due, self._clock()) is not None
        while open_rows and not self._rounds.stopped and (room := _AT_ONCE - len(self._sending)) > 0:
            found = await self._db.write(self._take, self._clock(), room)
            for text in found.texts:
                # What stands behind it in its chat may go at its end.
                self._sending.start(self._send(text), self.wake)
            await asyncio.gather(*(self._tell_arrival(*arrival) for arrival in found.arrived))
            open_rows = found.more

    # When an alarm is due: queue what is to go.

    def answer(self, tx: Tx, alarm: Alarm, now: int) -> Later | None:
        """Queue those of an alarm's messages that are due; what isn't due yet, or None if that is all."""
        policy = sms_relay.policy_of(alarm.user, self._rule)
        if alarm.known == Known.STRANGER and write_rule(tx, alarm.user) is WhoCanWrite.REQUESTS:
            policy = Relay.OFF
        if policy is Relay.OFF:
            return None
        always = policy is Relay.ALWAYS
        due, later = messages_due(tx, alarm, 0 if always else self._rule.delay, now, acknowledged=always)
        for each in due:
            if not each.by_sms:
                # A person is there, so no loop is to be feared, and the person isn't to wait for its end.
                outbox.wake(tx, alarm.chat_id, alarm.user.id, outbox.TOO_MANY_ANSWERS, now)
            expires_at = min(each.sent_at, now) + self._valid_for
            outbox.enqueue(tx, alarm.chat_id, each.seq, alarm.user.id, now, expires_at)
        return later

    # Under the lease: decide about each row.

    def _take(self, tx: Tx, now: int, limit: int) -> Round:
        texts, arrived = [], []
        leased = outbox.lease(tx, now, now + LEASE, limit, spare_expired=self._doubtful())
        for row in leased:
            pair = pair_of(tx, row.user_id, row.chat_id)
            if pair and row.state is State.ARRIVED:
                arrived.append((row, pair, outbox.arrived_up_to(tx, row)))
            elif pair and (text := self._decide(tx, row, pair, now)):
                texts.append(text)
        return Round(texts, arrived, len(leased) == limit or len(texts) + len(arrived) < len(leased))

    def _decide(self, tx: Tx, row: Outgoing, pair: Pair, now: int) -> Text | None:
        """The text to send, or None once the row is put off or ended."""
        user, sender = user_by_id(tx, row.user_id), user_by_id(tx, pair.peer_of(row.user_id))
        assert user is not None
        assert sender is not None
        # Its sender was suspended after it was accepted: most likely for what it says.
        is_unwanted = sender.suspended_at is not None
        if reason := "sender_suspended" if is_unwanted else self._objection(tx, row, pair, user):
            outbox.end(tx, row, State.CANCELLED, reason, now)
            return None
        if now >= row.expires_at:
            outbox.end(tx, row, State.DEAD, f"expired: {row.reason}" if row.reason else "expired", now)
            return None
        assert user.phone is not None
        [message] = page_after(tx, pair, row.seq - 1, 1)
        if pause := self._pause(tx, row, user.phone, message, now):
            _put_off(tx, row, *pause)
            return None
        if not self._may_go_unanswered(tx, row):
            _put_off(tx, row, now + _NEXT_LOOK, UNANSWERED)
            return None
        number = service_numbers.assign_number(tx, user.id, row.chat_id, self._policy.lines, now)
        text = self._policy.text(sender, user, message.text, number)
        spent = quotas.lacks(tx, purse_of(sender.id), now)
        taken = self._policy.allowances(sender.id, user.phone, text, spent)
        if short := quotas.try_take(tx, taken, now):
            self._uncount(tx, row)
            _put_off(tx, row, short.until, spent_reason(short.allowance))
            return None
        sms = OutgoingSms(
            to=user.phone,
            text=text,
            reference=encode_id("rly", row.id),
            sender=number.service or None,
            valid_for=max(60, (row.expires_at - now) / SECOND),
            callback_base=self._callback_base,
        )
        return Text(row, sms, number, taken)

    def _pause(self, tx: Tx, row: Outgoing, phone: str, message: Message, now: int) -> tuple[int, str] | None:
        """Until when (epoch ms) it has to wait, and why; None if it may go."""
        if (until := self._policy.quiet_until(phone, now)) is not None:
            return until, "quiet_hours"
        if not message.by_sms:
            return None
        until = pause_after(outbox.answers_sent(tx, row, now - LOOKS_BACK, now), now)
        return None if until is None else (until, outbox.TOO_MANY_ANSWERS)

    def _may_go_unanswered(self, tx: Tx, row: Outgoing) -> bool:
        """Count it among the texts that the phone hasn't answered; False if those are enough."""
        most = self._policy.unanswered
        return not most or unanswered.take(
            tx, row.user_id, row.chat_id, per_chat=most, per_phone=most * PHONES
        )

    def _uncount(self, tx: Tx, row: Outgoing) -> None:
        """It was not sent after all."""
        if self._policy.unanswered:
            unanswered.give_back(tx, row.user_id, row.chat_id)

    def _objection(self, tx: Tx, row: Outgoing, pair: Pair, user: User) -> str | None:
        """Return the reason not to send this message to the user's phone any more; None if there is none."""
        if user.phone is None:
            return "account_deleted"
        if sms_relay.policy_of(user, self._rule) is Relay.OFF:
            return "switched_off"
        if sms_relay.is_needless(tx, row, self._rule):
            return "acknowledged"
        if opt_outs.is_opted_out(tx, user.phone):
            return "opted_out"
        if self._policy.invite_once and user.registered_at is None and sms_relay.is_unanswered(tx, row, pair):
            return "not_answered_yet"
        return self._policy.refusal(user.phone)

    # Outside of any transaction: the provider.

    async def _send(self, text: Text) -> None:
        try:
            accepted = await self._provider.send(text.sms)
        except SmsError as fault:
            await self._settle(self._not_sent, text, fault)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the SMS may have gone
            _log.error("the SMS provider failed", exc_info=fault)
            failed = Unavailable("the provider failed", outcome_unknown=True)
            await self._settle(self._not_sent, text, failed)
        else:
            await self._settle(_sent, text, accepted)

    async def _settle(self, work: Callable[[Tx, Text, T, int], str], text: Text, result: T) -> None:
        """Store the outcome; retry until it is stored, or the SMS would be sent twice."""
        while True:
            try:
                outcome = await self._db.write(work, text, result, self._clock())
            except ApiError as fault:
                _log.warning("the relay can't write down what it sent: %s", fault)
            except Exception as fault:  # noqa: BLE001 - once the lease is over it would be sent again, and again
                _log.error("the relay can't write down what it sent", exc_info=fault)
            else:
                _OUTCOMES.labels(outcome).inc()
                return
            await asyncio.sleep(TROUBLE)

    def _not_sent(self, tx: Tx, text: Text, fault: SmsError, now: int) -> str:
        row, reason = text.row, storable(fault.code or fault.reason)
        unknown = isinstance(fault, Unavailable) and fault.outcome_unknown
        again = isinstance(fault, Unavailable) and self._provider.capabilities.idempotent
        if again or not unknown:
            # What is sent again without being a second SMS is paid for then.
            quotas.give_back(tx, text.taken, now)
            self._uncount(tx, row)
        if isinstance(fault, Rejected):
            if fault.cause == "opted_out":
                opt_outs.opt_out(tx, text.sms.to, now)
            outbox.end(tx, row, State.DEAD, f"{fault.cause}: {reason}", now)
            return "rejected"
        assert isinstance(fault, Unavailable)
        wait = min(_FIRST_RETRY * 2 ** min(row.attempts - 1, 10), _LONGEST_RETRY)
        wait = max(wait, round((fault.retry_after or 0) * SECOND))
        if unknown and not self._provider.capabilities.idempotent:
            wait = max(wait, _UNKNOWN_RETRY)
        at = now + round(wait * random.uniform(1, 1.25))  # noqa: S311 - jitter
        if at >= row.expires_at:
            outbox.end(tx, row, State.DEAD, f"expired: {reason}", now)
            return "expired"
        outbox.put_off(tx, row, at, reason)
        return "put_off"

    async def _tell_arrival(self, row: Outgoing, pair: Pair, seq: int) -> None:
        """Move the recipient's delivered mark, as an ack of its device would."""
        if seq:
            future: asyncio.Future[Marked] = asyncio.get_running_loop().create_future()
            self._db.append(mark_of(pair, row.user_id, delivered=seq), partial(settle, future))
            with contextlib.suppress(OutOfRange, NoSuchChat):
                await future
        await self._db.write(outbox.marked, row)
        _OUTCOMES.labels("delivered").inc()


def _put_off(tx: Tx, row: Outgoing, until: int, reason: str) -> None:
    """Have it wait, until it expires at the latest."""
    outbox.put_off(tx, row, min(until, row.expires_at), reason)


def _sent(tx: Tx, text: Text, accepted: Accepted, now: int) -> str:
    # Its receipts may be coming in at this moment: each must see the other.
    tx.lock_logs()
    service_numbers.note_introduced(tx, text.row.user_id, text.number.service, text.row.chat_id)
    ids = [storable(provider_id) for provider_id in accepted.provider_ids]
    outbox.sent(tx, text.row, accepted.provider, ids, accepted.parts, accepted.receipts, now)
    return "sent"
