"""A fault to plant, and who should catch it."""

from __future__ import annotations

from typing import Final, NamedTuple

TORTURE: Final = "torture"
"""In place of a test: the arguments that follow are those of `duologue torture`."""
SHORT_TORTURE: Final = (
    *(TORTURE, "--engine", "sqlite", "--users", "12", "--seconds", "8", "--rate", "60", "--seed", "7"),
    *("--retention", "3", "--kill", "bus"),
)


class Mutant(NamedTuple):
    """A fault: its name, its file below `src/duologue`, the text that is replaced, by what, and who should catch it.

    `old` stands exactly once in its file: a test of the normal suite checks that.
    """

    name: str
    file: str
    old: str
    new: str
    caught_by: tuple[str, ...]


def contract(name: str, *tests: str, engine: str = "") -> tuple[str, ...]:
    """Tests of a file in `tests/contract`, if need be on one engine alone."""
    only = f"[{engine}]" if engine else ""
    return tuple(f"tests/contract/test_{name}.py::test_{test}{only}" for test in tests)


def sqlite(name: str, *tests: str) -> tuple[str, ...]:
    """Tests of a file in `tests/contract` on SQLite, where they begin sooner."""
    return contract(name, *tests, engine="sqlite")
