"""Accepted messages per second through core, without HTTP: 200 senders, each with one message in flight.

python -m bench.core [--seconds 10] [--senders 200] [--text 200]
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time
from collections.abc import Sequence
from statistics import mean, median

import uvloop

from bench.engines import ENGINES, fresh_store
from duologue.clock import DAY, now_ms
from duologue.core.accounts import Accounts
from duologue.core.chats import Chats
from duologue.core.messages import Messages
from duologue.core.sessions import Caller, Sessions
from duologue.core.traces import Traces
from duologue.model import Event, Kind
from duologue.storage.engines import make_database


class Batches:
    """Counts how many messages each commit held."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def committed(self, events: Sequence[Event]) -> None:
        created = sum(event.kind == Kind.MESSAGE_CREATED for event in events)
        if created:
            self.sizes.append(created // 2)

    def in_doubt(self) -> None:
        raise AssertionError("nothing is killed here")


async def measure(url: str, senders: int, seconds: float, text: str) -> str:
    batches = Batches()
    db = make_database(url, now_ms)
    await db.open(batches)
    sessions, chats = Sessions(db, now_ms, idle_after=90 * DAY), Chats(db, now_ms, limited=False)
    accounts = Accounts(db, now_ms, sessions, chats)
    messages = Messages(db, now_ms, chats, Traces(db, now_ms, kept=True))
    callers, pairs = [], []
    for number in range(senders):
        signed = await accounts.sign_in(f"+3361{number:07d}", "", "127.0.0.1")
        callers.append(Caller(signed.user.id, signed.session.id))
        pairs.append(await chats.pair_to(signed.user.id, f"+3362{number:07d}"))
    sent = 0
    stop_at = time.perf_counter() + seconds

    async def send(number: int) -> None:
        nonlocal sent
        count = 0
        while time.perf_counter() < stop_at:
            count += 1
            client_id = f"{number:08x}-0000-7000-8000-{count:012x}"
            await messages.send(callers[number], pairs[number], text, client_id, None)
            sent += 1

    batches.sizes.clear()
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.gather(*(send(number) for number in range(senders)))
    elapsed, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / sent
    await db.close()
    return (
        f"{sent / elapsed:9,.0f} messages/s   batch mean {mean(batches.sizes):5.0f}, median"
        f" {median(batches.sizes):5.0f}   {cpu * 1e6:5.0f} µs CPU of this process a message"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--senders", type=int, default=200)
    parser.add_argument("--text", type=int, default=200, help="characters in a message")
    options = parser.parse_args()
    for engine in ENGINES:
        with fresh_store(engine) as url:
            work = measure(url, options.senders, options.seconds, "x" * options.text)
            print(f"{engine:12} {uvloop.run(work)}")


if __name__ == "__main__":
    main()
