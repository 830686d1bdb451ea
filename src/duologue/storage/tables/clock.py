"""The clock's place in the store, and rows that a wrong clock has put into the future."""

from __future__ import annotations

from duologue.clock import SLACK
from duologue.storage.database import Tx
from duologue.storage.tables import outbox
from duologue.storage.tables.accounts import NEWS_REST


def settled_time(tx: Tx) -> int | None:
    """The settled time (epoch ms) that a node noted last; None if none ever did."""
    row = tx.one("SELECT settled_at FROM clock")
    return row[0] if row else None


def newest_use(tx: Tx) -> int | None:
    """Return the time (epoch ms) at which a session was last used; None if there is none. Reads all sessions."""
    row = tx.one("SELECT max(last_seen_at) FROM sessions")
    return row[0] if row else None


def note_settled(tx: Tx, settled: int) -> None:
    """Note the settled time (epoch ms) for the next start."""
    tx.run(
        "INSERT INTO clock (id, settled_at) VALUES (1, :settled)"
        " ON CONFLICT (id) DO UPDATE SET settled_at = :settled",
        settled=settled,
    )


def mend_future(tx: Tx, now: int, alarm_delay: int, lease: int) -> int:
    """Make due what waits for longer than anything waits; how many rows.

    A clock that was ahead has written such rows: a chat's alarm, a lease that its node didn't live to end, a chore, a
    piece of a text. `alarm_delay` (ms) is how long an alarm waits, `lease` (ms) how long a lease lasts.
    """
    latest = now + SLACK
    mended = tx.run(
        "UPDATE alarms SET due_at = :due_at WHERE due_at > :latest",
        due_at=now + alarm_delay,
        latest=latest + alarm_delay,
    )
    mended += outbox.mend_future(tx, now, latest, lease)
    for table in ("profile_news", "erasures"):
        mended += tx.run(
            f"UPDATE {table} SET due_at = :now WHERE due_at > :latest", now=now, latest=latest + NEWS_REST
        )
    return mended + tx.run("UPDATE sms_open_texts SET at = :now WHERE at > :latest", now=now, latest=latest)
