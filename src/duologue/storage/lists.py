"""Lists in a statement. Its text depends on little but their length's magnitude, so engines parse it once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import TypeVar

Id = TypeVar("Id", bound=int | str | bytes)


def id_list(ids: Sequence[Id]) -> tuple[str, dict[str, Id]]:
    """Return the text that follows `IN`, and its parameters. Lists are padded to few lengths: plans are reused."""
    padded = [*ids, *[ids[-1]] * (_length(ids) - len(ids))]
    return _texts(len(padded), 1), _named(padded)


def pair_list(pairs: Sequence[tuple[int, int]]) -> tuple[str, dict[str, int]]:
    """The same for pairs of ids."""
    padded = [*pairs, *[pairs[-1]] * (_length(pairs) - len(pairs))]
    return _texts(len(padded), 2), _named(list(chain.from_iterable(padded)))


def _length(items: Sequence[object]) -> int:
    """Rounded up: of each power of two and the next there are four."""
    step = 1 << max(0, len(items).bit_length() - 3)
    return -(-len(items) // step) * step


def _named(values: Sequence[Id]) -> dict[str, Id]:
    return dict(zip(_names(len(values)), values, strict=True))


@lru_cache
def _names(count: int) -> list[str]:
    return [f"v{number}" for number in range(count)]


@lru_cache
def _texts(count: int, width: int) -> str:
    names = [f":{name}" for name in _names(count * width)]
    if width == 1:
        return f"({', '.join(names)})"
    rows = [f"({', '.join(names[at : at + width])})" for at in range(0, len(names), width)]
    return f"(VALUES {', '.join(rows)})"
