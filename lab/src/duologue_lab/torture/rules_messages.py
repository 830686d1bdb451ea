"""Rules for messages: acknowledged means stored once, as it was sent, in one order for both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from duologue_lab.torture.book import Book, Key, Violation
from duologue_lab.torture.history import RefusedEntry, SendEntry, SentEntry


def chat_is_numbered(book: Book) -> Iterator[Violation]:
    """Each chat's messages are numbered 1, 2, 3 and so on."""
    for (chat, reader), places in book.stored.items():
        expected = 1
        for before, place in zip([None, *places], places, strict=False):
            seq = book.message(place).seq
            if seq != expected:
                evidence = (place,) if before is None else (before, place)
                rule = "hole in chat" if seq > expected else "seq given twice"
                says = f"{reader} reads {chat}: {seq} stands where {expected} should"
                yield Violation(rule, says, evidence)
            expected = seq + 1


def both_see_the_same(book: Book) -> Iterator[Violation]:
    """The two sides read the same messages in the same order."""
    for chat in book.chats.values():
        if not {(chat.one, chat.chat), (chat.other, chat.chat)} <= book.whole:
            continue
        sides = [book.stored[chat.chat, user] for user in (chat.one, chat.other)]
        if len(sides[0]) != len(sides[1]):
            says = f"{chat.one} reads {len(sides[0])} messages of {chat.chat}, {chat.other} reads {len(sides[1])}"
            yield Violation("two orders", says, tuple(side[-1] for side in sides if side))
        for places in zip(*sides, strict=False):
            one, other = map(book.message, places)
            if one.seq == other.seq and (chat.chat, one.seq) in book.withheld:
                continue
            if (one.seq, one.sender, one.client_id, one.text) != (
                other.seq,
                other.sender,
                other.client_id,
                other.text,
            ):
                yield Violation("two orders", f"the sides of {chat.chat} differ at {one.seq}", places)
                break


def _places(book: Book, chat: str) -> dict[Key, list[int]]:
    places: dict[Key, list[int]] = defaultdict(list)
    for place in book.kept(chat):
        message = book.message(place)
        places[Key(chat, message.sender, message.client_id)].append(place)
    return places


def sent_is_stored_once(book: Book) -> Iterator[Violation]:
    """Acknowledged: there, with that seq and text. Not acknowledged: at most once. Never sent: not there."""
    stored = {key: places for chat in book.chats for key, places in _places(book, chat).items()}
    for key, places in stored.items():
        if len(places) > 1:
            yield Violation("doubled", f"{key.client_id} is stored {len(places)} times", tuple(places))
        if key not in book.attempts:
            yield Violation("invented", f"nobody sent {key.client_id} to {key.chat}", tuple(places))
        else:
            yield from _as_sent(book, key, places[0])
    for key, answers in book.answers.items():
        if not book.was_read(key.chat):
            continue
        if key not in stored:
            evidence = (book.sends[book.answer(answers[0]).n], answers[0])
            yield Violation("lost", f"{key.client_id} was acknowledged and is not in {key.chat}", evidence)
        else:
            yield from _as_acknowledged(book, key, answers, stored[key])


def _as_sent(book: Book, key: Key, place: int) -> Iterator[Violation]:
    texts = {
        entry.text for attempt in book.attempts[key] if isinstance(entry := book.entries[attempt], SendEntry)
    }
    if book.message(place).text not in texts:
        evidence = (book.attempts[key][0], place)
        yield Violation("altered", f"the text of {key.client_id} is none that was sent", evidence)


def _as_acknowledged(book: Book, key: Key, answers: list[int], places: list[int]) -> Iterator[Violation]:
    seqs = {book.message(place).seq for place in places}
    for answer in answers:
        sent = book.answer(answer)
        evidence = (book.sends[sent.n], answer, places[0])
        if sent.seq not in seqs:
            yield Violation("moved", f"{key.client_id} was acknowledged as {sent.seq}", evidence)
        if not sent.text == book.send(sent.n).text == book.message(places[0]).text:
            yield Violation("altered", f"{key.client_id} was acknowledged with another text", evidence)


def answers_agree(book: Book) -> Iterator[Violation]:
    """However often a message is sent: one seq, and at most one answer that says it was new."""
    for key, answers in book.answers.items():
        if len({book.answer(place).seq for place in answers}) > 1:
            yield Violation("answered twice", f"{key.client_id} was given several seqs", tuple(answers))
        fresh = tuple(place for place in answers if book.answer(place).fresh)
        if len(fresh) > 1:
            yield Violation("answered twice", f"{key.client_id} was new more than once", fresh)


def order_is_kept(book: Book) -> Iterator[Violation]:
    """Rule: a message acknowledged before another was first sent stands before it."""
    seqs = {
        Key(chat, message.sender, message.client_id): message.seq
        for chat in book.chats
        for message in map(book.message, book.kept(chat))
    }
    newest: dict[str, tuple[int, int]] = {}
    seen: set[Key] = set()
    for place, entry in enumerate(book.entries):
        if isinstance(entry, SentEntry) and entry.n in book.sends:
            chat = book.send(entry.n).chat
            newest[chat] = max(newest.get(chat, (0, 0)), (entry.seq, place))
        elif isinstance(entry, SendEntry) and (key := book.key_of(entry)) not in seen:
            seen.add(key)
            seq, answer = newest.get(entry.chat, (0, 0))
            if seqs.get(key, seq + 1) <= seq:
                earlier = book.sends[book.answer(answer).n]
                says = (
                    f"{entry.client_id} stands at {seqs[key]}, before {seq}, which was there when it was sent"
                )
                yield Violation("reordered", says, (earlier, answer, place))


def connection_keeps_order(book: Book) -> Iterator[Violation]:
    """Rule: a message sent and acknowledged on a connection stands before what that connection alone sent later."""
    settled, alone = _settled(book), _alone(book)
    highest: dict[tuple[int, str], tuple[int, int]] = {}
    seen: set[Key] = set()
    for place in book.sends.values():
        send = book.entries[place]
        assert isinstance(send, SendEntry)
        key, lane = book.key_of(send), (send.connection, send.chat)
        if not send.connection or key not in book.answers:
            seen.add(key)
            continue
        seq = book.answer(book.answers[key][0]).seq
        before, earlier = highest.get(lane, (0, 0))
        if key not in seen and seq < before and alone.get(key) == send.connection:
            says = f"{send.client_id} stands at {seq}, what its connection sent before it at {before}"
            yield Violation("reordered", says, (earlier, place))
        seen.add(key)
        if (send.connection, key) in settled and seq > before:
            highest[lane] = seq, place


def _settled(book: Book) -> set[tuple[int, Key]]:
    """Return the messages acknowledged over a connection that never refused them."""
    refused = {entry.n for entry in book.entries if isinstance(entry, RefusedEntry) and entry.n in book.sends}
    return {
        (book.send(book.answer(place).n).connection, key)
        for key, places in book.answers.items()
        for place in places
    } - {(book.send(n).connection, book.key_of(book.send(n))) for n in refused}


def _alone(book: Book) -> dict[Key, int]:
    """The connection over which a message was sent, if there was only one until it was acknowledged."""
    alone = {}
    for key, answers in book.answers.items():
        sends = [book.entries[place] for place in book.attempts[key] if place < answers[0]]
        ways = {send.connection for send in sends if isinstance(send, SendEntry)}
        if len(ways) == 1:
            alone[key] = ways.pop()
    return alone


RULES = (
    chat_is_numbered,
    both_see_the_same,
    sent_is_stored_once,
    answers_agree,
    order_is_kept,
    connection_keeps_order,
)
