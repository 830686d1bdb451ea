"""`duologue phone`: the handset in a terminal, and in a pipe, with a real server."""

from __future__ import annotations

import contextlib
import fcntl
import http.server
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import anyio
import httpx
import pytest

from duologue.phone import handset as handset_module
from duologue.phone.handset import HELP, Handset
from duologue.phone.network import Network, client
from duologue.phone.screen import code_in, visible
from duologue.protocol.simulator import ReceivedSms
from tests.support.client import PATIENCE, new_phone
from tests.support.process import environment
from tests.support.server import DuologueServer

SERVICE = "+12025550100"
COMMAND = [sys.executable, "-m", "duologue.cli", "phone"]
USUAL = {"reachable": True, "delay_ms": 0, "loss": 0, "duplicate": 0, "reorder": 0, "multipart": True}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    """A server with simulated phones, whose state the tests don't share: each has numbers of its own."""
    with DuologueServer(tmp_path_factory.mktemp("phones"), "--sign-in", "sms") as running:
        yield running


class Stream:
    """What comes out of a pipe or terminal, read all the time, and waited for."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._text = ""
        self._news = threading.Condition()
        self._ended = False
        threading.Thread(target=self._follow, args=(read,), daemon=True).start()

    def _follow(self, read: Callable[[], bytes]) -> None:
        data = b"-"
        while data:
            try:
                data = read()
            except OSError:  # a terminal whose other side is closed
                data = b""
            with self._news:
                self._text += data.decode()
                self._ended = not data
                self._news.notify_all()

    @property
    def text(self) -> str:
        with self._news:
            return self._text

    def wait(self, pattern: str) -> re.Match[str]:
        """The first match of a pattern, once it is there."""
        with self._news:
            found = self._news.wait_for(lambda: re.search(pattern, self._text) or self._ended, PATIENCE)
            match = re.search(pattern, self._text)
            assert match, f"{pattern!r} hasn't come ({found=}), but {self._text!r}"
            return match


class Phone:
    """A running handset with pipes for a keyboard and a screen."""

    def __init__(self, phone: str, url: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, phone, "--url", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment("DUOLOGUE_"),
        )
        self.out, self.err = (self._stream(pipe) for pipe in (self.process.stdout, self.process.stderr))

    @staticmethod
    def _stream(pipe: IO[bytes] | None) -> Stream:
        assert pipe
        number = pipe.fileno()
        return Stream(lambda: os.read(number, 65536))

    def type(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever happens, the process doesn't outlive this."""
    try:
        yield
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@contextlib.contextmanager
def switched_on(server: DuologueServer, phone: str) -> Iterator[Phone]:
    """A handset that is ready."""
    running = Phone(phone, server.url)
    with ended(running.process):
        running.err.wait(r"is reachable\.\n")
        yield running


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A handset that ends by itself."""
    return subprocess.run(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment("DUOLOGUE_"),
        check=False,
    )


def ask(server: DuologueServer, method: str, path: str, body: Any = None) -> Any:
    answer = httpx.request(method, server.url + path, json=body, trust_env=False, timeout=PATIENCE)
    assert answer.is_success, answer.text
    return answer.json() if "json" in answer.headers["content-type"] else answer.text


def ask_for_code(server: DuologueServer, phone: str) -> str:
    """The id of a verification whose code is on its way."""
    return str(ask(server, "POST", "/v1/verifications", {"phone": phone})["id"])


def received_by_server(server: DuologueServer) -> int:
    """How many texts from handsets have come through the provider's callback."""
    found = re.search(
        r"^duologue_sms_inbound_total\{.*\} (\d+)", ask(server, "GET", "/metrics"), re.MULTILINE
    )
    return int(found[1]) if found else 0


