"""Mutated requests and frames, made from the documents' own samples, sent to a running server.

    python -m tests.hostile.mutations --count 100000 --seed 1

Each request begins as a valid one (method, path, headers and body of an operation of `openapi.json`, with ids
that exist) and each frame as a valid one of `asyncapi.json`. Then one to four mutations change its JSON values, its
bytes or its headers. The server must answer each with a documented status, never 500, and must neither end nor grow.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil
from websockets.exceptions import ConnectionClosed

from duologue_lab.servers.server import DuologueServer
from tests.support.client import JSON, MSGPACK, Api, Device, api_of, opened

DOCS: Final = Path(__file__).parents[2] / "docs"
WARM_UP: Final = 0.2
"""The share of the run after which the server's memory is first measured."""
FRAME_SHARE: Final = 0.4
CONNECTIONS: Final = 6
PER_CONNECTION: Final = 200
"""Requests or frames after which a connection is opened anew."""
STRANGE: Final[list[Any]] = [
    *(
        None,
        True,
        0,
        -1,
        1.5,
        1e308,
        2**31,
        2**63,
        -(2**64),
        "",
        " ",
        "\0",
        "\ud7ff",
        "￿",
        "a" * 5_000,
        "null",
    ),
    *(
        "+",
        "+0",
        "0033612345678",
        "../..",
        "%00",
        "{}",
        "[]",
        "\u202e",
        "🏳️‍🌈",
        [],
        {},
        [[]],
        {"": ""},
        ["a"] * 300,
    ),
    *("2026-13-45T99:99:99Z", "9999-12-31T23:59:59.999999999+23:59", "cht_0000000000000000", "usr_", "dlg_"),
]
SAMPLES: Final[list[dict[str, Any]]] = [
    {"op": "hello", "after": 0},
    {"op": "send", "chat_id": "", "text": "Hello", "client_id": "c-1", "reply_to": 1},
    {"op": "send", "to": "+447700900123", "text": "Hello", "client_id": "c-2"},
    {"op": "ack", "seq": 1},
    {"op": "read", "chat_id": "", "seq": 1},
    {"op": "typing", "chat_id": "", "active": True},
    {"op": "watch", "user_ids": [""]},
    {"op": "ping", "ref": "r"},
]


@dataclass
class Tally:
    """Counts of a run."""

    statuses: Counter[int] = field(default_factory=Counter)
    closes: Counter[int] = field(default_factory=Counter)
    sent: int = 0
    faults: list[str] = field(default_factory=list)
    grown: int = 0
    """Bytes by which the server's memory grew after the warm-up."""


@dataclass(frozen=True)
class Ground:
    """Subjects of requests: two people, their chat, and the operations of the API."""

    device: Device
    chat_id: str
    operations: list[tuple[str, str, Any]]


