"""Several processes on one store, and processes that die: what was acknowledged is there, once, in order."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from duologue.storage.tables.messages import unpack_client_id
from tests.contract.appender import Ack, Plan
from tests.contract.store import PATIENCE, Store, contents, opened
from tests.contract.truth import assert_sound

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]


class Appender:
    """A running `tests.contract.appender`; `acks` is what it has said so far."""

    def __init__(self, plan: Plan) -> None:
        self.acks: list[Ack] = []
        self._news = threading.Condition()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.appender"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._child.stdin
        self._child.stdin.write(msgspec.json.encode(plan) + b"\n")
        self._child.stdin.flush()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._child.stdout
        for line in self._child.stdout:
            with self._news:
                self.acks.append(msgspec.json.decode(line, type=Ack))
                self._news.notify()

    def wait_for(self, count: int) -> None:
        """Until it has acknowledged so many posts."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.acks) >= count, PATIENCE)

    def wait(self) -> int:
        """Hear it out; its exit code."""
        self._reader.join()
        return self._child.wait()

    def kill(self) -> None:
        """SIGKILL, and hear its last words."""
        self._child.kill()
        self.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe
            pipe.close()


@contextlib.contextmanager
def appending(*plans: Plan) -> Iterator[list[Appender]]:
    """Processes that append all at once."""
    with contextlib.ExitStack() as stack:
        running = []
        for plan in plans:
            running.append(Appender(plan))
            stack.callback(running[-1].kill)
        yield running


async def talkative(store: Store) -> list[tuple[int, int, int]]:
    """Four chats among four users, so that both chats and logs have several writers."""
    users = [await store.user() for _ in range(4)]
    pairs = [await store.pair_of(users[a], users[b]) for a, b in ((0, 1), (0, 2), (1, 2), (2, 3))]
    return [(pair.chat_id, pair.low, pair.high) for pair in pairs]


def stored(url: str) -> dict[str, tuple[int, int, int]]:
    """Place of each key's message: chat, side and seq."""
    return {
        unpack_client_id(key): (chat, side, seq)
        for chat, seq, side, _, _, _, _, key, *_ in contents(url)["messages"]
    }


def assert_kept(url: str, acks: Iterable[Ack]) -> None:
    """Each post that was ever acknowledged stands where its acknowledgement said."""
    places = stored(url)
    for ack in acks:
        assert places[ack.key] == (ack.chat_id, ack.side, ack.seq), ack
    assert_sound(url)


async def test_several_processes_leave_no_hole_and_no_repeat(store_url: str) -> None:
    async with opened(store_url) as store:
        pairs = await talkative(store)
    chance = random.Random(1)
    plans = []
    for name in "abc":
        keys = [f"{name}-{number}" for number in range(200)] + [f"all-{number}" for number in range(100)]
        chance.shuffle(keys)
        plans.append(Plan(store_url, pairs, keys, marks=True, others=6))
    with appending(*plans) as processes:
        assert [process.wait() for process in processes] == [0, 0, 0]
    acks = [ack for process in processes for ack in process.acks]
    assert len(acks) == 3 * 300
    fresh = [ack.key for ack in acks if not ack.replayed]
    assert sorted(fresh) == sorted(stored(store_url))
    assert len(fresh) == 3 * 200 + 100
    assert_kept(store_url, acks)


async def test_a_killed_process_loses_nothing_it_acknowledged(store_url: str) -> None:
    async with opened(store_url) as store:
        pairs = await talkative(store)
    chance = random.Random(2)
    keys = [f"key-{number}" for number in range(1500)]
    acks: dict[str, Ack] = {}
    for _ in range(5):
        left = [key for key in keys if key not in acks]
        with appending(Plan(store_url, pairs, left, marks=True, others=2)) as (process,):
            process.wait_for(chance.randint(1, 200))
        acks |= {ack.key: ack for ack in process.acks}
        assert_kept(store_url, acks.values())
    left = [key for key in keys if key not in acks]
    assert left
    with appending(Plan(store_url, pairs, left)) as (process,):
        assert process.wait() == 0
    acks |= {ack.key: ack for ack in process.acks}
    assert stored(store_url).keys() == acks.keys() == set(keys)
    assert_kept(store_url, acks.values())


@pytest.mark.parametrize("batch", [1, 4])
async def test_a_retry_after_a_crash_between_commit_and_answer_is_a_repeat(
    store_url: str, batch: int
) -> None:
    async with opened(store_url) as store:
        pairs = await talkative(store)
    keys = [f"key-{number}" for number in range(200)]
    with appending(Plan(store_url, pairs, keys, window=20, dies=batch)) as (process,):
        assert process.wait() == -signal.SIGKILL
    before = stored(store_url)
    unheard = before.keys() - {ack.key for ack in process.acks}
    assert unheard
    with appending(Plan(store_url, pairs, keys)) as (retry,):
        assert retry.wait() == 0
    replayed = defaultdict(list)
    for ack in retry.acks:
        replayed[ack.replayed].append(ack.key)
    assert set(replayed[True]) == set(before)
    assert len(replayed[True]) + len(replayed[False]) == len(keys)
    assert {key: place for key, place in stored(store_url).items() if key in before} == before
    assert_kept(store_url, [*process.acks, *retry.acks])
