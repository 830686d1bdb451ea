"""Going through a whole table in the order of its key, page by page: memory for one page, however large it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from duologue.storage.database import Row, Tx

_PAGE: Final = 5_000  # rows
_BEFORE_ALL: Final = -(2**31)  # below any key
_NAMES: Final = ("key_a", "key_b", "key_c")


class Stream:
    """The rows of a SELECT, by rising key. Its first columns are the key, of integers; its WHERE is ours.

    `read` is told how many rows came, `stray` which were passed over because nobody asked for their first column.
    """

    def __init__(
        self, tx: Tx, sql: str, key: str, read: Callable[[int], None], stray: Callable[[Row], None]
    ) -> None:
        self._tx = tx
        self._width = key.count(",") + 1
        names = ", ".join(f":{name}" for name in _NAMES[: self._width])
        self._sql = f"{sql} WHERE ({key}) > ({names}) ORDER BY {key} LIMIT :page"
        self._read = read
        self._stray = stray
        self._last: tuple[Any, ...] = (_BEFORE_ALL,) * self._width
        self._rows: list[Row] = []
        self._next = 0
        self._ended = False

    def peek(self) -> Row | None:
        """The next row, which stays the next; None at the end."""
        if self._next == len(self._rows) and not self._ended:
            self._turn()
        return self._rows[self._next] if self._next < len(self._rows) else None

    def _turn(self) -> None:
        bounds = dict(zip(_NAMES, self._last, strict=False))
        self._rows = self._tx.all(self._sql, page=_PAGE, **bounds)
        self._next = 0
        self._ended = len(self._rows) < _PAGE
        if self._rows:
            self._last = self._rows[-1][: self._width]
            self._read(len(self._rows))

    def take(self, first: int) -> Iterator[Row]:
        """The rows whose first column is this one. It must rise from call to call."""
        while (row := self.peek()) is not None and row[0] <= first:
            self._next += 1
            if row[0] == first:
                yield row
            else:
                self._stray(row)

    def one(self, first: int) -> Row | None:
        """The only such row, if there is one."""
        return next(iter(list(self.take(first))), None)

    def every(self) -> Iterator[Row]:
        """All rows that are left."""
        while (row := self.peek()) is not None:
            self._next += 1
            yield row

    def end(self) -> None:
        """Nobody asks any more: what is left is stray."""
        for row in self.every():
            self._stray(row)
