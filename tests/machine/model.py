"""Model of Duologue without a database, a network or a clock: the plainest thing that answers as the server must.

Users are known by their phone numbers. Whatever only the server can know (ids, times) is learnt from its first
answer and must stay so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count

from tests.machine.nouns import Chat, Expected, Json, Marks, Message, Settings, User

MOST_REACTIONS = 3


class Refused(Exception):
    """The error code that the server must answer with; nothing has changed then."""


class Model:
    """All users and chats. Each method is one request: what it changes, or `Refused`."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self._groups = count(1)

    def user(self, phone: str) -> User:
        return self.users.setdefault(phone, User(phone))

    def chat(self, phone: str, peer: str) -> Chat | None:
        user = self.user(phone)
        return next((chat for chat in (*user.chats, *user.unlisted) if peer in chat.sides), None)

    def _tell(self, phones: Iterable[str], event: str, data: Json, group: int = 0) -> None:
        for phone in phones:
            self.users[phone].log.append(Expected(event, data, group))

    def _peers(self, user: User, *, answered: bool = True) -> Iterator[str]:
        """The peers who have a chat with a user in their list, of those whom it has answered or of all."""
        for chat in (*user.chats, *user.unlisted):
            peer = chat.peer_of(user.phone)
            if chat in self.users[peer].chats and (chat.known[user.phone] == 2 or not answered):
                yield peer

    def sign_in(self, phone: str, user_id: str, session_id: str, token: str) -> bool:
        """Return whether this was the number's first time."""
        user = self.user(phone)
        user.id = user.id or user_id
        first, user.registered = not user.registered, True
        user.sessions[session_id] = token
        self._tell([phone], "session.created", {"id": session_id})
        if first:
            self._tell([phone, *self._peers(user)], "user.updated", {"id": user.id})
        return first

    def delete(self, phone: str) -> None:
        """The account goes; its chats stay with the peers, and so does what they know of them."""
        user = self.users.pop(phone)
        gone = f"gone {next(self._groups)}"
        self.users[gone] = User(gone, id=user.id)
        self.users[phone] = user
        self._tell(list(self._peers(user, answered=False)), "user.updated", {"id": user.id})
        del self.users[phone]
        for chat in (*user.chats, *user.unlisted):
            one, other = chat.sides
            chat.sides = (gone, other) if one == phone else (one, gone)
            chat.marks[gone], chat.settings[gone] = chat.marks.pop(phone), chat.settings.pop(phone)
            chat.known[gone] = chat.known.pop(phone)
            for message in chat.messages:
                message.sender = gone if message.sender == phone else message.sender
                message.reactions = [
                    (gone if side == phone else side, emoji) for side, emoji in message.reactions
                ]

    def end_sessions(self, phone: str, session_ids: Iterable[str]) -> None:
        group = next(self._groups)
        for session_id in session_ids:
            del self.users[phone].sessions[session_id]
            self._tell([phone], "session.ended", {"id": session_id}, group)

    def rename(self, phone: str, name: str | None, receipts: bool | None) -> None:
        user = self.users[phone]
        renamed = name is not None and name != user.name
        changed = renamed or (receipts is not None and receipts != user.receipts)
        user.name = user.name if name is None else name
        user.receipts = user.receipts if receipts is None else receipts
        if changed:
            told = [phone, *self._peers(user)] if renamed else [phone]
            self._tell(told, "user.updated", {"id": user.id})

    def choose(self, phone: str, who_can_write: str | None, discoverable: bool | None) -> None:
        user = self.users[phone]
        before = user.who_can_write, user.discoverable
        user.who_can_write = user.who_can_write if who_can_write is None else who_can_write
        user.discoverable = user.discoverable if discoverable is None else discoverable
        if before != (user.who_can_write, user.discoverable):
            self._tell([phone], "user.updated", {"id": user.id})

    def open_chat(self, phone: str, peer: str) -> Chat:
        if phone == peer:
            raise Refused("self_chat")
        chat = self.chat(phone, peer)
        if chat is None:
            chat = Chat((phone, peer))
            self._list(phone, chat)
            if self.user(peer).who_can_write == "nobody":
                self.user(peer).unlisted.append(chat)
            else:
                self._list(peer, chat)
        elif chat.known[phone] == 0:
            was_request = self.users[phone].is_request(chat)
            if chat in self.users[phone].unlisted:
                self._list(phone, chat)
            elif was_request:
                self._tell([phone], "chat.updated", {"id": chat.id})
        chat.known[phone] = max(chat.known[phone], 1)
        return chat

    def _list(self, phone: str, chat: Chat) -> None:
        """Put a chat at the top of a list that it isn't in."""
        user = self.user(phone)
        if chat in user.unlisted:
            user.unlisted.remove(chat)
        user.chats.insert(0, chat)
        self._tell([phone], "chat.updated", chat.made)

    def accept(self, phone: str, chat: Chat) -> None:
        self._answer(phone, chat, accepted=True)

    def _answer(self, phone: str, chat: Chat, *, accepted: bool = False) -> None:
        """A side writes in a chat or accepts it: the other learns who it is, and what it has got and read."""
        user, peer = self.users[phone], chat.peer_of(phone)
        if chat.known[phone] == 2:
            return
        was_request = user.is_request(chat)
        chat.known[phone] = 2
        if chat in user.unlisted:
            self._list(phone, chat)
        elif was_request or accepted:
            self._tell([phone], "chat.updated", {"id": chat.id})
        if chat in self.users[peer].chats:
            self._tell([peer], "user.updated", {"id": user.id})
        if chat.has_heard(phone):
            self._show(user, chat)

    def _show(self, user: User, chat: Chat, read: int | None = None, group: int = 0) -> None:
        """Show the peer what a side has got, and read up to `read` or to its mark."""
        marks = chat.marks[user.phone]
        before = marks.delivered_shown, marks.read_shown
        marks.delivered_shown = max(marks.delivered_shown, chat.visible(user.phone, marks.delivered))
        if user.receipts:
            shown = chat.visible(user.phone, marks.read if read is None else read)
            marks.read_shown = max(marks.read_shown, shown)
        if before != (marks.delivered_shown, marks.read_shown):
            told = {"delivered": marks.delivered_shown, "read": marks.read_shown}
            self._tell(
                [chat.peer_of(user.phone)],
                "receipt.updated",
                {"chat_id": chat.id, "user_id": user.id} | told,
                group,
            )

    def change_chat(self, phone: str, chat: Chat, changes: Json) -> None:
        settings = chat.settings[phone]
        before = Settings(**vars(settings))
        for name, value in changes.items():
            setattr(settings, name, value)
        if settings != before:
            self._tell([phone], "chat.updated", {"id": chat.id})

    def check_peer(self, phone: str) -> None:
        """Nobody can write to whoever has deleted the account."""
        if self.users[phone].is_gone:
            raise Refused("peer_gone")

    def send(self, phone: str, peer: str, sent: Json) -> tuple[Message, bool]:
        """The message, and whether it was stored before."""
        known = self.chat(phone, peer)
        if phone == peer:
            raise Refused("self_chat")
        if (sent.get("reply_to") or 0) > (known.last_seq if known else 0):
            raise Refused("seq_out_of_range")
        chat = known or self.open_chat(phone, peer)
        for old in chat.messages:
            if (old.sender, old.client_id) == (phone, sent["client_id"]):
                text = old.text if old.changed else sent["text"]
                if (old.text, old.reply_to) != (text, sent.get("reply_to")):
                    raise Refused("client_id_reused")
                return old, True
        self.check_peer(peer)
        message = Message(chat.last_seq + 1, phone, sent["client_id"], sent["text"], sent.get("reply_to"))
        message.withheld = chat.known[peer] != 2 and self.users[peer].who_can_write == "nobody"
        self._answer(phone, chat)
        told = [phone] if message.withheld else list(chat.sides)
        chat.messages.append(message)
        for side in told:
            user = self.users[side]
            if chat in user.unlisted:
                self._list(side, chat)
            user.chats.remove(chat)
            user.chats.insert(0, chat)
        self._tell(told, "message.created", message.answer)
        return message, False

    def _own(self, phone: str, chat: Chat, seq: int) -> Message:
        """One of a user's own messages. A user learns nothing of a message that is withheld from it."""
        message = self._seen(phone, chat, seq)
        if message.sender != phone:
            raise Refused("not_sender")
        return message

    def _tell_change(self, chat: Chat, message: Message) -> None:
        told = [message.sender] if message.withheld else list(chat.sides)
        self._tell(told, "message.updated", message.answer)

    def _seen(self, phone: str, chat: Chat, seq: int) -> Message:
        """A message that a user sees. A user learns nothing of one that is withheld from it."""
        message = next((each for each in chat.seen_by(phone) if each.seq == seq), None)
        if message is None:
            raise Refused("not_found")
        return message

    def react(self, phone: str, chat: Chat, seq: int, emoji: str, *, on: bool) -> Message:
        """Put an emoji on a message, which is an answer to a stranger, or take it off."""
        message, reaction = self._seen(phone, chat, seq), (phone, emoji)
        if on and message.deleted:
            raise Refused("message_deleted")
        if (reaction in message.reactions) == on:
            return message
        if not on:
            message.reactions.remove(reaction)
        elif sum(side == phone for side, _ in message.reactions) == MOST_REACTIONS:
            raise Refused("too_many_reactions")
        else:
            self._answer(phone, chat)
            message.reactions.append(reaction)
        self._tell_change(chat, message)
        return message

    def reactions_view(self, message: Message) -> list[Json]:
        """Reactions as they stand on the wire."""
        people: dict[str, list[str]] = {}
        for phone, emoji in message.reactions:
            people.setdefault(emoji, []).append(self.users[phone].id)
        return [{"emoji": emoji, "user_ids": user_ids} for emoji, user_ids in people.items()]

    def edit(self, phone: str, chat: Chat, seq: int, text: str) -> Message:
        message = self._own(phone, chat, seq)
        if message.deleted:
            raise Refused("message_deleted")
        if text != message.text:
            message.text, message.edited = text, True
            self._tell_change(chat, message)
        return message

    def delete_message(self, phone: str, chat: Chat, seq: int) -> Message:
        message = self._own(phone, chat, seq)
        if not message.deleted:
            message.text, message.deleted, message.reactions = "", True, []
            self._tell_change(chat, message)
        return message

    def mark(self, phone: str, chat: Chat, *, delivered: int = 0, read: int = 0, group: int = 0) -> None:
        if max(delivered, read) > chat.last_seq:
            raise Refused("seq_out_of_range")
        marks, user = chat.marks[phone], self.users[phone]
        before = Marks(**vars(marks))
        marks.delivered = max(marks.delivered, delivered, read)
        marks.read = max(marks.read, read)
        if (marks.delivered, marks.read) == (before.delivered, before.read):
            return
        told = {"delivered": marks.delivered, "read": marks.read}
        self._tell([phone], "receipt.updated", {"chat_id": chat.id, "user_id": user.id} | told, group)
        if user.shows(chat):
            self._show(user, chat, read, group)

    def ack(self, phone: str, seq: int) -> None:
        """Everything up to `seq` of the log has arrived: the peers' messages among it are delivered."""
        user = self.users[phone]
        if seq > len(user.log):
            raise Refused("seq_out_of_range")
        newest: dict[str, int] = {}
        for event in user.log[user.acked : seq]:
            if event.type == "message.created" and event.data["sender_id"] != user.id:
                newest[event.data["chat_id"]] = event.data["seq"]
        user.acked = max(user.acked, seq)
        group = next(self._groups)
        for chat in user.chats:
            if chat.id in newest:
                self.mark(phone, chat, delivered=newest[chat.id], group=group)

    def page(
        self,
        chat: Chat,
        limit: int,
        *,
        before: int | None = None,
        after: int | None = None,
        around: int | None = None,
    ) -> tuple[list[Message], bool, bool]:
        """Part of a chat in rising seq, and whether there is more before and after it."""
        last = chat.last_seq
        if after is not None:
            first, end = min(after, last) + 1, min(after + limit, last)
        elif around is not None:
            older, newer = min(around - 1, last), max(0, last - around + 1)
            first = older + 1 - min(older, limit, max(limit // 2, limit - newer))
            end = min(first + limit - 1, last)
        else:
            end = min(last, (before or last + 1) - 1)
            first = max(1, end - limit + 1)
        return chat.messages[first - 1 : end], first > 1 and last > 0, end < last
