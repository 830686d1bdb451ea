"""Reactions: the emoji that both people of a chat put on its messages."""

from __future__ import annotations

from functools import lru_cache

from duologue.clock import Clock
from duologue.core.changes import message_seen
from duologue.core.limits import REACTIONS_PER_USER
from duologue.core.sessions import Caller
from duologue.errors import ApiError
from duologue.model import Pair, Reaction
from duologue.storage.append.strangers import answer
from duologue.storage.database import Database, Tx
from duologue.storage.tables import changes as store


class Reactions:
    """The rules for reactions."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def add(self, caller: Caller, pair: Pair, seq: int, emoji: str) -> None:
        """Put an emoji on a message, the caller's own or the peer's; once it is there, that changes nothing.

        To a stranger it is an answer, as a message would be. Raises `ApiError` `invalid`, `not_found`,
        `message_deleted`, `too_many_reactions`, `log_full`, `overloaded`.
        """
        reaction = Reaction(caller.user_id, one_emoji(emoji))
        await self._db.of_chat(pair).write(_add, pair, seq, reaction, self._clock())

    async def remove(self, caller: Caller, pair: Pair, seq: int, emoji: str) -> None:
        """Take one of the caller's emoji off a message; if it isn't there, that changes nothing.

        Raises `ApiError` `invalid`, `not_found`, `log_full`, `overloaded`.
        """
        reaction = Reaction(caller.user_id, one_emoji(emoji))
        await self._db.of_chat(pair).write(_remove, pair, seq, reaction, self._clock())


@lru_cache(maxsize=1_024)
def one_emoji(text: str) -> str:
    """One emoji in its fully qualified form, by Unicode's data. Raises `ApiError` `invalid` for anything else."""
    # Loaded by the first reaction: it takes 10 MiB, and a tenth of a second.
    import emoji  # noqa: PLC0415

    found = emoji.EMOJI_DATA.get(text)
    if found is None or found["status"] == emoji.STATUS["component"]:
        raise ApiError("invalid", errors={"emoji": "must be one emoji"})
    return text if found["status"] == emoji.STATUS["fully_qualified"] else emoji.emojize(found["en"])


def _add(tx: Tx, pair: Pair, seq: int, reaction: Reaction, now: int) -> None:
    tx.lock_logs()
    message = message_seen(tx, pair, reaction.user_id, seq)
    if message.deleted_at is not None:
        raise ApiError("message_deleted")
    if reaction in message.reactions:
        return
    if sum(each.user_id == reaction.user_id for each in message.reactions) >= REACTIONS_PER_USER:
        raise ApiError("too_many_reactions")
    answer(tx, pair, reaction.user_id, now)
    store.react(tx, pair, message, (*message.reactions, reaction), now)


def _remove(tx: Tx, pair: Pair, seq: int, reaction: Reaction, now: int) -> None:
    tx.lock_logs()
    message = message_seen(tx, pair, reaction.user_id, seq)
    if reaction in message.reactions:
        kept = tuple(each for each in message.reactions if each != reaction)
        store.react(tx, pair, message, kept, now)
