"""Retention: what is old or over goes, in steps so small that no writer notices.

A `clock` here is a node's settled one (`duologue.clock.SteadyClock.settled`): it doesn't jump ahead.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from duologue.clock import DAY, Clock
from duologue.errors import ApiError
from duologue.storage.database import Database, Shard
from duologue.storage.tables.accounts import end_sessions, idle_sessions, touch_sessions
from duologue.storage.tables.events import trim_logs
from duologue.storage.tables.nodes import purge_nodes
from duologue.storage.tables.outbox import purge as purge_outbox
from duologue.storage.tables.quotas import purge_quotas
from duologue.storage.tables.sms_ids import purge_ids
from duologue.storage.tables.traces import purge_traces
from duologue.storage.tables.unplaced import purge_unplaced
from duologue.storage.tables.verifications import purge_verifications

_log = logging.getLogger(__name__)

_BETWEEN_STEPS: Final = 0.05  # seconds
_BETWEEN_ROUNDS: Final = 3600.0  # seconds


async def trim_round(db: Database, clock: Clock, retention_ms: int) -> int:
    """Go once over all logs; how many events went. A log far behind takes several rounds."""
    return sum([await _trim_shard(shard, clock, retention_ms) for shard in db.every_shard()])


async def _trim_shard(shard: Shard, clock: Clock, retention_ms: int) -> int:
    user: int | None = 0
    dropped = 0
    while user is not None:
        user, gone = await shard.write(trim_logs, user, clock() - retention_ms)
        dropped += gone
        await asyncio.sleep(_BETWEEN_STEPS)
    return dropped


async def trim_forever(db: Database, clock: Clock, retention_ms: int) -> None:
    """The background loop: rounds follow each other at once while there is something to drop, else hourly."""
    while True:
        try:
            dropped = await trim_round(db, clock, retention_ms)
        except ApiError as fault:
            _log.warning("retention waits: %s", fault)
            dropped = 0
        if dropped:
            _log.info("%d events were older than the retention", dropped)
        else:
            await asyncio.sleep(_BETWEEN_ROUNDS)


async def expire_round(db: Database, clock: Clock, idle_after: int) -> int:
    """End each session that was not used for `idle_after` (ms), with its event; how many ended.

    One that seems to have been used in the future counts as used now.
    """
    return sum([await _expire_in(shard, clock, idle_after) for shard in db.every_shard()])


async def _expire_in(shard: Shard, clock: Clock, idle_after: int) -> int:
    after: int | None = 0
    ended = 0
    while after is not None:
        now = clock()
        used_since = now - idle_after
        after, idle = await shard.read(idle_sessions, after, used_since, now + DAY)
        for each in idle:
            if each.last_seen_at > now:
                await shard.write(touch_sessions, {each.id: now})
                continue
            ended += len(await shard.write(end_sessions, each.user_id, [each.id], now, used_since))
        await asyncio.sleep(_BETWEEN_STEPS)
    return ended


async def sweep_round(db: Database, clock: Clock, traced_for: int) -> int:
    """Forget verifications and quotas whose time is over, and traces older than `traced_for` (ms); how many went."""
    return sum([await _sweep_shard(shard, clock, traced_for) for shard in db.every_shard()])


async def _sweep_shard(shard: Shard, clock: Clock, traced_for: int) -> int:
    swept = 0
    for purge, age in (
        (purge_verifications, 0),
        (purge_quotas, 0),
        (purge_traces, traced_for),
        (purge_outbox, traced_for),
        (purge_ids, traced_for),
        (purge_unplaced, traced_for),
        (purge_nodes, DAY),
    ):
        while gone := await shard.write(purge, clock() - age):
            swept += gone
            await asyncio.sleep(_BETWEEN_STEPS)
    return swept


async def tidy_forever(db: Database, clock: Clock, idle_after: int, traced_for: int) -> None:
    """The background loop for what ends by itself: sessions left idle, codes, allowances, traces. Hourly."""
    while True:
        try:
            ended = await expire_round(db, clock, idle_after)
            await sweep_round(db, clock, traced_for)
        except ApiError as fault:
            _log.warning("tidying waits: %s", fault)
        else:
            if ended:
                _log.info("%d sessions ended because they were not used", ended)
        await asyncio.sleep(_BETWEEN_ROUNDS)
