"""The server's secret and what follows from it."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from duologue.core.secret import acquaintance, code_for, load_secret, same_code

RACE = """
import sys, pathlib
from duologue.core.secret import load_secret
print(load_secret(pathlib.Path(sys.argv[1])).hex())
"""


def test_a_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secret"
    secret = load_secret(path)
    assert len(secret) == 32
    assert load_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_no_two_secrets_are_alike(tmp_path: Path) -> None:
    assert len({load_secret(tmp_path / str(number)) for number in range(20)}) == 20


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACE, str(tmp_path / "secret")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    told = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert told == {load_secret(tmp_path / "secret").hex()}
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602])
def test_a_secret_that_others_can_reach_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret"
    load_secret(path)
    path.chmod(mode)
    with pytest.raises(PermissionError, match=rf"run `chmod 600 {path}`"):
        load_secret(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"ab" * 16, b"ab" * 33, b"zz" * 32, b"\xff" * 64])
def test_a_damaged_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        load_secret(path)


def test_a_secret_may_end_in_a_newline(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch(0o600)
    path.write_text("ab" * 32 + "\n")
    assert load_secret(path) == b"\xab" * 32


def test_a_code_is_six_digits_that_follow_from_secret_and_id() -> None:
    code = code_for(b"a" * 32, 7)
    assert len(code) == 6
    assert code.isdecimal()
    assert code_for(b"a" * 32, 7) == code
    assert code != code_for(b"b" * 32, 7)
    assert code != code_for(b"a" * 32, 8)


def test_codes_are_spread_evenly() -> None:
    tens = Counter(code_for(b"a" * 32, number)[:2] for number in range(20_000))
    assert len(tens) == 100
    assert min(tens.values()) > 130
    assert max(tens.values()) < 275


@pytest.mark.parametrize(
    "given", ["", "12345", "1234567", "123457", "123456 ", "１２３４５６", "12345\x00", "🔑"]
)
def test_only_the_very_code_is_the_same(given: str) -> None:
    assert same_code("123456", "123456")
    assert not same_code(given, "123456")


def test_an_acquaintance_tells_neither_number_nor_network() -> None:
    phone, block = "+33612345678", "203.0.113.0/24"
    name = acquaintance(b"a" * 32, phone, block)
    assert name == acquaintance(b"a" * 32, phone, block)
    assert len({name, acquaintance(b"b" * 32, phone, block), acquaintance(b"a" * 32, phone, "x")}) == 3
    assert len(name) == 32
    assert set(name) <= set("0123456789abcdef")
