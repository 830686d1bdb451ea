"""`duologue phone` with pipes for a keyboard and a screen, and a real server."""

from __future__ import annotations

import http.server
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from duologue.handset import handset as handset_module
from duologue.handset.handset import HELP, Handset
from duologue.handset.network import Network, PhoneError, client, switch_on
from duologue.handset.screen import code_in
from duologue.protocol.simulator import ReceivedSms
from duologue_lab.servers.process import environment
from duologue_lab.servers.server import DuologueServer
from tests.docs.pages import DOCS, blocks, section, table
from tests.support.client import PATIENCE, new_phone
from tests.support.handset import (
    COMMAND,
    SERVICE,
    USUAL,
    ask,
    ask_for_code,
    ended,
    received_by_server,
    run,
    switched_on,
    until,
)

PAGE = DOCS / "phones.md"
SOON = 10.0
"""Seconds: long for a busy machine, short for a poll that is waiting for the wrong thing."""
ORDERS: list[tuple[str, str, dict[str, Any]]] = [
    ("/delay 2000", "reachable, 2000 ms late", {"delay_ms": 2000}),
    ("/delay 0", "reachable", {"delay_ms": 0}),
    ("/loss 0.3", "reachable, loss 30%", {"loss": 0.3}),
    ("/loss", "reachable, loss 100%", {"loss": 1}),
    ("/duplicate", "reachable, loss 100%, duplicate 100%", {"duplicate": 1}),
    ("/loss 0", "reachable, duplicate 100%", {"loss": 0}),
    ("/reorder 0.5", "reachable, duplicate 100%, reorder 50%", {"reorder": 0.5}),
    ("/multipart off", "reachable, duplicate 100%, reorder 50%, multipart off", {"multipart": False}),
    ("/unreachable", "unreachable, duplicate 100%, reorder 50%, multipart off", {"reachable": False}),
    ("/reachable", "reachable, duplicate 100%, reorder 50%, multipart off", {"reachable": True}),
    ("/multipart on", "reachable, duplicate 100%, reorder 50%", {"multipart": True}),
]
MISTAKES = [
    ("/delay soon", "It goes: /delay MS"),
    ("/loss much", r"It goes: /loss \[RATE\]"),
    ("/loss nan", r"It goes: /loss \[RATE\]"),
    ("/multipart", r"It goes: /multipart on\|off"),
    ("/reachable now", "It goes: /reachable"),
    ("/loss 2", "Refused: loss: .*1"),
    ("/fly", "There is no /fly; /help"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    """A server with simulated phones, whose state the tests don't share: each has numbers of its own."""
    with DuologueServer(tmp_path_factory.mktemp("phones"), "--sign-in", "sms") as running:
        yield running


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


def test_it_behaves_as_it_is_told(server: DuologueServer) -> None:
    phone, expected = new_phone(), dict(USUAL)
    with switched_on(server, phone) as handset:
        for number, (line, told, changes) in enumerate(ORDERS, 1):
            handset.type(line)
            handset.err.wait(rf"^(.*\n){{{number}}}This phone is {told}\.\n$")
            expected |= changes
            assert ask(server, "PUT", f"/v1/sim/phones/{phone}", {}) == expected


def test_what_waits_for_an_unreachable_phone_arrives_once_it_is_back(server: DuologueServer) -> None:
    phone = new_phone()
    with switched_on(server, phone) as handset:
        handset.type("/unreachable")
        handset.err.wait("This phone is unreachable")
        ask_for_code(server, phone)
        handset.type(f"/to {SERVICE} hello")
        handset.err.wait("Refused: phone: is unreachable")
        assert handset.out.text == ""
        handset.type("/reachable")
        handset.out.wait(r"\d{6}")


def test_a_mistake_is_explained_and_changes_nothing(server: DuologueServer) -> None:
    phone = new_phone()
    with switched_on(server, phone) as handset:
        for number, (line, answer) in enumerate(MISTAKES, 1):
            handset.type(line)
            handset.err.wait(rf"^(.*\n){{{number}}}.*{answer}.*\n$")
        assert ask(server, "PUT", f"/v1/sim/phones/{phone}", {}) == USUAL


def test_help_lists_every_command(server: DuologueServer) -> None:
    with switched_on(server, new_phone()) as handset:
        handset.type("/help")
        handset.type("/quit")
        assert handset.process.wait(PATIENCE) == 0
        for usage, meaning in HELP.items():
            handset.err.wait(rf"{re.escape(usage)} +{re.escape(meaning)}\n")


def test_the_documents_tell_every_command() -> None:
    told = " ".join(row[0] for row in table(section(PAGE.read_text(), "In a terminal")))
    assert set(re.findall(r"/\w+", told)) == {usage.split()[0] for usage in HELP if usage.startswith("/")}


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
        handset.err.wait(r"Connected again\.\n", within=SOON)
        assert ask(server, "PUT", f"/v1/sim/phones/{phone}", {}) == USUAL | {"delay_ms": 1}
        ask_for_code(server, phone)
        handset.out.wait(r"\d{6}.*\n.*\d{6}.*\n", within=SOON)
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


def test_the_documented_pipe_prints_a_code_and_ends(server: DuologueServer) -> None:
    phone = new_phone()
    [pipe] = [block.text for block in blocks(PAGE.read_text()) if "|" in block.text]
    process = subprocess.Popen(
        [
            "sh",
            "-c",
            pipe.replace("duologue phone +33612345678", '"$@"'),
            "sh",
            *COMMAND,
            phone,
            "--url",
            server.url,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environment("DUOLOGUE_"),
    )
    with ended(process):
        ask_for_code(server, phone)
        out, _ = process.communicate(timeout=PATIENCE)
        assert re.fullmatch(rb"\d{6}\n", out)


def test_it_ends_quietly_when_nobody_reads_it_any_more(server: DuologueServer) -> None:
    phone = new_phone()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [*COMMAND, phone, "--url", server.url],
            stdin=subprocess.DEVNULL,
            stdout=theirs.fileno(),
            stderr=subprocess.PIPE,
            env=environment("DUOLOGUE_"),
        )
    with ended(process):
        assert process.stderr
        assert b"is reachable" in process.stderr.readline()
        ask_for_code(server, phone)
        assert (process.wait(PATIENCE), process.stderr.read()) == (0, b"")


def test_a_bad_number_is_refused_with_the_servers_hint(server: DuologueServer) -> None:
    done = run("0612345678", "--url", server.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "duologue: It must start with + and the country code (e.g. +33612345678).\n"


@pytest.mark.anyio
@pytest.mark.parametrize("number", ["+336/12345678", "..", "%2e%2e", "?", "#", "", "+33 6\n"])
async def test_nothing_that_is_no_number_leads_elsewhere(server: DuologueServer, number: str) -> None:
    async with client(server.url) as web:
        with pytest.raises(PhoneError) as refused:
            await switch_on(Network(web, number), server.url)
    assert refused.value.exit_code == 2


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


def test_a_server_that_cannot_be_reached_is_told_as_such() -> None:
    done = run(new_phone(), "--url", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.startswith("duologue: The server at http://127.0.0.1:1 can't be reached")


@pytest.mark.anyio
@pytest.mark.parametrize("url", ["localhost:8000", "http://", "http://[", "", "http://exa mple"])
async def test_a_wrong_url_is_told_as_such(url: str) -> None:
    with pytest.raises(PhoneError, match=r"can't be reached|is no URL"):
        async with client(url) as web:
            await switch_on(Network(web, new_phone()), url)


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
