"""Phone numbers for the web client: a small part of libphonenumber's metadata.

python -m tools.countries    writes it anew, when `phonenumbers` has been updated
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType
from phonenumbers.phonemetadata import PhoneMetadata

from duologue.core.phone_numbers import RESPELLINGS

FILE = Path(__file__).parents[1] / "webapp" / "client" / "countries.js"
HEAD = """\
// Each country's calling code, the lengths that its numbers may have, its trunk prefixes, how its mobile numbers are
// grouped, and, where countries share a code, how those of one of them begin. Made from libphonenumber's metadata by
// tools/countries.py.

"""


def _metadata(region: str) -> PhoneMetadata:
    found = PhoneMetadata.metadata_for_region(region)
    assert found is not None
    return found


def _grouping(region: str) -> str:
    """The lengths of the groups that a mobile number of that country is written in: 12222 for France."""
    example = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    if example is None:
        return "-"
    text = phonenumbers.format_number(example, PhoneNumberFormat.INTERNATIONAL)
    _, _, national = text.partition(" ")
    groups = national.replace("-", " ").split()
    return "".join(str(len(group)) for group in groups) if all(len(group) < 10 for group in groups) else "-"


def _trunks(own: PhoneMetadata) -> str:
    """Return the national prefixes of a region, the longest first: 0 in France, 80 or 8 in Belarus."""
    found = {own.national_prefix} if own.national_prefix else set()
    ways = own.national_prefix_for_parsing or ""
    if re.fullmatch(r"(\d{1,2}\??\|?)+", ways):  # most are; the others take numbers apart
        for way in ways.split("|"):
            found |= {way[:1], way[:2]} if way.endswith("?") else {way}
    return ",".join(sorted(found, key=lambda trunk: (-len(trunk), trunk))) or "-"


def _line(region: str) -> str:
    own = _metadata(region)
    code = own.country_code
    assert code is not None
    general = _metadata(phonenumbers.region_code_for_country_code(code)).general_desc
    assert general is not None
    lengths = ",".join(map(str, general.possible_length))
    parts = [region, str(code), lengths, _trunks(own), _grouping(region)]
    if own.leading_digits:
        parts.append(own.leading_digits.replace("(?:", "("))
    return " ".join(parts)


def lines() -> Iterator[str]:
    """Yield a line of the table for each region that libphonenumber knows."""
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        yield _line(region)


def respellings() -> Iterator[str]:
    """Yield the server's old spellings of numbers, in JavaScript."""
    for old, new in RESPELLINGS:
        present = re.sub(r"\\g<(\d)>|\\(\d)", lambda group: f"$0{group[1] or group[2]}", new)
        yield f'  {{ old: /^{old}$/, present: "{present}" }},'


def source() -> str:
    """Return the module as it should be."""
    countries = "\n".join(lines())
    spellings = "\n".join(respellings())
    return (
        f"{HEAD}export const COUNTRIES = `\n{countries}\n`;\n\n"
        "// Old spellings of numbers, and what they are now. The server has the same ones.\n"
        f"export const RESPELLINGS = [\n{spellings}\n];\n"
    )


if __name__ == "__main__":
    FILE.write_text(source())
