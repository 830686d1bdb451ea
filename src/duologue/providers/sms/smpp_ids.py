"""One message id in two spellings: as an SMSC answered it, and as its receipts write it.

SMPP 3.4 gives an id no form (5.2.23). Some SMSCs answer in hexadecimal and report in decimal, or the reverse, or
pad one of the two with zeros, or change the case. What one connection does, it does always: it is learned from
receipts that name both an id of ours and the phone that this id's text went to. The odds of a confusion stand in
docs/decisions/0023-receipts-and-senders-by-what-they-say.md.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from duologue.providers.sms.provider import GivenId

Spelling = Literal["same", "hex", "dec"]
"""`hex`: answered in hexadecimal, reported in decimal. `dec`: the reverse. (Kannel's msg-id-type: same is 0 and 3,
hex is 1, dec is 2.)"""
IdsOption = Literal["auto", "same", "hex", "dec"]

_ENOUGH: Final = 3
"""Receipts that must agree, one after the other, before a spelling is settled."""
_DIGITS = re.compile(r"[0-9]{1,20}", re.ASCII)
_HEX_DIGITS = re.compile(r"[0-9a-f]{1,16}", re.IGNORECASE | re.ASCII)
TAIL: Final = 4
"""Last digits of a phone number, by which a receipt must name it."""


def folded(message_id: str) -> str:
    """The id without its leading zeros and its case, by which it is looked up."""
    return message_id.casefold().lstrip("0")


def readings(reported: str) -> dict[Spelling, str]:
    """Return the ways in which a receipt's id may have been written in the answer, folded, by spelling."""
    found: dict[Spelling, str] = {"same": folded(reported)}
    if _DIGITS.fullmatch(reported):
        found["hex"] = folded(format(int(reported), "x"))
    if _HEX_DIGITS.fullmatch(reported):
        found["dec"] = folded(str(int(reported, 16)))
    return found


@dataclass(frozen=True, slots=True)
class _Hit:
    spelling: Spelling
    given: GivenId
    exact: bool
    names: bool | None
    """The receipt names the phone that the text went to; None if it, or we, can't tell."""

    @property
    def certain(self) -> bool:
        """Equal to the letter, and with a letter that no decimal number has."""
        return self.exact and not _DIGITS.fullmatch(self.given.provider_id)


@dataclass(slots=True)
class _Side:
    """Spellings seen so far in one place of receipts (parameter or text)."""

    settled: Spelling | None = None
    seen: Counter[Spelling] = field(default_factory=Counter)
    against: int = 0

    def learn(self, spelling: Spelling) -> None:
        if self.settled is not None:
            self.against = 0 if spelling == self.settled else self.against + 1
            if self.against >= _ENOUGH:
                self.settled, self.against = None, 0
                self.seen.clear()
            return
        for other in self.seen.keys() - {spelling}:
            del self.seen[other]
        self.seen[spelling] += 1
        if self.seen[spelling] >= _ENOUGH:
            self.settled = spelling


class Spellings:
    """Spellings of ids by one SMSC. With `option` other than `auto` the operator has set it."""

    def __init__(self, option: IdsOption) -> None:
        self._fixed: Spelling | None = None if option == "auto" else option
        self._sides: dict[str, _Side] = {}

    def wanted(self, ids: Sequence[tuple[str, str]]) -> list[str]:
        """All folded ids that a receipt with these ids may speak of."""
        return sorted({reading for _, reported in ids for reading in readings(reported).values() if reading})

    def resolve(
        self, ids: Sequence[tuple[str, str]], known: Sequence[GivenId], numbers: Sequence[str]
    ) -> str | None:
        """The id of ours that a receipt speaks of; None if there is none, or no telling which.

        `known` is what was found of `wanted`; `numbers` are the receipt's two addresses.
        """
        for source, reported in ids:
            side = self._sides.setdefault(source, _Side())
            hits = list(_hits(reported, known, numbers))
            if (found := self._choose(side, hits)) is not None:
                return found
        return None

    def _choose(self, side: _Side, hits: Sequence[_Hit]) -> str | None:
        named = [hit for hit in hits if hit.names]
        spellings = {hit.spelling for hit in named}
        if len(spellings) == 1:
            side.learn(next(iter(spellings)))
        if settled := self._fixed or side.settled:
            return _only([hit for hit in hits if hit.spelling == settled])
        if certain := [hit for hit in hits if hit.certain]:
            return _only(certain)
        if named:
            return _only(named)
        # It names no phone: only the same spelling is taken, and only where no other reading is ours too.
        return _only(hits) if all(hit.names is None and hit.spelling == "same" for hit in hits) else None


def _hits(reported: str, known: Sequence[GivenId], numbers: Sequence[str]) -> list[_Hit]:
    return [
        _Hit(spelling, given, spelling == "same" and given.provider_id == reported, _names(given, numbers))
        for spelling, reading in readings(reported).items()
        for given in known
        if folded(given.provider_id) == reading
    ]


def _only(hits: Sequence[_Hit]) -> str | None:
    """The one id among the hits; of several in one spelling, the one that is equal to the letter. Else None."""
    found = {hit.given.provider_id for hit in hits}
    if len(found) > 1 and len({hit.spelling for hit in hits}) == 1:
        found = {hit.given.provider_id for hit in hits if hit.exact}
    return found.pop() if len(found) == 1 else None


def _names(given: GivenId, numbers: Sequence[str]) -> bool | None:
    digits = [number for number in numbers if sum(char.isdecimal() for char in number) >= TAIL]
    if not given.tail or not digits:
        return None
    return any(number.endswith(given.tail) for number in digits)
