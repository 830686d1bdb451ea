"""Clients that talk: they send, ack every event, and note when each message got where.

Frames are read by their bytes as far as that is safe. The order of their keys is the server's affair, so a frame
that doesn't begin as expected is decoded and put into the expected order first.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import msgspec

from duologue_lab.bench.meter import seconds_array
from duologue_lab.bench.people import BenchUser
from duologue_lab.connection import ClientConnection, connect

clock = time.perf_counter

_EVENT: Final = b'{"op":"event","seq":'
_CREATED: Final = b'"type":"message.created"'
_RECEIPT: Final = b'"type":"receipt.updated"'
_SENT: Final = b'{"op":"sent"'
_DIGITS: Final = 9  # digits of a message's number
_SEQ: Final = re.compile(rb'"seq":(\d+)')
_DELIVERED: Final = re.compile(rb'"delivered":(\d+)')
_USER: Final = b'"user_id":"'
_USUAL_ORDER: Final = ("op", "seq", "type")


class Tally:
    """Totals of all clients of a run. A message's number is its place in `intended` and `senders`."""

    def __init__(self) -> None:
        self.mark = f"bench-{secrets.token_hex(4)}-".encode()
        self.intended = seconds_array()
        self.senders: array[int] = array("i")
        self.sent = self.acked = self.delivered = self.receipted = 0
        self.refused: Counter[str] = Counter()
        self.lost: list[str] = []
        self.latencies = {"ack": seconds_array(), "delivery": seconds_array(), "receipt": seconds_array()}
        self.since = self.until = 0.0
        """Messages meant to be sent within these times are in `latencies`."""
        self.ends_at = 0.0
        """A closed loop goes on until then."""

    def number(self, sender: int, intended: float) -> int:
        """A new message's."""
        self.intended.append(intended)
        self.senders.append(sender)
        self.sent += 1
        return self.sent - 1

    def note(self, what: str, number: int) -> None:
        """That a message got this far just now."""
        intended = self.intended[number]
        if self.since <= intended < self.until:
            self.latencies[what].append(clock() - intended)

    @property
    def done(self) -> bool:
        """True when every message sent was answered, delivered and receipted."""
        open_still = self.sent - self.refused.total()
        return self.lost != [] or open_still == self.acked == self.delivered == self.receipted

    async def wait_until_done(self, patience: float) -> None:
        """Wait for that. Raises `RuntimeError` when a message got lost, which is worse than any figure."""
        ends_at = clock() + patience
        # Looked at now and then, so that counting a message costs nothing more.
        while not self.done and clock() < ends_at:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        if self.lost or not self.done:
            counts = f"{self.acked} acked, {self.delivered} delivered, {self.receipted} receipted"
            refused = f", {dict(self.refused)} refused" if self.refused else ""
            raise RuntimeError(f"of {self.sent} messages: {counts}{refused}. {' '.join(self.lost[:3])}")


