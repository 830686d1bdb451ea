"""The other ends of the HTTP gateways, each as its documentation or source describes it (see `gateway_presets`)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from urllib.parse import urlencode

from duologue.providers.sms.provider import Accepted, Callback, CallbackKind
from duologue.providers.sms.segments import gsm_encode
from tests.support.sms_http import Answer, Heard
from tests.support.sms_outside import (
    PUBLIC,
    REFUSED,
    SECRET,
    SERVICE,
    Outside,
    RemoteOutside,
    SimulatorOutside,
    SmppOutside,
)
from tests.support.sms_remotes import (
    AndroidOutside,
    AppriseOutside,
    FailoverOutside,
    HttpOutside,
    HttpSmsOutside,
    KannelOutside,
    TwilioOutside,
)


class AndroidLocalOutside(AndroidOutside):
    """The server in the app: other paths than in the cloud, and a known id is answered as a new one."""

    setting = (
        f"gateway+http://user:{SECRET}@{{address}}/?preset=android-local"
        f"&secret={SECRET}&region=US&timeout={{timeout}}"
    )

    def answer(self, heard: Heard) -> Answer:
        wanted = base64.b64encode(f"user:{SECRET}".encode()).decode()
        if heard.headers.get("authorization") != f"Basic {wanted}":
            return Answer(401)
        if heard.path not in ("/message", "/messages"):
            return Answer(404)
        wish = json.loads(heard.body)
        if wish["phoneNumbers"] == [REFUSED]:
            return Answer(400, '{"message": "invalid phone number"}')
        if wish["id"] in [json.loads(other.body)["id"] for other in self.remote.heard if other is not heard]:
            self.remote.heard.remove(heard)
        return Answer(202, json.dumps({"id": wish["id"], "deviceId": "d", "state": "Pending"}))


class TextbeeOutside(HttpOutside):
    """textbee: an API key in a header, the batch's id in the answer, a signature over the body."""

    setting = (
        f"gateway+http://65f0000000000000000000aa:{SECRET}@{{address}}/?preset=textbee"
        f"&secret={SECRET}&timeout={{timeout}}"
    )

    def answer(self, heard: Heard) -> Answer:
        if heard.headers.get("x-api-key") != SECRET:
            return Answer(401, '{"error": "Unauthorized"}')
        if heard.path != "/api/v1/gateway/send-sms":
            return Answer(404, '{"message": "Cannot POST"}')
        wish = json.loads(heard.body)
        assert wish["deviceId"] == "65f0000000000000000000aa"
        if wish["recipients"] == [REFUSED]:
            return Answer(400, '{"success": false, "error": "Invalid recipients"}')
        batch = {"success": True, "message": "SMS added to queue for processing", "smsBatchId": self.new_id()}
        return Answer(200, json.dumps({"data": batch}))

    def sms_in(self, heard: Heard) -> tuple[str, str]:
        wish = json.loads(heard.body)
        [number] = wish["recipients"]
        return number, wish["message"]

    def signed(self, kind: CallbackKind, event: str, payload: dict[str, str]) -> Callback:
        body = json.dumps({"deviceId": "d", "webhookEvent": event, "idempotencyKey": "k"} | payload).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        return Callback(f"{PUBLIC}/gateway/{kind}", {"x-signature": signature}, body)

    async def callbacks_of(self, accepted: Accepted) -> list[Callback]:
        payload = {"smsId": "s1", "smsBatchId": accepted.provider_ids[0], "status": "delivered"}
        return [self.signed("status", "MESSAGE_DELIVERED", payload)]

    async def callbacks_from(self, phone: str, text: str) -> list[Callback]:
        payload = {
            "smsId": "in-1",
            "sender": phone,
            "message": text,
            "receivedAt": "2026-06-22T15:46:11.000Z",
        }
        return [self.signed("inbound", "MESSAGE_RECEIVED", payload)]


