"""Commands, metrics and settings that the pages name exist."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import tomllib

from prometheus_client import REGISTRY

import duologue
from duologue import cli
from duologue.config import ENV_PREFIX, Settings
from duologue_lab.bench import cli as bench
from duologue_lab.mutants.__main__ import make_parser
from duologue_lab.torture import cli as torture
from tests.docs.pages import DOCS, PAGES, ROOT, blocks, section, table

OURS = re.compile(rf"\b{ENV_PREFIX}([A-Z_]+)\b")
FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]+)")
OUR_COMMAND = re.compile(r"duologue(?: [a-z]+)+ [^`\n]*|make serve[^`\n]*|`--[^`\n]+`")
COMMANDS = {
    command.name or command.callback.__name__: command.callback
    for commands in (cli.app, bench.app, torture.app)
    for command in commands.registered_commands
    if command.callback
}
GROUPS = {group.name for group in cli.app.registered_groups}
OPTIONS = {
    *(name for command in COMMANDS.values() for name in inspect.signature(command).parameters),
    *vars(make_parser().parse_args([])),
    "help",
}


def test_flags_and_variables_named_in_pages_exist() -> None:
    for page in PAGES:
        text = page.read_text()
        variables = {name.lower() for name in OURS.findall(text)}
        assert variables - {*Settings.__struct_fields__, "config"} == set(), page
        commands = OUR_COMMAND.findall(text)
        flags = {
            flag.removeprefix("no-").replace("-", "_") for line in commands for flag in FLAG.findall(line)
        }
        assert flags - OPTIONS == set(), page


def test_settings_in_configuration_files_shown_exist() -> None:
    for page in PAGES:
        for block in blocks(page.read_text()):
            if block.language == "toml":
                assert set(tomllib.loads(block.text)) - set(Settings.__struct_fields__) == set(), page


def test_commands_named_in_pages_exist() -> None:
    for page in PAGES:
        named = set(re.findall(r"(?:^|`|/)duologue ([a-z]+)", page.read_text(), re.MULTILINE))
        assert named - {*COMMANDS, *GROUPS} == set(), page


def test_the_metrics_told_are_those_there_are() -> None:
    for module in pkgutil.walk_packages(duologue.__path__, "duologue."):
        if module.name != "duologue.cli":
            importlib.import_module(module.name)
    ours = {family.name for family in REGISTRY.collect() if family.name.startswith("duologue_")}
    rows = table(section((DOCS / "operations.md").read_text(), "Metrics"))
    told = {name.removesuffix("_total") for row in rows for name in re.findall(r"`(duologue_\w+)`", row[0])}
    assert told == ours


def test_log_lines_told_are_written() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    rows = table(section((DOCS / "operations.md").read_text(), "Logs"))
    told = [line for row in rows for line in re.findall(r"`([^`]+)`", row[0])]
    assert told
    for line in told:
        pieces = [piece.strip() for piece in re.split(r"\bN\b|GET /…", line)]
        assert any(piece and piece in source for piece in pieces), line