class Talker:
    """One signed-in socket, and one chat that it writes to."""

    __slots__ = (
        "_awaiting",
        "_caught_up",
        "_frame",
        "_link",
        "_loops",
        "_me",
        "_owes",
        "_peer_has",
        "_tally",
        "_token",
        "acks",
        "index",
        "left",
        "seq",
    )

    def __init__(
        self, tally: Tally, user: BenchUser, chat_id: str = "", text: str = "", index: int = 0
    ) -> None:
        self._tally = tally
        self._token = user.token
        self._me = user.id.encode()
        self._frame = b'{"op":"send","chat_id":"%s","text":"%s","client_id":"%s%%0*d"}' % (
            chat_id.encode(),
            text.encode(),
            tally.mark,
        )
        self._link: ClientConnection | None = None
        self._caught_up: asyncio.Future[int] | None = None
        self._awaiting: deque[tuple[int, int]] = deque()
        self._peer_has = 0
        self._owes = False
        self._loops = False
        self.index = index
        self.acks = True
        self.left = -1
        """How many messages a closed loop may still send; below 0, it is bounded by time alone."""
        self.seq = 0

    async def open(self, url: str, after: int | None = None) -> None:
        """Connect, say hello, and replay what came after that seq of the log. Raises `OSError`, `ConnectionError`."""
        self._caught_up = asyncio.get_running_loop().create_future()
        link = await connect(url, self.on_frame, self._read)
        self._link = link
        link.ended.add_done_callback(partial(self._ended, link))
        resume = b"" if after is None else b',"after":%d' % after
        link.say(b'{"op":"hello","token":"%s"%s}' % (self._token.encode(), resume))
        await self._caught_up
        self.seq = max(self.seq, self._caught_up.result())
        self._owes = True
        self._read()  # what came before isn't looked up again with each later ack

    def close(self) -> None:
        """Go offline."""
        link, self._link = self._link, None
        if link:
            link.close()

    def send(self, intended: float) -> None:
        """Send a message that was meant to be sent at this time."""
        assert self._link
        number = self._tally.number(self.index, intended)
        self._link.say(self._frame % (_DIGITS, number))

    def loop(self, count: int = -1, width: int = 1) -> None:
        """Send the next message when one was answered, `width` at once: `count` in all, or until the tally's end."""
        self._loops = True
        self.left = count
        for _ in range(width):
            self._next()

    def _next(self) -> None:
        now = clock()
        if self.left and now < self._tally.ends_at:
            self.left -= 1
            self.send(now)
        else:
            self._loops = False

    def _ended(self, link: ClientConnection, ended: asyncio.Future[int | None]) -> None:
        if self._link is not link:
            return
        self._tally.lost.append(f"A socket was closed with {ended.result()}.")
        if self._caught_up and not self._caught_up.done():
            self._caught_up.set_exception(ConnectionError(f"closed with {ended.result()}"))

    def on_frame(self, payload: bytes) -> None:
        if payload.startswith(_EVENT):
            comma = payload.index(b",", len(_EVENT))
            self.seq = int(payload[len(_EVENT) : comma])
            if payload.startswith(_CREATED, comma + 1):
                self._created(payload)
            elif payload.startswith(_RECEIPT, comma + 1):
                self._receipt(payload)
        elif payload.startswith(_SENT):
            self._sent(payload)
        else:
            self._rest(msgspec.json.decode(payload))

    def _rest(self, frame: dict[str, Any]) -> None:
        match frame["op"]:
            case "event" | "sent":
                usual = {key: frame[key] for key in _USUAL_ORDER if key in frame}
                self.on_frame(msgspec.json.encode(usual | frame))
            case "caught_up":
                if self._caught_up and not self._caught_up.done():
                    self._caught_up.set_result(frame["seq"])
            case "error":
                self._refused(frame)

    def _refused(self, frame: dict[str, Any]) -> None:
        if "client_id" not in frame:
            self._tally.lost.append(f"The server said {frame['code']}: {frame['detail']}.")
            return
        self._tally.refused[frame["code"]] += 1
        if self._loops:
            asyncio.get_running_loop().call_later(frame.get("retry_after", 1), self._next)

    def _number(self, payload: bytes) -> int:
        """The number of the message in a frame; -1 if it isn't of this run."""
        tally = self._tally
        start = payload.find(tally.mark)
        if start < 0:
            return -1
        start += len(tally.mark)
        return int(payload[start : start + _DIGITS])

    def _sent(self, payload: bytes) -> None:
        tally = self._tally
        number = self._number(payload)
        tally.acked += 1
        tally.note("ack", number)
        found = _SEQ.search(payload)
        assert found
        seq = int(found[1])
        if seq <= self._peer_has:
            self._received(number)
        else:
            self._awaiting.append((seq, number))
        if self._loops:
            self._next()

    def _created(self, payload: bytes) -> None:
        number = self._number(payload)
        if number >= 0 and self._tally.senders[number] == self.index:
            return
        self._owes = True
        if number >= 0:
            self._tally.delivered += 1
            self._tally.note("delivery", number)

    def _receipt(self, payload: bytes) -> None:
        if payload.startswith(self._me, payload.index(_USER) + len(_USER)):
            return
        found = _DELIVERED.search(payload)
        assert found
        self._peer_has = int(found[1])
        while self._awaiting and self._awaiting[0][0] <= self._peer_has:
            self._received(self._awaiting.popleft()[1])

    def _received(self, number: int) -> None:
        self._tally.receipted += 1
        self._tally.note("receipt", number)

    def _read(self) -> None:
        """Ack what was read, if a message came with it: receipts and echoes of its own can wait for the next one."""
        if self._owes and self.acks and self._link:
            self._owes = False
            self._link.say(b'{"op":"ack","seq":%d}' % self.seq)


def talkers_of(tally: Tally, pairs: Sequence[tuple[BenchUser, BenchUser, str]], text: str) -> list[Talker]:
    """Both sides of each pair, neighbours in the list."""
    sides = [(user, chat_id) for low, high, chat_id in pairs for user in (low, high)]
    return [Talker(tally, user, chat_id, text, index) for index, (user, chat_id) in enumerate(sides)]
