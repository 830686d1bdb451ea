"""One name stands for one thing: in the glossary of the architecture page, and among the package's classes."""

from __future__ import annotations

import ast
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import duologue
import duologue_lab
from tests.docs.pages import DOCS, section, table

SOURCE = Path(duologue.__file__).parent
LAB = Path(duologue_lab.__file__).parent
GLOSSARY = [
    row for row in table(section((DOCS / "architecture.md").read_text(), "Glossary")) if row[0] != "noun"
]
RECORDS = {"Record", "Struct", "msgspec.Struct", "NamedTuple", "dataclass"}


class Definition(NamedTuple):
    """A public class: its file below the package, and whether it holds nothing but fields of the server's."""

    file: str
    is_record: bool

    @property
    def is_body(self) -> bool:
        return self.file.startswith("protocol/")


def public_classes(*packages: Path) -> dict[str, list[Definition]]:
    """Return the definitions of each public class name. Only the first package's records have bodies on the wire."""
    found: dict[str, list[Definition]] = defaultdict(list)
    sources = [(package, path) for package in packages for path in sorted(package.rglob("*.py"))]
    for package, path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                decorators = [
                    each.func if isinstance(each, ast.Call) else each for each in node.decorator_list
                ]
                is_record = package == packages[0] and bool(
                    RECORDS & {ast.unparse(each) for each in (*node.bases, *decorators)}
                )
                found[node.name].append(Definition(path.relative_to(package).as_posix(), is_record))
    return found


def ambiguous(*packages: Path) -> Iterator[str]:
    """Return each class name that stands for two things, with the files; a record may share its wire body's name."""
    for name, definitions in public_classes(*packages).items():
        bodies = [each for each in definitions if each.is_body]
        records = [each for each in definitions if not each.is_body and each.is_record]
        if len(definitions) > 1 and (len(definitions), len(bodies), len(records)) != (2, 1, 1):
            yield f"{name}: {', '.join(each.file for each in definitions)}"


def test_no_public_class_name_stands_for_two_things() -> None:
    assert list(ambiguous(SOURCE, LAB)) == []


@pytest.mark.parametrize(
    ("file", "statement", "name"),
    [
        ("core/feed.py", "class Hub:\n    pass", "Hub"),
        ("protocol/bodies.py", "class Hub(Body):\n    pass", "Hub"),
        ("core/feed.py", "class Message(msgspec.Struct):\n    pass", "Message"),
        ("storage/tables/chats.py", "class Reaction:\n    pass", "Reaction"),
        ("../duologue_lab/torture/wire.py", "class Reaction(msgspec.Struct):\n    pass", "Reaction"),
    ],
    ids=[
        "a second service",
        "a body of a service",
        "a second record",
        "a service of a body",
        "a tool's record",
    ],
)
def test_a_second_class_of_the_same_name_is_found(
    tmp_path: Path, file: str, statement: str, name: str
) -> None:
    package, lab = tmp_path / "duologue", tmp_path / "duologue_lab"
    shutil.copytree(SOURCE, package)
    shutil.copytree(LAB, lab)
    with (package / file).open("a") as source:
        source.write(f"\n\n{statement}\n")
    assert [each.partition(":")[0] for each in ambiguous(package, lab)] == [name]


def test_a_record_may_share_the_name_of_its_body(tmp_path: Path) -> None:
    for file, base in (("model.py", "Record"), ("protocol/bodies.py", "Body")):
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"class Message({base}):\n    pass\n")
    assert list(ambiguous(tmp_path)) == []


def test_the_glossary_has_each_noun_once_in_alphabetical_order() -> None:
    nouns = [noun.lower() for noun, _, _ in GLOSSARY]
    assert nouns == sorted(set(nouns))
    assert len(nouns) > 40


@pytest.mark.parametrize(("noun", "where", "meaning"), GLOSSARY, ids=[row[0] for row in GLOSSARY])
def test_each_noun_of_the_glossary_is_where_it_says(noun: str, where: str, meaning: str) -> None:
    place = re.fullmatch(r"`([\w/]+\.py)(?::(\w+))?`", where)
    assert place, noun
    file, name = place.groups()
    assert (SOURCE / file).is_file()
    if name:
        assert file in {each.file for each in public_classes(SOURCE)[name]}
    assert meaning.endswith("."), "one sentence of plain English"


def test_no_two_nouns_of_the_glossary_are_the_same_class() -> None:
    places = [where for _, where, _ in GLOSSARY]
    assert len(places) == len(set(places))
