"""Links lead somewhere, pages can be found, and the source that they name is there."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.docs.pages import DOCS, PAGES, ROOT, anchors, prose, section

SOURCES = (ROOT / "src" / "duologue", ROOT / "lab" / "src" / "duologue_lab")
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED_IN_SOURCE = re.compile(r"`([\w/]+\.py):([\w.]+)`")


def links(page: Path) -> list[str]:
    return LINK.findall(re.sub(r"`[^`\n]*`", "", prose(page.read_text())))


def local_links() -> Iterator[tuple[Path, str, Path, str]]:
    """Each link to a page of ours: where it stands, what it says, its file and its fragment."""
    for page in PAGES:
        for link in links(page):
            if ":" not in link:
                name, _, fragment = link.partition("#")
                yield page, link, (page.parent / name).resolve() if name else page, fragment


def test_links_lead_to_files_that_exist() -> None:
    assert [(str(page), link) for page, link, file, _ in local_links() if not file.exists()] == []


def test_links_lead_to_headings_that_exist() -> None:
    lost = [
        (str(page), link)
        for page, link, file, fragment in local_links()
        if fragment and file.suffix == ".md" and file.exists() and fragment not in anchors(file.read_text())
    ]
    assert lost == []


def test_links_to_elsewhere_are_encrypted() -> None:
    elsewhere = [link for page in PAGES for link in links(page) if ":" in link]
    assert elsewhere
    assert [link for link in elsewhere if not link.startswith("https://")] == []


def test_every_document_stands_in_its_folders_index() -> None:
    for index in (DOCS / "README.md", DOCS / "decisions" / "README.md"):
        named = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
        files = {
            file
            for file in index.parent.iterdir()
            if file.is_file() and file != index and not file.name.startswith(".")
        }
        assert files - named == set()


def test_the_readme_leads_to_every_page_for_readers() -> None:
    linked = {file for page, _, file, _ in local_links() if page == ROOT / "README.md"}
    assert {
        DOCS / name for name in ("protocol.md", "operations.md", "security.md", "architecture.md")
    } <= linked


def test_decisions_are_numbered_once_and_say_why_and_what_follows() -> None:
    numbers = [int(page.name[:4]) for page in DECISIONS]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 1
    for page in DECISIONS:
        text = page.read_text()
        assert text.startswith(f"# {page.name[:4]} · ")
        assert re.search(
            r"^Date: \d{4}-\d\d-\d\d · Status: (accepted|superseded by \[\d{4}\])", text, re.MULTILINE
        )
        assert all(section(text, title).strip() for title in ("Context", "Decision", "Consequences"))


def test_functions_and_classes_named_in_pages_exist() -> None:
    named = [found for page in PAGES for found in NAMED_IN_SOURCE.findall(page.read_text())]
    assert named
    lost = [
        f"{path}:{name}"
        for path, name in named
        if not any(name in definitions(source / path) for source in SOURCES)
    ]
    assert lost == []


def definitions(path: Path) -> set[str]:
    """The names that a module defines, methods as `Class.method`; none if there is no such file."""
    if not path.exists():
        return set()
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef))
            names |= {f"{node.name}.{method.name}" for method in methods}
    return names


def test_the_order_of_the_layers_is_the_one_that_is_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["id"] == "layers"]
    assert " > ".join(layers) in " ".join((DOCS / "architecture.md").read_text().split())
