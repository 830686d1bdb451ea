"""`history` and `chats`: what a page costs, however much there is.

A store that grows is compared with one that stays small, on a server of its own: they are read in turns, half a
second each, so that whatever else the machine does falls on both.
"""

from __future__ import annotations

import asyncio
import random
from array import array
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Final

import msgspec

from duologue_lab.bench.fill import fill, tidy
from duologue_lab.bench.http import Http
from duologue_lab.bench.measured_server import MeasuredServer
from duologue_lab.bench.meter import Meter, Spent, quantiles, seconds_array, total
from duologue_lab.bench.people import BenchUser, People
from duologue_lab.bench.progress import ProgressBars
from duologue_lab.bench.result import Result, costs
from duologue_lab.bench.setup import BenchSetup
from duologue_lab.bench.talk import clock

_SMALL: Final = 10_000  # messages
_SIZES: Final = (1_000_000,)
_LARGE: Final = 10_000_000  # messages
_CHATS: Final = 100  # chats
_SECONDS: Final = 5.0  # seconds
_TURN: Final = 0.5  # seconds
_WARM_UP: Final = 20  # requests

Pairs = list[tuple[BenchUser, BenchUser, str]]
Read = Callable[[], Awaitable[None]]
Kind = Callable[[Http, int, Pairs], Read]


class FilledStore(msgspec.Struct):
    """A reader's chats on one server, and how many messages there are in them."""

    place: MeasuredServer
    http: Http
    pairs: Pairs
    size: int = 0

    async def fill(self, size: int, watch: ProgressBars) -> None:
        """Up to so many messages, half of them in the first chat."""
        with watch.stage(f"filling the store up to {size:,}", size - self.size) as advance:
            for pair, count in reversed(list(zip(self.pairs, _shares(size), strict=True))):
                await asyncio.to_thread(fill, self.place.store_url, pair, count, advance)
            await asyncio.to_thread(tidy, self.place.store_url)
        self.size = size


class ReadResults(msgspec.Struct):
    """Results of reading one store, in turns with another one."""

    read: Read
    meter: Meter
    laps: list[Spent]
    times: array[float]

    async def read_for(self, seconds: float) -> None:
        """One request after the other, for so long."""
        self.meter.lap()
        ends_at = clock() + seconds
        while (started := clock()) < ends_at:
            await self.read()
            self.times.append(clock() - started)
        self.laps.append(self.meter.lap())


async def history(setup: BenchSetup) -> list[Result]:
    """Pages of 50 messages at any depth of a chat that holds half of all messages."""
    return await _measure_all(setup, {"history": _history})


async def chats(setup: BenchSetup) -> list[Result]:
    """Pages of 20 chats with their last message and their unread count, which must be right."""
    return await _measure_all(setup, {"chats": _chats})


async def history_and_chats(setup: BenchSetup) -> list[Result]:
    """Both, on a store that is filled once."""
    return await _measure_all(setup, {"history": _history, "chats": _chats})


def _history(http: Http, size: int, pairs: Pairs) -> Read:
    (reader, _, chat_id), depth = pairs[0], size // 2

    async def page() -> None:
        before = random.randrange(51, depth)  # noqa: S311 - a place in a chat
        path = f"/v1/chats/{chat_id}/messages?before={before}"
        got = await http.ask("GET", path, reader.token)
        if [item["seq"] for item in got["items"]] != list(range(before - 50, before)):
            raise RuntimeError(f"GET {path} gave other messages.")

    return page


def _chats(http: Http, size: int, pairs: Pairs) -> Read:
    reader = pairs[0][0]
    # The two sides took turns, the higher id first, and the reader has read nothing.
    expected = {
        chat_id: (count + (reader.id < peer.id)) // 2
        for (_, peer, chat_id), count in zip(pairs, _shares(size), strict=True)
    }

    async def page() -> None:
        got = await http.ask("GET", "/v1/chats?limit=20", reader.token)
        for chat in got["items"]:
            if chat["unread"] != expected[chat["id"]]:
                raise RuntimeError(f"{chat['unread']} unread instead of {expected[chat['id']]}.")

    return page


async def _measure_all(setup: BenchSetup, kinds: dict[str, Kind]) -> list[Result]:
    if not setup.place.beside:
        raise ValueError("history and chats fill the store: they need a server of their own")
    real = setup.options.seconds >= 1
    small_size, sizes = (_SMALL, _SIZES) if real else (_SMALL // 10, (_SMALL,))
    results: dict[str, list[Result]] = {name: [] for name in kinds}
    with setup.place.beside() as place, closing(Http(place.url)) as http:
        small = await _store(place, http, People(http, (), setup.watch))
        await small.fill(small_size, setup.watch)
        grown = await _store(setup.place, setup.http, setup.people)
        for size in (*sizes, _LARGE) if setup.options.large else sizes:
            await grown.fill(size, setup.watch)
            for name, kind in kinds.items():
                results[name] += await _compare(setup, name, kind, small, grown)
    # The small store's own result once is enough.
    return [result for both in results.values() for result in (both[0], *both[1::2])]


async def _store(place: MeasuredServer, http: Http, people: People) -> FilledStore:
    reader, *peers = await people.get(_CHATS + 1)
    return FilledStore(place, http, await people.chats([(reader, peer) for peer in peers]))


def _shares(size: int) -> list[int]:
    """Number of messages for each chat: half of all in the first one, the rest spread over the others."""
    rest = size - size // 2
    return [size // 2, *[rest // (_CHATS - 1)] * (_CHATS - 1)]


async def _compare(
    setup: BenchSetup, name: str, kind: Kind, small: FilledStore, grown: FilledStore
) -> list[Result]:
    """The small store's result, and the grown one's with its cost as a multiple of the small one's."""
    seconds = min(_SECONDS, setup.options.seconds)
    turns = []
    for store in (small, grown):
        read = kind(store.http, store.size, store.pairs)
        for _ in range(_WARM_UP):
            await read()
        place = store.place
        turns.append(ReadResults(read, Meter(place.server, place.database, place.cores), [], seconds_array()))
    with setup.watch.stage(f"{name}, {grown.size:,} messages", round(seconds / _TURN)) as advance:
        for _ in range(max(1, round(seconds / _TURN))):
            for each in turns:
                await each.read_for(min(_TURN, seconds))
            advance()
    least, most = (
        _result(setup, name, store, each) for store, each in zip((small, grown), turns, strict=True)
    )
    compared = f"/ at {small.size:,} messages"
    most.ratios[f"p50 {compared}"] = most.latencies["page"].p50 / least.latencies["page"].p50
    most.ratios[f"CPU {compared}"] = least.figures["pages/CPU second"] / most.figures["pages/CPU second"]
    return [least, most]


def _result(setup: BenchSetup, name: str, store: FilledStore, turns: ReadResults) -> Result:
    spent, got = total(turns.laps), quantiles(turns.times)
    return Result(
        scenario=name,
        case=f"{store.size:,} messages",
        figures={"pages/s": len(turns.times) / spent.wall} | costs(spent, len(turns.times), "page"),
        shares=spent.shares(),
        latencies={"page": got},
        ratios={"p50 / round trip": got.p50 / setup.machine.round_trip_ms},
    )
