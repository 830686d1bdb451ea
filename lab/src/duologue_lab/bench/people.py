"""Users to drive a server with, and their sockets."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from duologue_lab.bench.http import WIDTH, Http, each
from duologue_lab.bench.progress import ProgressBars

_NUMBERS: Final = "+888"
"""Numbers with this country code are given to nobody, so no real user is ever signed in as."""


class BenchUser(msgspec.Struct, frozen=True):
    """Somebody signed in."""

    id: str
    phone: str
    token: str


class People:
    """Source of users: new ones are signed up, or they are known by the given tokens."""

    def __init__(self, http: Http, tokens: Sequence[str], watch: ProgressBars) -> None:
        self._http = http
        self._tokens = list(tokens)
        self._signs_up = not tokens
        self._watch = watch
        self._run = f"{secrets.randbelow(100_000):05d}"
        self._count = 0

    async def get(self, count: int) -> list[BenchUser]:
        """So many users who weren't given before. Raises `ValueError` when there aren't enough tokens."""
        if self._signs_up:
            numbers = range(self._count, self._count + count)
            self._count += count
            return await self._all("signing up", self._sign_up, numbers)
        tokens, self._tokens = self._tokens[:count], self._tokens[count:]
        if len(tokens) < count:
            raise ValueError(
                f"{count} users are needed, and there are tokens for {len(tokens)}: use fewer sockets"
            )
        return await self._all("looking up users", self._look_up, tokens)

    async def pairs(self, count: int) -> list[tuple[BenchUser, BenchUser, str]]:
        """So many pairs of users, and the id of their chat."""
        users = await self.get(2 * count)
        return await self.chats(list(zip(users[::2], users[1::2], strict=True)))

    async def chats(
        self, pairs: Sequence[tuple[BenchUser, BenchUser]]
    ) -> list[tuple[BenchUser, BenchUser, str]]:
        """These pairs, with the id of their chat, which is opened and accepted."""
        return await self._all("opening chats", self._open_chat, pairs)

    async def _all(self, stage: str, work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        with self._watch.stage(stage, len(items)) as advance:
            return await each(work, items, WIDTH, advance)

    async def _sign_up(self, number: int) -> BenchUser:
        phone = f"{_NUMBERS}{self._run}{number:06d}"
        answer = await self._http.ask("POST", "/v1/sessions", body={"phone": phone, "device_name": "bench"})
        return BenchUser(answer["user"]["id"], phone, answer["token"])

    async def _look_up(self, token: str) -> BenchUser:
        answer = await self._http.ask("GET", "/v1/me", token)
        return BenchUser(answer["id"], answer["phone"], token)

    async def _open_chat(self, pair: tuple[BenchUser, BenchUser]) -> tuple[BenchUser, BenchUser, str]:
        chat = await self._http.ask("PUT", "/v1/chats", pair[0].token, {"phone": pair[1].phone})
        for user in pair:
            await self._http.ask("PUT", f"/v1/chats/{chat['id']}/accept", user.token)
        return *pair, chat["id"]


def read_tokens(path: Path) -> list[str]:
    """The tokens in a file, one a line. Raises `OSError`."""
    return path.read_text().split()
