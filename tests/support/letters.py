"""A durable queue of the tests' own: letters to targets, on one node or several."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from duologue.clock import DAY
from duologue.core.jobs import LEASE
from duologue.storage.database import Tx
from duologue.storage.tables import jobs
from tests.contract.store import Store, opened
from tests.support.sign_in import Clock

DONE: Final = 2  # a state of this queue's own
TABLE = """
CREATE TABLE letters (id BIGINT PRIMARY KEY, target TEXT NOT NULL, seq INTEGER NOT NULL,
    state INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, created_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, ended_at BIGINT, reason TEXT NOT NULL DEFAULT '');
CREATE UNIQUE INDEX letters_of_target ON letters (target, seq);
CREATE INDEX letters_open ON letters (next_at) WHERE state <= 1;
CREATE INDEX letters_waiting ON letters (target, seq) WHERE state <= 1;
"""


class Letter(msgspec.Struct, frozen=True):
    """A job: something for a target."""

    id: int
    target: str
    seq: int
    state: int
    attempts: int
    next_at: int
    expires_at: int
    reason: str


LETTERS: Final = jobs.Queue(
    "letters",
    ("target",),
    "id, target, seq, state, attempts, next_at, expires_at, reason",
    lambda row: Letter(*row),
)


class Letters:
    """The queue on one node."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.db = store.db
        self.clock = clock

    async def add(self, *names: str, valid_for: int = DAY) -> None:
        """Queue `a1`, the first letter for target a, and so on."""
        for name in names:
            now = self.clock()
            await self.db.write(jobs.enqueue, LETTERS, now, now + valid_for, int(name[1:]), target=name[0])

    async def lease(self, limit: int = 10, *, spare_expired: bool = False) -> list[Letter]:
        """The jobs that a node takes now, by their names."""
        now = self.clock()
        leased = await self.db.write(
            jobs.lease, LETTERS, now, now + LEASE, limit, spare_expired=spare_expired
        )
        return sorted(leased, key=lambda letter: (letter.target, letter.seq))

    async def end(self, letter: Letter, state: int = DONE, reason: str = "") -> bool:
        """Settle a job; whether the lease was still ours."""
        return await self.db.write(jobs.end, LETTERS, letter, state, reason, self.clock())

    async def put_off(self, letter: Letter, wait: int, reason: str = "later") -> bool:
        """Have a job wait; whether the lease was still ours."""
        return await self.db.write(jobs.put_off, LETTERS, letter, self.clock() + wait, reason)

    async def states(self) -> dict[str, int]:
        """Every job by its name, with its state."""
        rows = await self.db.read(lambda tx: tx.all("SELECT target, seq, state FROM letters ORDER BY 1, 2"))
        return {f"{target}{seq}": state for target, seq, state in rows}


def names(letters: Sequence[Letter]) -> list[str]:
    return [f"{letter.target}{letter.seq}" for letter in letters]


def make_table(tx: Tx) -> None:
    for statement in filter(str.strip, TABLE.split(";")):
        tx.run(statement)


@contextlib.asynccontextmanager
async def letters_of(url: str, clock: Clock, *, first: bool) -> AsyncIterator[Letters]:
    """The queue on a node; the `first` one makes the table."""
    async with opened(url, clock) as store:
        if first:
            await store.db.write(make_table)
        yield Letters(store, clock)
