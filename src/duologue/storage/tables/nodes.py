"""The nodes that use a store: each counts up a row of its own."""

from __future__ import annotations

from typing import Final

from duologue.storage.database import Tx

_MOST: Final = 1_000
"""Other nodes that are looked at; more than there ever are."""
_PURGE: Final = 1_000
"""Rows that one step deletes."""


def beat(tx: Tx, node_id: int, now: int) -> None:
    """Write down that a node is there."""
    tx.run(
        "INSERT INTO nodes (id, seen_at, beats) VALUES (:node_id, :now, 1)"
        " ON CONFLICT (id) DO UPDATE SET seen_at = :now, beats = nodes.beats + 1",
        node_id=node_id,
        now=now,
    )


def probe(tx: Tx, node_id: int, now: int) -> None:
    """Find out whether the store takes writes: everything that a message needs is asked for."""
    tx.lock_logs()
    beat(tx, node_id, now)
    leave(tx, node_id)


def leave(tx: Tx, node_id: int) -> None:
    """Write down that a node is no longer there."""
    tx.run("DELETE FROM nodes WHERE id = :node_id", node_id=node_id)


def others(tx: Tx, node_id: int) -> dict[int, int]:
    """Return how often each other node has beaten; one that was killed stays for a day."""
    found = tx.all(
        "SELECT id, beats FROM nodes WHERE id <> :node_id LIMIT :most", node_id=node_id, most=_MOST
    )
    return dict(found)


def purge_nodes(tx: Tx, before: int) -> int:
    """Forget nodes that were last seen before then (epoch ms), a step at a time; return how many."""
    return tx.run(
        "DELETE FROM nodes WHERE id IN (SELECT id FROM nodes WHERE seen_at < :before LIMIT :step)",
        before=before,
        step=_PURGE,
    )