async def prepare(api: Api) -> Ground:
    """Make two people with a chat, and read the operations that don't end the session."""
    device, _, chat_id = await api.friends()
    await device.post(chat_id, "First")
    found = []
    for path, methods in json.loads((DOCS / "openapi.json").read_text())["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            body = content.get("application/json", {}).get("example")
            if method != "delete" and not path.endswith("/stream"):
                found.append((method.upper(), path, body))
    return Ground(device, chat_id, found)


# Mutations of a JSON value.


def mutate_json(value: Any, chance: random.Random) -> Any:
    """The same value with one thing changed somewhere in it."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        return mutate_object(value, chance)
    if isinstance(value, list) and value and chance.random() < 0.5:
        place = chance.randrange(len(value))
        return [mutate_json(item, chance) if index == place else item for index, item in enumerate(value)]
    if isinstance(value, str) and value and chance.random() < 0.5:
        return mutate_text(value, chance)
    if isinstance(value, int) and chance.random() < 0.5:
        return value + chance.choice((-1, 1, 2**31, -(2**31), 2**53))
    return chance.choice(STRANGE)


def mutate_object(value: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """An object with a member gone, added, renamed or changed."""
    name = chance.choice(list(value))
    kept = {key: item for key, item in value.items() if key != name}
    kind = chance.randrange(5)
    if kind == 0:
        return kept
    if kind == 1:
        return value | {chance.choice(("x", "", name.upper(), "__proto__", "id")): chance.choice(STRANGE)}
    if kind == 2:
        return kept | {mutate_text(name, chance): value[name]}
    return kept | {name: mutate_json(value[name], chance)}


def mutate_text(text: str, chance: random.Random) -> str:
    """A text with a part cut, doubled or replaced."""
    start = chance.randrange(len(text) + 1)
    end = chance.randrange(start, len(text) + 1)
    middle = chance.choice(("", text[start:end] * 2, "\0", "é", "%2f", "\u200b", "'", '"', "\\", "٣"))
    return text[:start] + middle + text[end:]


def mutate_bytes(data: bytes, chance: random.Random) -> bytes:
    """Bytes with some flipped, cut, doubled or inserted."""
    if not data:
        return bytes(chance.randrange(256) for _ in range(4))
    start = chance.randrange(len(data))
    kind = chance.randrange(4)
    if kind == 0:
        return data[:start] + bytes([data[start] ^ 1 << chance.randrange(8)]) + data[start + 1 :]
    if kind == 1:
        return data[:start]
    if kind == 2:
        return data[: start + 1] + data[start:]
    return data[:start] + chance.randbytes(3) + data[start:]


# Requests.


def a_request(ground: Ground, chance: random.Random) -> bytes:
    """One mutated request, whole, for an HTTP/1.1 connection that stays open."""
    method, path, body = chance.choice(ground.operations)
    parts = {"chat_id": ground.chat_id, "seq": "1", "phone": "%2B447700900123", "session_id": "current"}
    for name in ("provider", "kind", "user_id", "emoji", "id"):
        parts[name] = chance.choice(("twilio", "status", "inbound", "x"))
    target = path.format(**parts)
    headers = {"Host": "127.0.0.1", "Authorization": f"Bearer {ground.device.token}"}
    query = ""
    for _ in range(chance.randrange(1, 5)):
        kind = chance.randrange(6)
        if kind < 3 and body is not None:
            body = mutate_json(body, chance)
        elif kind == 3:
            name = chance.choice(("limit", "before", "after", "around", "cursor", "wait", "folder", "x"))
            query += f"{'&' if query else '?'}{name}={quoted(chance.choice(STRANGE))}"
        elif kind == 4:
            target = quoted_path(mutate_text(target, chance))
        else:
            headers |= odd_header(chance)
    encoded = b"" if body is None else encode_json(body)
    if chance.random() < 0.1:
        encoded = mutate_bytes(encoded, chance)
    if encoded or method != "GET":
        headers.setdefault("Content-Type", "application/json")
        headers["Content-Length"] = str(len(encoded))
    # A long poll would only keep the run waiting.
    target = (target + query).replace("wait=", "w=")
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + encoded


def odd_header(chance: random.Random) -> dict[str, str]:
    """One header with a value that is unusual but well-formed."""
    return chance.choice(
        (
            {"Content-Type": chance.choice(("text/plain", "application/json; charset=latin-1", "", "a/b;c"))},
            {"Authorization": chance.choice(("", "Bearer", "Bearer  ", "Basic YTpi", "bearer dlg_x"))},
            {"Idempotency-Key": chance.choice(("", "k", "k" * 65, "\x7f", "a b"))},
            {"Last-Event-ID": chance.choice(("", "-1", "9" * 11, "x"))},
            {"Accept-Encoding": "gzip, *;q=0"},
            {"If-None-Match": '*, W/"x", x'},
            {"X-Forwarded-For": ", ,1.2.3,::1%eth0"},
            {"Origin": "null"},
            {"Expect": "nothing"},
        )
    )


def encode_json(value: Any) -> bytes:
    """JSON, of numbers too that not every parser takes."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def quoted(value: Any) -> str:
    """Part of a query: percent-encoded where a target may not hold the character."""
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(char if char.isascii() and char.isalnum() else percent(char) for char in text[:200])


def quoted_path(path: str) -> str:
    return "".join(char if "!" <= char <= "~" else percent(char) for char in path)


def percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


async def send_requests(ground: Ground, chance: random.Random, count: int, tally: Tally) -> None:
    """Send so many requests over connections that are opened anew now and then."""
    host, port = ground.device.api.url.removeprefix("http://").split(":")
    while count > 0:
        reader, writer = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            for _ in range(min(count, PER_CONNECTION)):
                request = a_request(ground, chance)
                count -= 1
                tally.sent += 1
                writer.write(request)
                status, more = await asyncio.wait_for(read_answer(reader, request), 30)
                tally.statuses[status] += 1
                if status == 500:
                    tally.faults.append(f"500 for {request!r}")
                if not more:
                    break
        writer.close()


async def read_answer(reader: asyncio.StreamReader, request: bytes) -> tuple[int, bool]:
    """The status of an answer, and whether the connection stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(b" ", 2)[1])
    if b"transfer-encoding: chunked" in head:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    elif b"content-length: " in head and not request.startswith(b"HEAD"):
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    return status, b"connection: close" not in head


# Frames.


def a_frame(ground: Ground, chance: random.Random) -> Any:
    """One mutated frame, as a value."""
    frame = dict(chance.choice(SAMPLES[1:]))
    if "chat_id" in frame:
        frame["chat_id"] = ground.chat_id
    if "user_ids" in frame:
        frame["user_ids"] = [ground.device.user_id]
    for _ in range(chance.randrange(1, 4)):
        frame = mutate_json(frame, chance)
        if not isinstance(frame, dict):
            break
    return frame


def encode_frame(frame: Any, *, binary: bool, chance: random.Random) -> bytes | str:
    """A frame as it is sent; one in ten with its bytes changed."""
    try:
        data = msgspec.msgpack.encode(frame) if binary else encode_json(frame)
    except (OverflowError, UnicodeEncodeError):
        data = b"\xc1" if binary else b"{"
    if chance.random() < 0.1:
        data = mutate_bytes(data, chance)
    return data if binary else data.decode("utf-8", "replace")


async def send_frames(ground: Ground, chance: random.Random, count: int, tally: Tally) -> None:
    """Send so many frames over sockets of both kinds, opened anew when the server closes them."""
    while count > 0:
        protocol = chance.choice((JSON, MSGPACK))
        headers = ground.device.authorization
        async with opened(ground.device.api.url, protocol, **headers) as socket:
            binary = protocol == MSGPACK
            await socket.say("hello")
            for _ in range(min(count, PER_CONNECTION)):
                count -= 1
                tally.sent += 1
                try:
                    frame = a_frame(ground, chance)
                    await socket.connection.send(encode_frame(frame, binary=binary, chance=chance))
                except ConnectionClosed:
                    break
            with contextlib.suppress(ConnectionClosed):
                await socket.say("ping", ref="the end")
            await note_end(socket.connection, tally, binary=binary)


async def note_end(connection: Any, tally: Tally, *, binary: bool) -> None:
    """Read what the server said until it answered the last ping or closed, and note faults."""
    decode: Callable[[Any], Any] = msgspec.msgpack.decode if binary else msgspec.json.decode
    try:
        while True:
            frame = decode(await asyncio.wait_for(connection.recv(), 30))
            if frame["op"] == "error" and frame["code"] == "internal":
                tally.faults.append(f"internal: {frame}")
            if frame["op"] == "pong" and frame.get("ref") == "the end":
                return
    except ConnectionClosed as end:
        code = end.rcvd.code if end.rcvd else 1006
        tally.closes[code] += 1
        if code in {1006, 1011}:
            tally.faults.append(f"closed with {code}")


# The run.


async def run(server: DuologueServer, count: int, seed: int) -> Tally:
    """Send `count` mutations to a server from a seed, and tell what it did."""
    tally, process = Tally(), psutil.Process(server.pid)
    async with api_of(server.url) as api:
        ground = await prepare(api)
        before = 0
        for share in (WARM_UP, 1 - WARM_UP):
            senders = []
            for index in range(CONNECTIONS):
                chance = random.Random(f"{seed} {share} {index}")
                part = int(count * share / CONNECTIONS)
                frames = int(part * FRAME_SHARE)
                senders += [
                    send_frames(ground, chance, frames, tally),
                    send_requests(ground, chance, part - frames, tally),
                ]
            await asyncio.gather(*senders)
            tally.grown = process.memory_info().rss - before
            before = before or process.memory_info().rss
        answer = await api.http.get("/readyz")
        if answer.status_code != 200:
            tally.faults.append(f"/readyz answers {answer.status_code}")
    if "Traceback" in server.log or "failed" in server.log:
        tally.faults.append(server.log[-4000:])
    return tally


def main() -> int:
    """Run from the command line; 1 when something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        DuologueServer(Path(folder), "--rate-limits", "off") as server,
    ):
        tally = asyncio.run(run(server, wanted.count, wanted.seed))
    print(f"{tally.sent} sent; statuses {dict(sorted(tally.statuses.items()))}; closes {dict(tally.closes)}")  # noqa: T201
    print(f"memory grew by {tally.grown / 2**20:.1f} MiB; faults: {tally.faults[:5]}")  # noqa: T201
    return bool(tally.faults)


if __name__ == "__main__":
    sys.exit(main())
