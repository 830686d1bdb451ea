"""Rules for messages to somebody who takes none of strangers: they have their place, and nobody sees them."""

from __future__ import annotations

from collections.abc import Iterator

from duologue_lab.torture.book import Book, Key, Violation
from duologue_lab.torture.history import ChatEntry


def withheld_is_never_shown(book: Book) -> Iterator[Violation]:
    """Nothing of a chat reaches the user who hasn't accepted it, and of what was sent before that nothing ever."""
    for chat in book.chats.values():
        if chat.closed:
            yield from _shown(book, chat)


def _shown(book: Book, chat: ChatEntry) -> Iterator[Violation]:
    asked, opened = _opening(book, chat)
    hidden = _acknowledged_before(book, chat, asked)
    for place in book.stored[chat.chat, chat.other]:
        message = book.message(place)
        if message.seq in hidden and (message.client_id or message.text):
            says = f"{chat.other} reads {message.seq} of {chat.chat}, which was sent before it was accepted"
            yield Violation("withheld shown", says, (hidden[message.seq], place))
        elif not message.client_id and (sent := _sent_after(book, chat, message.seq, opened)):
            says = f"{chat.other} accepted {chat.chat} and can't read {message.seq}, which was sent then"
            yield Violation("withheld for ever", says, (opened, sent, place))
    given = [place for device in book.devices_of[chat.other] for place in book.events[device]]
    for place in (*given, *book.logged[chat.other]):
        event = book.event(place)
        if event.about == chat.chat and (
            place < asked or (event.type == "message.created" and event.a in hidden)
        ):
            says = f"{chat.other} was told of {chat.chat}, which it has not accepted"
            yield Violation("withheld shown", says, (place,))


def _opening(book: Book, chat: ChatEntry) -> tuple[int, int]:
    """Return from which place on a chat may be open, and from which it must be: it was accepted, or written in.

    What a restore has undone may have happened or not.
    """
    asked, opened = [len(book.entries)], [len(book.entries)]
    for since, place in book.accepted[chat.chat]:
        asked.append(since)
        if not any(first <= place < last for first, last in book.undone):
            opened.append(place)
    for key, attempts in book.attempts.items():
        if key.chat == chat.chat and key.sender == chat.other:
            asked.append(attempts[0])
    return min(asked), min(opened)


def _acknowledged_before(book: Book, chat: ChatEntry, place: int) -> dict[int, int]:
    """The messages of the stranger that were acknowledged before then: each seq, and its answer."""
    return {
        book.answer(answers[0]).seq: answers[0]
        for key, answers in book.answers.items()
        if key.chat == chat.chat and key.sender == chat.one and answers[0] < place
    }


def _sent_after(book: Book, chat: ChatEntry, seq: int, place: int) -> int | None:
    """The place of the first attempt of the message with this seq, if that was made after a place."""
    for own in book.stored[chat.chat, chat.one]:
        message = book.message(own)
        if message.seq == seq:
            attempts = book.attempts.get(Key(chat.chat, chat.one, message.client_id), [0])
            return attempts[0] if attempts[0] > place else None
    return None


RULES = (withheld_is_never_shown,)
