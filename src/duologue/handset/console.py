"""Putting a handset together: its keyboard, its screen, and how it is switched off."""

from __future__ import annotations

import asyncio
import contextlib
import os
import readline
import signal
import stat
import sys
import termios
import threading
from collections.abc import Iterator
from typing import Final

from duologue.handset.handset import HELP, Handset, described
from duologue.handset.network import Network, client, switch_on
from duologue.handset.screen import PROMPT, TabSeparatedScreen, Terminal

_NO_PROMPT: Final = "\x1b[?2004l\r\x1b[J"
"""Bracketed paste off, the line that was being typed erased."""


def run(phone: str, url: str) -> None:
    """Be that phone until told to stop. Raises `PhoneError`."""
    try:
        with _terminal_as_it_was():
            asyncio.run(_run(phone, url))
    except BrokenPipeError:
        # Whoever read us has gone. Python would complain once more when it flushes stdout at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _run(phone: str, url: str) -> None:
    stop = _told_to_stop()
    async with client(url) as http:
        network = Network(http, phone)
        behaviour = await switch_on(network, url)
        terminal = Terminal() if sys.stdout.isatty() else None
        screen = terminal or TabSeparatedScreen()
        screen.note(f"{phone} at {url} is {described(behaviour)}.")
        if terminal:
            screen.note("Type to answer; /help says what else it can do.")
        handset = Handset(network, screen)
        receiving = asyncio.create_task(handset.receive())
        receiving.add_done_callback(lambda _: stop.set())
        lines = _edited(terminal) if terminal and sys.stdin.isatty() else iter(sys.stdin)
        reading = (lines, handset, asyncio.get_running_loop(), stop)
        threading.Thread(target=_read, args=reading, daemon=True).start()
        await stop.wait()
        if terminal:
            terminal.end_typing()
        if receiving.done():
            receiving.result()


def _read(
    lines: Iterator[str], handset: Handset, loop: asyncio.AbstractEventLoop, stop: asyncio.Event
) -> None:
    """Hand on each line once the one before is done. The thread's own: the loop must not wait for a keyboard."""
    for line in lines:
        if not asyncio.run_coroutine_threadsafe(handset.obey(line), loop).result():
            loop.call_soon_threadsafe(stop.set)
            return


def _edited(terminal: Terminal) -> Iterator[str]:
    """The lines typed on a terminal. Ctrl-D means `/quit`."""
    commands = [f"{usage.split()[0]} " for usage in HELP if usage.startswith("/")]
    readline.set_pre_input_hook(terminal.typing_begins)
    readline.set_completer_delims(" ")
    readline.set_completer(
        lambda start, number: [*(c for c in commands if c.startswith(start)), None][number]
    )
    readline.parse_and_bind("tab: complete")
    while terminal.may_type():
        try:
            line = input(PROMPT)
        except EOFError:
            line = "/quit"
        terminal.typing = False
        yield line


def _told_to_stop() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set from now on, instead of ending the process within a line.

    So does the end of whatever reads our pipe: `| grep -m1` needn't wait for the text after the one it wants.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
        loop.add_reader(sys.stdout.fileno(), stop.set)
    return stop


@contextlib.contextmanager
def _terminal_as_it_was() -> Iterator[None]:
    """Undo what readline did to the terminal: nothing tells it that we stop while it waits for a key."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        if sys.stdout.isatty():
            sys.stdout.write(_NO_PROMPT)
