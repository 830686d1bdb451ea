"""`duologue outbox`: what became of the messages that went on by SMS, and texts that nobody got; for the operator."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from duologue.clock import SECOND, now_ms
from duologue.core.phone_numbers import masked
from duologue.model import encode_id
from duologue.storage.audit.snapshot import CannotRead, snapshot
from duologue.storage.database import Tx
from duologue.storage.engine.migrate import SchemaTooNew, SchemaTooOld
from duologue.storage.tables import jobs
from duologue.storage.tables.accounts import user_by_id
from duologue.storage.tables.outbox import QUEUE, Outgoing, State, counts, oldest_due
from duologue.storage.tables.unplaced import Unplaced, newest

_SHOWN: Final = 20
"""Lines of each list."""
_WIDTH: Final = 160
"""A line for each, on a narrower terminal too: what is cut off can't be searched for."""
_REASONS: Final = {
    "number": "no phone that we know, in this spelling; if it lacks its country code, set region= in the URL",
    "name": "a name or a short code, which can't be answered",
    "own_number": "one of our own numbers",
    "no_chat": "that phone has no chat on the number that it wrote to",
    "suspended": "its user is suspended",
}
"""Why a text is in no chat."""


class OutboxError(Exception):
    """The outbox can't be read; the message says why."""


class OutboxRow(msgspec.Struct, frozen=True):
    """One relayed message as an operator may see it: no text, and of the number only where it belongs."""

    row: Outgoing
    phone: str


def outbox(url: str) -> None:
    """Show how many are in each state, and why the newest were not delivered. Raises `OutboxError`."""
    try:
        with snapshot(url) as tx:
            found, due = counts(tx), oldest_due(tx, now_ms())
            lines = [_line(tx, row) for row in jobs.latest(tx, QUEUE, (State.FAILED, State.DEAD), _SHOWN)]
            texts = newest(tx, _SHOWN)
    except (CannotRead, SchemaTooOld, SchemaTooNew) as fault:
        raise OutboxError(str(fault)) from fault
    console = Console(width=_WIDTH)
    tell(console, found, due, lines)
    tell_texts(console, texts)


def tell(console: Console, found: dict[State, int], due: int | None, lines: list[OutboxRow]) -> None:
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


def tell_texts(console: Console, texts: list[Unplaced]) -> None:
    """Print the texts that nobody got; nothing if there are none."""
    if not texts:
        return
    console.print("\nTexts from phones that are in no chat, the newest first:", highlight=False)
    table = Table("when", "from", "by", "why", box=None, pad_edge=False)
    for text in texts:
        # A sender may be a name that somebody chose: it is no markup.
        table.add_row(
            _time(text.at), Text(text.sender), Text(text.provider), _REASONS.get(text.reason, text.reason)
        )
    console.print(table)


def _line(tx: Tx, row: Outgoing) -> OutboxRow:
    user = user_by_id(tx, row.user_id)
    return OutboxRow(row, masked(user.phone) if user and user.phone else "(gone)")


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / SECOND, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
