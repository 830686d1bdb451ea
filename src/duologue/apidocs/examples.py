"""One example of each body: what the documents show. Ana writes to Ben."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from duologue import __version__
from duologue.clock import DAY
from duologue.core.limits import published
from duologue.protocol import bodies, events, simulator
from duologue.protocol.changes import EditMessage
from duologue.protocol.server import Health, ServerInfo
from duologue.protocol.trace import Step, Trace

_CLIENT_ID: Final = "01936f3e-7d1c-7cc3-b9a4-1f0c2b6f8d11"
_TEXT: Final = "Are you at the station already?"
_SENT_AT: Final = "2026-11-23T09:30:00.123Z"

_ANA: Final = bodies.Me(
    id="usr_0b7e151628aed2a6",
    phone="+33612345678",
    display_name="Ana",
    registered=True,
    read_receipts=True,
    sms_relay="offline",
    who_can_write="everyone",
    presence="chats",
    discoverable=True,
    created_at="2026-11-02T18:04:11.870Z",
)
_BEN: Final = bodies.Profile(
    id="usr_243f6a8885a308d3", phone="+447700900123", display_name="Ben", registered=True
)
_SESSION: Final = bodies.Session(
    id="ses_13198a2e03707344",
    device_name="Blue phone",
    created_at="2026-11-23T09:28:40.007Z",
    last_seen_at="2026-11-23T09:28:40.007Z",
    ip="127.0.0.1",
    current=True,
)
_MESSAGE: Final = bodies.Message(
    id="msg_3243f6a8885a308d_42",
    chat_id="cht_3243f6a8885a308d",
    seq=42,
    sender_id=_ANA.id,
    client_id=_CLIENT_ID,
    text=_TEXT,
    sent_at=_SENT_AT,
    edited_at=None,
    deleted_at=None,
    reply_to=None,
    reactions=[],
    status="sent",
    via="app",
)
_TRACE: Final = Trace(
    [
        Step("accepted", "2026-11-23T09:30:00.119Z", ""),
        Step("committed", "2026-11-23T09:30:00.123Z", ""),
        Step("sms_due", "2026-11-23T09:30:30.204Z", ""),
        Step("sms_sent", "2026-11-23T09:30:30.391Z", "twilio, 1 part"),
        Step("sms_receipt", "2026-11-23T09:30:33.820Z", "delivered"),
    ]
)
_CHAT: Final = bodies.Chat(
    id=_MESSAGE.chat_id,
    peer=_BEN,
    last_message=_MESSAGE,
    last_seq=42,
    unread=0,
    marks=bodies.Marks(delivered=41, read=41, peer_delivered=40, peer_read=38),
    muted_until=None,
    archived=False,
    pinned=True,
    blocked=False,
    request=False,
    updated_at=_SENT_AT,
)
_RECEIPT: Final = bodies.Receipt(chat_id=_CHAT.id, user_id=_BEN.id, delivered=42, read=38)
_EVENT_PAGE: Final = events.EventPage(
    items=[
        events.MessageCreated(seq=124, at=_SENT_AT, data=_MESSAGE),
        events.ReceiptUpdated(seq=125, at="2026-11-23T09:30:01.480Z", data=_RECEIPT),
    ],
    next=125,
    next_at="2026-11-23T09:30:01.480Z",
    has_more=False,
)
_SERVER: Final = ServerInfo(
    name="duologue",
    version=__version__,
    sign_in="open",
    limits=published(90 * DAY),
    features=["relay", "sms_replies", "traces"],
)

EXAMPLES: Final[dict[Any, Any]] = {
    bodies.StartVerification: bodies.StartVerification(phone="+33612345678"),
    bodies.Verification: bodies.Verification(
        id="vrf_452821e638d01377",
        expires_at="2026-11-23T09:38:02.410Z",
        resend_at="2026-11-23T09:29:02.410Z",
        channel="sms",
    ),
    bodies.SignIn: bodies.SignIn(phone="+33612345678", device_name="Blue phone"),
    bodies.SignedIn: bodies.SignedIn(
        token="dlg_3q2-7wEjRWeJq83vASNFZ4mrze8BI0VniavN7wEjRWc",  # noqa: S106 - it opens nothing
        session=_SESSION,
        user=_ANA,
        new_user=False,
    ),
    bodies.Page[bodies.Session]: bodies.Page(items=[_SESSION], next=None),
    bodies.UpdateMe: bodies.UpdateMe(display_name="Ana"),
    bodies.Me: _ANA,
    bodies.Export: bodies.Export(
        user=_ANA, sessions=[_SESSION], chats=[bodies.ChatExport(chat=_CHAT, messages=[_MESSAGE])]
    ),
    bodies.OpenChat: bodies.OpenChat(phone="+447700900123"),
    bodies.UpdateChat: bodies.UpdateChat(pinned=True),
    bodies.Chat: _CHAT,
    bodies.Page[bodies.Chat]: bodies.Page(items=[_CHAT], next="AAAAAAAqmfQ0nDsL"),
    bodies.SendToPhone: bodies.SendToPhone(to="+447700900123", text=_TEXT, client_id=_CLIENT_ID),
    bodies.SendToChat: bodies.SendToChat(text=_TEXT, client_id=_CLIENT_ID),
    EditMessage: EditMessage(text=_TEXT),
    bodies.Message: _MESSAGE,
    bodies.MessagePage: bodies.MessagePage(items=[_MESSAGE], has_more_before=True, has_more_after=False),
    Trace: _TRACE,
    bodies.MoveMark: bodies.MoveMark(seq=42),
    bodies.AckEvents: bodies.AckEvents(seq=125),
    events.EventPage: _EVENT_PAGE,
    events.ServerSentEvent: events.ServerSentEvent(
        id="125",
        event="receipt.updated",
        data=msgspec.json.encode(_EVENT_PAGE.items[1]).decode(),
    ),
    ServerInfo: _SERVER,
    simulator.Phones: simulator.Phones(items=["+447700900123"]),
    simulator.Inbox: simulator.Inbox(
        items=[
            simulator.ReceivedSms(
                id="1", sender="Duologue", to="+447700900123", text=_TEXT, parts=1, received_at=_SENT_AT
            )
        ]
    ),
    simulator.HandsetSms: simulator.HandsetSms(to="+33644600000", text="Two minutes!"),
    simulator.SentSms: simulator.SentSms(id="2"),
    simulator.SetBehaviour: simulator.SetBehaviour(reachable=False),
    simulator.Behaviour: simulator.Behaviour(
        reachable=False, delay_ms=0, loss=0.0, duplicate=0.0, reorder=0.0, multipart=True
    ),
    Health: Health("ok"),
}
"""By body; a body without an example is a failing test."""
