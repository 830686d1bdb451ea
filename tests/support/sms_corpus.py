"""Plays the rows of tests/corpus against the real providers."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import jwt
import msgspec
from twilio.request_validator import RequestValidator

from duologue.providers.sms.address import ProviderUrl, parse
from duologue.providers.sms.alphabets import decode
from duologue.providers.sms.keywords import keyword_of
from duologue.providers.sms.provider import (
    BadCallback,
    BadSignature,
    Callback,
    DeliveryReport,
    GivenId,
    InboundSms,
    OutgoingSms,
    Provider,
    Rejected,
    Unavailable,
)
from duologue.providers.sms.registry import open_provider
from tests.support.sms_http import Answer, HttpProvider
from tests.support.sms_outside import PUBLIC, Collector
from tests.support.sms_wire import DELIVER, DELIVER_RESP, RawCarrier, deliver_body, pdu

FOLDER = Path(__file__).parents[1] / "corpus"
_PHONE = "+33612345678"


class Effect(msgspec.Struct, omit_defaults=True):
    """Effect of a row."""

    receipts: list[list[str]] = []
    texts: list[list[str]] = []
    keywords: list[str] = []
    accepted: list[str] = []
    refused: str = ""


class Deliver(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of a deliver_sm."""

    sender: str = _PHONE[1:]
    sender_ton: int = 1
    to: str = "12345"
    to_ton: int = 3
    esm_class: int = 0
    coding: int = 0
    text: str = ""
    data: str = ""
    tlvs: list[tuple[str, str]] = []

    def wire(self) -> bytes:
        data = bytes.fromhex(self.data) or self.text.encode("ascii")
        return deliver_body(
            data,
            sender=(self.sender_ton, self.sender),
            to=(self.to_ton, self.to),
            esm_class=self.esm_class,
            coding=self.coding,
            tlvs=[(int(tag, 16), bytes.fromhex(value)) for tag, value in self.tlvs],
        )


class PduRow(msgspec.Struct, forbid_unknown_fields=True):
    """A row about SMPP."""

    name: str
    source: str
    url: str
    expect: Effect
    pdu: list[str] | str = []
    deliver: list[Deliver] | Deliver = []
    given: list[str] = []
    to: str = _PHONE
    alone: bool = False

    @property
    def connection(self) -> str:
        """The connection on which it is played."""
        return self.name if self.alone else self.url

    def bodies(self) -> list[bytes]:
        raw = [self.pdu] if isinstance(self.pdu, str) else self.pdu
        fields = [self.deliver] if isinstance(self.deliver, Deliver) else self.deliver
        return [bytes.fromhex(each)[16:] for each in raw] + [each.wire() for each in fields]


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """An HTTP request to a callback of ours."""

    kind: str
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: Any = ""
    form: dict[str, str] = {}
    sign: str = ""

    def made(self, provider: ProviderUrl, name: str) -> Callback:
        """The request, as the provider with this URL and name makes it now."""
        body = urlencode(self.form) or (self.body if isinstance(self.body, str) else json.dumps(self.body))
        query, headers = dict(self.query), {key.lower(): value for key, value in self.headers.items()}
        secret = provider.options.get("secret", "")
        if self.sign == "token":
            query["token"] = secret
        url = f"{PUBLIC}/{name}/{self.kind}" + (f"?{urlencode(query)}" if query else "")
        if self.sign == "twilio":
            signature = RequestValidator(provider.password).compute_signature(url, self.form)
            headers["x-twilio-signature"] = signature
        elif self.sign.startswith("hmac"):
            stamp = str(int(time.time())) if self.sign == "hmac" else ""
            proof = hmac.new(secret.encode(), f"{body}{stamp}".encode(), hashlib.sha256).hexdigest()
            headers |= {"x-signature": proof, "x-timestamp": stamp}
        elif self.sign == "jwt":
            now = int(time.time())
            token = jwt.encode({"nbf": now - 1, "exp": now + 60}, secret, algorithm="HS256")
            headers["authorization"] = f"Bearer {token}"
        return Callback(url, headers, body.encode())


class CallbackRow(msgspec.Struct, forbid_unknown_fields=True):
    """A row about a provider that calls back over HTTP."""

    name: str
    source: str
    url: str
    expect: Effect
    callback: Request
    repeat: Request | None = None


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """An HTTP answer."""

    status: int
    body: str


