"""Requests and callbacks of an HTTP gateway as data, from `gateway_presets` or from a TOML file.

Templates may use {base} (the gateway's URL), {user}, {password}, {secret}, {to}, {digits} (`to` without its
plus), {from}, {text}, {reference}, {valid_for} (seconds), {valid_minutes}, {coding} (0 for GSM-7, 2 for
UCS-2), {data_coding} (0 and 8, as SMPP has it), {unicode} (0 and 1), {gsm_text} (a text of GSM-7 only), {ucs2_hex}
(any other text, in hexadecimal), {callback} (where receipts go) and {if_callback} (nothing, if there is a
callback). A template that is one placeholder keeps its type; an entry with a placeholder without a value is left out.

Paths lead into what was received: `data.id|data.message_id` is the first of two that is there, `data.0.id` looks into
the first entry of a list.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from duologue.providers.sms.provider import DeliveryState

Source = Literal["json", "form", "query"]
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Signature:
    """Proof of a callback's origin. All three kinds rest on the secret that both sides know.

    `token`: the secret itself, in the query field `token`. `hmac`: HMAC-SHA256 over the body, then the time
    stamp if there is one, in hexadecimal. `jwt`: a bearer token signed with HS256, which leaves the body out.
    """

    kind: Literal["token", "hmac", "jwt"] = "token"
    header: str = "x-signature"
    timestamp_header: str | None = None
    tolerance: float = 300
    """Seconds that the time stamp may be off."""


@dataclass(frozen=True, slots=True)
class StatusMap:
    """Names of a status callback's fields."""

    id: str
    state: str
    states: Mapping[str, DeliveryState]
    """The gateway's words for ours; `ESME_R*` is any that begins so. Other words are not about an SMS's state."""
    source: Source = "json"
    part: str | None = None
    event: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class InboundMap:
    """Names of an inbound callback's fields."""

    id: tuple[str, ...]
    """Paths whose values together are the same for each repeat of one SMS, and for no other SMS."""
    sender: str
    text: str
    to: str | None = None
    when: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Path → value that it must have for the callback to be about an inbound SMS."""
    source: Source = "json"
    charset: str | None = None
    """Path to the name of the text's character set (query and form only); else UTF-8."""
    charsets: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """The gateway's names of character sets, and Python's; `gsm` is the alphabet of GSM with a byte a letter."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One kind of gateway."""

    url: str = "{base}"
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    query: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    json: Any = None
    form: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    text: str | None = None
    """The body; at most one of json, form and text."""
    basic_auth: bool = True
    """Send the URL's user and password as HTTP basic authentication."""
    default_path: str = ""
    """Path of the request where the URL has none."""
    accepted: str = ""
    """Pattern that the body of a 2xx answer must contain."""
    bad_number: str = r"(?!)"
    """Pattern in the body of a refusal that blames the recipient's number."""
    not_now: str = r"(?!)"
    """Pattern in the body of a refusal that has nothing to do with the SMS: it may pass later."""
    id: str | None = None
    """Path to the gateway's id in its JSON answer; None: receipts carry our reference."""
    id_pattern: str | None = None
    """Pattern of an answer that is not JSON; its first group is the gateway's id."""
    duplicate_status: int | None = None
    """Status that means that the reference is known, so that the SMS was accepted before."""
    idempotent: bool = False
    """A reference that is known is answered as if it were new, and not sent again."""
    receipts_per_part: bool = False
    signature: Signature = field(default_factory=Signature)
    acknowledgement: str = ""
    """What our answer to a callback must say."""
    status: StatusMap | None = None
    inbound: InboundMap | None = None


def load_spec(path: Path) -> Spec:
    """The spec in a TOML file: its keys are the fields of `Spec`; signature, status and inbound are tables.

    Raises `OSError`, `tomllib.TOMLDecodeError`, or `ValueError` for an unknown or missing key.
    """
    data = tomllib.loads(path.read_text("utf-8"))
    tables: dict[str, type[Any]] = {"signature": Signature, "status": StatusMap, "inbound": InboundMap}
    for name, kind in tables.items():
        if name in data:
            data[name] = _build(kind, data[name], name)
    spec: Spec = _build(Spec, data, "the file")
    if sum(map(bool, (spec.json, spec.form, spec.text))) > 1:
        raise ValueError("at most one of json, form and text can be the body")
    return spec


def _build(kind: type[Any], data: dict[str, Any], where: str) -> Any:
    if unknown := set(data) - {each.name for each in fields(kind)}:
        raise ValueError(f"unknown key {min(unknown)!r} in {where}")
    if isinstance(data.get("id"), list):
        data = {**data, "id": tuple(data["id"])}
    elif kind is InboundMap and "id" in data:
        data = {**data, "id": (data["id"],)}
    try:
        return kind(**data)
    except TypeError as missing:
        raise ValueError(f"{where}: {missing}") from None
