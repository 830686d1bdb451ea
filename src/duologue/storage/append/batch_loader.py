"""Reads of one moment. Keys that wait for the same function are found by one call of it, and so by one statement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from duologue.storage.database import Tx, Unit

BatchFunction = Callable[[Tx, Sequence[Any]], Mapping[Any, Any]]
"""Finds what there is for some keys, of which one may stand there twice."""


class BatchedRead(msgspec.Struct, frozen=True, gc=False):
    """One key, and the function that finds it. Only of functions that are the same object many are called as one."""

    find: BatchFunction
    key: Any


def answer(tx: Tx, units: Sequence[Unit], fatal: tuple[type[Exception], ...] = ()) -> None:
    """Give each unit its result: what it reads, what was found for its key (or None), or the exception.

    An exception that is `fatal` is none of a unit's own, and is raised.
    """
    together: dict[BatchFunction, list[Unit]] = {}
    for unit in units:
        if isinstance(unit.work, BatchedRead):
            together.setdefault(unit.work.find, []).append(unit)
        else:
            try:
                unit.result = unit.work(tx)
            except fatal:
                raise
            except Exception as fault:  # noqa: BLE001 - it belongs to the caller
                unit.result = fault
    for find, same in together.items():
        _find(tx, find, same, fatal)


def _find(tx: Tx, find: BatchFunction, units: Sequence[Unit], fatal: tuple[type[Exception], ...]) -> None:
    try:
        found = find(tx, [unit.work.key for unit in units])
    except fatal:
        raise
    except Exception as fault:  # noqa: BLE001 - it belongs to one of the callers
        if len(units) == 1:
            units[0].result = fault
            return
        for unit in units:
            _find(tx, find, [unit], fatal)
    else:
        for unit in units:
            unit.result = found.get(unit.work.key)
