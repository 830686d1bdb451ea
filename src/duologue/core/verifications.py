"""Proving a phone number by a code sent to it."""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

import msgspec
from prometheus_client import Counter, Gauge

from duologue.clock import DAY, HOUR, SECOND, Clock
from duologue.core.accounts import SignedIn
from duologue.core.addresses import address_block, is_local
from duologue.core.phones import parse_phone
from duologue.core.secret import code_for, same_code
from duologue.core.sessions import new_token
from duologue.core.sms_policy import SmsPolicy, conversion_keys, conversion_quotas, is_budget
from duologue.errors import ApiError
from duologue.model import encode_id
from duologue.sms.provider import OutgoingSms, Provider, Rejected, SmsError
from duologue.sms.templates import code_text
from duologue.storage import quotas as quota_store
from duologue.storage import verifications as store
from duologue.storage.database import Database, Tx
from duologue.storage.quotas import Quota, QuotaExceeded
from duologue.storage.verifications import Redeemed, TooSoon, Verification

_log = logging.getLogger(__name__)

_CHECKS_PER_HOUR: Final = 60
_CODES = Counter("duologue_codes_total", "Sign-in codes, by what became of them.", ["outcome"])
_BUDGET_SPENT = Gauge(
    "duologue_sms_budget_exhausted", "1 while no code is sent because the day's money is spent."
)


class Wording(msgspec.Struct, frozen=True):
    """How the text of a code reads: the product's name, a language for all, the domain that browsers bind it to."""

    app: str = "Duologue"
    language: str | None = None
    domain: str | None = None


class Verifications:
    """The rules for codes: to whom, how often, at what cost, and what redeems one."""

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

    async def start(self, phone: str, address: str) -> Verification:
        """Send a code. Whether the number has an account is never looked at, so no answer can tell.

        Raises `ApiError` `invalid_phone`, `country_not_allowed`, `rate_limited`, `sms_budget_spent`,
        `sms_unavailable`.
        """
        number = parse_phone(phone)
        self._policy.check_country(number)
        now = self._clock()
        cost = self._policy.cost(number, self._text(number, "000000"))
        allowances = self._policy.quotas(number, address, cost)
        begin = partial(_begin, phone=number, block=_asker(address), allowances=allowances, now=now)
        try:
            verification = await self._db.write(begin)
        except TooSoon as fault:
            raise self._refused("too_soon", fault.next_send_at) from None
        except QuotaExceeded as fault:
            raise self._over(fault) from None
        _BUDGET_SPENT.set(0)
        await self._send(verification)
        return verification

    def _over(self, fault: QuotaExceeded) -> ApiError:
        if not is_budget(fault.quota):
            return self._refused(fault.quota.key.partition(":")[0], fault.ends_at)
        _BUDGET_SPENT.set(1)
        _CODES.labels("budget_spent").inc()
        _log.error("no codes are sent until the day is over: the SMS budget is spent")
        return ApiError("sms_budget_spent", retry_after=(fault.ends_at - self._clock()) / SECOND)

    def _refused(self, reason: str, until: int) -> ApiError:
        _CODES.labels(reason.replace("-", "_")).inc()
        wait = max(1, (until - self._clock()) / SECOND)
        return ApiError("rate_limited", "A code can't be sent to this number now.", retry_after=wait)

    def _text(self, number: str, code: str) -> str:
        wording = self._wording
        return code_text(code, app=wording.app, to=number, language=wording.language, domain=wording.domain)

    async def _send(self, verification: Verification) -> None:
        """Hand the code over now or never: it is not queued anywhere."""
        code = code_for(self._secret, verification.id)
        sms = OutgoingSms(
            to=verification.phone,
            text=self._text(verification.phone, code),
            reference=f"{encode_id('vrf', verification.id)}-{verification.sends}",
            valid_for=(verification.expires_at - verification.sent_at) / SECOND,
            duplicate_ok=True,
        )
        try:
            await self._provider.send(sms)
        except SmsError as fault:
            _CODES.labels("rejected" if isinstance(fault, Rejected) else "unavailable").inc()
            _log.warning("a code could not be sent: %s", fault)
            await self._db.write(store.not_sent, verification.id, self._clock())
            raise ApiError("sms_unavailable", retry_after=5) from fault
        _CODES.labels("sent").inc()

    async def redeem(
        self, verification_id: int | None, code: str, device_name: str, address: str
    ) -> SignedIn:
        """A session for the number that a verification was about.

        Raises `ApiError` `code_wrong` with `attempts_left`; `code_expired` when the code is of no use any more,
        or never was; `rate_limited`.
        """
        if verification_id is None:
            raise ApiError("code_expired")
        right = same_code(code, code_for(self._secret, verification_id))
        token, token_hash = new_token()
        work = partial(
            _redeem,
            verification_id=verification_id,
            token_hash=token_hash,
            device_name=device_name,
            address=address,
            now=self._clock(),
            right=right,
        )
        try:
            redeemed = await self._db.write(work)
        except QuotaExceeded as fault:
            raise self._refused("checks", fault.ends_at) from None
        if redeemed.signed_in is None:
            _CODES.labels("wrong" if redeemed.attempts_left else "expired").inc()
            if redeemed.attempts_left:
                raise ApiError("code_wrong", attempts_left=redeemed.attempts_left)
            raise ApiError("code_expired")
        _CODES.labels("redeemed").inc()
        return SignedIn(token, *redeemed.signed_in)


def _asker(address: str) -> str:
    return "local" if is_local(address) else address_block(address)


def _begin(tx: Tx, *, phone: str, block: str, allowances: list[Quota], now: int) -> Verification:
    held_to = conversion_quotas(tx, phone, now)
    verification = store.begin(tx, phone, block, [*allowances, *held_to], now)
    quota_store.add(tx, conversion_keys(phone)[0], 1, DAY, now)
    return verification


def _redeem(
    tx: Tx, *, verification_id: int, token_hash: bytes, device_name: str, address: str, now: int, right: bool
) -> Redeemed:
    if not is_local(address):
        quota_store.take(tx, [Quota(f"checks:{address_block(address)}", _CHECKS_PER_HOUR, HOUR)], now)
    redeemed = store.redeem(tx, verification_id, token_hash, device_name, address, now, right=right)
    if redeemed.signed_in:
        phone = redeemed.signed_in[0].phone
        assert phone is not None
        quota_store.add(tx, conversion_keys(phone)[1], 1, DAY, now)
    return redeemed
