"""Users of a run, what they still have to get acknowledged, and the counts."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

import httpx
import msgspec

from duologue_lab.connection import ClientConnection
from duologue_lab.torture import wire
from duologue_lab.torture.history import History, MarkedEntry, OddEntry, RefusedEntry, SentEntry

TRANSIENT: Final = frozenset({"overloaded", "rate_limited"})
"""What a server may say at any time: try again."""
_AFTER_RESTORE: Final = frozenset({"seq_out_of_range", "log_changed", "client_id_reused"})
"""What it may also say to those who speak of what a restored store doesn't have."""
_LENIENT: Final = 15.0
"""Seconds after a restore in which people may speak of what is gone."""
_REMEMBERED: Final = 50  # messages
_AT_ONCE: Final = 60
"""Requests at the same time, beside those that follow logs."""
_LOOKED_AT_EVERY: Final = 0.1
"""Seconds."""
_TIMEOUT: Final = httpx.Timeout(10, connect=5)
_POOLS: Final = 16  # pools of connections


class CannotStart(Exception):
    """The system can't be tortured as it is; the message says why."""


class Draft(msgspec.Struct, gc=False):
    """A message that its author hasn't had acknowledged yet."""

    body: dict[str, Any]
    chat: str
    tries: int = 0
    tried_at: float = 0.0

    @property
    def client_id(self) -> str:
        client_id: str = self.body["client_id"]
        return client_id


class Person:
    """A user: their chats, the newest message they know of in each, and their drafts in the order of writing."""

    def __init__(self, user: str, phone: str, *, shows_read: bool) -> None:
        self.user = user
        self.phone = phone
        self.shows_read = shows_read
        self.devices: list[Device] = []
        self.peers: dict[str, Person] = {}
        self.strange: dict[str, Person] = {}
        """Chats with people who take no messages of strangers, and who haven't accepted this one."""
        self.newest: dict[str, int] = {}
        self.drafts: dict[str, Draft] = {}
        self.acknowledged: deque[Draft] = deque(maxlen=_REMEMBERED)
        self.written = 0
        self.village = 0


class ConnectionStart(msgspec.Struct, frozen=True, gc=False):
    """Beginning of a connection: its number, its node, the history's length then, and where it resumed."""

    connection: int
    node: int
    since: int
    after: int


class Device:
    """A signed-in device. `applied` and `at`: the seq and time of the last event that it has of its user's log.

    `link`: its socket while it has one.
    """

    hello: ConnectionStart

    def __init__(self, number: int, person: Person, signed_in: wire.SignInReply, way: str) -> None:
        self.number = number
        self.person = person
        self.token = signed_in.token
        self.session = signed_in.session.id
        self.way = way
        self.applied = 0
        self.awake = asyncio.Event()
        self.awake.set()
        self.at = ""
        self.connection = 0
        self.link: ClientConnection | None = None
        person.devices.append(self)

    @property
    def query(self) -> str:
        """Its position, as a query that resumes there."""
        return f"after={self.applied}&at={self.at}" if self.at else f"after={self.applied}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


class Attempt(msgspec.Struct, gc=False):
    """Something said that may be answered; `expected`: the only error that is right, if one must come.

    `said_at` is in seconds of the monotonic clock.
    """

    draft: Draft | None = None
    person: Person | None = None
    expected: str = ""
    said_at: float = msgspec.field(default_factory=time.monotonic)


class Counts(msgspec.Struct):
    """Counts of what a run has done so far."""

    sent: int = 0
    attempts: int = 0
    acknowledged: int = 0
    refused: int = 0
    events: int = 0
    marks: int = 0
    connections: int = 0
    cuts: int = 0
    accepted: int = 0
    skips: Counter[str] = msgspec.field(default_factory=Counter)
    harm: Counter[str] = msgspec.field(default_factory=Counter)


class _Forgetful(dict[str, str]):
    """Holds no text, where nothing else does either."""

    def setdefault(self, key: str, default: str = "") -> str:  # noqa: ARG002 - a dictionary's signature
        return default


