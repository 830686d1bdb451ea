"""Handsets' texts in deliver_sm: who writes to whom, in which alphabet, and which part of a longer text it is."""

from __future__ import annotations

import re
from typing import Final

from smpplib import consts

from duologue.providers.sms.alphabets import Alphabet, alphabet_of, decode, in_languages
from duologue.providers.sms.national import is_known
from duologue.providers.sms.provider import Encoded, InboundSms, SegmentHeader
from duologue.providers.sms.smpp_pdu import UDHI, Pdu
from duologue.providers.sms.smpp_receipt import RECEIPTED_ID

# SMPP 3.4, 5.3.2: tags of optional parameters.
_PAYLOAD: Final = 0x0424  # message_payload
_SAR_REFERENCE, _SAR_TOTAL, _SAR_NUMBER = 0x020C, 0x020E, 0x020F
# 5.2.12: the bits of esm_class that say what a deliver_sm is.
_TYPE, _RECEIPT, _NOTIFICATION = 0x3C, 0x04, 0x20
# 3GPP TS 23.040, 9.2.3.24: elements of a user data header.
_SINGLE_SHIFT, _LOCKING_SHIFT = 0x24, 0x25
_PLAIN: Final = (0, 1)
"""Each `data_coding` under which carriers deliver texts with such elements: their default alphabet, and ASCII."""
_INTERNATIONAL = re.compile(r"\+?(?:00)?([1-9][0-9]*)", re.ASCII)


_Header = list[tuple[int, bytes]]
"""The elements of a user data header: kind and value."""


def is_flagged(pdu: Pdu) -> bool:
    """Its `esm_class` says that a deliver_sm reports on an SMS of ours (5.2.12)."""
    return ((pdu.body.esm_class or 0) & _TYPE) in {_RECEIPT, _NOTIFICATION}


def receipt_text(pdu: Pdu) -> str:
    """The text of a deliver_sm, read as a receipt: they are ASCII, whatever `data_coding` says."""
    data = body_of(pdu)
    wide = data[:1] == b"\0" and len(data) % 2 == 0
    return data.decode("utf-16-be" if wide else "latin-1", "replace").replace("\0", " ")


def body_of(pdu: Pdu) -> bytes:
    """The message, which stands in the mandatory part or in the parameter `message_payload`."""
    return pdu.body.short_message or pdu.options.get(_PAYLOAD, b"")


def addresses(pdu: Pdu) -> tuple[str, str]:
    """The sender's number and the recipient's."""
    return (
        _number(pdu.body.source_addr, pdu.body.source_addr_ton),
        _number(pdu.body.destination_addr, pdu.body.dest_addr_ton),
    )


def inbound(pdu: Pdu, provider_id: str, usual: Alphabet, region: str | None = None) -> InboundSms:
    """The handset's text in a deliver_sm; `usual` is the carrier's default alphabet."""
    header, data = _divided(pdu)
    told = pdu.options.get(RECEIPTED_ID, b"").rstrip(b"\0").decode("latin-1")
    coding, languages = pdu.body.data_coding or 0, _languages(header)
    # Only the GSM alphabet has languages, whatever the carrier's default is and if it calls that ASCII.
    plain = "gsm" if coding in _PLAIN and any(languages) else alphabet_of(coding, usual)
    alphabet = in_languages(plain, *languages)
    sender, to = addresses(pdu)
    return InboundSms(
        told or provider_id,
        sender,
        to,
        decode(data, alphabet),
        _concatenation(header) or _sar(pdu),
        encoded=Encoded(data, alphabet),
        region=region,
    )


def _sar(pdu: Pdu) -> SegmentHeader | None:
    values = [pdu.options.get(tag) for tag in (_SAR_REFERENCE, _SAR_NUMBER, _SAR_TOTAL)]
    numbers = [int.from_bytes(value, "big") for value in values if value]
    return _part(*numbers) if len(numbers) == 3 else None


def names_unknown_language(pdu: Pdu) -> bool:
    """Tell whether the header of a text names a national language for which there are no tables."""
    return not all(map(is_known, _languages(_divided(pdu)[0])))


def _divided(pdu: Pdu) -> tuple[_Header, bytes]:
    """The elements of the user data header (23.040, 9.2.3.24), if there is one, and what follows it."""
    data = body_of(pdu)
    if not (pdu.body.esm_class or 0) & UDHI or not data:
        return [], data
    head, rest = data[1 : 1 + data[0]], data[1 + data[0] :]
    header, at = [], 0
    while at + 2 <= len(head):
        end = at + 2 + head[at + 1]
        header.append((head[at], head[at + 2 : end]))
        at = end
    return header, rest


def _languages(header: _Header) -> tuple[int, int]:
    """The numbers of the languages whose main table and whose extension are used (9.2.3.24.15 and 16); 0: default."""
    named = {kind: value[0] for kind, value in header if len(value) == 1}
    return named.get(_LOCKING_SHIFT, 0), named.get(_SINGLE_SHIFT, 0)


def _concatenation(header: _Header) -> SegmentHeader | None:
    """The place that a concatenation element gives: its reference has 8 (0x00) or 16 bits (0x08)."""
    for kind, value in header:
        if (kind, len(value)) in {(0x00, 3), (0x08, 4)}:
            return _part(int.from_bytes(value[:-2], "big"), value[-1], value[-2])
    return None


def _part(reference: int, number: int, total: int) -> SegmentHeader | None:
    """A place in a longer text; None for one that 23.040, 9.2.3.24.1, says to ignore."""
    return SegmentHeader(reference, number, total) if total > 1 and 1 <= number <= total else None


def _number(raw: bytes, ton: int) -> str:
    """An address. International ones (5.2.5) get their plus; for others nobody can tell from the digits alone."""
    text = raw.decode("latin-1").strip()
    found = _INTERNATIONAL.fullmatch(text) if ton == consts.SMPP_TON_INTL else None
    return f"+{found[1]}" if found else text
