"""The socket: one connection of one device, frame by frame.

The hot frames (`send`, `ack`, `read` in chats already seen) are handled where they are decoded: no task, no
future. Whatever must wait for the store holds back the frames behind it, so a client's order is kept.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final

import msgspec
from msgspec import UNSET

from duologue.core.feed import Feed
from duologue.core.limits import (
    FRAME_BURST,
    FRAMES_PER_SECOND,
    MAX_IN_FLIGHT,
    MAX_OUTBOUND,
    MAX_SOCKETS_PER_USER,
)
from duologue.core.sessions import Caller
from duologue.errors import ApiError
from duologue.model import Kind
from duologue.protocol import frames, render
from duologue.realtime.bus import Notice
from duologue.web.codec import BadFrame, Codec, codec_of
from duologue.web.desk import HEARTBEAT, Desk
from duologue.web.frames import HANDLERS
from duologue.web.handshake import Handshake, Refusal, origin_allowed
from duologue.web.problems import problem
from duologue.web.wire import Wire

_HELLO_WITHIN: Final = 10.0
_DRAIN_WITHIN: Final = 30.0
_BACKLOG: Final = 64
_UNACKED: Final = 2_000


class Connection:
    """A `Handler` (web/wire.py) that speaks the wire contract over one WebSocket."""

    __slots__ = (
        "_allowance",
        "_backlog",
        "_busy",
        "_codec",
        "_leaving",
        "_loop",
        "_refilled_at",
        "_resumed",
        "_tasks",
        "_timer",
        "_token",
        "caller",
        "desk",
        "feed",
        "heard_at",
        "in_flight",
        "must_scan",
        "pinged_at",
        "unacked",
        "watched",
        "wire",
    )

    def __init__(self, desk: Desk, codec: Codec, token: str | None) -> None:
        self.desk = desk
        self._codec = codec
        self._token = token
        self._loop = asyncio.get_running_loop()
        self.caller: Caller | None = None
        self.feed: Feed | None = None
        self._busy = False
        self._backlog: deque[tuple[bytes, bool]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.unacked: deque[tuple[int, int, int]] = deque()
        self.must_scan = False
        self.in_flight = 0
        self._leaving = False
        self._resumed: asyncio.Event | None = None
        self.watched: list[int] = []
        self._allowance = float(FRAME_BURST)
        self.heard_at = self.pinged_at = self._refilled_at = self._loop.time()

    # From the wire.

    def on_open(self, wire: Wire) -> None:
        self.wire = wire
        self.desk.connections.add(self)
        self._timer = self._loop.call_later(_HELLO_WITHIN, wire.close, 4010, "no hello")

    def on_message(self, payload: bytes, binary: bool) -> None:  # noqa: FBT001 - called for every frame
        if self._busy or self._backlog:
            self._backlog.append((payload, binary))
            if len(self._backlog) >= _BACKLOG:
                self.wire.pause_reading()
        else:
            self._handle(payload, binary)

    def on_heartbeat(self) -> None:
        self.heard_at = self._loop.time()

    def on_read_end(self) -> None:
        self.heard_at = self._loop.time()

    def on_pause(self) -> None:
        self._resumed = asyncio.Event()

    def on_resume(self) -> None:
        if self._resumed:
            self._resumed.set()
            self._resumed = None

    def on_shutdown(self) -> None:
        """Answer what is in flight, then say that the server goes away."""
        self._leaving = True
        self.wire.pause_reading()
        self._leave_if_idle()

    def on_close(self, code: int) -> None:  # noqa: ARG002 - whatever the reason, the same is left to do
        self._timer.cancel()
        self.desk.connections.discard(self)
        for task in tuple(self._tasks):
            task.cancel()
        if self.feed:
            self.feed.close()
        if self.caller:
            self.desk.presence.leave(self.caller.user_id, self)
            self.desk.presence.unwatch(self.watched, self)
        self._backlog.clear()
        self.unacked.clear()

    # From the heart, the hub and the feed.

    def beat(self, now: float, silence: float) -> None:
        """Ping the client when it is time, or give it up for dead."""
        if now - self.heard_at > silence:
            self.wire.close(1001, "no sign of life")
        elif now - self.pinged_at >= HEARTBEAT:
            self.pinged_at = now
            self.wire.ping()

    def signal(self, frame: bytes) -> None:
        self._push(self._codec.from_json(frame))

    def _event(self, notice: Notice) -> None:
        if notice.kind == Kind.MESSAGE_CREATED and not notice.b:
            self._await_ack(notice)
        self._push(self._codec.from_json(b'{"op":"event",' + notice.event[1:]))
        if notice.kind == Kind.SESSION_ENDED and self.caller and notice.ref == self.caller.session_id:
            self.wire.close(4003, "session ended")

    def _await_ack(self, notice: Notice) -> None:
        if len(self.unacked) >= _UNACKED:
            # A client that never acks costs no more memory; should it ack after all, the log tells the rest.
            self.unacked.clear()
            self.must_scan = True
        self.unacked.append((notice.seq, notice.ref, notice.a))

    def _lost(self, error: ApiError) -> None:
        """The log can't be followed any longer."""
        if error.code == "events_expired":
            self.fail(error)
            self.wire.close(4011, "events expired")
        else:
            self.wire.close(4003, "account deleted")

    async def _drained(self) -> None:
        if self._resumed is None:
            return
        try:
            async with asyncio.timeout(_DRAIN_WITHIN):
                await self._resumed.wait()
        except TimeoutError:
            self.wire.close(4008, "too slow")

    # Answers.

    def _push(self, payload: bytes) -> None:
        if self.wire.buffered_bytes + len(payload) > MAX_OUTBOUND:
            self.wire.close(4008, "too slow")
        else:
            self.wire.send(payload, binary=self._codec.binary)

    def say(self, frame: frames.ServerFrame) -> None:
        """Queue a frame for the client."""
        self._push(self._codec.encode(frame))

    def fail(self, error: ApiError, frame: frames.ClientFrame | None = None) -> None:
        """Tell the client that a frame failed, and changed nothing."""
        known = {"ref": getattr(frame, "ref", UNSET), "client_id": getattr(frame, "client_id", UNSET)}
        self.say(
            frames.Error(
                code=error.code,
                detail=error.detail,
                errors=error.errors or UNSET,
                retry_after=UNSET if error.retry_after is None else error.retry_after,
                **(known | error.extra),
            )
        )

    # Frames.

    def _handle(self, payload: bytes, binary: bool) -> None:  # noqa: FBT001 - called for every frame
        try:
            self._spend()
            frame = self._codec.decode(payload, binary=binary)
            if self.caller is None:
                self._greet(frame)
            else:
                HANDLERS[type(frame)](self, frame)
        except BadFrame:
            self.wire.close(4000, "not a frame")
        except ApiError as error:
            self.fail(error)
            if self.caller is None:
                self.wire.close(4000, "not a valid hello")

    def _spend(self) -> None:
        """A token bucket. Raises `ApiError` `rate_limited`."""
        if self._allowance < 1:
            now = self._loop.time()
            earned = (now - self._refilled_at) * FRAMES_PER_SECOND
            self._allowance = min(FRAME_BURST, self._allowance + earned)
            self._refilled_at = now
            if self._allowance < 1 and self.desk.limited:
                raise ApiError("rate_limited", "Too many frames.", retry_after=1 / FRAMES_PER_SECOND)
        self._allowance -= 1

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what needs the store; the frames that follow wait for it."""
        self._busy = True
        self.spawn(self._in_turn(work))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in_turn(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._busy = False
            self._work_off()

    def _work_off(self) -> None:
        while self._backlog and not self._busy:
            self._handle(*self._backlog.popleft())
        if not self._backlog and self.in_flight < MAX_IN_FLIGHT and not self._leaving:
            self.wire.resume_reading()

    def _greet(self, frame: frames.ClientFrame) -> None:
        token = frame.token if isinstance(frame, frames.Hello) and frame.token is not UNSET else self._token
        if token is None:
            self.wire.close(4001, "not signed in")
        elif isinstance(frame, frames.Hello):
            self._timer.cancel()
            self.later(self._sign_in(frame, token))
        else:
            self.wire.close(4000, "the first frame must be hello")

    async def _sign_in(self, hello: frames.Hello, token: str) -> None:
        try:
            caller = await self.desk.sessions.authenticate(token)
            if self.desk.hub.devices(caller.user_id) >= MAX_SOCKETS_PER_USER:
                self.wire.close(4009, "too many connections")
                return
            await self._follow(caller, hello)
        except ApiError as error:
            self._turn_away(error)

    async def _follow(self, caller: Caller, hello: frames.Hello) -> None:
        desk = self.desk
        feed = Feed(desk.db, desk.hub, caller.user_id, self._event, self._drained, self._lost)
        self.feed = feed
        head = await feed.open(None if hello.after is UNSET else hello.after)
        # Looked at again now that the log is followed: an end of the session in between would be missed.
        await desk.sessions.check(caller)
        user = await desk.accounts.me(caller)
        self.must_scan = head.acked < feed.next - 1
        self.caller = caller
        self._token = None
        desk.presence.arrive(caller.user_id, self)
        self.say(
            frames.Ready(
                user=render.me(user),
                session_id=render.session_id(caller.session_id),
                latest=head.last_seq,
                heartbeat=HEARTBEAT,
                ref=hello.ref,
            )
        )
        feed.start(lambda: self.say(frames.CaughtUp(seq=feed.next - 1)))

    def _turn_away(self, error: ApiError) -> None:
        self.fail(error)
        code = {"not_signed_in": 4001, "events_expired": 4011, "seq_out_of_range": 4000}.get(error.code, 1001)
        self.wire.close(code, error.code)

    def launched(self) -> None:
        """One more message is in flight; too many, and the client must wait before it is read again."""
        self.in_flight += 1
        if self.in_flight >= MAX_IN_FLIGHT:
            self.wire.pause_reading()

    def settled(self) -> None:
        """One of the messages in flight has been answered."""
        self.in_flight -= 1
        if self.in_flight == MAX_IN_FLIGHT - 1:
            self._work_off()
        self._leave_if_idle()

    def _leave_if_idle(self) -> None:
        if self._leaving and not self.in_flight:
            self.wire.close(1001, "server going away")


class Door:
    """Decides who may open a socket: the `Accept` of the transport."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def __call__(self, handshake: Handshake) -> Connection | Refusal:
        """A connection for a request to the one path, from a page that may; whoever it is says `hello` next."""
        if handshake.path != "/v1/socket":
            return _refusal(ApiError("not_found", "There is no socket at this path."))
        if not origin_allowed(handshake, self._desk.origins):
            return _refusal(ApiError("origin_not_allowed"))
        scheme, _, token = handshake.headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else None
        return Connection(self._desk, codec_of(handshake.subprotocol), given)


def _refusal(error: ApiError) -> Refusal:
    return Refusal(error.spec.status, msgspec.json.encode(problem(error)))
