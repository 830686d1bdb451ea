"""The endpoint of the socket: which requests to upgrade become connections."""

from __future__ import annotations

from duologue.core.rates import CONNECTIONS, REQUESTS
from duologue.edge.handshake import Handshake, Refusal, origin_allowed
from duologue.edge.problems import refusal
from duologue.errors import ApiError
from duologue.socket.codec import codec_of
from duologue.socket.connection import Connection
from duologue.socket.connection_registry import ConnectionRegistry


class SocketEndpoint:
    """The `Accept` of the transport: opens a socket, or refuses with an HTTP answer."""

    def __init__(self, registry: ConnectionRegistry) -> None:
        self._registry = registry
        self._services = registry.services

    def __call__(self, handshake: Handshake) -> Connection | Refusal:
        """Return a connection for a request to `/v1/socket` from an allowed page, or the refusal."""
        if handshake.path != "/v1/socket":
            return refusal(ApiError("not_found", "There is no socket at this path."))
        if not origin_allowed(handshake, self._services.origins):
            return refusal(ApiError("origin_not_allowed"))
        remote = self._services.remotes.find(handshake.peer, (handshake.headers.get("x-forwarded-for", ""),))
        try:
            self._services.rates.take(REQUESTS, remote.block)
            if self._services.remotes.is_proxy(handshake.peer):  # others were counted when they connected
                self._services.rates.take(CONNECTIONS, remote.block)
        except ApiError as error:
            return refusal(error)
        scheme, _, token = handshake.headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else None
        return Connection(self._registry, codec_of(handshake.subprotocol), given, remote.block)
