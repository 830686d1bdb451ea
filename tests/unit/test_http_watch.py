"""Bytes that may wait for clients that read nothing, and the number of connections that there is room for."""

from __future__ import annotations

import pytest

from duologue.app.edge import RESERVE, room_for_connections
from duologue.edge.http_watch import MAX_UNREAD, MAX_UNREAD_OF_ADDRESS, ConnectionWatch, Patience

pytestmark = pytest.mark.anyio


class Connection:
    """A connection whose client reads nothing."""

    deadline = float("inf")

    def __init__(self, block: str, size: int) -> None:
        self.block = block
        self.size = size
        self.cut = False

    def unread(self) -> int:
        return self.size

    def expire(self) -> None:
        self.cut = True

    def abort(self) -> None:
        self.cut = True


def stalled(watch: ConnectionWatch, *connections: Connection) -> list[bool]:
    """Return those that are cut off once an answer waits for each, one after the other."""
    for connection in connections:
        watch.stalled(connection)
    return [connection.cut for connection in connections]


async def test_beyond_its_share_the_longest_waiting_connection_of_a_network_is_cut() -> None:
    third = MAX_UNREAD_OF_ADDRESS // 3
    here = [Connection("192.0.2.0/24", third) for _ in range(3)]
    there = Connection("198.51.100.0/24", third)
    assert stalled(ConnectionWatch(Patience()), there, *here) == [False] * 4
    watch = ConnectionWatch(Patience())
    assert stalled(watch, there, *here, Connection("192.0.2.0/24", third)) == [
        False,
        True,
        False,
        False,
        False,
    ]


async def test_a_single_answer_is_never_cut_for_its_size() -> None:
    assert stalled(ConnectionWatch(Patience()), Connection("192.0.2.0/24", 2 * MAX_UNREAD)) == [False]


async def test_beyond_the_share_of_all_the_network_with_the_most_gives_way() -> None:
    small = [Connection(f"10.0.{number}.0/24", 1024) for number in range(4)]
    large = [Connection(f"10.1.{number}.0/24", MAX_UNREAD // 4 - 1024 + number) for number in range(4)]
    assert stalled(ConnectionWatch(Patience()), *small, *large) == [False] * 7 + [True]


def test_descriptors_are_kept_for_what_is_no_client() -> None:
    assert RESERVE == 160
    assert room_for_connections(1_024) == 864
    assert room_for_connections(100) == 50
