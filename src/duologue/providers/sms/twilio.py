"""Twilio Programmable Messaging, through the official SDK.

The SDK builds and reads the requests; the bytes go over httpx. Its own asynchronous client ignores the
time-out that it is given, and its synchronous one would need a thread per request.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

import httpx
from twilio.base.exceptions import TwilioRestException, TwilioServiceException
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from duologue.providers.sms.address import ProviderUrl
from duologue.providers.sms.http import client, network_errors, unavailable
from duologue.providers.sms.provider import (
    Accepted,
    BadCallback,
    BadSignature,
    Callback,
    Capabilities,
    DeliveryReport,
    DeliveryState,
    InboundSms,
    OutgoingSms,
    Rejected,
    RejectionCause,
    Sink,
    Unavailable,
    require_e164,
)
from duologue.providers.sms.segments import measure

# https://www.twilio.com/docs/api/errors
_REFUSALS: dict[int, RejectionCause] = {
    21211: "number",  # invalid 'To'
    21214: "number",  # 'To' cannot be reached
    21217: "number",  # 'To' does not appear to be valid
    21610: "opted_out",  # the recipient sent STOP
    21614: "number",  # 'To' is not a mobile number
    21602: "content",  # no body
    21617: "content",  # more than 1600 characters
    30007: "content",  # filtered by a carrier
}
_TEMPORARY = frozenset({20429, 14107, 21611, 30001, 20503})
# Twilio's words (MessageStatus) for ours.
_STATES: dict[str, DeliveryState] = {
    "accepted": "queued",
    "scheduled": "queued",
    "queued": "queued",
    "sending": "queued",
    "sent": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "undelivered",
    "failed": "failed",
    "canceled": "failed",
}
_SID = re.compile(r"AC[0-9a-f]{32}")
_LONGEST_VALIDITY = 36_000  # seconds
_EXAMPLE = "twilio://ACCOUNT_SID:AUTH_TOKEN@/?from=+15005550006"


class _Http(AsyncHttpClient):  # type: ignore[misc]
    """The SDK's requests over httpx."""

    def __init__(self, timeout: float) -> None:
        super().__init__(logger=None, is_async=True, timeout=timeout)
        self.client = client(timeout)

    async def request(
        self,
        method: str,
        uri: str,
        params: Any = None,
        data: Any = None,
        headers: Any = None,
        auth: Any = None,
        **_: Any,
    ) -> Response:
        answer = await self.client.request(
            method, uri, params=params, data=data, headers=headers, auth=httpx.BasicAuth(*auth)
        )
        return Response(answer.status_code, answer.text, answer.headers)


class Twilio:
    """The provider `twilio://ACCOUNT_SID:AUTH_TOKEN@/?from=…`."""

    capabilities = Capabilities(receipts=True, inbound=True, idempotent=False, explains=True)

    def __init__(
        self, name: str, sid: str, token: str, sender: str, *, timeout: float = 10, api: str | None = None
    ) -> None:
        self.name = name
        self.sender = sender
        self._timeout = timeout
        self._http = _Http(timeout)
        # Without one the SDK reads TWILIO_EDGE and TWILIO_REGION from ours, which would move the requests.
        self._client = Client(sid, token, http_client=self._http, environment={"TWILIO_ACCOUNT_SID": sid})
        if api is not None:
            self._client.api.base_url = api
        self._validator = RequestValidator(token)

    async def start(self, sink: Sink) -> None:
        """Twilio calls back over HTTP; there is nothing to open."""

    async def aclose(self) -> None:
        await self._http.client.aclose()

    async def send(self, sms: OutgoingSms) -> Accepted:
        require_e164(sms.to)
        try:
            async with network_errors(self.name, self._timeout):
                message = await self._client.messages.create_async(**self._request(sms))
        except (TwilioRestException, TwilioServiceException) as failure:
            raise self._error(failure.status, failure.code) from None
        except ValueError:
            raise Unavailable(f"{self.name} gave an unreadable answer", outcome_unknown=True) from None
        if not message.sid:
            raise Unavailable(f"{self.name} accepted it under no id", outcome_unknown=True)
        return Accepted(self.name, (message.sid,), measure(sms.text).parts)

    def _request(self, sms: OutgoingSms) -> dict[str, Any]:
        sender = sms.sender or self.sender
        request: dict[str, Any] = {
            "to": sms.to,
            "body": sms.text,
            "validity_period": max(1, min(int(sms.valid_for), _LONGEST_VALIDITY)),
            "messaging_service_sid" if sender.startswith("MG") else "from_": sender,
        }
        if sms.callback_base is not None:
            request["status_callback"] = f"{sms.callback_base}/{self.name}/status"
        return request

    def _error(self, status: int, code: int | None) -> Rejected | Unavailable:
        shown = str(code) if code else None
        if code in _TEMPORARY or status in {401, 403, 429} or status >= 500:
            # A wrong or suspended account is put right by the operator: the SMS waits, and fail-over goes on.
            return unavailable(self.name, status, code=shown)
        return Rejected(f"{self.name} refused it", code=shown, cause=_REFUSALS.get(code or 0, "provider"))

    def parse_status(self, request: Callback) -> list[DeliveryReport]:
        form = self._authentic(request)
        state = _STATES.get(form.get("MessageStatus", ""))
        if state is None:
            return []
        return [DeliveryReport(_required(form, "MessageSid"), state, code=form.get("ErrorCode") or None)]

    def parse_inbound(self, request: Callback) -> list[InboundSms]:
        form = self._authentic(request)
        if "Body" not in form:
            return []
        return [
            InboundSms(
                _required(form, "MessageSid"), _required(form, "From"), _required(form, "To"), form["Body"]
            )
        ]

    def _authentic(self, request: Callback) -> dict[str, str]:
        # Blank fields are part of what Twilio signs.
        form = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
        signature = request.headers.get("x-twilio-signature", "")
        if not self._validator.validate(request.url, form, signature):
            raise BadSignature("not signed with this account's token")
        return form


def _required(form: dict[str, str], name: str) -> str:
    value = form.get(name)
    if not value:
        raise BadCallback(f"{name} is missing")
    return value


def from_url(url: ProviderUrl, name: str) -> Twilio:
    """The provider for `twilio://ACCOUNT_SID:AUTH_TOKEN@/?from=+1…&timeout=10&api=https://…`.

    `from` is a number, a sender name or the id of a messaging service (MG…); `api` stands in for Twilio's own
    address. Raises `BadProviderUrl`.
    """
    url.allow({"from", "timeout", "api"})
    sid, token = url.credentials(_EXAMPLE)
    if not _SID.fullmatch(sid):
        raise url.refuse(
            "needs the account's SID as its user: AC and 32 hexadecimal digits, from the console."
        )
    sender = url.sender()
    if not sender:
        raise url.refuse(f"needs a sender: add ?from= with a number or messaging service, as in {_EXAMPLE}.")
    if url.host:
        raise url.refuse("takes no host: end the user and password with @/, as in " + _EXAMPLE)
    timeout = url.number("timeout", 10, low=0.1, high=60)
    return Twilio(name, sid, token, sender, timeout=timeout, api=url.options.get("api"))
