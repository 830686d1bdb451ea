"""The other ends of the providers that are reached over HTTP, each as its documentation describes it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from abc import abstractmethod
from urllib.parse import quote, urlencode

import jwt
from twilio.request_validator import RequestValidator

from duologue.providers.sms.failover import FailoverProvider
from duologue.providers.sms.provider import Accepted, Callback, CallbackKind
from duologue.providers.sms.registry import open_provider
from tests.support.sms_http import Answer, Heard, HttpProvider
from tests.support.sms_outside import (
    PATIENT,
    PUBLIC,
    REFUSED,
    SECRET,
    SERVICE,
    RemoteOutside,
    WithoutCallbacks,
)


class HttpOutside(RemoteOutside):
    """A provider reached over HTTP. `setting` has {address}, where the stand-in listens, and {timeout}."""

    setting: str
    busy: Answer | None = None

    def __init__(self, timeout: float = PATIENT) -> None:
        super().__init__(timeout)
        self.remote = HttpProvider(self.answer, self.busy)
        filled = self.setting.format(address=self.remote.address, timeout=timeout, to="{to}")
        self.provider = open_provider(filled)
        self.ids = 0

    async def close(self) -> None:
        await super().close()
        self.remote.close()

    @abstractmethod
    def answer(self, heard: Heard) -> Answer: ...

    @abstractmethod
    def sms_in(self, heard: Heard) -> tuple[str, str]: ...

    async def arrived(self) -> list[tuple[str, str]]:
        return [self.sms_in(heard) for heard in self.remote.heard]

    async def get_busy(self) -> None:
        self.remote.mood = "busy"

    async def fall_silent(self) -> None:
        self.remote.mood = "silent"

    async def disappear(self) -> None:
        self.remote.close()

    def new_id(self) -> str:
        self.ids += 1
        return f"id-{self.ids}"


class TwilioOutside(HttpOutside):
    """Twilio's Messages resource as documented: https://www.twilio.com/docs/messaging/api/message-resource."""

    sid = "AC" + "0" * 31 + "1"
    setting = f"twilio://{sid}:{SECRET}@/?from={SERVICE}&api=http://{{address}}&timeout={{timeout}}"
    busy = Answer(429, json.dumps({"code": 20429, "message": "Too Many Requests", "status": 429}))

    def answer(self, heard: Heard) -> Answer:
        wanted = base64.b64encode(f"{self.sid}:{SECRET}".encode()).decode()
        if heard.headers.get("authorization") != f"Basic {wanted}":
            return self.error(401, 20003, "Authenticate")
        if heard.method != "POST" or heard.path != f"/2010-04-01/Accounts/{self.sid}/Messages.json":
            return self.error(404, 20404, "Not found")
        form = heard.form
        if not form.get("Body") or not (form.get("From") or form.get("MessagingServiceSid")):
            return self.error(400, 21602, "Message body is required")
        if form["To"] == REFUSED:
            return self.error(400, 21211, f"Invalid 'To' Phone Number: {form['To']}")
        sid = f"SM{self.new_id():0>32}"
        return Answer(
            201, json.dumps({"sid": sid, "status": "queued", "to": form["To"], "num_segments": "1"})
        )

    @staticmethod
    def error(status: int, code: int, message: str) -> Answer:
        return Answer(status, json.dumps({"code": code, "message": message, "status": status}))

    def sms_in(self, heard: Heard) -> tuple[str, str]:
        return heard.form["To"], heard.form["Body"]

    def signed(self, kind: CallbackKind, form: dict[str, str]) -> Callback:
        url = f"{PUBLIC}/{self.provider.name}/{kind}"
        signature = RequestValidator(SECRET).compute_signature(url, form)
        return Callback(url, {"x-twilio-signature": signature}, urlencode(form).encode())

    async def callbacks_of(self, accepted: Accepted) -> list[Callback]:
        form = {
            "MessageSid": accepted.provider_ids[0],
            "MessageStatus": "delivered",
            "To": "+33612345678",
            "From": SERVICE,
            "ErrorCode": "",
            "AccountSid": self.sid,
        }
        return [self.signed("status", form)]

    async def callbacks_from(self, phone: str, text: str) -> list[Callback]:
        form = {"MessageSid": "SM-in-1", "From": phone, "To": SERVICE, "Body": text, "NumMedia": "0"}
        return [self.signed("inbound", form)]


class FailoverOutside(TwilioOutside):
    """A chain of one must be as good as its link."""

    def __init__(self, timeout: float = PATIENT) -> None:
        super().__init__(timeout)
        self.provider = FailoverProvider([self.provider], timeout=timeout)


class KannelOutside(HttpOutside):
    """Kannel's smsbox, as Debian's 1.4.5 answers to the same requests."""

    setting = (
        f"gateway+http://tester:{SECRET}@{{address}}?preset=kannel&from={SERVICE}"
        f"&secret={SECRET}&timeout={{timeout}}"
    )
    busy = Answer(503, "Temporal failure, try again later.", {"Retry-After": "7"})

    def answer(self, heard: Heard) -> Answer:
        given = (heard.headers.get("x-kannel-username"), heard.headers.get("x-kannel-password"))
        if given != ("tester", SECRET):
            return Answer(403, "Authorization failed for sendsms")
        if not heard.headers["content-type"].startswith("text/plain"):
            return Answer(400, "Invalid content-type")
        if heard.headers["x-kannel-to"] == REFUSED:
            return Answer(400, "Number(s) has/have been denied by white- and/or black-lists.")
        return Answer(202, "0: Accepted for delivery")

    def sms_in(self, heard: Heard) -> tuple[str, str]:
        return heard.headers["x-kannel-to"], heard.body.decode()

    async def callbacks_of(self, accepted: Accepted) -> list[Callback]:
        [asked] = [heard for heard in self.remote.heard if self.id_in(heard) == accepted.provider_ids[0]]
        template = asked.headers["x-kannel-dlr-url"]
        return [Callback(template.replace("%d", "1").replace("%A", ""), {})]

    @staticmethod
    def id_in(heard: Heard) -> str:
        return Callback(heard.headers["x-kannel-dlr-url"], {}).query["id"]

    async def callbacks_from(self, phone: str, text: str) -> list[Callback]:
        fields = {
            "token": SECRET,
            "id": "in-1",
            "from": phone,
            "to": SERVICE,
            "text": text,
            "charset": "UTF-8",
        }
        return [Callback(f"{PUBLIC}/gateway/inbound?{urlencode(fields)}", {})]


