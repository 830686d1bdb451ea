"""One network can't keep the server busy by connecting again and again."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from time import monotonic

import pytest

from duologue.core.addresses import Remotes, parse_networks
from duologue.core.rates import CONNECTIONS, Rates
from duologue.edge import connection_rate
from duologue.edge.connection_rate import HELD, ConnectionRate
from duologue.edge.edge import Edge
from duologue.errors import RatePolicy
from tests.support.http import Raw, raw
from tests.support.websocket import serving

AT_ONCE = 3
FEW = RatePolicy(CONNECTIONS.name, 60, 60, burst=AT_ONCE, per="address")
ATTACKER, NEIGHBOUR, OTHER = "127.9.0.1", "127.9.0.2", "127.9.1.1"


def edge(policy: RatePolicy = FEW, trusted: str = "") -> Edge:
    return Edge(rate=ConnectionRate(Rates(limited=True, policies=[policy]), Remotes(parse_networks(trusted))))


def is_served(http: Raw) -> bool:
    http.send(b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
    try:
        return http.answer().status == 200
    except (EOFError, ConnectionError):
        return False


def served(port: int, sources: Sequence[str]) -> list[bool]:
    """For a connection from each of these addresses, whether it is answered. One is closed before the next begins."""
    outcomes = []
    for source in sources:
        with raw(port, source=source) as http:
            outcomes.append(is_served(http))
    return outcomes


def test_a_network_that_connects_too_often_is_not_answered_and_others_are() -> None:
    with serving(edge=edge()) as server:
        port = server.address[1]
        assert served(port, [ATTACKER, NEIGHBOUR, ATTACKER]) == [True] * AT_ONCE
        assert served(port, [NEIGHBOUR, OTHER, OTHER]) == [False, True, True]
        until = monotonic() + 10
        while not served(port, [ATTACKER])[0]:
            assert monotonic() < until, "the network is served again after a while"


def test_a_client_that_tries_again_at_once_has_to_wait() -> None:
    with serving(edge=edge()) as server:
        port = server.address[1]
        served(port, [ATTACKER] * AT_ONCE)
        before = monotonic()
        assert served(port, [ATTACKER]) == [False]
        assert monotonic() - before > 0.9 * connection_rate.HOLD


def test_few_connections_over_the_rate_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_rate, "HOLD", 30.0)
    with serving(edge=edge()) as server:
        port = server.address[1]
        served(port, [ATTACKER] * AT_ONCE)
        held = [socket.create_connection(server.address, source_address=(ATTACKER, 0)) for _ in range(HELD)]
        assert served(port, [ATTACKER]) == [False]
        assert all(is_open(tcp) for tcp in held)
        for tcp in held:
            tcp.close()
        # Each one that has gone leaves room.
        with socket.create_connection(server.address, source_address=(ATTACKER, 0)) as tcp:
            assert is_open(tcp)


def is_open(tcp: socket.socket) -> bool:
    tcp.setblocking(False)
    try:
        return tcp.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


@pytest.mark.parametrize(("source", "trusted"), [("127.0.0.1", ""), ("127.8.0.1", "127.8.0.0/24")])
def test_this_machine_and_trusted_proxies_may_connect_as_often_as_they_like(
    source: str, trusted: str
) -> None:
    with serving(edge=edge(trusted=trusted)) as server:
        assert served(server.address[1], [source] * 3 * AT_ONCE) == [True] * 3 * AT_ONCE


def test_two_hundred_devices_of_one_network_reconnect_at_once() -> None:
    with serving(edge=edge(CONNECTIONS)) as server:
        assert all(served(server.address[1], [ATTACKER, NEIGHBOUR] * 200))
