"""Typing and presence: told to those who share a chat, never stored."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from duologue.clock import MINUTE, Clock, rfc3339
from duologue.core.sessions import Caller
from duologue.model import Pair
from duologue.protocol import frames, render
from duologue.realtime.bus import Bus, Signal
from duologue.realtime.hub import Hub, Listener
from duologue.storage import chats as chat_store
from duologue.storage.database import Database

_encode = msgspec.json.Encoder().encode


class Presence:
    """The rules for who learns what of whom while it happens."""

    def __init__(self, db: Database, hub: Hub, bus: Bus, clock: Clock) -> None:
        self._db = db
        self._hub = hub
        self._bus = bus
        self._clock = clock

    def arrive(self, user_id: int, device: Listener) -> None:
        """A device connects."""
        if self._hub.arrive(user_id, device):
            self._tell(user_id, online=True)

    def leave(self, user_id: int, device: Listener) -> None:
        """A device has gone."""
        if self._hub.leave(user_id, device):
            self._tell(user_id, online=False)

    def _tell(self, user_id: int, *, online: bool) -> None:
        frame = _presence(user_id, online=online, last_seen_at=self._clock())
        self._bus.publish_signal(Signal(user_id, to_watchers=True, frame=frame))

    def typing(self, caller: Caller, pair: Pair, *, active: bool) -> None:
        """Pass on that the caller types, to whatever devices of the peer are connected."""
        frame = frames.PeerTyping(
            chat_id=render.chat_id(pair.chat_id), user_id=render.user_id(caller.user_id), active=active
        )
        self._bus.publish_signal(
            Signal(pair.peer_of(caller.user_id), to_watchers=False, frame=_encode(frame))
        )

    async def watch(self, caller: Caller, user_ids: Sequence[int], watcher: Listener) -> list[int]:
        """Tell `watcher` of these users from now on, and how it stands with each at once.

        Those with whom the caller shares no chat are passed over in silence: no answer tells that they exist.
        Returns whom it watches now.
        """
        seen = await self._db.read(chat_store.peers_last_seen, caller.user_id, user_ids)
        for user_id, last_seen_at in seen.items():
            self._hub.watch(user_id, watcher)
            online = self._hub.devices(user_id) > 0
            watcher.signal(_presence(user_id, online=online, last_seen_at=last_seen_at))
        return list(seen)

    def unwatch(self, user_ids: Sequence[int], watcher: Listener) -> None:
        """Tell `watcher` no more of these."""
        for user_id in user_ids:
            self._hub.unwatch(user_id, watcher)


def _presence(user_id: int, *, online: bool, last_seen_at: int | None) -> bytes:
    """To the minute: when exactly somebody looked at their phone is nobody's business."""
    coarse = None if last_seen_at is None else rfc3339(last_seen_at - last_seen_at % MINUTE)
    return _encode(frames.Presence(user_id=render.user_id(user_id), online=online, last_seen_at=coarse))
