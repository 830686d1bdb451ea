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


class Rule(NamedTuple):
    """Functions of a stage: their files, as the beginning of a path below a package, and their names, or all.

    A name may hold `*`.
    """

    files: str
    functions: str
    stage: str


# The innermost call that some rule knows decides; of two rules that know a call, the first one.
RULES: Final = (
    Rule("socket/codec.py", "decode _decode_again", "decode"),
    Rule("socket/codec.py", "*", "encode"),
    Rule("protocol/", "*", "encode"),
    Rule("socket/wire.py", "flush send _frame_head _send_close buffered_bytes _control", "write"),
    Rule("socket/write_scheduler.py", "*", "write"),
    Rule("socket/wire.py", "*", "frame in"),
    Rule("socket/transport.py", "*", "frame in"),
    Rule("socket/budget.py", "*", "limits"),
    Rule("socket/intake.py", "control refused", "limits"),
    Rule("core/rates.py", "*", "limits"),
    Rule("socket/intake.py", "*", "turn-taking"),
    Rule("core/acks.py", "*", "acks and marks"),
    Rule("core/receipts.py", "*", "acks and marks"),
    Rule("socket/frames.py", "ack _ack* _mark_read _marked read _read_slowly", "acks and marks"),
    Rule("core/flush.py", "*", "acks and marks"),
    Rule("core/feed.py", "*", "fan-out"),
    Rule("core/events.py", "*", "fan-out"),
    Rule("realtime/", "*", "fan-out"),
    Rule("socket/connection.py", "emit on_upcoming signal", "fan-out"),
    Rule("socket/connection.py", "say say_json fail", "encode"),
    Rule("core/traces.py", "*", "traces"),
    Rule("storage/tables/traces.py", "*", "traces"),
    Rule("core/delivery/", "*", "relay"),
    Rule("core/jobs.py", "*", "relay"),
    Rule("core/rounds.py", "*", "relay"),
    Rule("storage/append/alarms.py", "*", "relay"),
    Rule("storage/tables/alarms.py", "*", "relay"),
    Rule("storage/tables/jobs.py", "*", "relay"),
    Rule("storage/tables/outbox.py", "*", "relay"),
    Rule("storage/tables/sms_relay.py", "*", "relay"),
    Rule("socket/frames.py", "*", "rules"),
    Rule("socket/connection.py", "*", "rules"),
    Rule("core/messages.py", "*", "rules"),
    Rule("core/chats.py", "*", "rules"),
    Rule("core/strangers.py", "*", "rules"),
    Rule("core/sessions.py", "*", "rules"),
    Rule("core/presence.py", "*", "rules"),
    Rule(
        "storage/engine/postgres_append.py",
        "parameters <*> _*",
        "batch",
    ),
    Rule("storage/tables/messages.py", "pack_client_id", "batch"),
    Rule("storage/append/batch.py", "*", "batch"),
    Rule("storage/append/group.py", "*", "batch"),
    Rule("storage/engine/waiting.py", "*", "answer"),
    Rule("storage/engine/writer.py", "_settle", "answer"),
    Rule("storage/engine/writer.py", "*", "queue"),
    Rule("storage/engine/sqlite.py", "_commit", "commit"),
    Rule("storage/engine/postgres_append.py", "*", "commit"),
    Rule("storage/engine/postgres.py", "*", "commit"),
    Rule("storage/engine/postgres_tx.py", "*", "commit"),
    Rule("storage/", "*", "store"),
    Rule("edge/", "*", "HTTP"),
    Rule("http/", "*", "HTTP"),
    Rule("web/", "*", "HTTP"),
    Rule("app/serve.py", "*", LOOP),
)
_LIBRARIES: Final = (
    (r"/threading\.py", "queue"),
    (r"/psycopg", "commit"),
    (r"/(litestar|uvicorn/protocols|httptools|msgspec|copy)[/.]", "HTTP"),
    (r"uvloop/|asyncio/|uvicorn/server\.py", LOOP),
)


def _pattern(rule: Rule) -> str:
    names = "|".join(re.escape(name).replace(r"\*", ".*") for name in rule.functions.split())
    return rf"/duologue/{re.escape(rule.files)}.*:({names})$"


_PATTERNS: Final = tuple(
    (re.compile(pattern), stage)
    for pattern, stage in (*((_pattern(rule), rule.stage) for rule in RULES), *_LIBRARIES)
)


def samples(written: str) -> Iterator[Sample]:
    """Read the samples that `sampled.py` has written."""
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
    if stage == "commit" and any(frame.file.endswith("storage/engine/pool.py") for frame in stack):
        return "store"
    return stage


def _stage_at(frame: Frame) -> str:
    place = f"{frame.file}:{frame.function}"
    return next((stage for pattern, stage in _PATTERNS if pattern.search(place)), "")
