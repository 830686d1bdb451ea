"""The commands, the documents and the house rules hold."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import tokenize
import tomllib
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pytest

from tests.support import javascript

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path for folder in ("src", "lab", "tests", "tools") for path in (ROOT / folder).rglob("*.py")
)
PAGES = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))
SDK = "clients/javascript"
LONGEST_FILE = 400
LONGEST_FUNCTION = 50
PRIVATE = re.compile(r"_[A-Za-z]\w*")
NOT_PRIVATE = {"_asdict", "_fields", "_make", "_replace", "_exit", "_value_"}
"""Public names of the standard library that begin with an underscore all the same."""
BEHIND_THE_DOOR = {
    # A fault that no input makes is put between two steps of the relay's loop.
    "tests/contract/test_relay_crashes.py",
    "tests/contract/test_relay_receipts.py",
    "tests/contract/test_replies.py",
    "tests/contract/test_wrong_clock.py",
    "tests/support/relays.py",
    # … of the writer's thread, or of its connection to the store.
    "tests/api/test_socket_end.py",
    "tests/contract/appender.py",
    "tests/contract/store.py",
    "tests/contract/test_bus_attacks.py",
    "tests/contract/test_storage_durable.py",
    "tests/contract/test_storage_outage.py",
    "tests/contract/test_storage_plans.py",
    "tests/contract/test_storage_strangers.py",
    # … of a socket and the kernel.
    "tests/unit/test_transport_close.py",
    "tests/unit/test_transport_pressure.py",
}
"""Tests that may reach for private members. It only gets shorter: give the class an honest public member instead."""
QUESTION = re.compile(r"(What|Whether|Who|Whom|Whose|Whoever|How|Where|Which|When|Why)\b")


def test_make_help_lists_every_command_with_its_meaning() -> None:
    declared = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert declared
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    told = subprocess.run(["make", "help"], cwd=ROOT, env=plain, check=True, capture_output=True, text=True)
    assert re.findall(r"^  make (\S+) +\w+", told.stdout, re.MULTILINE) == declared[1].split()


def test_docstrings_begin_with_a_noun_or_an_imperative() -> None:
    """`Return whether…` and `Number of…` are understood at once; a clause that begins with a question word is not."""
    found = [
        f"{path.relative_to(ROOT)}: {docstring.partition(chr(10))[0]}"
        for path in MODULES
        for docstring in docstrings(path)
        if QUESTION.match(docstring)
    ]
    assert found == []


def test_ci_runs_what_make_check_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "exec make check" in script.read_text()


def test_pages_name_only_files_that_exist() -> None:
    missing: list[str] = []
    for page in PAGES:
        text = page.read_text()
        links = re.findall(r"\]\((?!\w+:|#)([^)#]+)", text)
        names = re.findall(r"`((?:src|tests|docs|clients|lab|tools|webapp|\.ci)/[^`\s]*)`", text)
        paths = [page.parent / link for link in links]
        paths += [ROOT / name for name in names if not re.search(r"[<*…]", name)]
        missing += [f"{path} in {page}" for path in paths if not path.exists()]
    assert missing == []


def test_every_package_is_pinned_with_its_hash() -> None:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    for package in packages:
        if "registry" in package["source"]:
            files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
            assert files, package["name"]
            assert all(file["hash"].startswith("sha256:") for file in files), package["name"]
    assert {tuple(package["source"]) for package in packages} == {("registry",), ("editable",)}


def test_every_npm_package_is_pinned_with_its_hash_and_names_no_registry() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())
    ours = ("", SDK, f"node_modules/{json.loads((ROOT / SDK / 'package.json').read_text())['name']}")
    packages = {name: package for name, package in lock["packages"].items() if name not in ours}
    assert packages
    for name, package in packages.items():
        assert package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name
    for folder in ("", f"{SDK}/"):
        wanted = json.loads((ROOT / folder / "package.json").read_text())["devDependencies"]
        assert wanted == {name: packages[f"{folder}node_modules/{name}"]["version"] for name in wanted}


def test_the_websocket_parser_is_one_exact_version_used_in_two_files_of_the_server() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [name for name in project["dependencies"] if name.startswith("picows==")]
    source = ROOT / "src" / "duologue"
    users = {
        path.relative_to(source).as_posix()
        for room in ("edge", "http", "socket")
        for path in (source / room).rglob("*.py")
        if re.search(r"^from picows", path.read_text(), re.MULTILINE)
    }
    assert users == {"socket/transport.py", "socket/wire.py"}


def test_every_file_is_short_enough_to_read() -> None:
    files = (*MODULES, *javascript.FILES)
    lengths = {str(path): len(path.read_text().splitlines()) for path in files}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_every_function_fits_on_a_screen() -> None:
    functions = [
        (f"{path}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [(name, length) for name, length in functions if length > LONGEST_FUNCTION] == []


def test_every_javascript_function_fits_on_a_screen() -> None:
    found = [
        (f"{path}:{line}", length)
        for path in javascript.FILES
        for line, length in javascript.functions(path.read_bytes())
    ]
    assert [(place, length) for place, length in found if length > LONGEST_FUNCTION] == []
    assert len(found) > len(javascript.FILES)


@pytest.mark.parametrize(
    "head",
    [
        "function f() {",
        "async function* f() {",
        "export default function () {",
        "const f = async () => {",
        "class C { m() {",
        "class C { static async #m() {",
        "class C { get m() {",
        "class C { constructor() {",
        "class C { static {",
        "class C { m = () => {",
        "const o = { m() {",
        "call(function* () {",
    ],
)
def test_a_javascript_function_of_any_kind_is_measured(head: str) -> None:
    ends = {"{": "}", "(": ")"}
    tail = "".join(ends[one] for one in reversed(head.replace("()", "")) if one in ends)
    source = "\n".join(["// A comment.", head, *["  work();"] * 49, tail])
    assert [length for _, length in javascript.functions(source.encode())] == [51]


def test_every_number_has_a_unit() -> None:
    """A constant that is a number says of what: in a comment of its line, or in the docstring below it."""
    bare = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in MODULES
        if not path.is_relative_to(ROOT / "tests")
        for name in unexplained_numbers(path)
    ]
    assert bare == []


def unexplained_numbers(path: Path) -> Iterator[str]:
    text = path.read_text()
    lines, statements = text.splitlines(), ast.parse(text).body
    for statement, following in zip_longest(statements, statements[1:]):
        if isinstance(statement, ast.Assign | ast.AnnAssign) and is_number(statement.value):
            target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
            line = lines[statement.lineno - 1]
            is_explained = "#" in line or (
                isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
                and isinstance(following.value.value, str)
            )
            if not is_explained:
                yield ast.unparse(target)


def is_number(value: ast.expr | None) -> bool:
    """Return whether an expression is a number, or made of numbers only."""
    match value:
        case ast.Constant(value=int() | float() as number):
            return not isinstance(number, bool)
        case ast.UnaryOp(operand=operand):
            return is_number(operand)
        case ast.BinOp(left=left, right=right):
            return is_number(left) and is_number(right)
    return False


def test_tests_keep_to_public_members() -> None:
    """Private members of anything but `self` are for its own class: a test that reads them forbids to change them."""
    tests = [path for path in MODULES if path.is_relative_to(ROOT / "tests")]
    found = {path.relative_to(ROOT).as_posix(): list(private_members(path)) for path in tests}
    reaching = {file: names for file, names in found.items() if names}
    assert {file: names for file, names in reaching.items() if file not in BEHIND_THE_DOOR} == {}
    assert BEHIND_THE_DOOR - set(reaching) == set(), "these don't need it any more"


def test_a_look_at_a_private_member_is_found(tmp_path: Path) -> None:
    path = tmp_path / "test_door.py"
    path.write_text("""
hub._followers
feed._PAGE
self._own
row._asdict()
acks.idle
hub.feed._early.clear()
from duologue.core.feed import _read, Feed
""")
    found = {"hub._followers", "feed._PAGE", "hub.feed._early", "duologue.core.feed._read"}
    assert set(private_members(path)) == found


def private_members(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and PRIVATE.fullmatch(node.attr) and node.attr not in NOT_PRIVATE:
            is_own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            if not is_own:
                yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("duologue"):
            yield from (f"{node.module}.{each.name}" for each in node.names if PRIVATE.fullmatch(each.name))


def test_nothing_is_left_to_do_later() -> None:
    notes = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    remarks = [(path, remark) for path in MODULES for remark in (*comments(path), *docstrings(path))]
    remarks += [
        (path, remark) for path in javascript.FILES for remark in javascript.comments(path.read_bytes())
    ]
    assert [(path, remark) for path, remark in remarks if notes.search(remark)] == []


def comments(path: Path) -> Iterator[str]:
    with tokenize.open(path) as source:
        for token in tokenize.generate_tokens(source.readline):
            if token.type == tokenize.COMMENT:
                yield token.string


def docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
