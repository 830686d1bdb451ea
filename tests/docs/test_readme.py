"""The README's commands work, and answer what it shows."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from duologue_lab.servers.server import DuologueServer
from tests.docs.pages import PAGES, README, ROOT, Block, blocks, section

ADDRESS = "URL=http://127.0.0.1:8000\n"
END_OF_BLOCK = "\x1e"
TIMEOUT = 60.0
"""Seconds: a newcomer is promised a conversation in under a minute."""
ID = re.compile(r"(?:usr|cht|ses)_[0-9a-f]{16}|(?<=msg_)[0-9a-f]{16}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TOLD_TO_RUN = re.compile(r"\bmake ([a-z][a-z-]*)")


def steps(text: str) -> list[tuple[str, Block | None]]:
    """Each block of commands, with the answer that is shown below it, if one is."""
    found: list[tuple[str, Block | None]] = []
    for block in blocks(text):
        if block.language == "sh":
            found.append((block.text, None))
        else:
            commands, answer = found[-1]
            assert answer is None, "one answer for a block of commands"
            found[-1] = (commands, block)
    return found


def anonymous(text: str) -> str:
    """The same text with ids and times named by the order in which they come: who is who stays visible."""
    names: dict[str, str] = {}
    text = ID.sub(lambda found: names.setdefault(found[0].removeprefix("cht_"), f"id-{len(names)}"), text)
    return TIME.sub("some time", text)


def documents(block: Block) -> Any:
    return json.loads(block.text) if block.language == "json" else block.text


def run(commands: list[str], url: str, folder: Path) -> list[str]:
    """Output of each block of commands, all of them run in one shell."""
    marked = "".join(f"{block}printf '\\036'\n" for block in commands)
    assert marked.count(ADDRESS) == 1
    script = marked.replace(ADDRESS, f"URL={url}\n")
    done = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input=script,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split(END_OF_BLOCK)[:-1]


def test_the_first_conversation_goes_as_it_is_shown(tmp_path: Path) -> None:
    play(steps(section(README.read_text(), "A first conversation")), tmp_path)


def test_the_conversation_by_sms_goes_as_it_is_shown(tmp_path: Path) -> None:
    """But for the 30 seconds, which are 5 here: enough that the answer isn't relayed before it is looked at."""
    signed_in = steps(section(README.read_text(), "A first conversation"))[0]
    play([signed_in, *steps(section(README.read_text(), "And by SMS"))], tmp_path, "--relay-delay", "5")


def play(conversation: list[tuple[str, Block | None]], tmp_path: Path, *options: str) -> None:
    """Run the commands on a new server, and compare what they answer with what is shown."""
    with DuologueServer(tmp_path / "data", *options) as server:
        printed = run([commands for commands, _ in conversation], server.url, tmp_path)
    shown: list[Any] = []
    got: list[Any] = []
    for (_, answer), output in zip(conversation, printed, strict=True):
        if answer is None:
            assert output == ""
        else:
            shown.append(documents(answer))
            got.append(documents(Block(answer.language, output)))
    assert json.loads(anonymous(json.dumps(got))) == json.loads(anonymous(json.dumps(shown)))


def test_the_conversation_holds_all_that_is_promised() -> None:
    commands = "".join(text for text, _ in steps(section(README.read_text(), "A first conversation")))
    for part in ("/v1/sessions", "/v1/messages", "/v1/chats -H", "/messages?after=", "/read", "&wait="):
        assert part in commands


def test_pages_name_only_make_commands_that_exist() -> None:
    declared = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert declared
    named = {
        name
        for page in PAGES
        for code in (
            *(block.text for block in blocks(page.read_text()) if block.language == "sh"),
            *re.findall(r"`([^`\n]+)`", page.read_text()),
        )
        for name in TOLD_TO_RUN.findall(code)
    }
    assert {"serve", "test"} <= named
    assert named - set(declared[1].split()) == set()
