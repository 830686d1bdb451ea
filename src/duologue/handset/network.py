"""The simulated network as one handset sees it: the server's `/v1/sim`."""

from __future__ import annotations

from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from duologue.protocol.problem import Problem
from duologue.protocol.simulator import Behaviour, Inbox, Phones, ReceivedSms

POLL: Final = 25
"""Seconds that a long poll takes."""
_TIMEOUT: Final = httpx.Timeout(10, read=POLL + 10)
_FOREIGN: Final = 502  # the status of an answer that isn't Duologue's
_NO_SIMULATOR: Final = (404, _FOREIGN)

T = TypeVar("T")


class PhoneError(Exception):
    """The handset can't be switched on: the message says why, and `exit_code` is what a shell should get."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NetworkRefused(Exception):
    """The server won't; the message says why. An answer that isn't Duologue's has the status 502."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def client(url: str) -> httpx.AsyncClient:
    """HTTP with the server. Raises `PhoneError` for what isn't a URL."""
    try:
        return httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, trust_env=False)
    except httpx.InvalidURL as fault:
        raise PhoneError(f"{url} is no URL: {fault}.", 2) from fault


class Network:
    """The network for the handset with that number. Calls raise `httpx.HTTPError` and `NetworkRefused`."""

    def __init__(self, http: httpx.AsyncClient, phone: str) -> None:
        self._http = http
        self._path = f"/v1/sim/phones/{quote(phone, safe='')}"

    async def present(self) -> bool:
        """Return whether there is a simulator at the given address."""
        try:
            await self._ask("GET", "/v1/sim/phones", Phones)
        except NetworkRefused as fault:
            if fault.status not in _NO_SIMULATOR:
                raise
            return False
        return True

    async def behave(self, changes: dict[str, Any]) -> Behaviour:
        """Change the handset's behaviour, if asked to, and return it."""
        return await self._ask("PUT", self._path, Behaviour, json=changes)

    async def inbox(self, after: int, wait: int) -> list[ReceivedSms]:
        """Return SMS received after the one with id `after`; waits up to `wait` seconds for some."""
        query = {"after": after, "wait": wait}
        return (await self._ask("GET", f"{self._path}/messages", Inbox, params=query)).items

    async def send(self, to: str, text: str) -> None:
        """Let the handset send an SMS."""
        await self._ask("POST", f"{self._path}/messages", dict[str, str], json={"to": to, "text": text})

    async def _ask(self, method: str, path: str, kind: type[T], **options: Any) -> T:
        answer = await self._http.request(method, path, **options)
        try:
            if answer.is_success:
                return msgspec.json.decode(answer.content, type=kind)
            problem = msgspec.json.decode(answer.content, type=Problem)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            told = f"the answer isn't a Duologue server's (status {answer.status_code})"
            raise NetworkRefused(told, _FOREIGN) from fault
        raise NetworkRefused(_reason(problem), answer.status_code)


def _reason(problem: Problem) -> str:
    fields = problem.errors if problem.code == "invalid" and problem.errors else {}
    return "; ".join(f"{name}: {reason}" for name, reason in fields.items()) or problem.detail


async def switch_on(network: Network, url: str) -> Behaviour:
    """Return the handset's first behaviour. Raises `PhoneError`."""
    try:
        if not await network.present():
            raise PhoneError(
                f"There is no phone simulator at {url}: either that is no Duologue server, or it sends SMS through"
                " a real provider. Start one that has it with: duologue serve --sign-in sms"
            )
        return await network.behave({})
    except httpx.HTTPError as fault:
        told = f"The server at {url} can't be reached ({why(fault)})."
        raise PhoneError(f"{told} Start one with: duologue serve --sign-in sms") from fault
    except NetworkRefused as fault:
        if fault.status in (
            404,
            405,
        ):  # with such a number it is another path: it is empty, or has a slash in it
            raise PhoneError("That is not a phone number, e.g. +33612345678.", 2) from fault
        raise PhoneError(str(fault), 2 if fault.status == 422 else 1) from fault


def why(fault: Exception) -> str:
    """Describe a failure for people: some of httpx's exceptions have only a name."""
    return str(fault).rstrip(".") or type(fault).__name__
