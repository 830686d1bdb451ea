"""The default HTTP clients of other languages hold a conversation with the server.

Each folder beside this file has a program for one client, without options that change how the client speaks HTTP. It
takes the server's base URL and two phone numbers, and prints `OK` and a step's name for each step that went as the
documents say. A language whose toolchain isn't on the machine is skipped, and the reason says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from duologue_lab.servers.server import DuologueServer
from tests.support.client import new_phone
from tests.support.toolchains import fetch, need, run

CLIENTS = Path(__file__).parent
STEPS = {
    "sign in",
    "send",
    "repeat",
    "list chats",
    "page",
    "mark read",
    "long poll",
    "stream",
    "head",
    "sign out",
}
SOCKET = "socket"
"""A step of the clients whose language has a WebSocket of its own."""

Built = tuple[Sequence[str], set[str]]
"""A client's command, and the steps that it takes or may take."""


def java(folder: Path) -> Built:
    """Java 11 and newer: `java.net.http`, which offers an upgrade to h2c with each request."""
    need("javac", "java")
    run(
        ["javac", "-Xlint:all", "-Werror", "-d", str(folder), str(CLIENTS / "java" / "Conversation.java")],
        folder,
    )
    return ["java", "-cp", str(folder), "Conversation"], STEPS | {SOCKET}


def go(folder: Path) -> Built:
    """Go: `http.DefaultClient`. Only the standard library, so nothing is fetched."""
    need("go")
    offline = {"GOPROXY": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}
    run(["go", "build", "-o", str(folder / "conversation"), "."], CLIENTS / "go", offline)
    return [str(folder / "conversation")], STEPS


def node(folder: Path) -> Built:
    """Node 18 and newer: the global `fetch`; from 20.10 on the global `WebSocket` too, from 22 on without a flag."""
    need("node")
    version = tuple(map(int, run(["node", "--print", "process.versions.node"], folder).split(".")))
    command = ["node", *(["--experimental-websocket"] if (20, 10) <= version < (22,) else [])]
    has_socket = run([*command, "--print", "typeof WebSocket"], folder).strip() == "function"
    return [*command, str(CLIENTS / "node" / "conversation.mjs")], STEPS | ({SOCKET} if has_socket else set())


def rust(folder: Path) -> Built:
    """Rust: its library has no HTTP client, so the crate `ureq`, without TLS."""
    need("cargo", "rustc")
    manifest = ["--locked", "--manifest-path", str(CLIENTS / "rust" / "Cargo.toml")]
    fetch(["cargo", "fetch", *manifest], folder)
    run(["cargo", "build", "--offline", *manifest, "--target-dir", str(folder)], folder)
    return [str(folder / "debug" / "conversation")], STEPS


def curl(folder: Path) -> Built:
    """Curl: one process for each request."""
    need("curl", "sh")
    return ["sh", str(CLIENTS / "curl" / "conversation.sh")], STEPS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    with DuologueServer(tmp_path_factory.mktemp("server"), "--sign-in", "open") as server:
        yield server


@pytest.mark.parametrize("build", [java, go, node, rust, curl])
def test_default_client_holds_a_conversation(
    server: DuologueServer, tmp_path: Path, build: Callable[[Path], Built]
) -> None:
    command, steps = build(tmp_path)
    told = run([*command, server.url, new_phone(), new_phone()], tmp_path, {"NO_PROXY": "127.0.0.1"})
    lines = told.splitlines()
    assert {line.removeprefix("OK ") for line in lines} == steps, told
    assert len(lines) == len(steps), told
    if build is node and SOCKET not in steps:
        pytest.skip("NOT CHECKED: the socket, since this Node has no WebSocket")
