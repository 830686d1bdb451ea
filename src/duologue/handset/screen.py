"""Output of a handset: bubbles on a terminal, lines elsewhere."""

from __future__ import annotations

import re
import readline
import sys
import threading
from datetime import datetime
from typing import Any, Final, Protocol

from rich.cells import cell_len
from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from duologue.protocol.simulator import ReceivedSms

PROMPT: Final = "> "
_WIDTH: Final = 64  # columns
_PREPARED_WITHIN: Final = 1.0  # seconds
_CODE: Final = re.compile(r"(?<![\d+])\d{6}(?!\d)", re.ASCII)
# A text may hold anything, and a terminal obeys control characters; some others turn the line around.
_VISIBLE: Final = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) != "\n"},
    **dict.fromkeys([*range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD),
}


class HandsetScreen(Protocol):
    """Place where a handset shows its messages."""

    def sms(self, sms: ReceivedSms) -> None:
        """A text has come."""

    def note(self, text: str) -> None:
        """Something has happened."""

    def error(self, text: str) -> None:
        """Something hasn't worked."""


class TabSeparatedScreen:
    """For programs: a line for each text, of four fields divided by tabs. All else goes to stderr.

    The fields: when it came, who sent it, how many SMS it took, its text with backslashes and newlines escaped.
    """

    def sms(self, sms: ReceivedSms) -> None:
        text = visible(sms.text.replace("\\", "\\\\")).replace("\n", "\\n")
        print(sms.received_at, visible(sms.sender), sms.parts, text, sep="\t", flush=True)  # noqa: T201 - its purpose

    def note(self, text: str) -> None:
        print(visible(text), file=sys.stderr, flush=True)  # noqa: T201 - its purpose

    error = note


class Terminal:
    """For people: bubbles above the line that is being typed."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self.typing = False
        """Whether there is such a line."""
        self._preparing = threading.Lock()
        self._ended = False

    def may_type(self) -> bool:
        """Return whether readline may take the terminal for another line; until `typing_begins` it is doing so."""
        self._preparing.acquire()
        if self._ended:
            self._preparing.release()
        return not self._ended

    def typing_begins(self) -> None:
        """The terminal is readline's, and a line can be typed."""
        self.typing = True
        if self._preparing.locked():
            self._preparing.release()

    def end_typing(self) -> None:
        """No line is begun any more: who puts the terminal back does so after readline has changed it, not before."""
        if self._preparing.acquire(timeout=_PREPARED_WITHIN):
            self._ended = True
            self._preparing.release()

    def sms(self, sms: ReceivedSms) -> None:
        code = code_in(sms.text)
        text = Text(visible(sms.text))
        if code:
            text.highlight_words([code], "bold")
        when = datetime.fromisoformat(sms.received_at).astimezone().strftime("%H:%M:%S")
        bubble = Panel(
            Group(text, "", Text(f"  {code}  ", "bold black on bright_green")) if code else text,
            title=Text(f"{visible(sms.sender)} · {when}", "bold"),
            subtitle=Text(f"{sms.parts} SMS", "dim"),
            title_align="left",
            subtitle_align="right",
            border_style="green" if code else "cyan",
            width=min(_WIDTH, self._console.width),
        )
        self._show(bubble)

    def note(self, text: str) -> None:
        self._show(Text(visible(text), "dim"))

    def error(self, text: str) -> None:
        self._show(Text(visible(text), "red"))

    def _show(self, what: Any) -> None:
        with self._console.capture() as shown:
            self._console.print(what)
        if self.typing:
            line = PROMPT + readline.get_line_buffer()
            rows = cell_len(line) // self._console.width
            above = f"\x1b[{rows}A" if rows else ""
            sys.stdout.write(f"\r{above}\x1b[J{shown.get()}{line}")
        else:
            sys.stdout.write(shown.get())
        sys.stdout.flush()


def visible(text: str) -> str:
    """The text with every control character but the newline replaced by a picture of it."""
    return text.translate(_VISIBLE)


def code_in(text: str) -> str | None:
    """The sign-in code in a text: six digits that are no part of a longer number."""
    found = _CODE.search(text)
    return found[0] if found else None
