"""Writes of many callers that are one transaction: those that wait for the same function are one call of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from duologue.storage.database import Tx, Unit

JointFunction = Callable[[Tx, Sequence[Any]], Sequence[Any]]
"""Writes what some items ask for, and returns the outcome of each, in their order."""
Transact = Callable[[Callable[[Tx], Any]], Any]
"""Runs a storage function in a transaction, or in a part of one that can be undone."""


class JoinedWrite(msgspec.Struct, frozen=True, gc=False):
    """One item, and the function that writes it. Only of equal functions many are called as one."""

    apply: JointFunction
    item: Any


def write_joined(units: Sequence[Unit], transact: Transact, fatal: tuple[type[Exception], ...]) -> None:
    """Give each unit its outcome. A call that fails is undone, and its items are written one by one.

    An exception that is `fatal` is none of an item's own, and is raised.
    """
    together: dict[JointFunction, list[Unit]] = {}
    for unit in units:
        together.setdefault(unit.work.apply, []).append(unit)
    for apply, same in together.items():
        _write(apply, same, transact, fatal)


def _write(
    apply: JointFunction, units: Sequence[Unit], transact: Transact, fatal: tuple[type[Exception], ...]
) -> None:
    try:
        outcomes = transact(partial(_call, apply=apply, items=[unit.work.item for unit in units]))
    except fatal:
        raise
    except Exception as fault:  # noqa: BLE001 - it belongs to one of the callers
        if len(units) == 1:
            units[0].result = fault
            return
        for unit in units:
            _write(apply, [unit], transact, fatal)
    else:
        for unit, outcome in zip(units, outcomes, strict=True):
            unit.result = outcome


def _call(tx: Tx, apply: JointFunction, items: Sequence[Any]) -> Sequence[Any]:
    return apply(tx, items)
