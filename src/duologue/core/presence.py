"""Typing and presence: told to those who share a chat, never stored."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from duologue.clock import MINUTE, SECOND, Clock, rfc3339, steady_ms
from duologue.core.sessions import Caller
from duologue.core.strangers import Strangers
from duologue.model import Pair, new_id
from duologue.protocol import frames, render
from duologue.realtime.bus import Bus, Hidden, Roll, TransientFrame, Whereabouts
from duologue.realtime.hub import Hub, SignalListener
from duologue.storage.database import Database
from duologue.storage.tables import chats as chat_store

_encode = msgspec.json.Encoder().encode


_EVERY: Final = 30.0
"""Seconds between the rolls that a node calls of its own users."""
_FORGOTTEN_AFTER: Final = 75 * SECOND
"""A node that was killed says nothing: after so long its users are taken to have gone."""
_ROLL: Final = 5_000  # users in a signal
_CHANGES: Final = 1.0
"""Seconds between two changes of one user that watchers are told of, however often it comes and goes."""
_ANSWER: Final = 0.2
"""Seconds that other nodes have to say where somebody is."""


class PresenceTracker:
    """The rules for who learns what of whom while it happens.

    A user is online while some node has a device of it. Each node says who comes and goes, answers when it is asked
    for a user, and repeats from time to time whom it has; what is not repeated is forgotten. Only users who are
    watched here are kept in mind.
    """

    def __init__(self, db: Database, hub: Hub, bus: Bus, clock: Clock, strangers: Strangers) -> None:
        self._db = db
        self._strangers = strangers
        self._hub = hub
        self._bus = bus
        self._clock = clock
        self._node = new_id()
        self._elsewhere: dict[int, dict[int, int]] = {}
        self._told: dict[int, bool] = {}
        self._resting: dict[int, asyncio.TimerHandle] = {}
        self._looking: list[set[int]] = []
        hub.on_presence = self._hear

    def arrive(self, user_id: int, device: SignalListener) -> None:
        """A device connects."""
        if self._hub.arrive(user_id, device):
            self._say([user_id], online=True)

    def leave(self, user_id: int, device: SignalListener) -> None:
        """A device has gone."""
        if self._hub.leave(user_id, device):
            self._say([user_id], online=False)

    def _say(self, user_ids: list[int], *, online: bool) -> None:
        self._bus.publish_signal(Whereabouts(self._node, user_ids, online, self._clock()))

    def hide(self, user_id: int) -> None:
        """A user lets nobody see any more when it is online: its watchers see it offline, and hear no more of it."""
        self._bus.publish_signal(Hidden(user_id))

    def _vanish(self, user_id: int) -> None:
        for watcher in self._hub.forget_watchers(user_id):
            watcher.signal(_presence(user_id, online=False, last_seen_at=None))
        self._elsewhere.pop(user_id, None)
        self._told.pop(user_id, None)
        # Who is just looking up whom it may watch may have seen an older choice.
        for hidden in self._looking:
            hidden.add(user_id)

    def _hear(self, said: Whereabouts | Roll | Hidden) -> None:
        if isinstance(said, Hidden):
            self._vanish(said.user_id)
            return
        if isinstance(said, Roll):
            if here := [user_id for user_id in said.user_ids if self._hub.devices(user_id)]:
                self._say(here, online=True)
            return
        for user_id in said.user_ids:
            if not self._hub.is_watched(user_id):
                continue
            nodes = self._elsewhere.setdefault(user_id, {})
            if said.node != self._node and said.online:
                nodes[said.node] = steady_ms() + _FORGOTTEN_AFTER
            else:
                nodes.pop(said.node, None)
            self._settle(user_id, said.at)

    def _settle(self, user_id: int, at: int) -> None:
        """Tell the watchers if the user has come or gone, all nodes together; after a change, not before a rest."""
        online = self._is_online(user_id)
        if user_id not in self._resting and self._told.get(user_id) is not online:
            self._told[user_id] = online
            self._hub.tell_watchers(user_id, _presence(user_id, online=online, last_seen_at=at))
            loop = asyncio.get_running_loop()
            self._resting[user_id] = loop.call_later(_CHANGES, self._rested, user_id)

    def _rested(self, user_id: int) -> None:
        del self._resting[user_id]
        if self._hub.is_watched(user_id):
            self._settle(user_id, self._clock())

    def _is_online(self, user_id: int) -> bool:
        return self._hub.devices(user_id) > 0 or bool(self._elsewhere.get(user_id))

    async def call_rolls(self) -> None:
        """The background loop: repeat whom this node has, and forget whom no node speaks of any more."""
        while True:
            await asyncio.sleep(_EVERY)
            self.call_roll()

    def call_roll(self) -> None:
        """One turn of that loop."""
        online = [] if self._bus.alone else self._hub.online()
        for start in range(0, len(online), _ROLL):
            self._say(online[start : start + _ROLL], online=True)
        now = steady_ms()
        for user_id, nodes in tuple(self._elsewhere.items()):
            for node in [node for node, until in nodes.items() if until <= now]:
                del nodes[node]
            self._settle(user_id, self._clock())

    def may_type(self, pair: Pair) -> bool:
        """Return whether both sides of a chat may see each other type, if that is known from memory; else False."""
        return self._strangers.is_mutual(pair.chat_id)

    async def try_typing(self, caller: Caller, pair: Pair, *, active: bool) -> None:
        """`typing`, if the peer may see it: the caller has written to it or accepted it."""
        if await self._strangers.may_signal(pair, caller.user_id):
            self.typing(caller, pair, active=active)

    def typing(self, caller: Caller, pair: Pair, *, active: bool) -> None:
        """Pass on that the caller types, to all connected devices of the peer."""
        frame = frames.PeerTyping(
            chat_id=render.chat_id(pair.chat_id), user_id=render.user_id(caller.user_id), active=active
        )
        self._bus.publish_signal(TransientFrame(pair.peer_of(caller.user_id), _encode(frame)))

    async def watch(self, caller: Caller, user_ids: Sequence[int], watcher: SignalListener) -> list[int]:
        """Tell `watcher` of these users from now on, and how it stands with each.

        Those who have not written to the caller or accepted a chat with it are passed over in silence: no answer
        tells that they exist. Of those who let nobody see it is said once that they are offline. Returns whom it
        watches now.
        """
        hidden: set[int] = set()
        self._looking.append(hidden)
        try:
            found = await self._db.of_user(caller.user_id).read(
                chat_store.peers_last_seen, caller.user_id, user_ids
            )
        finally:
            self._looking.remove(hidden)
        hidden |= found.hidden
        seen = {user_id: at for user_id, at in found.seen.items() if user_id not in hidden}
        for user_id in hidden & {*user_ids}:
            watcher.signal(_presence(user_id, online=False, last_seen_at=None))
        for user_id in seen:
            self._hub.watch(user_id, watcher)
        absent = {user_id: at for user_id, at in seen.items() if not self._is_online(user_id)}
        for user_id in seen.keys() - absent.keys():
            self._tell(user_id, seen[user_id], watcher)
        if absent and not self._bus.alone:
            self._bus.publish_signal(Roll(list(absent)))
            asyncio.get_running_loop().call_later(_ANSWER, self._tell_absent, absent, watcher)
        else:
            self._tell_absent(absent, watcher)
        return list(seen)

    def _tell_absent(self, absent: dict[int, int | None], watcher: SignalListener) -> None:
        """Skip users whom another node reported online meanwhile; tell that the others are absent."""
        for user_id, last_seen_at in absent.items():
            if self._hub.watches(user_id, watcher) and not self._is_online(user_id):
                self._tell(user_id, last_seen_at, watcher)

    def _tell(self, user_id: int, last_seen_at: int | None, watcher: SignalListener) -> None:
        online = self._is_online(user_id)
        # A change that the other watchers haven't heard of yet is still to be told.
        self._told.setdefault(user_id, online)
        watcher.signal(_presence(user_id, online=online, last_seen_at=last_seen_at))

    def unwatch(self, user_ids: Sequence[int], watcher: SignalListener) -> None:
        """Tell `watcher` no more of these."""
        for user_id in user_ids:
            self._hub.unwatch(user_id, watcher)
            if not self._hub.is_watched(user_id):
                self._elsewhere.pop(user_id, None)
                self._told.pop(user_id, None)


def _presence(user_id: int, *, online: bool, last_seen_at: int | None) -> bytes:
    """To the minute: when exactly somebody looked at their phone is nobody's business."""
    coarse = None if last_seen_at is None else rfc3339(last_seen_at - last_seen_at % MINUTE)
    return _encode(frames.Presence(user_id=render.user_id(user_id), online=online, last_seen_at=coarse))
