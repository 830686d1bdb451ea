"""The socket: one connection of one device, from its hello to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from time import monotonic as _now
from typing import Any, Final

import msgspec
from msgspec import UNSET

from duologue.clock import rfc3339
from duologue.core.acks import Acks
from duologue.core.feed import Feed
from duologue.core.limits import HEARTBEAT, MAX_OUTBOUND, MAX_SOCKETS_PER_USER
from duologue.core.lookout import TRUSTED_FOR
from duologue.core.positions import parse_start
from duologue.core.sessions import Caller
from duologue.errors import ApiError
from duologue.model import Kind
from duologue.protocol import frames, render
from duologue.realtime.bus import Notice
from duologue.socket.budget import FrameBudget
from duologue.socket.close_codes import EXPLAINED, WHEN_LOST, when_lost, when_refused
from duologue.socket.codec import BadFrame, Codec, NotAMap
from duologue.socket.connection_registry import ConnectionRegistry
from duologue.socket.frames import HANDLERS
from duologue.socket.intake import Intake
from duologue.socket.wire import Wire

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode

_HELLO_WITHIN: Final = 10.0  # seconds
DRAIN_WITHIN: Final = 30.0  # seconds
_LEAVE_WITHIN: Final = 5.0  # seconds
_BACKPRESSURE_AT: Final = MAX_OUTBOUND // 4
_MINE: Final = Kind.RECEIPT_MINE
_ENDS: Final = (Kind.SESSION_ENDED, Kind.USER_UPDATED)
"""Events with which a session may end."""


class Connection:
    """A `Handler` (socket/wire.py) that speaks the wire contract over one WebSocket."""

    __slots__ = (
        "_budget",
        "_codec",
        "_leaving",
        "_lookout",
        "_loop",
        "_tasks",
        "_timer",
        "_token",
        "_trusted_until",
        "acks",
        "caller",
        "feed",
        "heard_at",
        "intake",
        "on_message",
        "pinged_at",
        "registry",
        "resumed",
        "services",
        "watched",
        "wire",
    )

    acks: Acks
    on_message: Callable[[bytes, bool], None]
    """The intake's `receive`, which sees to it that each frame is handled in its turn."""

    def __init__(self, registry: ConnectionRegistry, codec: Codec, token: str | None, block: str) -> None:
        self.registry, self.services = registry, registry.services
        self._lookout = registry.services.lookout
        self._budget = FrameBudget(registry.services.rates, block, limited=registry.limited)
        self._codec = codec
        self._token = token
        self._loop = asyncio.get_running_loop()
        self.caller: Caller | None = None
        self.feed: Feed | None = None
        self._tasks: set[asyncio.Task[None]] | None = None
        self._leaving = False
        self.resumed: asyncio.Event | None = None
        self.watched: list[int] = []
        self.heard_at = self.pinged_at = self._loop.time()
        self._trusted_until = 0.0

    # From the wire.

    def on_open(self, wire: Wire) -> None:
        self.wire = wire
        self.intake = Intake(wire, self, self._budget)
        self.on_message = self.intake.receive
        self.registry.connections.add(self)
        self._timer = self._loop.call_later(_HELLO_WITHIN, wire.close, 4010, "no hello")

    def on_heartbeat(self) -> bool:
        self.heard_at = self._loop.time()
        return self.intake.control()

    def on_read_end(self) -> None:
        self.heard_at = self._loop.time()
        self.intake.read_end()

    def on_pause(self) -> None:
        self.resumed = asyncio.Event()

    def on_resume(self) -> None:
        if self.resumed:
            self.resumed.set()
            self.resumed = None
        self.intake.release_backpressure()

    def on_shutdown(self) -> None:
        """Answer what is in flight, if that doesn't take too long, then say that the server goes away."""
        self._leaving = True
        self.intake.stop()
        self._timer.cancel()
        self._timer = self._loop.call_later(_LEAVE_WITHIN, self._leave)
        self._leave_if_idle()

    def on_close(self, code: int) -> None:  # noqa: ARG002 - whatever the reason, the same is left to do
        self._timer.cancel()
        self.intake.stop()
        self.registry.connections.discard(self)
        if self.caller:
            self.acks.flush()
        for task in tuple(self._tasks or ()):
            task.cancel()
        if self.feed:
            self.feed.close()
        if self.caller:
            self.services.presence.leave(self.caller.user_id, self)
            self.services.presence.unwatch(self.watched, self)

    # From the heart and the hub.

    def beat(self, now: float, silence: float) -> None:
        """Ping the client when it is time, or give it up for dead."""
        if now - self.heard_at > silence:
            if self.resumed:  # it isn't read either then, so it was not heard
                self._end(4008, "too slow")
            else:
                self._end(1001, "no sign of life")
        elif now - self.pinged_at >= HEARTBEAT:
            self.pinged_at = now
            self.wire.ping()

    def signal(self, frame: bytes) -> None:
        if self.resumed is None:  # what is of no use later doesn't queue for a slow reader
            self.say_json(frame)

    # From the feed.

    def emit(self, notice: Notice) -> None:
        self.acks.record_sent(notice)
        # What the device has done itself is news to the others alone.
        self.say_json(notice.frame, urgent=notice.kind != _MINE)
        if notice.kind in _ENDS:
            self.on_upcoming(notice)

    def on_upcoming(self, notice: Notice) -> None:
        """The end of the session doesn't wait until a slow reader has come to it."""
        if self.caller is None:
            return
        if notice.kind == Kind.SESSION_ENDED and notice.ref == self.caller.session_id:
            self._end(4003, "session ended")
        elif notice.kind == Kind.USER_UPDATED and notice.ref == self.caller.user_id:
            self.check_session()

    def check_session(self) -> None:
        if self.caller:
            self.spawn(self._check_session(self.caller))

    async def _check_session(self, caller: Caller, *, stays: bool = True) -> None:
        """Close if the session has ended; how it ended tells the close code. If not, close unless it `stays`."""
        try:
            await self.services.sessions.check(caller)
        except ApiError as error:
            self._give_up(error)
        else:
            if not stays:
                self._end(1001, "try again")

    def failed(self, error: ApiError, frame: frames.ClientFrame | None = None) -> None:
        if self.caller and error.code == "not_signed_in":
            # There is no log any more. Either its user was deleted or the store went back to before there was one.
            self.spawn(self._check_session(self.caller, stays=False))
        else:
            self._give_up(error, frame)

    def _give_up(self, error: ApiError, frame: frames.ClientFrame | None = None) -> None:
        if error.code in EXPLAINED:
            self.fail(error, frame)
        self._end(*when_lost(error))

    async def drained(self) -> None:
        if self.resumed is None:
            return
        try:
            async with asyncio.timeout(DRAIN_WITHIN):
                await self.resumed.wait()
        except TimeoutError:
            self._end(4008, "too slow")

    # Answers.

    def _has_room(self, size: int) -> bool:
        """Return whether so many more bytes may wait for a slow reader; throttle or close it if need be."""
        waiting = self.wire.buffered_bytes + size
        if waiting > MAX_OUTBOUND:
            self._end(4008, "too slow")
            return False
        if waiting > _BACKPRESSURE_AT:
            self.intake.apply_backpressure()
        return True

    def _end(self, code: int, reason: str) -> None:
        """Say good-bye. What came before and waits for its turn is dropped: nobody would hear the answer."""
        self.intake.drop()
        self.wire.close(code, reason)

    def say(self, frame: frames.ServerFrame) -> None:
        """Queue a frame for the client."""
        self.say_json(_encode(frame))

    def say_json(self, frame: bytes, *, urgent: bool = True) -> None:
        """Queue a frame that is JSON already."""
        binary = self._codec.binary
        payload = self._codec.from_json(frame) if binary else frame
        if self.resumed is None or self._has_room(len(payload)):
            self.wire.send(payload, binary=binary, urgent=urgent)

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

    def handle(self, payload: bytes, *, binary: bool) -> None:
        within_limit = self._budget.spend()
        try:
            frame = self._codec.decode(payload, binary=binary)
        except BadFrame:
            self._end(4000, "not a frame")
        except ApiError as error:
            self._reject(error, within_limit=within_limit)
        else:
            if not within_limit:
                self.fail(self._over_limit(), frame)
            elif self.caller is None:
                self._greet(frame)
            elif _now() > self._lookout.trusted_until and self._is_in_doubt(frame):
                self.later(self._handle_checked(self.caller, frame))
            else:
                HANDLERS[type(frame)](self, frame)

    def _is_in_doubt(self, frame: frames.ClientFrame) -> bool:
        """Tell whether a frame needs a look at its session, which another node may have ended."""
        return _now() > self._trusted_until and not isinstance(frame, frames.Ping)

    async def _handle_checked(self, caller: Caller, frame: frames.ClientFrame) -> None:
        """Make sure that the session is live, then handle the frame."""
        asked_at = _now()
        try:
            await self.services.sessions.check(caller)
        except ApiError as error:
            self._give_up(error) if error.code in WHEN_LOST else self.fail(error, frame)
        else:
            self._trusted_until = asked_at + TRUSTED_FOR
            HANDLERS[type(frame)](self, frame)

    def _reject(self, error: ApiError, *, within_limit: bool) -> None:
        """Answer what could be decoded but is no valid frame. Before `hello`, an invalid map ends the connection."""
        self.fail(error if within_limit else self._over_limit(**error.extra))
        if self.caller is None and not isinstance(error, NotAMap):
            self._end(4000, "not a valid hello")

    def _over_limit(self, cost: float = 1, **known: Any) -> ApiError:
        return ApiError("rate_limited", "Too many frames.", retry_after=self.intake.refused(cost), **known)

    def afford(self, cost: float, frame: frames.ClientFrame) -> bool:
        """Take what a frame costs beyond one; if that is over the limit, tell the client and return False."""
        if self._budget.spend(cost):
            return True
        self.fail(self._over_limit(cost), frame)
        return False

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what needs the store; the frames that follow wait for it."""
        self.intake.hold()
        self.spawn(work).add_done_callback(self._next_turn)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run what needs the store beside the frames that follow."""
        task = self._loop.create_task(work)
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        if self._tasks:
            self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()):
            _log.error("a frame could not be handled", exc_info=fault)
            self._end(1011, "internal")

    def _next_turn(self, _: asyncio.Task[None]) -> None:
        self.intake.release()
        self._leave_if_idle()

    def _greet(self, frame: frames.ClientFrame) -> None:
        if not isinstance(frame, frames.Hello):
            self._end(4000, "the first frame must be hello")
            return
        token = self._token if frame.token is UNSET else frame.token
        self._timer.cancel()
        if token:
            self.later(self._sign_in(frame, token))
        else:
            self._end(4001, "not signed in")

    async def _sign_in(self, hello: frames.Hello, token: str) -> None:
        try:
            caller = await self.services.sessions.authenticate(token)
            await self._follow(caller, hello)
        except ApiError as error:
            self.fail(error, hello)
            self._end(when_refused(error), error.code)

    async def _follow(self, caller: Caller, hello: frames.Hello) -> None:
        registry, services = self.registry, self.services
        after = parse_start(
            None if hello.after is UNSET else hello.after, None if hello.at is UNSET else hello.at
        )
        feed = self.feed = Feed(registry.db, registry.hub, caller.user_id, self, services.rates)
        # Session and account are looked at again now that the log is followed: an end in between would be missed.
        look = partial(services.accounts.session_state, caller)
        head, user = await feed.open(after, look)
        # Counted without a pause before it is entered, or many at once would slip through.
        if registry.hub.devices(caller.user_id) >= MAX_SOCKETS_PER_USER:
            self._end(4009, "too many connections")
            return
        position = feed.next - 1
        unknown = position if head.acked < position else 0
        timer, outlive = registry.ack_timer, registry.outlive
        self.acks = Acks(services.receipts, timer, caller, self.spawn, unknown=unknown, outlive=outlive)
        self.caller = caller
        self._budget.signed_in(caller.user_id)
        self._token = None
        services.presence.arrive(caller.user_id, self)
        self.say(
            frames.Ready(
                user=render.me(user, services.accounts.presets),
                session_id=render.session_id(caller.session_id),
                latest=head.last_seq,
                latest_at=rfc3339(head.last_at) if head.last_at else UNSET,
                heartbeat=HEARTBEAT,
                ref=hello.ref,
            )
        )
        feed.start(self._caught_up)

    def _caught_up(self) -> None:
        assert self.feed
        at = rfc3339(self.feed.at) if self.feed.at else UNSET
        self.say(frames.CaughtUp(seq=self.feed.next - 1, at=at))

    def operation_started(self, size: int = 0) -> None:
        """One more operation of so many bytes is in flight."""
        self.intake.operation_started(size)

    def operation_finished(self, size: int = 0) -> None:
        """One of the operations in flight has been answered."""
        self.intake.operation_finished(size)
        if self._leaving:
            self._leave_if_idle()

    def _leave_if_idle(self) -> None:
        if self._leaving and self.intake.idle:
            self._leave()

    def _leave(self) -> None:
        self._end(1001, "server going away")
