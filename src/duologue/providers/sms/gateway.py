"""Any gateway with an HTTP request that sends an SMS. What it wants is data: see `gateway_spec`."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

import httpx
import phonenumbers

from duologue.providers.sms.address import ProviderUrl
from duologue.providers.sms.gateway_presets import PRESETS
from duologue.providers.sms.gateway_spec import InboundMap, Source, Spec, load_spec
from duologue.providers.sms.http import client, network_errors, unavailable
from duologue.providers.sms.provider import (
    Accepted,
    BadCallback,
    BadProviderUrl,
    BadSignature,
    Callback,
    Capabilities,
    DeliveryReport,
    DeliveryState,
    InboundSms,
    OutgoingSms,
    Rejected,
    Sink,
    require_e164,
)
from duologue.providers.sms.segments import gsm_decode, measure
from duologue.providers.sms.signatures import check_hmac, check_jwt, check_token

_log = logging.getLogger(__name__)

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
# Credentials, payment, permission, time-out, throttling: the same SMS may pass later.
_NOT_ITS_FAULT = frozenset({401, 402, 403, 408, 429})


class Gateway:
    """The provider `gateway+https://user:password@host/path?preset=…&from=…&secret=…`."""

    def __init__(
        self,
        name: str,
        spec: Spec,
        base: str,
        *,
        credentials: tuple[str, str] = ("", ""),
        sender: str = "",
        secret: str = "",
        region: str | None = None,
        timeout: float = 10,
    ) -> None:
        self.name = name
        self.capabilities = Capabilities(
            receipts=bool(secret and spec.status),
            inbound=bool(secret and spec.inbound),
            idempotent=spec.idempotent or spec.duplicate_status is not None,
            explains=True,
            acknowledgement=spec.acknowledgement,
        )
        self._spec = spec
        self._secret = secret
        self._sender = sender
        self._region = region
        user, password = credentials
        given = {"base": base, "user": user, "password": password, "secret": secret}
        self._values = {name: value for name, value in given.items() if value}
        self._auth = httpx.BasicAuth(user, password) if spec.basic_auth and user else None
        self._timeout = timeout
        self._http = client(timeout)

    async def start(self, sink: Sink) -> None:
        """A gateway calls back over HTTP; there is nothing to open."""

    async def aclose(self) -> None:
        await self._http.aclose()

    async def send(self, sms: OutgoingSms) -> Accepted:
        require_e164(sms.to)
        async with network_errors(self.name, self._timeout):
            answer = await self._http.send(self._request(sms), auth=self._auth)
        spec = self._spec
        if answer.status_code == spec.duplicate_status:
            provider_id = sms.reference
        else:
            self._check(answer)
            provider_id = self._id(answer) or sms.reference
        parts = measure(sms.text).parts
        return Accepted(self.name, (provider_id,), parts, parts if spec.receipts_per_part else 1)

    def _request(self, sms: OutgoingSms) -> httpx.Request:
        spec, values = self._spec, self._values | self._values_of(sms)
        in_url = {name: quote(str(value), safe="") for name, value in values.items()}
        in_headers = {name: str(value) for name, value in values.items()}
        query, text = _fill(dict(spec.query), in_headers), _fill(spec.text, values)
        return self._http.build_request(
            spec.method,
            httpx.URL(_fill(spec.url, in_url | {"base": values["base"]})).copy_merge_params(query),
            headers=_fill(dict(spec.headers), in_headers),
            json=_fill(spec.json, values),
            data=_fill(dict(spec.form), values) or None,
            content=None if text is None else str(text).encode(),
        )

    def _values_of(self, sms: OutgoingSms) -> dict[str, Any]:
        plain = measure(sms.text).encoding == "GSM-7"
        values: dict[str, Any] = {
            "to": sms.to,
            "digits": sms.to[1:],
            "from": sms.sender or self._sender,
            "text": sms.text,
            "gsm_text" if plain else "ucs2_hex": sms.text if plain else sms.text.encode("utf-16-be").hex(),
            "reference": sms.reference,
            "valid_for": max(1, round(sms.valid_for)),
            "valid_minutes": max(1, round(sms.valid_for / 60)),
            "coding": 0 if plain else 2,
            "data_coding": 0 if plain else 8,
            "unicode": 0 if plain else 1,
        }
        if sms.callback_base is not None and self._secret:
            proof = f"?token={quote(self._secret, safe='')}" if self._spec.signature.kind == "token" else ""
            values["callback"] = f"{sms.callback_base}/{self.name}/status{proof}"
            values["if_callback"] = ""
        return values

    def _check(self, answer: httpx.Response) -> None:
        """Raise unless the gateway took the SMS."""
        status, body = answer.status_code, answer.text
        if answer.is_success and re.search(self._spec.accepted, body):
            return
        if not answer.is_server_error and re.search(self._spec.bad_number, body):
            raise Rejected(f"{self.name} refused the number", code=str(status))
        if not answer.is_server_error and re.search(self._spec.not_now, body):
            raise unavailable(self.name, status)
        if answer.is_success or (answer.is_client_error and status not in _NOT_ITS_FAULT):
            raise Rejected(f"{self.name} refused it", code=str(status), cause="provider")
        raise unavailable(self.name, status, retry_after=answer.headers.get("retry-after"))

    def _id(self, answer: httpx.Response) -> str | None:
        spec = self._spec
        if spec.id is None and spec.id_pattern is None:
            return None
        found = None
        if spec.id_pattern:
            matched = re.search(spec.id_pattern, answer.text)
            found = matched and matched.group(1)
        else:
            with suppress(ValueError):
                found = _at(answer.json(), spec.id)
        if found is None:
            # It did accept: without an id only the receipts are lost, and sending again would be worse.
            _log.warning("%s gave no id: there will be no receipt", self.name)
        return found

    def parse_status(self, request: Callback) -> list[DeliveryReport]:
        self._authenticate(request)
        where = self._spec.status
        if where is None:
            return []
        data = _fields(request, where.source)
        state = _state(where.states, _at(data, where.state) or "")
        if state is None:
            return []
        part = _at(data, where.part)
        return [
            DeliveryReport(
                _required(data, where.id),
                state,
                part=int(part) if part and part.isdecimal() else None,
                event=_at(data, where.event),
                code=_at(data, where.code),
            )
        ]

    def parse_inbound(self, request: Callback) -> list[InboundSms]:
        self._authenticate(request)
        where = self._spec.inbound
        if where is None:
            return []
        data = _fields(request, where.source, where)
        if any(_at(data, path) != value for path, value in where.when.items()):
            return []
        sender, to = _at(data, where.sender), _at(data, where.to)
        if sender is None:
            return []
        return [
            InboundSms(
                "/".join(_required(data, path) for path in where.id),
                self._e164(sender),
                self._e164(to) if to else None,
                _at(data, where.text) or "",
            )
        ]

    def _authenticate(self, request: Callback) -> None:
        how = self._spec.signature
        if not self._secret:
            raise BadSignature(f"{self.name} has no secret to check callbacks with")
        if how.kind == "token":
            check_token(request, self._secret)
        elif how.kind == "jwt":
            check_jwt(request, self._secret, header=how.header, tolerance=how.tolerance)
        else:
            check_hmac(
                request,
                self._secret,
                header=how.header,
                timestamp_header=how.timestamp_header,
                tolerance=how.tolerance,
            )

    def _e164(self, number: str) -> str:
        """`number` in E.164, read in the gateway's own region; a short code or a name as it came."""
        try:
            parsed = phonenumbers.parse(number, self._region)
        except phonenumbers.NumberParseException:
            return number
        if not phonenumbers.is_possible_number(parsed):
            return number
        return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def _fill(template: Any, values: Mapping[str, Any]) -> Any:
    """`template` with its placeholders replaced, at any depth; an entry whose value is missing drops out."""
    if isinstance(template, dict):
        filled = {name: _fill(value, values) for name, value in template.items()}
        return {name: value for name, value in filled.items() if value is not None}
    if isinstance(template, list):
        return [_fill(value, values) for value in template]
    if not isinstance(template, str):
        return template
    if any(name not in values for name in _PLACEHOLDER.findall(template)):
        return None
    if whole := _PLACEHOLDER.fullmatch(template):
        return values[whole.group(1)]
    return _PLACEHOLDER.sub(lambda found: str(values[found.group(1)]), template)


