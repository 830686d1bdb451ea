"""Each claim of the security pages names the tests that prove it, and those tests exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.pages import DOCS, ROOT, prose

PAGE, SMS, STANDARD = (DOCS / name for name in ("security.md", "security-sms.md", "security-standards.md"))
POLICY = ROOT / "SECURITY.md"

NOT_CLAIMS = {
    "Who is trusted",
    "What an attacker can still do",
    "Report a vulnerability",
    "Supported versions",
    "What it doesn't promise",
}
"""Headings under which nothing is claimed about the product."""
STANDARDS = {
    "NIST SP 800-63B-4: SMS as a restricted authenticator",
    "OWASP ASVS 5.0",
}
"""Headings of tables that say of each item whether it is met. A link is due only where it is."""
MET = {"yes", "partly", "no", "n/a"}

_HEADING = re.compile(r"#+ (.+)")
_TEST = re.compile(r"\[test\]\((\.\./)?(tests/[\w/]+\.py)#(test_\w+)\)")
_LINK = re.compile(r"\]\([^)]+\)")
_BEGIN = re.compile(r"- |\||\*\*")


class Block(NamedTuple):
    """A bullet, a row of a table or a paragraph with a bold beginning, and the heading that it stands under."""

    heading: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    """Return the sentences of a page that claim or might claim something, without the head of each table."""
    heading = ""
    for part in re.split(r"\n\s*\n", prose(page)):
        if found := _HEADING.match(part.strip()):
            heading = found[1]
        pieces = re.split(r"\n(?=- |\|)", part.strip("\n"))
        rows = pieces[2:] if pieces[0].startswith("|") else pieces
        yield from (Block(heading, piece) for piece in rows if _BEGIN.match(piece))


def unproven(page: str) -> list[str]:
    """The claims of a page that lack a proof."""
    return [block.text for block in blocks(page) if not _is_settled(block)]


def _is_settled(block: Block) -> bool:
    if block.heading in NOT_CLAIMS:
        return True
    if block.heading in STANDARDS and block.text.startswith("|"):
        answer = block.text.split("|")[-3].strip()
        return answer in MET and (answer != "yes" or bool(_LINK.search(block.text)))
    return bool(_TEST.search(block.text))


def named_tests(page: str) -> list[tuple[str, str]]:
    return [(path, name) for _, path, name in _TEST.findall(page)]


def missing(page: str) -> list[tuple[str, str]]:
    """The tests that a page names and that don't exist."""
    return [(path, name) for path, name in named_tests(page) if name not in functions(ROOT / path)]


@cache
def functions(path: Path) -> frozenset[str]:
    """The functions that a module defines; none if there is no such file."""
    if not path.exists():
        return frozenset()
    nodes = ast.parse(path.read_text()).body
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


PAGES = (PAGE, SMS, STANDARD, POLICY)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_claim_names_a_test_that_exists(page: Path) -> None:
    text = page.read_text()
    assert unproven(text) == []
    assert len(named_tests(text)) >= len([block for block in blocks(text) if _TEST.search(block.text)]) > 0
    assert missing(text) == []


def test_every_exempt_heading_is_used() -> None:
    found = {match[1] for page in PAGES for match in re.finditer(r"(?m)^#+ (.+)$", page.read_text())}
    assert found >= NOT_CLAIMS | STANDARDS


def without_tests(claim: str) -> Callable[[str], str]:
    def change(page: str) -> str:
        [block] = [block for block in blocks(page) if claim in block.text]
        return page.replace(block.text, _TEST.sub("", block.text))

    return change


@pytest.mark.parametrize(
    ("path", "change"),
    [
        (SMS, without_tests("works once")),
        (SMS, without_tests("codes to a country")),
        (PAGE, lambda page: page.replace("## Input\n", "## Input\n\n- No input is ever wrong.\n")),
        (PAGE, lambda page: page.replace("## Input\n", "## Input\n\n**No input** is ever wrong.\n")),
        (STANDARD, lambda page: page.replace("| 7.3.1 ", "| 7.3.1 | is claimed | yes | no link |\n| 7.3.1 ")),
        (
            STANDARD,
            lambda page: page.replace("| 7.3.1 ", "| 7.3.1 | is claimed | maybe | [test](x) |\n| 7.3.1 "),
        ),
    ],
    ids=["bullet", "row", "new bullet", "new paragraph", "standard", "no answer"],
)
def test_a_claim_without_a_test_is_found(path: Path, change: Callable[[str], str]) -> None:
    page = path.read_text()
    changed = change(page)
    assert changed != page
    assert len(unproven(changed)) == 1


@pytest.mark.parametrize("kept", ["path", "name"])
def test_a_test_that_does_not_exist_is_found(kept: str) -> None:
    page = PAGE.read_text()
    path, name = named_tests(page)[0]
    wrong = f"{path}#test_nothing)" if kept == "path" else f"tests/test_nowhere.py#{name})"
    changed = page.replace(f"{path}#{name})", wrong, 1)
    assert len(missing(changed)) == 1
