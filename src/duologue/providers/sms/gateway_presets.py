"""The HTTP gateways that are known by name: each as its own documentation or source describes it."""

from __future__ import annotations

from dataclasses import replace

from duologue.providers.sms.gateway_spec import InboundMap, Signature, Spec, StatusMap

# Kannel 1.4.5 (Debian 12): https://www.kannel.org/download/1.4.5/userguide-1.4.5/userguide.html, "SMS Push". The
# headers keep the password out of the URL, and so out of logs; form bodies it refuses. It splits long texts by
# itself and asks for receipts of the first part alone. All callbacks come as GET. Inbound SMS need an sms-service
# with get-url = "https://…/inbound?token=SECRET&id=%I&from=%q&to=%Q&text=%b&charset=%C"; with `global-sender`
# set, %Q would be that number.
_KANNEL = Spec(
    headers={
        "X-Kannel-Username": "{user}",
        "X-Kannel-Password": "{password}",
        "X-Kannel-From": "{from}",
        "X-Kannel-To": "{to}",
        "X-Kannel-Coding": "{coding}",
        "X-Kannel-Validity": "{valid_minutes}",
        "X-Kannel-DLR-Mask": "31{if_callback}",
        "X-Kannel-DLR-Url": "{callback}&id={reference}&state=%d&code=%A",
        "Content-Type": "text/plain; charset=UTF-8",
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

# SMS Gateway for Android (capcom6), app 1.66 with its own cloud or private server: https://docs.sms-gate.app. One
# delivered event per part, each under an event id of its own. The id of an inbound SMS is a hash of its text, so
# only with the sender and the time it is one; repeats come under other event ids.
_ANDROID_CLOUD = Spec(
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

# The server in the app itself, 1.66: /message or /messages, by modules/localserver/WebService.kt. What it has
# stored under an id it answers with 202 again, and does not send again (MessagesService.enqueueMessage).
_ANDROID_LOCAL = replace(_ANDROID_CLOUD, default_path="/messages", duplicate_status=None, idempotent=True)

# httpSMS, api/pkg as of 2026: https://docs.httpsms.com. The API key is the URL's password, the secret is the
# signing key of the webhook.
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

# textbee, its API v1: https://docs.textbee.dev, api/src/gateway and api/src/webhook. User of the URL: the
# device's id, or nobody for the account's default device; password: the API key. Receipts name the batch that the
# answer named.
_TEXTBEE = Spec(
    headers={"x-api-key": "{password}"},
    json={"deviceId": "{user}", "recipients": ["{to}"], "message": "{text}"},
    basic_auth=False,
    default_path="/api/v1/gateway/send-sms",
    bad_number=r"(?i)invalid (recipient|phone)",
    not_now=r"(?i)not enabled|no enabled device|not verified|failed to",
    id="data.smsBatchId",
    signature=Signature("hmac", "x-signature"),
    status=StatusMap(
        id="smsBatchId",
        state="webhookEvent",
        states={"MESSAGE_SENT": "sent", "MESSAGE_DELIVERED": "delivered", "MESSAGE_FAILED": "failed"},
        code="errorCode|errorMessage",
    ),
    inbound=InboundMap(
        when={"webhookEvent": "MESSAGE_RECEIVED"}, id=("smsId",), sender="sender", text="message"
    ),
)

# playSMS 1.4, documents/development/WEBSERVICES.md. Password of the URL: the web services token. It tells of
# states and texts only when asked, so it can send and nothing else. Errors of the hundreds are about the account.
_PLAYSMS = Spec(
    query={"app": "ws", "op": "pv"},
    form={
        "u": "{user}",
        "h": "{password}",
        "to": "{to}",
        "from": "{from}",
        "msg": "{text}",
        "unicode": "{unicode}",
        "nofooter": "1",
    },
    basic_auth=False,
    default_path="/index.php",
    accepted=r'"status"\s*:\s*"OK"',
    bad_number=r'"error"\s*:\s*"?201\b',
    not_now=r'"error"\s*:\s*"?(1\d\d|200)\b',
    id="data.0.smslog_id",
)

# Jasmin 0.11, HTTP API: misc/doc/sources/apis/ja-http. It asks the carrier for a receipt of the last part alone,
# and wants to hear ACK/Jasmin. Texts beyond GSM-7 go as hexadecimal UTF-16, since it passes other bytes on as
# they are.
_JASMIN = Spec(
    form={
        "username": "{user}",
        "password": "{password}",
        "to": "{digits}",
        "from": "{from}",
        "coding": "{data_coding}",
        "content": "{gsm_text}",
        "hex-content": "{ucs2_hex}",
        "validity-period": "{valid_minutes}",
        "dlr": "yes{if_callback}",
        "dlr-url": "{callback}",
        "dlr-level": "3{if_callback}",
        "dlr-method": "POST{if_callback}",
    },
    basic_auth=False,
    default_path="/send",
    accepted=r'^Success "',
    bad_number=r"Argument \[to\]|destination_address",
    not_now=r"(?i)throughput|balance|submit_sm_count|no bound connectors",
    id_pattern=r'^Success "([^"]+)"',
    acknowledgement="ACK/Jasmin",
    status=StatusMap(
        source="form",
        id="id",
        state="message_status",
        states={
            "ESME_ROK": "sent",
            "ESME_R*": "failed",
            "ACCEPTD": "sent",
            "ENROUTE": "sent",
            "DELIVRD": "delivered",
            "EXPIRED": "undelivered",
            "UNDELIV": "undelivered",
            "DELETED": "failed",
            "REJECTD": "failed",
        },
        code="err|message_status",
    ),
    inbound=InboundMap(
        source="form",
        id=("id",),
        sender="from",
        to="to",
        text="content",
        charset="coding",
        charsets={"0": "gsm", "1": "ascii", "3": "latin-1", "8": "utf-16-be"},
    ),
)

PRESETS = {
    "kannel": _KANNEL,
    "android-local": _ANDROID_LOCAL,
    "android-cloud": _ANDROID_CLOUD,
    "android": _ANDROID_CLOUD,
    "httpsms": _HTTPSMS,
    "textbee": _TEXTBEE,
    "playsms": _PLAYSMS,
    "jasmin": _JASMIN,
}
"""By the name that the option `preset` takes. `android` is the older name of `android-cloud`."""
