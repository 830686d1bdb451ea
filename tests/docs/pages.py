"""Reading our own pages: their fenced blocks, tables, headings and links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = sorted((*ROOT.glob("*.md"), *DOCS.rglob("*.md")))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_ANCHOR = re.compile(r'<a id="([^"]+)"')


class Block(NamedTuple):
    """A fenced block: its language, and its text with the final newline."""

    language: str
    text: str


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(*found) for found in _FENCE.findall(text)]


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", text)


def section(text: str, title: str) -> str:
    """Return the text under a heading, up to the next one of its rank or higher. Raises `LookupError`."""
    headings = list(_HEADING.finditer(_blanked(text)))
    for index, heading in enumerate(headings):
        if heading[2] == title:
            ends = [later.start() for later in headings[index + 1 :] if len(later[1]) <= len(heading[1])]
            return text[heading.end() : min(ends, default=len(text))]
    raise LookupError(f"no heading {title!r}")


def anchors(text: str) -> set[str]:
    """The fragments that a page answers to: those of its headings, as GitHub makes them, and its own."""
    return {_slug(title) for _, title in _HEADING.findall(_blanked(text))} | set(_ANCHOR.findall(text))


def _blanked(text: str) -> str:
    """The same text, each character in its place, but with nothing in the fenced blocks: `#` may stand there."""
    return _FENCE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def _slug(title: str) -> str:
    bare = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
    return re.sub(r"[^\w\- ]", "", bare.lower()).replace(" ", "-")


def table(text: str) -> list[list[str]]:
    """The rows of every table in a text, cell by cell, without the headings' rules."""
    rows = [line.strip().strip("|") for line in text.splitlines() if line.strip().startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)] for row in rows]
    return [row for row in cells if not all(re.fullmatch(r":?-+:?", cell) for cell in row)]
