"""Proving a phone number by a code sent to it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

import msgspec
from prometheus_client import Counter, Gauge

from duologue.clock import DAY, SECOND, SLACK, Clock
from duologue.core.accounts import SignedIn
from duologue.core.addresses import address_block, asker
from duologue.core.phone_numbers import parse_phone
from duologue.core.rates import CODES
from duologue.core.secret import acquaintance, code_for, same_code
from duologue.core.sessions import new_token
from duologue.core.sms_policy import (
    SmsPolicy,
    conversion_quotas,
    count_redeemed,
    failures,
    is_budget,
    is_given_back,
    sent_quota,
)
from duologue.errors import ApiError
from duologue.model import encode_id
from duologue.providers.sms.provider import OutgoingSms, Provider, Rejected, SmsError, Unavailable
from duologue.providers.sms.templates import code_text
from duologue.storage.database import Database, Tx
from duologue.storage.tables import quotas as quota_store
from duologue.storage.tables import verifications as store
from duologue.storage.tables.accounts import user_by_phone
from duologue.storage.tables.quotas import Quota, QuotaExceeded
from duologue.storage.tables.sign_in import Suspended
from duologue.storage.tables.verifications import Redeemed, TooSoon, Try, Verification

_log = logging.getLogger(__name__)

ACQUAINTED_FOR: Final = 90 * DAY
LONGEST_PAUSE: Final = 5.0
"""Seconds for which somebody who waits for a code is kept waiting by a provider that is busy."""
_ANY_NUMBER: Final = "+12025550100"
_ANY_CODE: Final = "000000"
_NOT_NOW: Final = "A code can't be sent to this number now."
_CODES = Counter("duologue_codes_total", "Sign-in codes, by what became of them.", ["outcome"])
_BUDGET_SPENT = Gauge(
    "duologue_sms_budget_exhausted", "1 while no code is sent because the day's money is spent."
)


class Wording(msgspec.Struct, frozen=True):
    """The words of a code (product's name, language for all, domain that browsers bind it to), and its sender.

    `sender` None stands for the provider's own.
    """

    app: str = "Duologue"
    language: str | None = None
    domain: str | None = None
    sender: str | None = None


class _Begun(msgspec.Struct, frozen=True, gc=False):
    """A send that is counted, what it was taken from, and what counts it should it fail.

    `is_due` is False for the number of a suspended user, who gets no code.
    """

    verification: Verification
    taken: list[Quota]
    failed: list[Quota]
    is_due: bool


class Verifications:
    """The rules for codes: to whom, how often, at what cost, and what redeems one.

    Raises `ValueError` when codes can't be worded so.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        provider: Provider,
        secret: bytes,
        policy: SmsPolicy,
        wording: Wording,
    ) -> None:
        self._db = db
        self._clock = clock
        self._provider = provider
        self._secret = secret
        self._policy = policy
        self._wording = wording
        self._text(_ANY_NUMBER, _ANY_CODE)
        self._spent_until = 0
        self._took = 0.0
        _BUDGET_SPENT.set_function(lambda: float(self._is_spent()))

    def _is_spent(self) -> bool:
        """Return whether the day's money ran out within this day, by a clock that may have been set back since."""
        return 0 < self._spent_until - self._clock() <= DAY + SLACK

    async def start(self, phone: str, address: str) -> Verification:
        """Send a code. The answer, and its time, don't tell whether the number has an account, or is suspended.

        Raises `ApiError` `invalid_phone`, `country_not_allowed`, `rate_limited`, `sms_budget_spent`,
        `sms_unavailable`.
        """
        number = parse_phone(phone)
        self._policy.check_number(number)
        cost = self._policy.spending.cost(number, self._text(number, _ANY_CODE))
        try:
            begun = await self._db.directory().write(self._begin, number, address, cost, self._clock())
        except TooSoon as fault:
            raise self._refused("too_soon", _NOT_NOW, fault.next_send_at) from None
        except QuotaExceeded as fault:
            raise self._over(fault) from None
        if begun.is_due:
            await self._send(begun)
        else:
            await asyncio.sleep(self._took)
        return begun.verification

    def _begin(self, tx: Tx, phone: str, address: str, cost: int, now: int) -> _Begun:
        taken, failed = [sent_quota(phone)], []
        if not self._policy.is_exempt(address):
            failed = [failures(address)]
            _refuse_spent(tx, failed, now)
            known = self._acquaintance(phone, address)
            acquainted = quota_store.used(tx, known, ACQUAINTED_FOR, now)[0] > 0
            taken += self._policy.quotas(phone, address, cost, acquainted=acquainted)
            if not acquainted:
                taken += conversion_quotas(tx, phone, now)
        verification = store.begin(tx, phone, asker(address), taken, now)
        user = user_by_phone(tx, phone)
        is_due = user is None or user.suspended_at is None
        return _Begun(verification, taken, failed, is_due)

    def _acquaintance(self, phone: str, address: str) -> str:
        return f"known:{acquaintance(self._secret, phone, address_block(address))}"

    def _over(self, fault: QuotaExceeded) -> ApiError:
        if not is_budget(fault.quota):
            return self._refused(fault.quota.key.partition(":")[0].replace("-", "_"), _NOT_NOW, fault.ends_at)
        _CODES.labels("budget_spent").inc()
        if not self._is_spent():
            _log.error("no codes are sent until the day is over: the SMS budget is spent")
        self._spent_until = fault.ends_at
        return ApiError("sms_budget_spent", retry_after=(fault.ends_at - self._clock()) / SECOND)

    def _refused(self, reason: str, detail: str, until: int) -> ApiError:
        _CODES.labels(reason).inc()
        wait = max(1, (until - self._clock()) / SECOND)
        return ApiError("rate_limited", detail, retry_after=wait, policy=CODES)

    def _text(self, number: str, code: str) -> str:
        wording = self._wording
        return code_text(code, app=wording.app, to=number, language=wording.language, domain=wording.domain)

    async def _send(self, begun: _Begun) -> None:
        """Hand the code over now or never: it is not queued anywhere."""
        verification = begun.verification
        code = code_for(self._secret, verification.id)
        sms = OutgoingSms(
            to=verification.phone,
            text=self._text(verification.phone, code),
            reference=f"{encode_id('vrf', verification.id)}-{verification.sends}",
            sender=self._wording.sender,
            valid_for=(verification.expires_at - verification.sent_at) / SECOND,
            duplicate_ok=True,
        )
        started = time.monotonic()
        try:
            await self._hand_over(sms)
        except SmsError as fault:
            _CODES.labels("rejected" if isinstance(fault, Rejected) else "unavailable").inc()
            _log.warning("a code could not be sent: %s", fault)
            surely_not_sent = not (isinstance(fault, Unavailable) and fault.outcome_unknown)
            await self._db.directory().write(
                _take_back, begun, self._clock(), surely_not_sent=surely_not_sent
            )
            raise ApiError("sms_unavailable", retry_after=5) from fault
        self._took = time.monotonic() - started
        _CODES.labels("sent").inc()

    async def _hand_over(self, sms: OutgoingSms) -> None:
        """Send it, and once more if the provider was busy and said for how few seconds. Raises `SmsError`."""
        try:
            await self._provider.send(sms)
        except Unavailable as fault:
            pause = fault.retry_after
            if fault.outcome_unknown or pause is None or pause > LONGEST_PAUSE:
                raise
            await asyncio.sleep(pause)
            await self._provider.send(sms)

    async def redeem(
        self, verification_id: int | None, code: str, device_name: str, address: str
    ) -> SignedIn:
        """A session for the number that a verification was about.

        Raises `ApiError` `code_wrong` with `attempts_left`; `code_expired` when the code is of no use any more,
        or never was; `suspended` for the right code of a suspended user, which stays as it is.
        """
        if verification_id is None:
            raise ApiError("code_expired")
        right = same_code(code, code_for(self._secret, verification_id))
        token, token_hash = new_token()
        given = Try(verification_id, right, token_hash, device_name, address, self._clock())
        try:
            redeemed = await self._db.directory().join(self._redeem, given)
        except Suspended:
            raise ApiError("suspended") from None
        if redeemed.signed_in:
            _CODES.labels("redeemed").inc()
            return SignedIn(token, *redeemed.signed_in)
        if redeemed.attempts_left is None:
            _CODES.labels("expired").inc()
            raise ApiError("code_expired")
        _CODES.labels("wrong").inc()
        raise ApiError("code_wrong", attempts_left=redeemed.attempts_left)

    def _redeem(self, tx: Tx, tries: Sequence[Try]) -> list[Redeemed | Suspended]:
        """Count tries, each against its verification alone: a neighbour's tries must not refuse a right code."""
        outcomes = store.redeem(tx, tries)
        for given, outcome in zip(tries, outcomes, strict=True):
            if isinstance(outcome, Redeemed) and outcome.signed_in:
                phone = outcome.signed_in[0].phone
                assert phone is not None
                count_redeemed(tx, phone, given.now)
                quota_store.remember(tx, self._acquaintance(phone, given.ip), given.now + ACQUAINTED_FOR)
        return outcomes


def _take_back(tx: Tx, begun: _Begun, now: int, *, surely_not_sent: bool) -> None:
    # The quotas first, as `begin` does: two transactions must not wait for each other.
    undone = [quota for quota in begun.taken if is_given_back(quota, surely_not_sent=surely_not_sent)]
    quota_store.give_back(tx, undone, now)
    for quota in begun.failed:
        quota_store.add(tx, quota.key, 1, quota.window, now)
    store.not_sent(tx, begun.verification, now)


def _refuse_spent(tx: Tx, quotas: Sequence[Quota], now: int) -> None:
    """Raise `QuotaExceeded` for a quota that is used up. Takes nothing."""
    for quota in quotas:
        spent, ends_at = quota_store.used(tx, quota.key, quota.window, now)
        if spent >= quota.limit:
            raise QuotaExceeded(quota, ends_at)