class AnswerRow(msgspec.Struct, forbid_unknown_fields=True):
    """A row about a provider's answer to an SMS that we send by HTTP."""

    name: str
    source: str
    url: str
    expect: Effect
    answer: Said


Row = TypeVar("Row")


def _rows(kind: type[Row], field: str) -> list[Row]:
    """The rows that have this field."""
    lines = [line for file in sorted(FOLDER.glob("*.jsonl")) for line in file.read_text().splitlines()]
    return [msgspec.json.decode(line, type=kind) for line in lines if line and field in json.loads(line)]


PDUS = _rows(PduRow, "pdu") + _rows(PduRow, "deliver")
CALLBACKS = _rows(CallbackRow, "callback")
ANSWERS = _rows(AnswerRow, "answer")


async def effects_of_pdus(rows: list[PduRow]) -> dict[str, Effect]:
    """Return the effect of each row; all rows share one connection."""
    carrier, sink = RawCarrier(), Collector()
    provider = open_provider(rows[0].url.replace("HOST", f"127.0.0.1:{await carrier.start()}"))
    await provider.start(sink)
    effects = {}
    sequence = 0
    try:
        await carrier.bound()
        for row in rows:
            sink.ids = [GivenId(each, row.to[-4:]) for each in row.given]
            for body in row.bodies():
                sequence += 1
                carrier.say(pdu(DELIVER, sequence, body))
                assert (await carrier.until(DELIVER_RESP))[0] == sequence
            effects[row.name] = _effect(_all(sink.receipt_queue), _all(sink.inbound_queue))
    finally:
        await provider.aclose()
        await carrier.close()
    return effects


async def effect_of_callback(row: CallbackRow) -> Effect:
    """Return the effect of a callback. Raises `AssertionError` if a repeat of it isn't known as one."""
    provider = open_provider(row.url)
    try:
        receipts, texts = _parsed(provider, row, row.callback)
        if row.repeat:
            again, texts_again = _parsed(provider, row, row.repeat)
            assert again == receipts
            assert [each.provider_id for each in texts_again] == [each.provider_id for each in texts]
        return _effect(receipts, texts)
    except (BadSignature, BadCallback) as refusal:
        return Effect(refused=type(refusal).__name__)
    finally:
        await provider.aclose()


def _parsed(
    provider: Provider, row: CallbackRow, callback: Request
) -> tuple[list[DeliveryReport], list[InboundSms]]:
    request = callback.made(parse(row.url), provider.name)
    if callback.kind == "status":
        return provider.parse_status(request), []
    return [], provider.parse_inbound(request)


async def effect_of_answer(row: AnswerRow) -> Effect:
    """Return the effect of an answer, when an SMS with the reference `ref-1` is sent."""
    remote = HttpProvider(lambda _: Answer(row.answer.status, row.answer.body))
    provider = open_provider(row.url.replace("HOST", remote.address))
    try:
        sms = OutgoingSms(_PHONE, "hello", "ref-1", callback_base=PUBLIC)
        return Effect(accepted=list((await provider.send(sms)).provider_ids))
    except (Rejected, Unavailable) as refusal:
        return Effect(refused=type(refusal).__name__)
    finally:
        await provider.aclose()
        remote.close()


def _all(queue: Any) -> list[Any]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


def _effect(receipts: list[DeliveryReport], texts: list[InboundSms]) -> Effect:
    joined = _joined(texts)
    return Effect(
        [[each.provider_id, each.state, *([each.code] if each.code else [])] for each in receipts],
        joined,
        [keyword for _, text in joined if (keyword := keyword_of(text))],
    )


def _joined(texts: list[InboundSms]) -> list[list[str]]:
    """Sender and text; parts of a long text put together in their order, as bytes."""
    whole = [[each.sender, each.text] for each in texts if each.part is None]
    parts = sorted(
        (each for each in texts if each.part), key=lambda each: each.part.number if each.part else 0
    )
    if parts and parts[0].encoded:
        data = b"".join(each.encoded.data for each in parts if each.encoded)
        whole.append([parts[0].sender, decode(data, parts[0].encoded.alphabet)])
    return whole
