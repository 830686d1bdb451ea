"""Durable queues: jobs that whichever node gets to them does, in the order of their key, until they are settled.

A job is leased by one node at a time; `attempts` tells the leases apart, so that a node whose lease has run out can't
settle what another has taken over.

A queue is a table with its key's columns and at least these: `id`, `seq`, `state`, `attempts`, `created_at`,
`next_at`, `expires_at`, `ended_at`, `reason`. It needs an index on `next_at` and one on its key and `seq`, both
`WHERE state <= 1`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from duologue.model import new_id
from duologue.storage.database import Row, Tx
from duologue.storage.lists import id_list

QUEUED: Final = 0  # a state, as stored
LEASED: Final = 1  # a state, as stored
CANCELLED: Final = 6  # a state, as stored
DEAD: Final = 7
"""States of every queue, as stored. Those between are its own: what became of jobs that were done."""
_STEP: Final = 500  # rows


class Job(Protocol):
    """A row of a queue, with its key's columns as attributes too. Times are epoch milliseconds."""

    @property
    def id(self) -> int: ...

    @property
    def seq(self) -> int:
        """Its place among the jobs of its key."""
        ...

    @property
    def attempts(self) -> int:
        """Number of times it was leased."""
        ...

    @property
    def expires_at(self) -> int: ...

    @property
    def reason(self) -> str:
        """Reason why it waits, or ended as it did."""
        ...


J = TypeVar("J", bound=Job)


class Queue(msgspec.Struct, Generic[J], frozen=True):
    """Description of a queue: its table, the columns of its key, and those that `load` makes a job of.

    Jobs of one key are done one after the other.
    """

    table: str
    key: tuple[str, ...]
    columns: str
    load: Callable[[Sequence[Any]], J]

    def same_key(self, one: str, other: str) -> str:
        """The condition that two rows, by their aliases, have one key."""
        return " AND ".join(f"{one}.{name} = {other}.{name}" for name in self.key)

    def has_key(self) -> str:
        """The condition that a row has the key of the parameters `key_of` makes."""
        return " AND ".join(f"{name} = :{name}" for name in self.key)

    def key_of(self, job: J) -> dict[str, Any]:
        """A job's key as parameters."""
        return {name: getattr(job, name) for name in self.key}


def enqueue(tx: Tx, queue: Queue[J], now: int, expires_at: int, seq: int, **key: Any) -> None:
    """Have a job done, once by the table's unique keys; not before those that wait in front of it."""
    before = tx.one(
        f"SELECT next_at, reason FROM {queue.table} WHERE {queue.has_key()} AND state = 0 AND next_at > :now"
        " ORDER BY next_at DESC LIMIT 1",
        now=now,
        **key,
    )
    next_at, reason = before or (now, "")
    tx.run(
        f"INSERT INTO {queue.table} (id, {', '.join(key)}, created_at, next_at, expires_at, seq, reason)"
        f" VALUES (:id, {', '.join(f':{name}' for name in key)}, :now, :next_at, :expires_at, :seq, :reason)"
        " ON CONFLICT DO NOTHING",
        id=new_id(),
        now=now,
        next_at=next_at,
        expires_at=expires_at,
        seq=seq,
        reason=reason,
        **key,
    )


def lease(
    tx: Tx, queue: Queue[J], now: int, until: int, limit: int, *, spare_expired: bool = False
) -> list[J]:
    """Take the next few jobs, the first of each key, in no order; nobody else gets them meanwhile.

    What a node had leased when it died comes again after `until`. With `spare_expired`, what is too old to be done is
    left where it is: the clock may be wrong.
    """
    rows = tx.all(
        # Said twice: on PostgreSQL another node may have leased a row since it was looked up.
        f"UPDATE {queue.table} SET state = 1, next_at = :until,"
        " attempts = attempts + 1 WHERE state <= 1 AND next_at <= :now AND id IN ("
        f"SELECT o.id FROM {queue.table} o WHERE o.state <= 1 AND o.next_at <= :now AND o.expires_at > :expired"
        # A minimum is one look into the index; "nothing before it" may be planned as a join of all with all.
        f" AND o.seq = (SELECT min(e.seq) FROM {queue.table} e WHERE {queue.same_key('e', 'o')}"
        " AND e.state <= 1) ORDER BY o.next_at LIMIT :limit)"
        f" RETURNING {queue.columns}",
        now=now,
        until=until,
        limit=limit,
        expired=now if spare_expired else 0,
    )
    return [queue.load(row) for row in rows]


