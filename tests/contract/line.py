"""A store whose commits go over a faulty bus to readers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from duologue.clock import now_ms
from duologue.core.events import Publisher
from duologue.core.feed import Feed
from duologue.core.positions import Position, present
from duologue.core.rates import Rates
from duologue.errors import ApiError
from duologue.model import Pair
from duologue.realtime.bus import Bus, BusHandler, LocalBus, Notice, Signal
from duologue.realtime.hub import Hub
from duologue.storage.database import OneShard
from duologue.storage.tables.events import NOWHERE, LogHead, log_head, trim_logs
from tests.contract.store import PATIENCE, Store

FOR_EVER = 1 << 60


class FaultyBus:
    """A bus at its worst: it loses, repeats, delays and so reorders what another carries."""

    alone = True

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._dice = random.Random(4)
        self.lose = self.repeat = self.delay = 0.0
        self.mute = False

    async def start(self, handler: BusHandler) -> None:
        await self._bus.start(handler)

    async def close(self) -> None:
        await self._bus.close()

    def connected(self) -> bool:
        return self._bus.connected()

    def as_of(self) -> float:
        return self._bus.as_of()

    def wants(self, user_id: int) -> bool:
        return self._bus.wants(user_id)

    def publish(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            if self.mute or self._dice.random() < self.lose:
                continue
            for _ in range(1 + (self._dice.random() < self.repeat)):
                if self._dice.random() < self.delay:
                    wait = self._dice.expovariate(100)
                    asyncio.get_running_loop().call_later(wait, self._bus.publish, [notice])
                else:
                    self._bus.publish([notice])

    def publish_signal(self, signal: Signal) -> None:
        self._bus.publish_signal(signal)


class CountingDatabase:
    """Passes reads on, counts them, and fails when it is told to."""

    def __init__(self, db: OneShard) -> None:
        self._db = db
        self.reads = 0
        self.faults: list[Exception] = []

    def of_user(self, _user_id: int) -> CountingDatabase:
        return self

    async def read(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.reads += 1
        if self.faults:
            raise self.faults.pop()
        return await self._db.read(fn, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


class Diary:
    """A reader that writes down what it is given. While `gate` is closed it takes no more."""

    def __init__(self, db: OneShard, hub: Hub, user_id: int) -> None:
        self._db = db
        self.user_id = user_id
        self.feed = Feed(db, hub, user_id, self, Rates(limited=False))
        self.seqs: list[int] = []
        self.foreseen: list[int] = []
        self.errors: list[ApiError] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.held = False
        self.caught_up_at: list[int] = []

    async def follow(self, after: int | None, at: int = 0) -> Diary:
        await self.feed.open(None if after is None else Position(after, at), self._look)
        self.feed.start(lambda: self.caught_up_at.append(len(self.seqs)))
        return self

    async def _look(self, asked: int | None) -> tuple[LogHead, None]:
        head = await self._db.read(log_head, self.user_id, NOWHERE if asked is None else asked)
        return present(head), None

    def emit(self, notice: Notice) -> None:
        self.seqs.append(notice.seq)

    def on_upcoming(self, notice: Notice) -> None:
        self.foreseen.append(notice.seq)

    async def drained(self) -> None:
        self.held = not self.gate.is_set()
        await self.gate.wait()
        self.held = False

    def failed(self, error: ApiError) -> None:
        self.errors.append(error)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.005)

    async def has(self, seq: int) -> None:
        await self.until(lambda: self.seqs and self.seqs[-1] >= seq)


class Line:
    """A store whose commits go over a faulty bus to a hub."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.hub = Hub()
        self.bus = FaultyBus(LocalBus())
        self.db = CountingDatabase(store.db)

    async def newest(self, user_id: int) -> int:
        return (await self.store.log_span(user_id))[0]

    async def talk(self, pair: Pair, side: int, name: str, count: int) -> None:
        """Send, one after the other as fast as the store takes them."""
        for number in range(count):
            await self.store.send(pair, side, f"{name}-{number}")

    async def trim_all(self) -> None:
        user: int | None = 0
        while user is not None:
            user, _ = await self.store.db.write(trim_logs, user, FOR_EVER)

    def diary(self, user_id: int) -> Diary:
        return Diary(cast(OneShard, self.db), self.hub, user_id)


@asynccontextmanager
async def laid(url: str) -> AsyncIterator[Line]:
    line = Line(Store(url, now_ms))
    await line.bus.start(line.hub)
    await line.store.db.open(Publisher(line.bus, line.hub))
    try:
        yield line
    finally:
        await line.store.db.close()
        await line.bus.close()
