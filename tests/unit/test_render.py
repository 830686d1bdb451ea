"""Messages rendered by hand on the message path equal those rendered from their structs."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from duologue.model import Event, Kind, Message, Reaction, Receipt
from duologue.protocol import bodies, frames, render

IDS = st.integers(1, 2**63 - 1)
SEQS = st.integers(1, 2**31 - 1)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
MESSAGES = st.builds(
    Message,
    chat_id=IDS,
    seq=SEQS,
    sender_id=IDS,
    low_count=SEQS,
    high_count=SEQS,
    client_id=TEXTS,
    text=TEXTS,
    reply_to=st.just(0) | SEQS,
    sent_at=st.integers(0, 2**42),
    by_sms=st.booleans(),
    edited_at=st.none() | st.integers(0, 2**42),
    deleted_at=st.none() | st.integers(0, 2**42),
    reactions=st.lists(st.builds(Reaction, user_id=IDS, emoji=st.sampled_from("👍❤🎉"))).map(tuple),
)


@given(MESSAGES)
def test_a_message_is_rendered_as_its_struct_is(record: Message) -> None:
    assert render.message_json(record) == msgspec.json.encode(render.message(record, 0, 0))


@given(MESSAGES, st.just(UNSET) | TEXTS)
def test_the_answer_to_a_send_is_rendered_as_its_struct_is(record: Message, ref: str) -> None:
    frame = frames.Sent(
        client_id=record.client_id, message=render.message(record, 0, 0), replayed=False, ref=ref
    )
    assert msgspec.json.decode(render.sent(record, record.client_id, ref)) == msgspec.json.decode(
        msgspec.json.encode(frame)
    )


@given(st.builds(Receipt, chat_id=IDS, user_id=IDS, delivered=SEQS, read=SEQS))
def test_a_receipt_is_rendered_as_its_struct_is(record: Receipt) -> None:
    event = Event(7, 1, Kind.RECEIPT_PEER, record.chat_id, record.delivered, record.read, 1, record)
    ids = (render.chat_id(record.chat_id), render.user_id(record.user_id))
    data = msgspec.json.encode(bodies.Receipt(*ids, record.delivered, record.read))
    assert render.event(event).endswith(b'"data":' + data + b"}")


@given(MESSAGES, SEQS)
def test_an_event_holds_its_message(record: Message, seq: int) -> None:
    event = Event(7, seq, Kind.MESSAGE_CREATED, record.chat_id, record.seq, 0, record.sent_at, record)
    told = msgspec.json.decode(render.event(event))
    assert told["data"] == msgspec.json.decode(render.message_json(record))
    assert (told["seq"], told["type"], told["at"]) == (seq, "message.created", told["data"]["sent_at"])
