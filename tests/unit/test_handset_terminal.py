"""`duologue phone` on a terminal: what stands out, what is kept, and what a text can't do."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from duologue.handset.screen import code_in, visible
from duologue_lab.servers.server import DuologueServer
from tests.support.client import PATIENCE, new_phone
from tests.support.handset import SERVICE, ask_for_code, on_terminal, switched_on


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    """A server with simulated phones, whose state the tests don't share: each has numbers of its own."""
    with DuologueServer(tmp_path_factory.mktemp("phones"), "--sign-in", "sms") as running:
        yield running


def test_on_a_terminal_the_code_stands_out_and_the_typed_line_is_kept(server: DuologueServer) -> None:
    phone = new_phone()
    with on_terminal(server, phone) as (process, keyboard, shown):
        os.write(keyboard, b"half a li")
        shown.wait("half a li")
        ask_for_code(server, phone)
        # Bold black on bright green, in a bubble; below it what was typed so far.
        shown.wait(rf"(?s)╭.*\{SERVICE} · \d\d:\d\d:\d\d.*\x1b\[1;30;102m  \d{{6}}  .*1 SMS.*╯.*> half a li$")
        os.write(keyboard, b"ne\r")
        shown.wait(rf"(?s)Sent to \{SERVICE}\..*> $")
        os.write(keyboard, b"\x04")
        assert process.wait(PATIENCE) == 0


def test_commands_are_completed_with_tab(server: DuologueServer) -> None:
    with on_terminal(server, new_phone()) as (process, keyboard, shown):
        os.write(keyboard, b"/unr\t\r")
        shown.wait("This phone is unreachable")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


def test_the_terminal_is_as_it_was_after_ctrl_c(server: DuologueServer) -> None:
    with on_terminal(server, new_phone()) as (process, keyboard, _):
        os.write(keyboard, b"never mind\x03")
        assert process.wait(PATIENCE) == 0


def test_a_text_cannot_command_the_terminal(tmp_path: Path) -> None:
    phone = new_phone()
    name = "\x1b]0;owned\x07\x1b[2J\u202e[red]"
    with DuologueServer(tmp_path, "--sign-in", "sms", "--sms-app-name", name) as server:
        with on_terminal(server, phone) as (process, keyboard, shown):
            ask_for_code(server, phone)
            shown.wait(r"(?s)␛\]0;owned␇.*␛\[2J.*\[red\]")
            assert "\x1b]0;" not in shown.text
            assert "\u202e" not in shown.text
            os.write(keyboard, b"/quit\r")
            assert process.wait(PATIENCE) == 0
        with switched_on(server, phone) as handset:
            handset.out.wait(r"␛\]0;owned␇␛\[2J\ufffd\[red\]")


def test_what_a_terminal_would_obey_is_made_visible() -> None:
    assert (
        visible("a\x00\t\x1b[1m\x7f\x9b\u202e\u2067\nb é 👍🏽 مرحبا")
        == "a␀␉␛[1m\ufffd\ufffd\ufffd\ufffd\nb é 👍🏽 مرحبا"
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Your Duologue code is 052306. Don't share it.", "052306"),
        ("رمز Duologue الخاص بك: 123456. لا تخبر به أحدا.", "123456"),
        ("Code: 111111.\n@chat.example #111111", "111111"),
        ("Call +123456 or 1234567", None),
        ("12345", None),
        ("١٢٣٤٥٦", None),
    ],
)
def test_a_code_is_six_digits_by_themselves(text: str, code: str | None) -> None:
    assert code_in(text) == code
