"""A core for the server and its database, another for the generator."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec


class Cores(msgspec.Struct, frozen=True):
    """The CPU core of each process."""

    server: int | None = None
    generator: int | None = None


def split_cores() -> Cores:
    """The first and the last of the cores that we may use; none if there is one only, or the system can't pin."""
    if sys.platform != "linux":
        return Cores()
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(allowed[0], allowed[-1]) if len(allowed) > 1 else Cores()


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """This process, and what it starts, on one core for as long as the context lasts; None changes nothing."""
    if core is None or sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