def _state(states: Mapping[str, DeliveryState], word: str) -> DeliveryState | None:
    """Return the state that a gateway's word means; None for a word about something else."""
    for known, state in states.items():
        if word == known or (known.endswith("*") and word.startswith(known[:-1])):
            return state
    return None


def _fields(request: Callback, source: Source, where: InboundMap | None = None) -> Any:
    """Return what a callback holds. Raises `BadCallback`."""
    if source == "json":
        try:
            return json.loads(request.body)
        except ValueError:
            raise BadCallback("the body is not JSON") from None
    raw = urlsplit(request.url).query.encode() if source == "query" else request.body
    pairs = dict(_pairs(raw))
    charset = _charset(pairs, where)
    text = where.text.encode() if where else None
    try:
        return {
            name.decode("utf-8", "replace"): _decoded(value, charset if name == text else "utf-8")
            for name, value in pairs.items()
        }
    except (LookupError, UnicodeError):
        raise BadCallback("unknown character set") from None


def _charset(pairs: Mapping[bytes, bytes], where: InboundMap | None) -> str:
    if where is None or where.charset is None:
        return "utf-8"
    named = pairs.get(where.charset.encode(), b"").decode("ascii", "replace")
    return where.charsets.get(named, named) or "utf-8"


def _decoded(value: bytes, charset: str) -> str:
    return gsm_decode(value) if charset == "gsm" else value.decode(charset, "replace")


