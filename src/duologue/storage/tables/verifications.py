"""Verifications: who may be sent a code, and whether one was redeemed.

One that was begun in the future is void: a clock was ahead then, and its times say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from duologue.clock import HOUR, MINUTE, SECOND, SLACK
from duologue.model import new_id
from duologue.storage.database import Tx
from duologue.storage.lists import id_list
from duologue.storage.tables import quotas
from duologue.storage.tables.quotas import Quota
from duologue.storage.tables.sign_in import (
    NewSession,
    SignedInUser,
    Suspended,
    parts_without_twins,
    repeated,
    sign_in,
)

LIFETIME: Final = 10 * MINUTE
"""Of a code, from the first time that it is sent."""
SHORTEST: Final = 2 * MINUTE
"""What a code must still have to live to be sent again; else a new one is sent."""
MAX_ATTEMPTS: Final = 5  # wrong codes
WAITS: Final = (60 * SECOND, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, HOUR)
"""What must pass after the first, second … send before the next one."""
_COLUMNS: Final = (
    "id, phone, created_at, sent_at, next_send_at, expires_at, consumed_at, sends, attempts, voided_at"
)
_USABLE: Final = (
    " AND attempts < :most AND consumed_at IS NULL AND voided_at IS NULL AND expires_at > :now"
    " AND created_at <= :latest"
)
_PURGE: Final = 1_000  # rows


class Verification(msgspec.Struct, frozen=True, gc=False):
    """A code that was sent to a phone number, on behalf of somebody at a network address."""

    id: int
    phone: str
    created_at: int
    sent_at: int
    next_send_at: int
    expires_at: int
    consumed_at: int | None
    sends: int
    attempts: int
    voided_at: int | None = None

    def usable(self, now: int) -> bool:
        """Tell whether its code can still be redeemed."""
        unused = self.consumed_at is None and self.voided_at is None
        alive = self.created_at - SLACK <= now < self.expires_at
        return unused and self.attempts < MAX_ATTEMPTS and alive


class TooSoon(Exception):
    """The last code went out a moment ago; at `next_send_at` (epoch ms) another may."""

    def __init__(self, next_send_at: int) -> None:
        self.next_send_at = next_send_at
        super().__init__(next_send_at)


class Redeemed(msgspec.Struct, frozen=True, gc=False):
    """Outcome of a code: a session, or the number of tries left (None when it can't be tried any more)."""

    signed_in: SignedInUser | None
    attempts_left: int | None


def begin(tx: Tx, phone: str, address: str, allowances: Sequence[Quota], now: int) -> Verification:
    """Count one more code to a number, and say under which verification it goes.

    A code that can still be redeemed for two minutes or more is sent again under its old id, so it is the same code,
    and it ends when it would have ended anyway. Attempts belong to the verification, which belongs to the number and
    the asking `address`: burning them locks nobody else out.
    Raises `TooSoon` and `QuotaExceeded`; nothing is counted then.
    """
    quotas.take(tx, allowances, now)
    last = _last(tx, phone, address, now)
    if last and last.sent_at <= now - WAITS[-1]:
        last = None
    if last and last.consumed_at is None and now < last.next_send_at:
        raise TooSoon(last.next_send_at)
    if last is None or last.consumed_at is not None:
        return _insert(tx, phone, address, 1, now)
    if not last.usable(now) or last.expires_at < now + SHORTEST:
        return _insert(tx, phone, address, last.sends % len(WAITS) + 1, now)
    sends = last.sends % len(WAITS) + 1
    row = tx.one(
        "UPDATE verifications SET sends = :sends, sent_at = :now, next_send_at = :next_send_at"
        f" WHERE id = :id RETURNING {_COLUMNS}",
        sends=sends,
        now=now,
        next_send_at=now + WAITS[sends - 1],
        id=last.id,
    )
    assert row is not None
    return Verification(*row)


def _last(tx: Tx, phone: str, address: str, now: int) -> Verification | None:
    row = tx.one(
        f"SELECT {_COLUMNS} FROM verifications WHERE phone = :phone AND address = :address"
        " AND created_at <= :latest AND sent_at <= :latest ORDER BY created_at DESC LIMIT 1",
        phone=phone,
        address=address,
        latest=now + SLACK,
    )
    return Verification(*row) if row else None


def _insert(tx: Tx, phone: str, address: str, sends: int, now: int) -> Verification:
    verification = Verification(
        new_id(), phone, now, now, now + WAITS[sends - 1], now + LIFETIME, None, sends, 0
    )
    tx.run(
        "INSERT INTO verifications (id, phone, address, created_at, sent_at, next_send_at, expires_at, sends)"
        " VALUES (:id, :phone, :address, :now, :now, :next_send_at, :expires_at, :sends)",
        id=verification.id,
        phone=phone,
        address=address,
        now=now,
        next_send_at=verification.next_send_at,
        expires_at=verification.expires_at,
        sends=sends,
    )
    return verification


def not_sent(tx: Tx, verification: Verification, now: int) -> None:
    """The code could not be handed to the network: this send doesn't count, and another may follow at once."""
    tx.run(
        "UPDATE verifications SET next_send_at = :now, sends = sends - 1 WHERE id = :id AND sent_at = :sent_at",
        now=now,
        id=verification.id,
        sent_at=verification.sent_at,
    )


class Try(msgspec.Struct, frozen=True, gc=False):
    """Somebody's attempt to redeem a code, and the session that a right one is to make, at a time (epoch ms)."""

    verification_id: int
    right: bool
    token_hash: bytes
    device_name: str
    ip: str
    now: int


def redeem(tx: Tx, tries: Sequence[Try]) -> list[Redeemed | Suspended]:
    """Count tries and, where the code was right, consume it and sign its number in; all at the newest of their times.

    Tries of one verification are counted one after the other. One statement counts and consumes, so that of many
    tries at once at most five count and one succeeds. The right code of a suspended user stays as it is.
    """
    # Before any verification is touched: in one order everywhere, so nodes can't deadlock.
    tx.lock_logs()
    now = max((given.now for given in tries), default=0)
    outcomes: dict[int, Redeemed | Suspended] = {}
    for part in parts_without_twins(list(enumerate(tries)), lambda entry: entry[1].verification_id):
        of_part = _redeem_each_once(tx, [given for _, given in part], now)
        outcomes |= dict(zip((place for place, _ in part), of_part, strict=True))
    return [outcomes[place] for place in range(len(tries))]


def _redeem_each_once(tx: Tx, tries: Sequence[Try], now: int) -> list[Redeemed | Suspended]:
    """Redeem verifications of which no two are one."""
    wrong = [given.verification_id for given in tries if not given.right]
    right = [given.verification_id for given in tries if given.right]
    barred = _barred(tx, right, now)
    counted = _count(tx, wrong, now, right=False)
    counted |= _count(tx, [each for each in right if each not in barred], now, right=True)
    made = _made(tx, [given for given in tries if given.right], counted, now)
    outcomes: list[Redeemed | Suspended] = []
    for given in tries:
        _, attempts_left = counted.get(given.verification_id, (None, None))
        is_barred = given.verification_id in barred
        outcomes.append(Suspended() if is_barred else Redeemed(made.get(given.token_hash), attempts_left))
    return outcomes


def _barred(tx: Tx, ids: Sequence[int], now: int) -> set[int]:
    """Find those of these verifications that could be redeemed if their numbers' users weren't suspended."""
    if not ids:
        return set()
    listed, values = id_list(ids)
    rows = tx.all(
        f"SELECT id FROM verifications WHERE id IN {listed}{_USABLE} AND EXISTS"
        " (SELECT 1 FROM users u WHERE u.phone = verifications.phone AND u.suspended_at IS NOT NULL)",
        **_usable_at(now),
        **values,
    )
    return {row[0] for row in rows}


def _count(tx: Tx, ids: Sequence[int], now: int, *, right: bool) -> dict[int, tuple[str, int]]:
    """Count a try of each usable verification, and consume it if the code was right; its number and tries left."""
    if not ids:
        return {}
    listed, values = id_list(ids)
    rows = tx.all(
        "UPDATE verifications SET attempts = attempts + 1,"
        " consumed_at = CASE WHEN :is_right = 1 THEN :now ELSE consumed_at END"
        f" WHERE id IN {listed}{_USABLE} RETURNING id, phone, attempts",
        is_right=int(right),
        **_usable_at(now),
        **values,
    )
    return {row[0]: (row[1], MAX_ATTEMPTS - row[2]) for row in rows}


def _usable_at(now: int) -> dict[str, int]:
    """Parameters of `_USABLE`."""
    return {"now": now, "most": MAX_ATTEMPTS, "latest": now + SLACK}


def _made(
    tx: Tx, tries: Sequence[Try], counted: Mapping[int, tuple[str, int]], now: int
) -> dict[bytes, SignedInUser]:
    """Sign in the numbers whose right codes were counted; the session of each token."""
    wanted = [
        NewSession(counted[given.verification_id][0], given.token_hash, given.device_name, given.ip, now)
        for given in tries
        if given.verification_id in counted
    ]
    made = dict(zip((new.token_hash for new in wanted), sign_in(tx, wanted), strict=True)) if wanted else {}
    rest = [given.token_hash for given in tries if given.token_hash not in made]
    # The same call again, because nobody could tell whether its first commit had come through.
    return repeated(tx, rest) | {
        token: each for token, each in made.items() if not isinstance(each, Suspended)
    }


def of_phone(tx: Tx, phone: str) -> list[Verification]:
    """List the verifications of a number, whoever asked for them, until they are purged."""
    rows = tx.all(f"SELECT {_COLUMNS} FROM verifications WHERE phone = :phone", phone=phone)
    return [Verification(*row) for row in rows]


def void(tx: Tx, verification_id: int, now: int) -> bool:
    """Have its code redeemed never more; False if it was void before."""
    voided = tx.run(
        "UPDATE verifications SET voided_at = :now WHERE id = :id AND voided_at IS NULL",
        now=now,
        id=verification_id,
    )
    return voided > 0


def purge_verifications(tx: Tx, now: int) -> int:
    """Forget those that ended an hour ago, a step at a time; how many went."""
    return tx.run(
        "DELETE FROM verifications WHERE id IN (SELECT id FROM verifications WHERE expires_at <= :before"
        " ORDER BY expires_at LIMIT :step)",
        before=now - HOUR,
        step=_PURGE,
    )
