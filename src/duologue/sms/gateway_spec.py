"""What an HTTP gateway wants to be asked and what it reports: data, from a preset or from a TOML file.

Templates may use {base} (the gateway's URL), {user}, {password}, {secret}, {to}, {digits} (`to` without its
plus), {from}, {text}, {reference}, {valid_for} (seconds), {valid_minutes}, {coding} (0 for GSM-7, 2 for
UCS-2) and {callback} (where receipts go). A template that is one placeholder keeps its type; an entry that
needs {callback} is left out where there is none.

Paths lead into what was received: `data.id|data.message_id` is the first of two that is there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from duologue.sms.provider import State

Source = Literal["json", "form", "query"]
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Signature:
    """How a callback proves where it comes from. All three rest on the secret that both sides know.

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
    """Where a status callback holds what."""

    id: str
    state: str
    states: Mapping[str, State]
    """The gateway's words for ours; a callback with any other word is not about an SMS's state."""
    source: Source = "json"
    part: str | None = None
    event: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class InboundMap:
    """Where an inbound callback holds what."""

    id: tuple[str, ...]
    """Paths whose values together are the same for each repeat of one SMS, and for no other SMS."""
    sender: str
    text: str
    to: str | None = None
    when: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Path → value that it must have for the callback to be about an inbound SMS."""
    source: Source = "json"
    charset: str | None = None
    """Path to the name of the text's character set (query only); else UTF-8."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One kind of gateway."""

    url: str = "{base}"
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    callback_headers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Headers that go along only where there is a {callback}."""
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
    id: str | None = None
    """Path to the gateway's id in its JSON answer; None: receipts carry our reference."""
    duplicate_status: int | None = None
    """Status that means that the reference is known, so that the SMS was accepted before."""
    receipts_per_part: bool = False
    signature: Signature = field(default_factory=Signature)
    status: StatusMap | None = None
    inbound: InboundMap | None = None


# https://www.kannel.org/download/1.4.5/userguide-1.4.5/userguide.html, "SMS Push". The headers keep the
# password out of the URL, and so out of logs; form bodies it refuses. It splits long texts by itself and asks
# for receipts of the first part alone. All callbacks come as GET. Inbound SMS need an sms-service with
# get-url = "https://…/inbound?token=SECRET&id=%I&from=%q&to=%Q&text=%b&charset=%C"; with `global-sender` set,
# %Q would be that number.
_KANNEL = Spec(
    headers={
        "X-Kannel-Username": "{user}",
        "X-Kannel-Password": "{password}",
        "X-Kannel-From": "{from}",
        "X-Kannel-To": "{to}",
        "X-Kannel-Coding": "{coding}",
        "X-Kannel-Validity": "{valid_minutes}",
        "Content-Type": "text/plain; charset=UTF-8",
    },
    callback_headers={
        "X-Kannel-DLR-Mask": "31",
        "X-Kannel-DLR-Url": "{callback}&id={reference}&state=%d&code=%A",
    },
    text="{text}",
    basic_auth=False,
    default_path="/cgi-bin/sendsms",
    accepted=r"^(0: |3: |Sent)",
    bad_number=r"^(Number\(s\)|Not routable|Missing receiver|Garbage 'to')",
    status=StatusMap(
        source="query",
        id="id",
        state="state",
        states={"1": "delivered", "2": "undelivered", "4": "queued", "8": "sent", "16": "failed"},
        code="code",
    ),
    inbound=InboundMap(source="query", id=("id",), sender="from", to="to", text="text", charset="charset"),
)

# https://docs.sms-gate.app: one delivered event per part, each under an event id of its own. The id of an
# inbound SMS is a hash of its text, so only with the sender and the time it is one; repeats come under other
# event ids.
_ANDROID = Spec(
    json={
        "id": "{reference}",
        "textMessage": {"text": "{text}"},
        "phoneNumbers": ["{to}"],
        "ttl": "{valid_for}",
        "withDeliveryReport": True,
    },
    default_path="/3rdparty/v1/messages",
    bad_number=r"(?i)phone ?number",
    id="id",
    duplicate_status=409,
    receipts_per_part=True,
    signature=Signature("hmac", "x-signature", "x-timestamp"),
    status=StatusMap(
        id="payload.messageId",
        state="event",
        states={
            "sms:sent": "sent",
            "sms:delivered": "delivered",
            "sms:failed": "failed",
            "sms:cancelled": "failed",
        },
        event="id",
        code="payload.reason",
    ),
    inbound=InboundMap(
        when={"event": "sms:received"},
        id=("payload.sender|payload.phoneNumber", "payload.messageId", "payload.receivedAt"),
        sender="payload.sender|payload.phoneNumber",
        to="payload.recipient",
        text="payload.message",
    ),
)

# https://docs.httpsms.com: the API key is the URL's password, the secret is the signing key of the webhook.
_HTTPSMS = Spec(
    headers={"x-api-key": "{password}"},
    json={"content": "{text}", "from": "{from}", "to": "{to}", "request_id": "{reference}"},
    basic_auth=False,
    default_path="/v1/messages/send",
    bad_number=r'"to"\s*:',
    id="data.id",
    signature=Signature("jwt", "authorization"),
    status=StatusMap(
        id="data.id|data.message_id",
        state="type",
        states={
            "message.phone.sent": "sent",
            "message.phone.delivered": "delivered",
            "message.send.failed": "failed",
            "message.send.expired": "undelivered",
        },
        code="data.error_message",
    ),
    inbound=InboundMap(
        when={"type": "message.phone.received"},
        id=("data.message_id",),
        sender="data.contact",
        to="data.owner",
        text="data.content",
    ),
)

PRESETS = {"kannel": _KANNEL, "android": _ANDROID, "httpsms": _HTTPSMS}


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