def _pairs(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The fields of a query or form as bytes, which parse_qsl cannot give: it takes all for UTF-8."""
    for pair in raw.replace(b"+", b" ").split(b"&"):
        name, _, value = pair.partition(b"=")
        yield unquote_to_bytes(name), unquote_to_bytes(value)


def _at(data: Any, path: str | None) -> str | None:
    """The value at `path` as text, or None if there is nothing."""
    for alternative in path.split("|") if path else ():
        found = data
        for name in alternative.split("."):
            if isinstance(found, list):
                found = dict(enumerate(found)).get(int(name)) if name.isdecimal() else None
            else:
                found = found.get(name) if isinstance(found, dict) else None
        if found is not None and found != "" and not isinstance(found, dict | list):
            return str(found)
    return None


def _required(data: Any, path: str) -> str:
    found = _at(data, path)
    if found is None:
        raise BadCallback(f"{path} is missing")
    return found


def from_url(url: ProviderUrl, name: str) -> Gateway:
    """The provider for a `gateway+https://` (or `gateway+http://`) URL.

    Options: `preset` (one of `PRESETS`) or `spec` (path of a TOML file), `from`, `secret` (checks
    callbacks), `region` (of numbers without a country code), `timeout`. Raises `BadProviderUrl`.
    """
    url.allow({"preset", "spec", "from", "secret", "region", "timeout"})
    scheme = url.scheme.partition("+")[2]
    if scheme not in {"http", "https"} or not url.host:
        raise url.refuse("needs a host: write gateway+https://user:password@host/path?preset=kannel.")
    region = url.options.get("region")
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise url.refuse("option 'region' must be a country such as FR or US.")
    spec = _spec(url)
    host = f"[{url.host}]" if ":" in url.host else url.host
    authority = f"{host}:{url.port}" if url.port else host
    return Gateway(
        name,
        spec,
        f"{scheme}://{authority}{url.path.rstrip('/') or spec.default_path}",
        credentials=(url.user, url.password),
        sender=url.sender(),
        secret=url.options.get("secret", ""),
        region=region,
        timeout=url.number("timeout", 10, low=0.1, high=60),
    )


def _spec(url: ProviderUrl) -> Spec:
    preset, path = url.options.get("preset"), url.options.get("spec")
    if path and not preset:
        try:
            return load_spec(Path(path))
        except (OSError, ValueError) as problem:
            raise url.refuse(f"cannot use the file in option 'spec': {problem}.") from None
    if path or preset not in PRESETS:
        raise BadProviderUrl(
            f"{url.scheme}:// needs either ?preset= ({', '.join(PRESETS)}) or ?spec= with a TOML file's path."
        )
    return PRESETS[preset]
