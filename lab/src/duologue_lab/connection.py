"""A socket to a node, as lean as can be: frames in, frames out. What they mean is for the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

SUBPROTOCOL: Final = "duologue.v1"

Heard = Callable[[bytes], None]
"""Called with each text frame."""


class ClientConnection(WSListener):
    """One connection. Make it with `connect`; `ended` is done when it is over, with the close code if there was one.

    `heard` must not raise. `read` is called when all that came in one piece has been heard: the moment for an ack.
    """

    def __init__(self, heard: Heard, read: Callable[[], None] | None = None) -> None:
        self._heard = heard
        self._read = read
        self._transport: WSTransport | None = None
        self.ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Called by picows."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows."""
        if frame.msg_type == WSMsgType.TEXT:
            self._heard(frame.get_payload_as_bytes())
            if frame.last_in_buffer and self._read:
                self._read()
        elif frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            self._end(frame.get_close_code().value)
            transport.send_close(frame.get_close_code())
            transport.disconnect()

    def on_ws_disconnected(self, _: WSTransport) -> None:
        """Called by picows."""
        self._end(None)

    def _end(self, code: int | None) -> None:
        if not self.ended.done():
            self.ended.set_result(code)

    def say(self, frame: bytes) -> None:
        """Send a text frame; nothing happens once the connection is over."""
        if self._transport and not self.ended.done():
            self._transport.send(WSMsgType.TEXT, frame)

    def close(self) -> None:
        """Say goodbye (1000) and end the connection."""
        if self._transport and not self.ended.done():
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()

    def cut(self) -> None:
        """End the connection at once, as a lost network does: nothing is said, nothing in flight arrives."""
        if self._transport:
            self._transport.underlying_transport.abort()


async def connect(url: str, heard: Heard, read: Callable[[], None] | None = None) -> ClientConnection:
    """A connection to the node at `url` (`http://…` or `https://…`): the first frame is the caller's `hello`.

    Raises `OSError` or `picows.WSError` if there is none to be had.
    """
    address = f"ws{url.removeprefix('http')}/v1/socket"
    _, link = await ws_connect(
        lambda: ClientConnection(heard, read), address, extra_headers={"Sec-WebSocket-Protocol": SUBPROTOCOL}
    )
    if not isinstance(link, ClientConnection):
        # picows takes a connection that is lost in the middle of its handshake for a complete one.
        raise ConnectionResetError("the connection was lost during its handshake")
    return link
