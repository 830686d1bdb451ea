"""`duologue outbox`: what became of the messages that went on by SMS, for whoever runs the server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from duologue.clock import SECOND, now_ms
from duologue.model import encode_id
from duologue.storage.accounts import user_by_id
from duologue.storage.database import Tx
from duologue.storage.migrate import SchemaTooNew, SchemaTooOld
from duologue.storage.outbox import Outgoing, State, counts, latest, oldest_due
from duologue.storage.snapshot import CannotRead, snapshot

_SHOWN: Final = 20
_SHOWN_DIGITS: Final = 4, 2
_WIDTH: Final = 160
"""A line for each, on a narrower terminal too: what is cut off can't be searched for."""


class OutboxError(Exception):
    """The outbox can't be read; the message says why."""


class Line(msgspec.Struct, frozen=True):
    """One relayed message as an operator may see it: no text, and of the number only where it belongs."""

    row: Outgoing
    phone: str


def outbox(url: str) -> None:
    """Show how many are in each state, and why the newest were not delivered. Raises `OutboxError`."""
    try:
        with snapshot(url) as tx:
            found, due = counts(tx), oldest_due(tx, now_ms())
            lines = [_line(tx, row) for row in latest(tx, (State.FAILED, State.DEAD), _SHOWN)]
    except (CannotRead, SchemaTooOld, SchemaTooNew) as fault:
        raise OutboxError(str(fault)) from fault
    tell(Console(width=_WIDTH), found, due, lines)


def tell(console: Console, found: dict[State, int], due: int | None, lines: list[Line]) -> None:
    """Print it. `due`: since when (epoch ms) the oldest has waited past its time."""
    for state in State:
        console.print(f"{state.name.lower():>10}  {found.get(state, 0):,}", highlight=False)
    if due is not None:
        console.print(f"The oldest that is due has waited since {_time(due)}.", highlight=False)
    if not lines:
        console.print("None failed.")
        return
    table = Table("when", "chat", "seq", "to", "state", "tries", "by", "why", box=None, pad_edge=False)
    for line in lines:
        row = line.row
        table.add_row(
            _time(row.ended_at or row.created_at),
            encode_id("cht", row.chat_id),
            str(row.seq),
            line.phone,
            row.state.name.lower(),
            str(row.attempts),
            row.provider or "-",
            row.reason,
        )
    console.print(table)


def _line(tx: Tx, row: Outgoing) -> Line:
    user = user_by_id(tx, row.user_id)
    return Line(row, masked(user.phone) if user and user.phone else "(gone)")


def masked(phone: str) -> str:
    """A number of which only the beginning and the end show: `+336•••••78`."""
    first, last = _SHOWN_DIGITS
    return phone[:first] + "•" * (len(phone) - first - last) + phone[-last:]


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / SECOND, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