def put_off(tx: Tx, queue: Queue[J], job: J, at: int, reason: str) -> bool:
    """Try again at `at`, because of `reason`; whether the lease was still ours.

    What stands behind it in its key waits for the same reason, and needn't be looked at before then either.
    """
    ours = _move(tx, queue, job, QUEUED, next_at=at, reason=reason)
    if ours:
        tx.run(
            f"UPDATE {queue.table} SET next_at = :at, reason = :reason WHERE {queue.has_key()}"
            # The partial index has the condition `state <= 1`, and serves no query that doesn't say so.
            " AND seq > :seq AND state <= 1 AND state = 0 AND next_at < :at",
            at=at,
            reason=reason,
            seq=job.seq,
            **queue.key_of(job),
        )
    return ours


def try_again(tx: Tx, queue: Queue[J], job: J, at: int, reason: str, now: int) -> bool:
    """Put a job off that failed because of `reason`; False if it is dead, as it will have expired by `at`."""
    if at >= job.expires_at:
        end(tx, queue, job, DEAD, f"expired: {reason}", now)
        return False
    put_off(tx, queue, job, at, reason)
    return True


def expire(tx: Tx, queue: Queue[J], job: J, now: int) -> bool:
    """End a job that is too old to be done; whether the lease was still ours."""
    return end(tx, queue, job, DEAD, f"expired: {job.reason}" if job.reason else "expired", now)


def end(tx: Tx, queue: Queue[J], job: J, state: int, reason: str, now: int) -> bool:
    """Settle a job in a state above `LEASED`, because of `reason`; whether the lease was still ours."""
    return _move(tx, queue, job, state, next_at=now, reason=reason, ended_at=now)


def _move(
    tx: Tx,
    queue: Queue[J],
    job: J,
    state: int,
    *,
    next_at: int,
    reason: str,
    ended_at: int | None = None,
) -> bool:
    moved = tx.run(
        f"UPDATE {queue.table} SET state = :state, next_at = :next_at, reason = :reason, ended_at = :ended_at"
        " WHERE id = :id AND attempts = :attempts AND state <= 1",
        state=int(state),
        next_at=next_at,
        reason=reason,
        ended_at=ended_at,
        id=job.id,
        attempts=job.attempts,
    )
    return moved > 0


def wake(tx: Tx, queue: Queue[J], reason: str, now: int, **key: Any) -> None:
    """Have a key's jobs tried at once if what stands first among them waits for this reason."""
    tx.run(
        f"UPDATE {queue.table} SET next_at = :now WHERE {queue.has_key()} AND state <= 1 AND state = 0"
        f" AND next_at > :now AND EXISTS (SELECT 1 FROM {queue.table} e WHERE"
        f" {' AND '.join(f'e.{name} = :{name}' for name in queue.key)}"
        " AND e.state <= 1 AND e.state = 0 AND e.reason = :reason)",
        reason=reason,
        now=now,
        **key,
    )


def counts(tx: Tx, queue: Queue[J]) -> dict[int, int]:
    """Return the number of jobs in each state."""
    return dict(tx.all(f"SELECT state, count(*) FROM {queue.table} GROUP BY state"))


def oldest_due(tx: Tx, queue: Queue[J], now: int) -> int | None:
    """Since when (epoch ms) somebody should have seen to a job; None if nothing is overdue."""
    row: Row | None = tx.one(
        f"SELECT min(next_at) FROM {queue.table} WHERE state <= 1 AND next_at <= :now", now=now
    )
    return row[0] if row else None


def latest(tx: Tx, queue: Queue[J], states: Sequence[int], limit: int) -> list[J]:
    """The newest jobs in these states."""
    listed = ", ".join(str(int(state)) for state in states)
    rows = tx.all(
        f"SELECT {queue.columns} FROM {queue.table} WHERE state IN ({listed})"
        " ORDER BY created_at DESC LIMIT :limit",
        limit=limit,
    )
    return [queue.load(row) for row in rows]


def mend_future(tx: Tx, queue: Queue[J], now: int, latest_at: int, lease_ms: int) -> int:
    """Make due what a clock that was ahead has made later than `latest_at`, or leased for longer; how many jobs."""
    made = tx.run(
        f"UPDATE {queue.table} SET created_at = :now, next_at = :now WHERE created_at > :latest AND state <= 1",
        now=now,
        latest=latest_at,
    )
    return made + tx.run(
        f"UPDATE {queue.table} SET next_at = :now WHERE state <= 1 AND state = 1 AND next_at > :latest",
        now=now,
        latest=latest_at + lease_ms,
    )


def purge(tx: Tx, queue: Queue[J], before: int, above: int) -> list[int]:
    """Forget the next few jobs that were made before then and are in a state above that one; their ids."""
    rows = tx.all(
        f"SELECT id FROM {queue.table} WHERE created_at < :before AND state > :above"
        " ORDER BY created_at LIMIT :step",
        before=before,
        above=above,
        step=_STEP,
    )
    if rows:
        listed, values = id_list([row[0] for row in rows])
        tx.run(f"DELETE FROM {queue.table} WHERE id IN {listed}", **values)
    return [row[0] for row in rows]
