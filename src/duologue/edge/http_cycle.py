"""One request and its answer: uvicorn's, less what RFC 9110 and RFC 9112 have otherwise."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class Answering:
    """As much of a transport as an answer needs. Its `close` lets the client read what was sent before."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(
        self, write: Callable[[bytes], None], is_closing: Callable[[], bool], close: Callable[[], None]
    ) -> None:
        self.write = write
        self.is_closing = is_closing
        self.close = close


class Cycle(RequestResponseCycle):
    """Answers one request."""

    _length_is_unknown = False

    async def send(self, message: Any) -> None:
        """Called by the application for the head of the answer, then for the pieces of its body."""
        if self.disconnected:
            return
        if not self.response_started:
            self._decide(message)
        elif self._length_is_unknown:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)

    def give_up(self) -> None:
        """Nothing more is read from the client or sent to it: the application sees that it is gone."""
        self.disconnected = True
        self.message_event.set()

    def _decide(self, message: Any) -> None:
        # A final answer instead of `100 Continue`: the client may send the body all the same, or not at all, and
        # which of the two can't be told (RFC 9110 section 10.1.1).
        if self.more_body and (self.waiting_for_100_continue or message["status"] == _TOO_LARGE):
            self.keep_alive = False
        if self.scope["http_version"] == "1.0" and not _has_length(message):
            # HTTP/1.0 knows no chunks: the end of the connection is the end of the body (RFC 9112 section 6.1).
            self.chunked_encoding = False
            self._length_is_unknown = True


_TOO_LARGE = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def _has_length(message: Any) -> bool:
    return any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))


def head_as_get(app: Any) -> Any:
    """The application as HEAD sees it: what GET would answer, ended where the body would begin."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        ended = False

        async def send_head(message: Any) -> None:
            nonlocal ended
            if ended:
                return
            if message["type"] == "http.response.body":
                ended = True
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await app({**scope, "method": "GET"}, receive, send_head)

    return answer
