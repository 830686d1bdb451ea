"""A handset that is switched on: it receives for ever, and does what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import httpx

from duologue.handset.network import POLL, Network, NetworkRefused, why
from duologue.handset.screen import HandsetScreen
from duologue.protocol.simulator import Behaviour

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
HELP: Final = {
    "TEXT": "answer whoever wrote last, or whom /to names",
    "/to NUMBER [TEXT]": "write to that number, or from now on; alone: not any more",
    "/unreachable": "lose the network: texts wait there",
    "/reachable": "find it again: what waited arrives",
    "/delay MS": "let texts take that long to arrive",
    "/loss [RATE]": "lose a share of texts and receipts: 0 to 1 (all, unless given)",
    "/duplicate [RATE]": "have a share of them come twice",
    "/reorder [RATE]": "have a share of receipts overtaken by the next",
    "/multipart on|off": "send long texts in parts, or whole",
    "/help": "show this",
    "/quit": "switch off, as Ctrl-C and Ctrl-D do",
}
"""What can be typed, and what it does."""


class Handset:
    """The handset of a network, with its screen."""

    def __init__(self, network: Network, screen: HandsetScreen) -> None:
        self._network = network
        self._screen = screen
        self._told: dict[str, Any] = {}
        self._last_sender = ""
        self._to = ""

    async def receive(self) -> None:
        """Show each text once, for ever. A server that comes back has forgotten the handset: it is told again."""
        after, wait, pause, lost = 0, 0, _FIRST_PAUSE, False
        shown: set[tuple[str, str]] = set()
        while True:
            try:
                if lost:
                    await self._network.behave(self._told)
                items = await self._network.inbox(after, wait)
            except (httpx.HTTPError, NetworkRefused) as fault:
                if not lost:
                    self._screen.error(f"Connection lost: {why(fault)}. Trying again …")
                after, wait, lost = 0, 0, True
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            if lost:
                self._screen.note("Connected again.")
                pause, lost = _FIRST_PAUSE, False
            for item in items:
                if (item.id, item.received_at) not in shown:
                    self._last_sender = item.sender
                    self._screen.sms(item)
            keys = {(item.id, item.received_at) for item in items}
            shown = shown | keys if after else keys
            # After a silence, look at the whole inbox: ids start again at 1 if the server did so unnoticed.
            after, wait = (int(items[-1].id), POLL) if items else (0, 0 if wait else POLL)

    async def obey(self, line: str) -> bool:
        """Do what was typed; whether to go on."""
        command, _, rest = line.strip().partition(" ")
        try:
            if command == "/quit":
                return False
            await self._do(command, rest.strip(), line.strip())
        except ValueError:
            usage = next(usage for usage in HELP if usage.split()[0] == command)
            self._screen.error(f"That isn't right. It goes: {usage}")
        except NetworkRefused as fault:
            self._screen.error(f"Refused: {fault}")
        except httpx.HTTPError as fault:
            self._screen.error(f"That didn't get through: {why(fault)}.")
        return True

    async def _do(self, command: str, rest: str, line: str) -> None:
        if command == "/help":
            for usage, meaning in HELP.items():
                self._screen.note(f"{usage:<18} {meaning}")
        elif command == "/to":
            await self._write_to(*rest.split(None, 1))
        elif command in _SETTINGS:
            await self._behave(_SETTINGS[command](rest))
        elif command.startswith("/"):
            self._screen.error(f"There is no {command}; /help lists what there is.")
        elif line:
            await self._send(self._to or self._last_sender, line)

    async def _write_to(self, number: str = "", text: str = "") -> None:
        if text:
            await self._send(number, text)
        else:
            self._to = number
            self._screen.note(f"Writing to {number or 'whoever wrote last'}.")

    async def _send(self, to: str, text: str) -> None:
        if not to:
            self._screen.error("Nobody has written to this phone yet. Say whom to write to: /to NUMBER")
            return
        await self._network.send(to, text)
        self._screen.note(f"Sent to {to}.")

    async def _behave(self, changes: dict[str, Any]) -> None:
        now = await self._network.behave(changes)
        self._told |= changes
        self._screen.note(f"This phone is {described(now)}.")


def _rate(given: str) -> float:
    return float(given) if given else 1.0


def _alone(given: str, meaning: dict[str, Any]) -> dict[str, Any]:
    if given:
        raise ValueError(given)
    return meaning


_SETTINGS: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "/unreachable": lambda given: _alone(given, {"reachable": False}),
    "/reachable": lambda given: _alone(given, {"reachable": True}),
    "/delay": lambda given: {"delay_ms": int(given)},
    "/loss": lambda given: {"loss": _rate(given)},
    "/duplicate": lambda given: {"duplicate": _rate(given)},
    "/reorder": lambda given: {"reorder": _rate(given)},
    "/multipart": lambda given: {"multipart": ("off", "on").index(given) == 1},
}


def described(behaviour: Behaviour) -> str:
    """Describe a handset's behaviour in words, without what is usual."""
    rates = {"loss": behaviour.loss, "duplicate": behaviour.duplicate, "reorder": behaviour.reorder}
    parts = [
        "reachable" if behaviour.reachable else "unreachable",
        f"{behaviour.delay_ms} ms late" if behaviour.delay_ms else "",
        *(f"{name} {rate:.0%}" for name, rate in rates.items() if rate),
        "" if behaviour.multipart else "multipart off",
    ]
    return ", ".join(filter(None, parts))