class AndroidOutside(HttpOutside):
    """SMS Gateway for Android (capcom6): https://docs.sms-gate.app."""

    setting = f"gateway+http://user:{SECRET}@{{address}}?preset=android-cloud&secret={SECRET}&region=US&timeout={{timeout}}"

    def answer(self, heard: Heard) -> Answer:
        wanted = base64.b64encode(f"user:{SECRET}".encode()).decode()
        if heard.headers.get("authorization") != f"Basic {wanted}":
            return Answer(401, '{"message": "Unauthorized"}')
        if heard.path != "/3rdparty/v1/messages":
            return Answer(404, '{"message": "Not found"}')
        wish = json.loads(heard.body)
        if wish["phoneNumbers"] == [REFUSED]:
            return Answer(400, '{"message": "invalid phone number"}')
        earlier = [json.loads(other.body)["id"] for other in self.remote.heard if other is not heard]
        if wish["id"] in earlier:
            self.remote.heard.remove(heard)
            return Answer(409, '{"message": "Message with the same ID already exists"}')
        return Answer(202, json.dumps({"id": wish["id"], "state": "Pending"}))

    def sms_in(self, heard: Heard) -> tuple[str, str]:
        wish = json.loads(heard.body)
        [number] = wish["phoneNumbers"]
        return number, wish["textMessage"]["text"]

    def signed(self, kind: CallbackKind, event: str, event_id: str, payload: dict[str, object]) -> Callback:
        body = json.dumps({"deviceId": "d", "event": event, "id": event_id, "payload": payload}).encode()
        stamp = str(int(time.time()))
        signature = hmac.new(SECRET.encode(), body + stamp.encode(), hashlib.sha256).hexdigest()
        headers = {"x-signature": signature, "x-timestamp": stamp}
        return Callback(f"{PUBLIC}/gateway/{kind}", headers, body)

    async def callbacks_of(self, accepted: Accepted) -> list[Callback]:
        payload: dict[str, object] = {"messageId": accepted.provider_ids[0], "recipient": "+33612345678"}
        events = [f"event-{number}" for number in range(accepted.receipts)]
        return [self.signed("status", "sms:delivered", event, payload) for event in events]

    async def callbacks_from(self, phone: str, text: str) -> list[Callback]:
        payload: dict[str, object] = {
            "messageId": "a80532bb",
            "message": text,
            "sender": phone,
            "recipient": SERVICE,
            "receivedAt": "2026-06-22T15:46:11.000+07:00",
        }
        return [self.signed("inbound", "sms:received", "event-1", payload)]


class HttpSmsOutside(HttpOutside):
    """httpSMS: https://docs.httpsms.com."""

    setting = f"gateway+http://:{SECRET}@{{address}}?preset=httpsms&from={SERVICE}&secret={SECRET}&timeout={{timeout}}"

    def answer(self, heard: Heard) -> Answer:
        if heard.headers.get("x-api-key") != SECRET:
            return Answer(401, '{"status": "error"}')
        if heard.path != "/v1/messages/send":
            return Answer(404, '{"status": "error"}')
        if json.loads(heard.body)["to"] == REFUSED:
            return Answer(422, '{"data": {"to": ["The to field is not a valid phone number"]}}')
        return Answer(200, json.dumps({"data": {"id": self.new_id(), "status": "pending"}}))

    def sms_in(self, heard: Heard) -> tuple[str, str]:
        wish = json.loads(heard.body)
        return wish["to"], wish["content"]

    def signed(self, kind: CallbackKind, event: str, data: dict[str, object]) -> Callback:
        url = f"{PUBLIC}/gateway/{kind}"
        now = int(time.time())
        claims = {"aud": url, "exp": now + 600, "iat": now, "iss": "api.httpsms.com", "nbf": now - 600}
        token = jwt.encode(claims, SECRET, algorithm="HS256")
        body = json.dumps({"data": data, "id": "event-1", "type": event, "specversion": "1.0"}).encode()
        return Callback(url, {"authorization": f"Bearer {token}", "x-event-type": event}, body)

    async def callbacks_of(self, accepted: Accepted) -> list[Callback]:
        return [self.signed("status", "message.phone.delivered", {"id": accepted.provider_ids[0]})]

    async def callbacks_from(self, phone: str, text: str) -> list[Callback]:
        data: dict[str, object] = {"contact": phone, "content": text, "message_id": "in-1", "owner": SERVICE}
        return [self.signed("inbound", "message.phone.received", data)]


class AppriseOutside(WithoutCallbacks, HttpOutside):
    """Apprise's own JSON target."""

    setting = f"apprise+json://user:{SECRET}@{{address}}/send/{{to}}?rto={{timeout}}"

    def answer(self, heard: Heard) -> Answer:
        return Answer(400 if REFUSED in self.sms_in(heard)[0] else 200)

    def sms_in(self, heard: Heard) -> tuple[str, str]:
        return heard.path.removeprefix("/send/").replace(quote("+"), "+"), json.loads(heard.body)["message"]
