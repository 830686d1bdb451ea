"""What must be true of any database, whatever was done to it: worked out from its rows the slow and plain way."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from duologue.model import Kind
from tests.contract.store import rows, table


def assert_sound(url: str) -> None:
    """Every number is where it belongs: no hole, no repeat, no counter that differs from what it counts."""
    logs = {
        user: (last, floor) for user, last, floor in rows(url, "SELECT user_id, last_seq, floor FROM logs")
    }
    chats = {row[0]: row[1:] for row in rows(url, "SELECT id, low_user, high_user FROM chats")}
    sides = _assert_chats_numbered(url)
    _assert_logs_numbered(url, logs)
    _assert_one_event_a_message(url, logs, chats, sides)
    _assert_marks_in_range(url, chats, sides)
    _assert_lists_ordered(url, {user: floor for user, (_, floor) in logs.items()})


def _assert_chats_numbered(url: str) -> dict[int, list[int]]:
    """Each chat's seqs are 1, 2, 3… and its counters count; the side of each message, in order."""
    sides: dict[int, list[int]] = defaultdict(list)
    counts: dict[int, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    keys = set()
    for chat, seq, side, low, high, client_id in rows(
        url, "SELECT chat_id, seq, side, low_count, high_count, client_id FROM messages ORDER BY chat_id, seq"
    ):
        sides[chat].append(side)
        keys.add((chat, side, bytes(client_id)))
        counts[chat] = (len(sides[chat]), sides[chat].count(0), sides[chat].count(1))
        assert (seq, low, high) == counts[chat], f"message {seq} of chat {chat}"
    assert len(keys) == sum(map(len, sides.values())), "some client_id is stored twice"
    for chat, *counters in rows(url, "SELECT id, last_seq, low_count, high_count FROM chats"):
        assert tuple(counters) == counts[chat], f"chat {chat}"
    return sides


def _assert_logs_numbered(url: str, logs: dict[int, tuple[int, int]]) -> None:
    """Each log runs from its floor to its head without a hole."""
    seqs: dict[int, list[int]] = {user: [] for user in logs}
    for user, seq in rows(url, "SELECT user_id, seq FROM events ORDER BY user_id, seq"):
        seqs[user].append(seq)
    for user, (last, floor) in logs.items():
        assert seqs[user] == list(range(floor + 1, last + 1)), f"log of user {user}"


def _assert_one_event_a_message(
    url: str,
    logs: dict[int, tuple[int, int]],
    chats: dict[int, tuple[int, int]],
    sides: dict[int, list[int]],
) -> None:
    """Each message stands once in the log of either side, in the chat's order, and says whose it is."""
    told: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for user, _, kind, ref, a, b, _ in table(url, "events"):
        if kind == Kind.MESSAGE_CREATED:
            told[user, ref].append((a, b))
    for chat, (low, high) in chats.items():
        for own_side, user in enumerate((low, high)):
            expected = [(n + 1, int(side == own_side)) for n, side in enumerate(sides[chat])]
            if user in logs:
                kept = told[user, chat]
                assert kept == expected[len(expected) - len(kept) :], f"chat {chat} in the log of {user}"
                assert logs[user][1] or len(kept) == len(expected), f"chat {chat} in the log of {user}"


def _assert_marks_in_range(url: str, chats: dict[int, tuple[int, int]], sides: dict[int, list[int]]) -> None:
    """Marks keep their order, and the count of what was read is what a count gives."""
    for user, chat, delivered, read, shown, count in rows(
        url, "SELECT user_id, chat_id, delivered, read, read_shown, read_count FROM members"
    ):
        assert 0 <= shown <= read <= delivered <= len(sides[chat]), f"chat {chat} of {user}"
        peer_side = 1 - chats[chat].index(user)
        assert count == sides[chat][:read].count(peer_side), f"chat {chat} of {user}"


def _assert_lists_ordered(url: str, floors: dict[int, int]) -> None:
    """A chat list by activity is the list by each chat's newest message, or by its making if it has none."""
    newest: dict[tuple[int, int], int] = {}
    for user, seq, kind, ref, *_ in table(url, "events"):
        if kind == Kind.MESSAGE_CREATED or (kind == Kind.CHAT_UPDATED and (user, ref) not in newest):
            newest[user, ref] = seq
    lists: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for user, chat, activity in rows(url, "SELECT user_id, chat_id, activity FROM members"):
        lists[user].append((activity, chat))
    for user, items in lists.items():
        assert len({activity for activity, _ in items}) == len(items), f"two chats of {user} share a place"
        if not floors.get(user):
            order = [newest[user, chat] for _, chat in sorted(items)]
            assert all(a < b for a, b in pairwise(order)), f"the chat list of {user}"
