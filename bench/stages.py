"""Stages of the message path, found by a stack's functions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

LOOP: Final = "loop: poll, read, cut frames, write"
"""uvloop and picows at work for themselves: they are compiled, and leave no Python frame."""
OTHER: Final = "other"
SAMPLING: Final = "the sampling itself"
COLLECTING: Final = "garbage collection"


class Frame(NamedTuple):
    """One call on a stack: its function's file and bare name."""

    file: str
    function: str


class Sample(NamedTuple):
    """Nanoseconds of CPU that a thread used, and the stack in which it was found: innermost call first."""

    used: int
    stack: tuple[Frame, ...]


# The innermost call that some rule knows decides.
_RULES: Final = [
    (re.compile(place), stage)
    for place, stage in (
        (r"web/codec\.py:.*decode", "decode"),
        (r"web/codec\.py:|protocol/render\.py:|protocol/", "encode"),
        (r"web/wire\.py:(flush|_queue|send|_frame_head|_send_close|buffered_bytes)", "write"),
        (r"web/(wire|transport)\.py:", "frame in"),
        (r"web/intake\.py:(spend|refused)", "limits"),
        (r"core/limits\.py:", "limits"),
        (r"web/intake\.py:", "turn-taking"),
        (r"core/(acks|receipts)\.py:|web/frames\.py:(ack|_?mark|read)|core/flush\.py:", "acks and marks"),
        (r"core/(feed|events)\.py:|realtime/", "fan-out"),
        (r"web/socket\.py:(emit|foresee|signal)", "fan-out"),
        (r"web/socket\.py:(say|fail)", "encode"),
        (r"web/socket\.py:_push", "write"),
        (r"(core|storage)/traces\.py:", "traces"),
        (r"(core|storage)/relay", "relay"),
        (r"web/(frames|socket)\.py:|core/(messages|chats|sessions|presence)\.py:", "rules"),
        (r"storage/postgres_append\.py:(_parameters|_array|_numbers|<)|storage/messages\.py:pack", "batch"),
        (r"storage/(batch|group)\.py:", "batch"),
        (r"storage/writer\.py:_settle", "answer"),
        (r"storage/writer\.py:|threading\.py:", "queue"),
        (r"storage/sqlite\.py:_commit", "commit"),
        (r"storage/(postgres_append|postgres)\.py:|psycopg", "commit"),
        (r"storage/(sqlite|append|receipts|events)\.py:", "store"),
        (r"storage/", "store"),
        (r"/(litestar|uvicorn/protocols|httptools|msgspec|copy)[/.]|web/", "HTTP"),
        (r"uvloop/|asyncio/|uvicorn/server\.py:|duologue/serve\.py:", LOOP),
    )
]


def samples(written: str) -> Iterator[Sample]:
    """Read the samples that `bench/sampled.py` has written."""
    for line in written.splitlines():
        used, _, calls = line.partition(" ")
        parts = [call.rpartition(":") for call in calls.split(";")]
        yield Sample(int(used), tuple(Frame(file, function) for file, _, function in parts))


def stage_of(stack: Sequence[Frame]) -> str:
    """The stage that a stack belongs to."""
    if stack and stack[0].function in {SAMPLING, COLLECTING}:
        return stack[0].function
    stage = next((stage for frame in stack if (stage := _stage_at(frame))), OTHER)
    # The writer's thread alone commits messages; what waits in the pool reads, or writes something else.
    if stage == "commit" and any(frame.file.endswith("storage/pool.py") for frame in stack):
        return "store"
    return stage


def _stage_at(frame: Frame) -> str:
    place = f"{frame.file}:{frame.function}"
    return next((stage for rule, stage in _RULES if rule.search(place)), "")
