"""Handlers for the frames of a signed-in client.

The hot ones (`send`, `ack`, `read` in chats already seen) need no task and no future; the others hold back the
frames behind them while they wait for the store, so that a client's order is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol

from msgspec import UnsetType

from duologue.core.acks import Acks
from duologue.core.feed import Feed
from duologue.core.limits import WATCHED_PER_FRAME
from duologue.core.messages import explain
from duologue.core.positions import parse_position
from duologue.core.receipts import mark_of
from duologue.core.services import Services
from duologue.core.sessions import Caller
from duologue.errors import ApiError
from duologue.model import Pair, decode_id
from duologue.protocol import frames, render
from duologue.storage.database import Marked, Posted


class Client(Protocol):
    """The connection that a frame came over."""

    services: Services
    caller: Caller
    feed: Feed
    acks: Acks
    watched: list[int]

    def say(self, frame: frames.ServerFrame) -> None:
        """Queue a frame for the client."""
        ...

    def say_json(self, frame: bytes) -> None:
        """Queue a frame that is JSON already."""
        ...

    def fail(self, error: ApiError, frame: frames.ClientFrame | None = None) -> None:
        """Tell the client that a frame failed, and changed nothing."""
        ...

    def failed(self, error: ApiError, frame: frames.ClientFrame | None = None) -> None:
        """Tell the client why the connection can't go on, if that helps it, and close."""
        ...

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what needs the store; the frames that follow wait for it."""
        ...

    def afford(self, cost: float, frame: frames.ClientFrame) -> bool:
        """Take what a frame costs beyond one; if that is over the limit, tell the client and return False."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> Any:
        """Run what needs the store beside the frames that follow."""
        ...

    def operation_started(self, size: int = 0) -> None:
        """One more operation of so many bytes is in flight."""
        ...

    def operation_finished(self, size: int = 0) -> None:
        """One of the operations in flight has been answered."""
        ...

    def signal(self, frame: bytes) -> None:
        """Pass on a frame that is not stored, as JSON."""
        ...


def _known(client: Client, chat_id: str) -> Pair | None:
    return client.services.chats.known_pair(client.caller.user_id, decode_id("cht", chat_id))


async def _pair(client: Client, chat_id: str) -> Pair:
    return await client.services.chats.pair(client.caller.user_id, decode_id("cht", chat_id))


def hello(client: Client, frame: frames.Hello) -> None:
    """Refuse a second hello."""
    client.fail(ApiError("invalid", "This connection has said hello.", errors={"op": "only once"}), frame)


def send(client: Client, frame: frames.Send) -> None:
    """Queue a message; the answer follows its commit."""
    if isinstance(frame.to, UnsetType) == isinstance(frame.chat_id, UnsetType):
        client.fail(ApiError("invalid", errors={"chat_id": "either this or to must be given"}), frame)
        return
    pair = None if isinstance(frame.chat_id, UnsetType) or frame.reply_to else _known(client, frame.chat_id)
    if pair and client.services.messages.may_submit(pair, client.caller.user_id):
        _submit(client, frame, pair)
    else:
        client.later(_send_slowly(client, frame))


async def _send_slowly(client: Client, frame: frames.Send) -> None:
    """Send what takes a look into the store: where it goes, what it answers, whether it may go."""
    messages, caller = client.services.messages, client.caller
    try:
        pair = await _addressed(client, frame)
        if frame.reply_to:
            await messages.check_reply(caller, pair, frame.reply_to)
        if await messages.find_out(caller, pair):
            _submit(client, frame, pair)
            return
        posted = await messages.send_apart(caller, pair, frame.text, frame.client_id, frame.reply_to)
        marks = await messages.marks(pair, posted.message) if posted.replayed else (0, 0)
    except ApiError as error:
        client.fail(error, frame)
    else:
        if posted.replayed:
            client.say(_repeated(frame, posted, marks))
        else:
            client.say_json(render.sent(posted.message, frame.client_id, frame.ref))


async def _addressed(client: Client, frame: frames.Send) -> Pair:
    """The chat that a message is for. Raises `ApiError`."""
    if not isinstance(frame.chat_id, UnsetType):
        return await _pair(client, frame.chat_id)
    assert not isinstance(frame.to, UnsetType)
    return await client.services.chats.pair_to(client.caller.user_id, frame.to, "to", reply_to=frame.reply_to)


def _submit(client: Client, frame: frames.Send, pair: Pair) -> None:
    done = partial(_sent, client, frame, pair)
    try:
        client.services.messages.submit(
            client.caller, pair, frame.text, frame.client_id, frame.reply_to, done
        )
    except ApiError as error:
        client.fail(error, frame)
    else:
        client.operation_started(len(frame.text))


def _sent(client: Client, frame: frames.Send, pair: Pair, outcome: Posted | Exception) -> None:
    if isinstance(outcome, Exception):
        client.fail(explain(outcome), frame)
    elif outcome.replayed:
        client.spawn(_confirm_repeat(client, frame, pair, outcome))
        return
    else:
        client.say_json(render.sent(outcome.message, frame.client_id, frame.ref))
    client.operation_finished(len(frame.text))