class PlaySmsOutside(HttpOutside):
    """playSMS: web services with a token; it tells nothing by itself."""

    setting = (
        f"gateway+http://anton:{SECRET}@{{address}}/?preset=playsms&from={SERVICE}"
        f"&secret={SECRET}&timeout={{timeout}}"
    )

    def answer(self, heard: Heard) -> Answer:
        if heard.path != "/index.php?app=ws&op=pv":
            return Answer(200, "<html>")
        wish = heard.form
        if (wish["u"], wish["h"]) != ("anton", SECRET):
            return Answer(200, '{"status":"ERR","error":"100"}')
        if wish["to"] == REFUSED:
            return Answer(200, '{"status":"ERR","error":"201"}')
        row = {"status": "OK", "error": "0", "smslog_id": self.new_id(), "queue": "q", "to": wish["to"]}
        return Answer(200, json.dumps({"data": [row], "error_string": None}))

    def sms_in(self, heard: Heard) -> tuple[str, str]:
        return heard.form["to"], heard.form["msg"]

    async def callbacks_of(self, accepted: Accepted) -> list[Callback]:
        assert accepted.provider_ids[0]
        return []

    async def callbacks_from(self, phone: str, text: str) -> list[Callback]:
        assert phone
        assert text
        return []


_JASMIN_KNOWS = {
    *("to", "from", "coding", "username", "password", "priority", "sdt", "validity-period", "tags"),
    *("dlr", "dlr-url", "dlr-level", "dlr-method", "content", "hex-content"),
}


class JasminOutside(HttpOutside):
    """Jasmin's HTTP API: forms both ways, and receipts to the URL that the request named."""

    setting = f"gateway+http://foo:{SECRET}@{{address}}/?preset=jasmin&from={SERVICE}&secret={SECRET}&timeout={{timeout}}"

    def answer(self, heard: Heard) -> Answer:
        if heard.path != "/send":
            return Answer(404)
        wish = heard.form
        if unknown := set(wish) - _JASMIN_KNOWS:
            return Answer(400, f'Error "Argument [{unknown.pop()}] is unknown."')
        if ("content" in wish) == ("hex-content" in wish):
            return Answer(400, 'Error "content and hex-content cannot be used both in same request."')
        if (wish["username"], wish["password"]) != ("foo", SECRET):
            return Answer(403, 'Error "Authentication failure for username:foo"')
        if f"+{wish['to']}" == REFUSED:
            return Answer(
                400, 'Error "Value filter failed for user [foo] (destination_address filter mismatch)."'
            )
        return Answer(200, f'Success "{self.new_id()}"')

    def sms_in(self, heard: Heard) -> tuple[str, str]:
        wish = heard.form
        wide = bytes.fromhex(wish.get("hex-content", "")).decode("utf-16-be")
        assert wish["coding"] == ("8" if wide else "0")
        return f"+{wish['to']}", wide or wish["content"]

    async def callbacks_of(self, accepted: Accepted) -> list[Callback]:
        wish = self.remote.heard[-1].form
        assert (wish["dlr"], wish["dlr-level"], wish["dlr-method"]) == ("yes", "3", "POST")
        form = {"id": accepted.provider_ids[0], "id_smsc": "2567", "message_status": "DELIVRD", "level": "3"}
        return [Callback(wish["dlr-url"], {}, urlencode(form | {"err": "000", "text": "hello"}).encode())]

    async def callbacks_from(self, phone: str, text: str) -> list[Callback]:
        form = {"id": "in-1", "from": phone, "to": SERVICE, "origin-connector": "c", "coding": "0"}
        content = urlencode({"content": gsm_encode(text)}).encode()
        url = f"{PUBLIC}/gateway/inbound?token={SECRET}"
        return [Callback(url, {}, urlencode(form).encode() + b"&" + content)]


REMOTES: dict[str, type[RemoteOutside]] = {
    "twilio": TwilioOutside,
    "failover": FailoverOutside,
    "kannel": KannelOutside,
    "android-cloud": AndroidOutside,
    "android-local": AndroidLocalOutside,
    "httpsms": HttpSmsOutside,
    "textbee": TextbeeOutside,
    "playsms": PlaySmsOutside,
    "jasmin": JasminOutside,
    "apprise": AppriseOutside,
    "smpp": SmppOutside,
}
OUTSIDES: dict[str, type[Outside]] = {"simulator": SimulatorOutside, **REMOTES}
