"""The relay: what no device acknowledged in time goes on to its recipient's phone by SMS.

A background loop on every node. Each round leases what is in the outbox, hands it to the provider, and writes down
what came of that. Whatever dies in between is taken up again once its lease is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
from prometheus_client import Counter

from duologue.clock import HOUR, MINUTE, SECOND, Clock
from duologue.core.delivery.offline import Later, messages_due
from duologue.core.delivery.relay_policy import PHONES, RelayPolicy, purse_of, spent_reason, storable
from duologue.core.jobs import LEASE, Taken, Worker, retry_at
from duologue.core.loop_guard import LOOKS_BACK, pause_after
from duologue.core.receipts import mark_of
from duologue.core.rounds import Rounds
from duologue.model import Known, Message, Pair, Relay, User, WhoCanWrite, alarm_after, encode_id
from duologue.providers.sms.provider import Accepted, OutgoingSms, Provider, Rejected, SmsError, Unavailable
from duologue.storage.append.batch import NoSuchChat, OutOfRange
from duologue.storage.database import AlarmRule, Database, Marked, Shard, Tx, settle
from duologue.storage.tables import jobs, opt_outs, outbox, quotas, service_numbers, sms_relay, unanswered
from duologue.storage.tables.accounts import user_by_id
from duologue.storage.tables.alarms import Alarm
from duologue.storage.tables.changes import DELETED
from duologue.storage.tables.chats import pair_of, write_rule
from duologue.storage.tables.messages import page_after
from duologue.storage.tables.outbox import Outgoing, State
from duologue.storage.tables.quotas import Allowance
from duologue.storage.tables.service_numbers import ServiceNumber
from duologue.storage.tables.sms_relay import RelayRule
from duologue.storage.tables.unanswered import UNANSWERED

_log = logging.getLogger(__name__)

_OUTCOMES: Final = Counter("duologue_relay_total", "Relayed messages, by what became of them.", ["outcome"])
_AT_ONCE: Final = 32  # SMS
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
        self._worker = Worker(
            clock,
            self._take,
            self._send,
            at_once=_AT_ONCE,
            unsettled="the relay can't write down what it sent",
        )

    def wake(self) -> None:
        """There may be something to do already."""
        self._rounds.wake()

    def stop(self) -> None:
        """Send nothing more than what is being sent."""
        self._rounds.stop()

    async def run(self) -> None:
        """The background loop. It ends when it is told to stop and what is being sent has come to its end."""
        await self._rounds.run()
        await self._worker.ended()

    async def round(self) -> None:
        """Do all there is to do now. Raises `ApiError` `overloaded`."""
        self._rounds.begin()
        for shard in self._db.every_shard():
            is_due, has_arrived = await shard.read(outbox.anything_due, self._clock())
            # First what is to go: it mustn't wait for what has arrived, nor for one whose log can't be written.
            if is_due:
                await self._worker.begin(shard, self._rounds)
            if has_arrived:
                await self._tell_arrivals(shard)

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
        key = {"chat_id": alarm.chat_id, "user_id": alarm.user.id}
        for each in due:
            if not each.by_sms:
                # A person is there, so no loop is to be feared, and the person isn't to wait for its end.
                jobs.wake(tx, outbox.QUEUE, outbox.TOO_MANY_ANSWERS, now, **key)
            expires_at = min(each.sent_at, now) + self._valid_for
            jobs.enqueue(tx, outbox.QUEUE, now, expires_at, each.seq, **key)
        return later

    # Under the lease: decide about each row.

    def _take(self, tx: Tx, now: int, limit: int) -> Taken[Text]:
        leased = jobs.lease(tx, outbox.QUEUE, now, now + LEASE, limit, spare_expired=self._doubtful())
        texts = []
        # What the two sides of a chat have written goes out in the order of the conversation.
        for row in sorted(leased, key=lambda row: (row.chat_id, row.seq)):
            pair = pair_of(tx, row.user_id, row.chat_id)
            if pair and (text := self._decide(tx, row, pair, now)):
                texts.append(text)
        # What stood before others in its chat may have ended: they may go.
        return Taken(texts, more=len(leased) == limit or len(texts) < len(leased))

    def _decide(self, tx: Tx, row: Outgoing, pair: Pair, now: int) -> Text | None:
        """The text to send, or None once the row is put off or ended."""
        user, sender = user_by_id(tx, row.user_id), user_by_id(tx, pair.peer_of(row.user_id))
        assert user is not None
        assert sender is not None
        [message] = page_after(tx, pair, row.seq - 1, 1)
        if reason := _unwanted(sender, message) or self._objection(tx, row, pair, user):
            jobs.end(tx, outbox.QUEUE, row, State.CANCELLED, reason, now)
            return None
        if now >= row.expires_at:
            jobs.expire(tx, outbox.QUEUE, row, now)
            return None
        assert user.phone is not None
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

    async def _send(self, shard: Shard, text: Text) -> None:
        try:
            accepted = await self._provider.send(text.sms)
        except SmsError as fault:
            outcome = await self._worker.settle(shard, self._not_sent, text, fault)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the SMS may have gone
            _log.error("the SMS provider failed", exc_info=fault)
            failed = Unavailable("the provider failed", outcome_unknown=True)
            outcome = await self._worker.settle(shard, self._not_sent, text, failed)
        else:
            outcome = await self._worker.settle(shard, _sent, text, accepted)
        _OUTCOMES.labels(outcome).inc()

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
            jobs.end(tx, outbox.QUEUE, row, State.DEAD, f"{fault.cause}: {reason}", now)
            return "rejected"
        assert isinstance(fault, Unavailable)
        wait = round((fault.retry_after or 0) * SECOND)
        if unknown and not self._provider.capabilities.idempotent:
            wait = max(wait, _UNKNOWN_RETRY)
        at = retry_at(row.attempts, now, wait)
        return "put_off" if jobs.try_again(tx, outbox.QUEUE, row, at, reason, now) else "expired"

    # What is on a phone: its sender is to hear of it.

    async def _tell_arrivals(self, shard: Shard) -> None:
        more = True
        while more and not self._rounds.stopped:
            arrived, more = await shard.write(_take_arrived, self._clock(), _AT_ONCE)
            await asyncio.gather(*(self._tell_arrival(shard, *arrival) for arrival in arrived))

    async def _tell_arrival(self, shard: Shard, row: Outgoing, pair: Pair, seq: int) -> None:
        """Move the recipient's delivered mark, as an ack of its device would."""
        if seq:
            future: asyncio.Future[Marked] = asyncio.get_running_loop().create_future()
            self._db.append(mark_of(pair, row.user_id, delivered=seq), partial(settle, future))
            with contextlib.suppress(OutOfRange, NoSuchChat):
                await future
        await shard.write(outbox.marked, row)
        _OUTCOMES.labels("delivered").inc()


