"""Facts that must be true of any database, worked out from its rows the slow and plain way."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from duologue.model import Kind
from duologue.storage.database import Row
from tests.contract.store import contents

Tables = dict[str, list[Row]]


def assert_sound(url: str) -> None:
    """Every number is where it belongs: no hole, no repeat, no counter that differs from what it counts."""
    tables = contents(url)
    _assert_chats_numbered(tables)
    _assert_withheld_point_back(tables)
    _assert_logs_numbered(tables)
    _assert_one_event_a_message(tables)
    _assert_marks_in_range(tables)
    _assert_lists_ordered(tables)


def _withheld(tables: Tables) -> set[tuple[int, int]]:
    """Chat and seq of each message that its recipient never sees."""
    return {(chat, seq) for chat, seq, *_ in tables["withheld"]}


def _sides(tables: Tables) -> dict[int, list[int]]:
    """Return the side that sent each message of a chat, in order."""
    sides: dict[int, list[int]] = defaultdict(list)
    for chat, _, side, *_ in tables["messages"]:
        sides[chat].append(side)
    return sides


def _assert_chats_numbered(tables: Tables) -> None:
    """Each chat's seqs are 1, 2, 3… its counters count what is not withheld, and no key is stored twice."""
    withheld = _withheld(tables)
    so_far: dict[int, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    for chat, seq, side, low, high, *_ in tables["messages"]:
        before, counts = so_far[chat], (chat, seq) not in withheld
        so_far[chat] = (
            before[0] + 1,
            before[1] + (counts and side == 0),
            before[2] + (counts and side == 1),
        )
        assert (seq, low, high) == so_far[chat], f"message {seq} of chat {chat}"
    for chat, _, _, *counters, _ in tables["chats"]:
        assert tuple(counters) == so_far[chat], f"chat {chat}"
    keys = {(chat, side, bytes(key)) for chat, _, side, _, _, _, _, key, *_ in tables["messages"]}
    assert len(keys) == len(tables["messages"]), "some client_id is stored twice"


def _assert_withheld_point_back(tables: Tables) -> None:
    """Each withheld message names the newest before it that its recipient sees, and each member its newest one."""
    sides, withheld = _sides(tables), _withheld(tables)
    newest: dict[tuple[int, int], int] = defaultdict(int)
    for chat, seq, side, visible in tables["withheld"]:
        assert side == sides[chat][seq - 1], f"message {seq} of chat {chat}"
        seen = [
            other
            for other, sender in enumerate(sides[chat][: seq - 1], 1)
            if sender != side or (chat, other) not in withheld
        ]
        assert visible == max(seen, default=0), f"message {seq} of chat {chat}"
        newest[chat, 1 - side] = seq
    own_side = {
        (chat, user): side for chat, *users, _, _, _, _ in tables["chats"] for side, user in enumerate(users)
    }
    for user, chat, *_, last in tables["members"]:
        assert last == newest[chat, own_side[chat, user]], f"chat {chat} of {user}"


def _assert_logs_numbered(tables: Tables) -> None:
    """Each log runs from its floor to its head without a hole. A user without a log has been deleted."""
    gone = {user for user, *_, deleted_at in tables["users"] if deleted_at is not None}
    seqs: dict[int, list[int]] = {user: [] for user, *_ in tables["logs"]}
    assert not gone & seqs.keys(), "a deleted user has a log"
    for user, seq, *_ in tables["events"]:
        if user not in gone:
            seqs[user].append(seq)
    for user, last, floor, *_ in tables["logs"]:
        assert seqs[user] == list(range(floor + 1, last + 1)), f"log of user {user}"


def _assert_one_event_a_message(tables: Tables) -> None:
    """Each message stands once in the log of each side that sees it, in the chat's order, and says whose it is."""
    told: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for user, _, kind, ref, a, b, _ in tables["events"]:
        if kind == Kind.MESSAGE_CREATED:
            told[user, ref].append((a, b))
    sides, withheld = _sides(tables), _withheld(tables)
    floors = {user: floor for user, _, floor, *_ in tables["logs"]}
    for chat, low, high, *_ in tables["chats"]:
        for own_side, user in enumerate((low, high)):
            if user in floors:
                expected = [
                    (seq, int(side == own_side))
                    for seq, side in enumerate(sides[chat], 1)
                    if side == own_side or (chat, seq) not in withheld
                ]
                kept = told[user, chat]
                assert kept == expected[len(expected) - len(kept) :], f"chat {chat} in the log of {user}"
                assert floors[user] or len(kept) == len(expected), f"chat {chat} in the log of {user}"


def _assert_marks_in_range(tables: Tables) -> None:
    """Marks keep their order, none is shown on a withheld message, and the count of what was read is right."""
    sides, withheld = _sides(tables), _withheld(tables)
    sides_of = {chat: (low, high) for chat, low, high, *_ in tables["chats"]}
    for user, chat, _, _, delivered, read, shown, count, *_, delivered_shown, _ in tables["members"]:
        where, peer_side = f"chat {chat} of {user}", 1 - sides_of[chat].index(user)
        assert 0 <= shown <= read <= delivered <= len(sides[chat]), where
        assert shown <= delivered_shown <= delivered, where
        hidden = {
            seq for seq, side in enumerate(sides[chat], 1) if side == peer_side and (chat, seq) in withheld
        }
        assert not hidden & {shown, delivered_shown}, where
        counted = [seq for seq, side in enumerate(sides[chat][:read], 1) if side == peer_side]
        assert count == len(set(counted) - hidden), where


def _assert_lists_ordered(tables: Tables) -> None:
    """A chat list by activity is the list by each chat's newest message, or by its listing if it has none.

    Not asked of a log that was trimmed: it doesn't tell any more.
    """
    newest: dict[tuple[int, int], int] = {}
    for user, seq, kind, ref, *_ in tables["events"]:
        if kind == Kind.MESSAGE_CREATED or (kind == Kind.CHAT_UPDATED and (user, ref) not in newest):
            newest[user, ref] = seq
    lists: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for user, chat, _, activity, *_ in tables["members"]:
        if activity:
            lists[user].append((activity, chat))
    for user, _, floor, *_ in tables["logs"]:
        if not floor:
            order = [newest[user, chat] for _, chat in sorted(lists[user])]
            assert all(a < b for a, b in pairwise(order)), f"the chat list of {user}"