class World:
    """Everybody, the nodes they talk to, and the history of it."""

    def __init__(self, nodes: list[str], history: History, seed: int) -> None:
        self.nodes = nodes
        self.history = history
        self.dice = random.Random(seed)  # noqa: S311 - to be repeatable
        self.people: list[Person] = []
        self.devices: list[Device] = []
        self.counts = Counts()
        self.doing = ""
        self.texts: dict[str, str] = {} if history.keeps else _Forgetful()
        self.http_share = 0.2
        """How often something is said over HTTP where a socket would do."""
        self.poll_pause = 0.3
        """Seconds between two long polls, at most."""
        self.store = asyncio.Lock()
        """Held while something is done with the store itself, beside the nodes."""
        self._lenient_until = 0.0
        self._opened: list[tuple[Person, str]] = []
        context = ssl.create_default_context()
        self.http, *self._long_http = (
            httpx.AsyncClient(
                timeout=_TIMEOUT,
                trust_env=False,
                verify=context,
                limits=httpx.Limits(max_connections=None),
            )
            for _ in range(1 + _POOLS)
        )
        self._attempts: dict[int, Attempt] = {}
        self._numbers = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def number(self) -> int:
        """A number that was not used before."""
        self._numbers += 1
        return self._numbers

    def attempt(self, attempt: Attempt) -> int:
        """A number for something that is about to be said."""
        number = self.number()
        self._attempts[number] = attempt
        return number

    def node(self) -> str:
        """Any node."""
        return self.dice.choice(self.nodes)

    def long_http(self, device: Device) -> httpx.AsyncClient:
        """A client for requests that stay open: httpcore looks at every connection of a pool for each request."""
        return self._long_http[device.number % _POOLS]

    def restored(self) -> None:
        """An older state of the store is back: nobody knows any more what it has, until they have heard of it."""
        self._lenient_until = time.monotonic() + _LENIENT
        for person in self.people:
            person.newest.clear()
            person.acknowledged.clear()
            for draft in tuple(person.drafts.values()):
                if "reply_to" in draft.body:
                    del person.drafts[draft.client_id]
        for stranger, chat in self._opened:
            self._close(stranger, chat)

    def copied(self) -> None:
        """A copy of the store is being made, which a restore may put back."""
        self._opened.clear()

    def accepted(self, stranger: Person, chat: str) -> None:
        """Somebody lets a stranger write."""
        peer = stranger.strange.pop(chat)
        stranger.peers[chat], peer.peers[chat] = peer, stranger
        self._opened.append((stranger, chat))
        self.counts.accepted += 1

    def _close(self, stranger: Person, chat: str) -> None:
        """Perhaps that was undone."""
        peer = stranger.strange[chat] = stranger.peers.pop(chat)
        del peer.peers[chat]
        for draft in tuple(peer.drafts.values()):
            if draft.chat == chat:
                del peer.drafts[draft.client_id]

    def is_strict(self, attempt: Attempt | None = None) -> bool:
        """Return whether all devices knew the store's content when they made an attempt: no restore was just before.

        Without an attempt: whether they know it now.
        """
        return (attempt.said_at if attempt else time.monotonic()) > self._lenient_until

    @property
    def is_busy(self) -> bool:
        """Return whether so many HTTP requests wait that more would only hold up the run itself."""
        return len(self._tasks) >= _AT_ONCE

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside everything else; a bug in it ends up in the history."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()):
            self.odd("the torture itself", repr(fault))

    async def close(self) -> None:
        """End what runs beside, and every connection."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for http in (self.http, *self._long_http):
            await http.aclose()

    async def quiet(self) -> None:
        """Until nothing runs beside any more."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    # Answers.

    def sent(self, n: int, seq: int, text: str, *, fresh: bool) -> None:
        """Attempt `n` was acknowledged."""
        attempt = self._attempts.pop(n, None) or Attempt()
        self.history.add(SentEntry(n, seq, self.texts.setdefault(text, text), fresh))
        if attempt.expected and self.is_strict(attempt):
            self.odd("a send", f"attempt {n} should have been refused with {attempt.expected}")
        if attempt.person and attempt.draft:
            person, draft = attempt.person, attempt.draft
            person.newest[draft.chat] = max(seq, person.newest.get(draft.chat, 0))
            if person.drafts.pop(draft.client_id, None):
                person.acknowledged.append(draft)
                self.counts.acknowledged += 1

    def marked(self, n: int) -> None:
        """Mark `n` was acknowledged."""
        attempt = self._attempts.pop(n, None) or Attempt()
        self.history.add(MarkedEntry(n))
        if attempt.expected:
            self.odd("a mark", f"attempt {n} should have been refused with {attempt.expected}")

    def refused(self, n: int, code: str) -> None:
        """Attempt `n` was answered by an error."""
        attempt = self._attempts.pop(n, None) or Attempt()
        self.history.add(RefusedEntry(n, code))
        self.counts.refused += 1
        after_restore = not self.is_strict(attempt) and code in _AFTER_RESTORE
        if code not in TRANSIENT and code != attempt.expected and not after_restore:
            self.odd("an answer", f"attempt {n} was refused with {code or 'no code'}")
        if attempt.draft:
            attempt.draft.tried_at = 0.0

    def odd(self, where: str, says: str) -> None:
        """Something that should never happen."""
        self.history.add(OddEntry(where, says))


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds that nothing tells of when it comes to hold."""
    holds = condition()
    while not holds:
        await asyncio.sleep(_LOOKED_AT_EVERY)
        holds = condition()