def _unwanted(sender: User, message: Message) -> str | None:
    """Return the reason why a message is not to reach anybody any more; None if there is none."""
    if message.deleted_at is not None:
        return DELETED
    # Its sender was suspended after it was accepted: most likely for what it says.
    return None if sender.suspended_at is None else "sender_suspended"


def _take_arrived(tx: Tx, now: int, limit: int) -> tuple[list[tuple[Outgoing, Pair, int]], bool]:
    """Lease what has arrived, each with the seq up to which everything has; and tell whether there may be more."""
    leased = outbox.lease_arrived(tx, now, now + LEASE, limit)
    pairs = [(row, pair_of(tx, row.user_id, row.chat_id)) for row in leased]
    found = [(row, pair, outbox.arrived_up_to(tx, row)) for row, pair in pairs if pair]
    return found, len(leased) == limit


def _put_off(tx: Tx, row: Outgoing, until: int, reason: str) -> None:
    """Have it wait, until it expires at the latest."""
    jobs.put_off(tx, outbox.QUEUE, row, min(until, row.expires_at), reason)


def _sent(tx: Tx, text: Text, accepted: Accepted, now: int) -> str:
    # Its receipts may be coming in at this moment: each must see the other.
    tx.lock_logs()
    service_numbers.note_introduced(tx, text.row.user_id, text.number.service, text.row.chat_id)
    ids = [storable(provider_id) for provider_id in accepted.provider_ids]
    outbox.sent(tx, text.row, accepted.provider, ids, accepted.parts, accepted.receipts, now)
    return "sent"