async def _confirm_repeat(client: Client, frame: frames.Send, pair: Pair, posted: Posted) -> None:
    try:
        marks = await client.services.messages.marks(pair, posted.message)
    except ApiError as error:
        client.fail(error, frame)
    else:
        client.say(_repeated(frame, posted, marks))
    finally:
        client.operation_finished(len(frame.text))


def _repeated(frame: frames.Send, posted: Posted, marks: tuple[int, int]) -> frames.Sent:
    message = render.message(posted.message, *marks)
    return frames.Sent(client_id=frame.client_id, message=message, replayed=True, ref=frame.ref)


def ack(client: Client, frame: frames.Ack) -> None:
    """Raise the delivered marks of the chats whose messages the ack covers."""
    if not isinstance(frame.at, UnsetType):
        _ack_position(client, frame, frame.at)
    else:
        _ack(client, frame)


def _ack(client: Client, frame: frames.Ack) -> None:
    newest = client.feed.next - 1
    if frame.seq > newest:
        client.fail(ApiError("seq_out_of_range", errors={"seq": f"the newest event sent is {newest}"}), frame)
    else:
        failed = client.fail if isinstance(frame.ref, UnsetType) else partial(client.fail, frame=frame)
        client.acks.ack(frame.seq, failed)


def _ack_position(client: Client, frame: frames.Ack, at: str) -> None:
    """Ack a seq if its event is the one that the client has. The newest one is known, others are looked for."""
    try:
        position = parse_position(frame.seq, at, "seq")
    except ApiError as error:
        client.fail(error, frame)
    else:
        if (position.seq, position.at) == (client.feed.next - 1, client.feed.at):
            _ack(client, frame)
        else:
            client.acks.check(position, partial(_ack_checked, client, frame))


def _ack_checked(client: Client, frame: frames.Ack, error: ApiError | None) -> None:
    if error is None:
        _ack(client, frame)
    elif error.code in {"log_changed", "not_signed_in"}:
        client.failed(error, frame)
    else:
        client.fail(error, frame)


def read(client: Client, frame: frames.Read) -> None:
    """Raise the read mark of a chat."""
    pair = _known(client, frame.chat_id)
    if pair:
        _mark_read(client, frame, pair)
    else:
        client.later(_read_slowly(client, frame))


async def _read_slowly(client: Client, frame: frames.Read) -> None:
    try:
        pair = await _pair(client, frame.chat_id)
    except ApiError as error:
        client.fail(error, frame)
    else:
        _mark_read(client, frame, pair)


def _mark_read(client: Client, frame: frames.Read, pair: Pair) -> None:
    mark = mark_of(pair, client.caller.user_id, read=frame.seq)
    try:
        client.services.receipts.submit(mark, partial(_marked, client, frame))
    except ApiError as error:
        client.fail(error, frame)
    else:
        client.operation_started()


def _marked(client: Client, frame: frames.Read, outcome: Marked | Exception) -> None:
    if isinstance(outcome, Exception):
        client.fail(explain(outcome), frame)
    client.operation_finished()


def typing(client: Client, frame: frames.Typing) -> None:
    """Pass it on to the peer's devices."""
    pair = _known(client, frame.chat_id)
    if pair and client.services.presence.may_type(pair):
        client.services.presence.typing(client.caller, pair, active=frame.active)
    else:
        client.later(_type_slowly(client, frame))


async def _type_slowly(client: Client, frame: frames.Typing) -> None:
    try:
        pair = await _pair(client, frame.chat_id)
        await client.services.presence.try_typing(client.caller, pair, active=frame.active)
    except ApiError as error:
        client.fail(error, frame)


def watch(client: Client, frame: frames.Watch) -> None:
    """Tell of these peers from now on. Each costs a little, whether or not it may be watched."""
    if client.afford(len(frame.user_ids) / WATCHED_PER_FRAME, frame):
        client.later(_watch(client, frame))


async def _watch(client: Client, frame: frames.Watch) -> None:
    wanted = [number for text in frame.user_ids if (number := decode_id("usr", text)) is not None]
    client.services.presence.unwatch(client.watched, client)
    try:
        client.watched = await client.services.presence.watch(client.caller, wanted, client)
    except ApiError as error:
        client.watched = []
        client.fail(error, frame)


def ping(client: Client, frame: frames.Ping) -> None:
    """Answer."""
    client.say(frames.Pong(ref=frame.ref))


HANDLERS: Final[dict[type[frames.ClientFrame], Callable[[Any, Any], None]]] = {
    frames.Hello: hello,
    frames.Send: send,
    frames.Ack: ack,
    frames.Read: read,
    frames.Typing: typing,
    frames.Watch: watch,
    frames.Ping: ping,
}