def until(condition: Callable[[], bool]) -> None:
    """Wait for what only asking can tell."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, "it hasn't come true"


def test_a_user_signs_in_with_the_code_that_arrives(server: DuologueServer) -> None:
    phone = new_phone()
    with switched_on(server, phone) as handset:
        verification = ask_for_code(server, phone)
        line = handset.out.wait(r"(.*)\t(.*)\t(.*)\t(.*)\n")
        when, sender, parts, text = line.groups()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", when)
        assert (sender, parts) == (SERVICE, "1")
        body = {"verification_id": verification, "code": code_in(text)}
        assert ask(server, "POST", "/v1/sessions", body)["user"]["phone"] == phone


def test_what_came_before_is_shown_too(server: DuologueServer) -> None:
    phone = new_phone()
    ask_for_code(server, phone)
    ask(server, "GET", f"/v1/sim/phones/{phone}/messages?wait=20")
    with switched_on(server, phone) as handset:
        handset.out.wait(r"\t1\t.*\d{6}.*\n")


def test_an_answer_goes_to_whoever_wrote_last_or_to_whom_one_says(server: DuologueServer) -> None:
    phone = new_phone()
    before = received_by_server(server)
    with switched_on(server, phone) as handset:
        handset.type("hello?")
        handset.err.wait("Nobody has written to this phone yet")
        ask_for_code(server, phone)
        handset.out.wait(r"\n")
        handset.type("STOP")
        handset.err.wait(rf"Sent to \{SERVICE}\.\n")
        handset.type("/to +12025550188 once")
        handset.err.wait(r"Sent to \+12025550188\.\n")
        handset.type("/to +12025550199")
        handset.type("from now on")
        handset.err.wait(r"Sent to \+12025550199\.\n")
        handset.type("/to")
        handset.type("back")
        handset.err.wait(rf"(?s)Sent to \{SERVICE}\..*Sent to \{SERVICE}\.\n")
    until(lambda: received_by_server(server) == before + 4)


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("/unreachable", {"reachable": False}),
        ("/delay 2000", {"delay_ms": 2000}),
        ("/loss 0.3", {"loss": 0.3}),
        ("/loss", {"loss": 1}),
        ("/duplicate", {"duplicate": 1}),
        ("/reorder 0.5", {"reorder": 0.5}),
        ("/multipart off", {"multipart": False}),
    ],
)
def test_it_behaves_as_it_is_told(server: DuologueServer, line: str, changes: dict[str, Any]) -> None:
    phone = new_phone()
    with switched_on(server, phone) as handset:
        handset.type(line)
        handset.err.wait(r"This phone is .+\.\n")
        assert ask(server, "PUT", f"/v1/sim/phones/{phone}", {}) == USUAL | changes


def test_what_waits_for_an_unreachable_phone_arrives_once_it_is_back(server: DuologueServer) -> None:
    phone = new_phone()
    with switched_on(server, phone) as handset:
        handset.type("/unreachable")
        handset.err.wait("This phone is unreachable")
        ask_for_code(server, phone)
        handset.type("hello")
        handset.err.wait("Refused: phone: is unreachable")
        assert handset.out.text == ""
        handset.type("/reachable")
        handset.out.wait(r"\d{6}")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("/delay soon", r"It goes: /delay MS\n"),
        ("/loss much", r"It goes: /loss \[RATE\]\n"),
        ("/loss nan", r"It goes: /loss \[RATE\]\n"),
        ("/multipart", r"It goes: /multipart on\|off\n"),
        ("/reachable now", r"It goes: /reachable\n"),
        ("/loss 2", r"Refused: loss: .*1"),
        ("/fly", r"There is no /fly; /help"),
    ],
)
def test_a_mistake_is_explained_and_changes_nothing(server: DuologueServer, line: str, answer: str) -> None:
    phone = new_phone()
    with switched_on(server, phone) as handset:
        handset.type(line)
        handset.err.wait(answer)
        assert ask(server, "PUT", f"/v1/sim/phones/{phone}", {}) == USUAL


def test_help_lists_every_command(server: DuologueServer) -> None:
    with switched_on(server, new_phone()) as handset:
        handset.type("/help")
        handset.type("/quit")
        assert handset.process.wait(PATIENCE) == 0
        for usage, meaning in HELP.items():
            handset.err.wait(rf"{re.escape(usage)} +{re.escape(meaning)}\n")


def test_it_survives_a_restart_and_stays_as_it_was_told_to_be(tmp_path: Path) -> None:
    phone = new_phone()
    with (
        DuologueServer(tmp_path / "data", "--sign-in", "sms") as server,
        switched_on(server, phone) as handset,
    ):
        handset.type("/delay 1")
        handset.err.wait("1 ms late")
        ask_for_code(server, phone)
        handset.out.wait(r"\d{6}")
        server.kill()
        handset.err.wait(r"Connection lost: .+\n")
        shutil.rmtree(tmp_path / "data")  # a server that remembers would send no second code so soon
        server.start()
        handset.err.wait(r"Connected again\.\n")
        assert ask(server, "PUT", f"/v1/sim/phones/{phone}", {}) == USUAL | {"delay_ms": 1}
        ask_for_code(server, phone)
        handset.out.wait(r"\d{6}.*\n.*\d{6}.*\n")
        handset.type("/quit")
        assert handset.process.wait(PATIENCE) == 0
        assert handset.out.text.count("\n") == 2
        assert handset.err.text.count("Connection lost") == 1


def test_it_ends_well_when_told_to(server: DuologueServer) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with switched_on(server, new_phone()) as handset:
            handset.process.send_signal(number)
            assert handset.process.wait(PATIENCE) == 0


def test_it_goes_on_when_nothing_more_is_typed(server: DuologueServer) -> None:
    phone = new_phone()
    with switched_on(server, phone) as handset:
        assert handset.process.stdin
        handset.process.stdin.close()
        ask_for_code(server, phone)
        handset.out.wait(r"\d{6}")


def test_it_ends_quietly_when_nobody_reads_it_any_more(server: DuologueServer) -> None:
    phone = new_phone()
    arguments = [*COMMAND, phone, "--url", server.url]
    process = subprocess.Popen(
        ["sh", "-c", '"$@" | head -n 1', "sh", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment("DUOLOGUE_"),
    )
    with ended(process):
        assert process.stderr
        assert process.stdout
        assert b"is reachable" in process.stderr.readline()
        ask(server, "PUT", f"/v1/sim/phones/{phone}", {"duplicate": 1})
        ask_for_code(server, phone)
        out, err = process.communicate(timeout=PATIENCE)
        assert (out.count(b"\n"), err) == (1, b"")


def test_a_bad_number_is_refused_with_the_servers_hint(server: DuologueServer) -> None:
    done = run("0612345678", "--url", server.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "duologue: It must start with + and the country code (e.g. +33612345678).\n"


@pytest.mark.parametrize("number", ["+336/12345678", "..", "%2e%2e", "?", "+33 6\n"])
def test_nothing_that_is_no_number_leads_elsewhere(server: DuologueServer, number: str) -> None:
    done = run(number, "--url", server.url)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("duologue: ")


def test_a_server_without_simulator_is_told_as_such(tmp_path: Path) -> None:
    provider = "gateway+https://127.0.0.1:9/?preset=httpsms"
    with DuologueServer(tmp_path, "--sign-in", "sms", "--sms-url", provider) as real:
        done = run(new_phone(), "--url", real.url)
    assert done.returncode == 1
    assert f"There is no phone simulator at {real.url}" in done.stderr


class Foreign(http.server.BaseHTTPRequestHandler):
    """Something else that listens there."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>It works!</html>")

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_another_server_is_told_as_such() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        done = run(new_phone(), "--url", f"http://127.0.0.1:{other.server_port}")
        other.shutdown()
    assert done.returncode == 1
    assert "There is no phone simulator" in done.stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "localhost:8000", "http://"])
