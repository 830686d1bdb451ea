"""The web client's field, the SDK and the server agree on phone numbers: on every country's, of every kind.

The field has a small part of libphonenumber's metadata. The SDK has none: it tells the server what it was given. Both
run in Node; tests/browser runs the field in a browser too.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType, ValidationResult

from duologue.core.phone_numbers import parse_phone
from tests.support.toolchains import PATIENCE, need

SCRIPT = Path(__file__).parent / "node" / "numbers.mjs"
ROOT = Path(__file__).parents[2]
CLIENT, SDK = Path("webapp", "client"), Path("clients", "javascript")
ODD = [
    "+54 11 2345-6789",
    "+55 21 8765-4321",
    "+52 1 55 1234 5678",
    "+229 90 01 12 34",
    "＋44 7911 123456",
    "＋４４　７９１１ １２３４５６",
    "\u202a+44 7911 123456\u202c",
]
"""Old spellings, full-width characters and invisible marks."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of client and SDK, where Node takes all files for modules."""
    need("node")
    folder = tmp_path_factory.mktemp("browser")
    for name in (CLIENT, SDK):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def in_node(folder: Path, written: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the field's reading of each text, with a region chosen beside it, and the number that the SDK sends."""
    done = subprocess.run(
        ["node", str(SCRIPT), str(folder / CLIENT), str(folder / SDK)],
        input=json.dumps(written),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [(field, sent) for field, sent in json.loads(done.stdout)]


def test_field_sdk_and_server_agree_on_every_example_number_of_every_region(folder: Path) -> None:
    written = [(text, "JP") for text in ODD] + [
        (phonenumbers.format_number(number, form), region)
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
        for kind in PhoneNumberType.values()
        # A Canadian one of seven digits lacks its area code, so nobody takes it.
        if (number := phonenumbers.example_number_for_type(region, kind))
        and phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE
        for form in (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL)
    ]
    assert len(written) > 2_000
    by_server = [parse_phone(text) for text, _ in written]
    found = in_node(folder, written)
    assert [field for field, _ in found] == by_server
    assert [parse_phone(sent) for _, sent in found] == by_server


def test_field_and_server_agree_on_what_is_dialled_at_home(folder: Path) -> None:
    written, expected = [], []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS - {"MX", "AR", "BR"}):
        if number := phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE):
            written.append((phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL), region))
            expected.append(parse_phone(phonenumbers.format_number(number, PhoneNumberFormat.E164)))
    assert [field for field, _ in in_node(folder, written)] == expected