def test_a_server_that_cannot_be_reached_is_told_as_such(url: str) -> None:
    done = run(new_phone(), "--url", url)
    assert done.returncode == 1
    assert f"The server at {url} can't be reached" in done.stderr


@contextlib.contextmanager
def terminal(server: DuologueServer, phone: str) -> Iterator[tuple[subprocess.Popen[bytes], int, Stream]]:
    """A handset on a terminal of 80 columns: its process, the terminal's other side, and what that shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        [*COMMAND, phone, "--url", server.url],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment("DUOLOGUE_", {"TERM": "xterm-256color"}),
        start_new_session=True,
    )
    with ended(process):
        shown = Stream(lambda: os.read(ours, 65536))
        shown.wait("/help says what else it can do")
        shown.wait("> ")
        yield process, ours, shown
        assert termios.tcgetattr(theirs) == before, "the terminal isn't as it was"
    os.close(theirs)
    os.close(ours)


def test_on_a_terminal_the_code_stands_out_and_the_typed_line_is_kept(server: DuologueServer) -> None:
    phone = new_phone()
    with terminal(server, phone) as (process, keyboard, shown):
        os.write(keyboard, b"half a li")
        shown.wait("half a li")
        ask_for_code(server, phone)
        # Bold black on bright green, in a bubble; below it what was typed so far.
        shown.wait(rf"(?s)╭.*\{SERVICE} · \d\d:\d\d:\d\d.*\x1b\[1;30;102m  \d{{6}}  .*1 SMS.*╯.*> half a li$")
        os.write(keyboard, b"ne\r")
        shown.wait(rf"Sent to \{SERVICE}\.")
        os.write(keyboard, b"\x04")
        assert process.wait(PATIENCE) == 0


def test_commands_are_completed_with_tab(server: DuologueServer) -> None:
    with terminal(server, new_phone()) as (process, keyboard, shown):
        os.write(keyboard, b"/unr\t\r")
        shown.wait("This phone is unreachable")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


def test_the_terminal_is_as_it_was_after_ctrl_c(server: DuologueServer) -> None:
    with terminal(server, new_phone()) as (process, keyboard, _):
        os.write(keyboard, b"never mind\x03")
        assert process.wait(PATIENCE) == 0


def test_a_text_cannot_command_the_terminal(tmp_path: Path) -> None:
    phone = new_phone()
    name = "\x1b]0;owned\x07\x1b[2J\u202e[red]"
    with DuologueServer(tmp_path, "--sign-in", "sms", "--sms-app-name", name) as server:
        with terminal(server, phone) as (process, keyboard, shown):
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


class Recorder:
    """A screen that remembers."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.faults: list[str] = []

    def sms(self, sms: ReceivedSms) -> None:
        self.texts.append(sms.id)

    def note(self, text: str) -> None:
        """Of no interest."""

    def error(self, text: str) -> None:
        self.faults.append(text)


@pytest.mark.anyio
async def test_silence_repeats_nothing_and_misses_nothing(
    server: DuologueServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handset_module, "POLL", 0.05)
    phone, screen = new_phone(), Recorder()
    polls = 0

    async def count(_: httpx.Response) -> None:
        nonlocal polls
        polls += 1

    async def until_polled(times: int) -> None:
        enough = polls + times
        with anyio.fail_after(PATIENCE):
            while polls < enough:
                await anyio.sleep(0.01)

    async with client(server.url) as web, anyio.create_task_group() as tasks:
        web.event_hooks = {"response": [count]}
        tasks.start_soon(Handset(Network(web, phone), screen).receive)
        await until_polled(5)
        ask(server, "PUT", f"/v1/sim/phones/{phone}", {"duplicate": 1})
        ask_for_code(server, phone)
        await until_polled(9)
        tasks.cancel_scope.cancel()
    assert (screen.texts, screen.faults) == (["1", "2"], [])
