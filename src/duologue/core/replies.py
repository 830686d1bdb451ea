"""Texts from phones: answers that land in their chat, and the words that are meant for the service."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from functools import partial
from typing import Final

from duologue.clock import DAY, MINUTE, Clock
from duologue.core.phones import parse_phone
from duologue.core.relay_policy import RelayPolicy
from duologue.errors import ApiError
from duologue.model import Pair, User, encode_id, new_id
from duologue.protocol.bodies import MAX_CLIENT_ID, MAX_TEXT
from duologue.sms.notices import Notice, Wish, notice, wish_of
from duologue.sms.provider import InboundSms, OutgoingSms, Provider, SmsError
from duologue.storage import outbox, pairs, pieces, quotas
from duologue.storage.accounts import user_by_phone
from duologue.storage.batch import NoSuchChat
from duologue.storage.chats import pair_of
from duologue.storage.database import Database, Post, Posted, Tx, settle
from duologue.storage.pieces import Piece, Whole
from duologue.storage.quotas import Quota

_log = logging.getLogger(__name__)

_NOTICES_A_DAY: Final[dict[Notice, int]] = {"stopped": 3, "started": 3, "help": 3, "unknown": 1}
_PATIENCE: Final = 10 * MINUTE
"""For the pieces of a long text; after that it is taken as it is."""
_REPEATED: Final = 2 * DAY
"""For as long a provider may offer a piece again, of a text that is in its chat already."""
_SWEEP: Final = 60.0
_ANSWERS: Final[dict[Wish, Notice]] = {"stop": "stopped", "start": "started", "help": "help"}


class Replies:
    """What becomes of each text from a phone."""

    def __init__(self, db: Database, clock: Clock, provider: Provider, policy: RelayPolicy) -> None:
        self._db = db
        self._clock = clock
        self._provider = provider
        self._policy = policy
        self._answering: set[asyncio.Task[None]] = set()

    async def take(self, provider: str, sms: InboundSms) -> None:
        """Store a text, once for each id of the provider's; returns when that is durable.

        Raises `ApiError` `overloaded`: the provider should offer it again.
        """
        try:
            sender = parse_phone(sms.sender)
        except ApiError:
            return  # A short code or a name: nobody's phone.
        service = self._policy.service_of(sms.to)
        if sms.part is None:
            await self._take_whole(Whole(sender, service or "", provider, sms.provider_id, sms.text))
            return
        piece = Piece(
            sender=sender,
            service=service or "",
            reference=sms.part.reference,
            number=sms.part.number,
            total=sms.part.total,
            provider=provider,
            provider_id=sms.provider_id,
            text=_clean(sms.text),
        )
        if whole := await self._db.write(pieces.add_piece, piece, self._clock()):
            await self._take_whole(whole)

    async def _take_whole(self, whole: Whole) -> None:
        text = _clean(whole.text)[:MAX_TEXT]
        if wish := wish_of(text):
            if await self._db.write(_grant, wish, whole.sender, self._clock()):
                self._tell(_ANSWERS[wish], whole)
        elif text and not await self._post(whole, text):
            self._tell("unknown", whole)

    async def _post(self, whole: Whole, text: str) -> bool:
        """Store it as a message in the chat that it belongs to; whether there is one."""
        service = whole.service if whole.service in self._policy.lines else None
        found = await self._db.write(_chat_for, whole.sender, service, self._clock())
        if found is None:
            return False
        user, pair = found
        future: asyncio.Future[Posted] = asyncio.get_running_loop().create_future()
        client_id = _client_id(whole.provider, whole.provider_id)
        post = Post(pair.chat_id, pair.low, pair.high, pair.side_of(user.id), client_id, text, 0, by_sms=True)
        self._db.append(post, partial(settle, future))
        try:
            await future
        except NoSuchChat:
            return False
        except ApiError as fault:
            if fault.code != "client_id_reused":
                raise
            _log.warning("%s gave another text the id of one that came before", whole.provider)
        return True

    def _tell(self, kind: Notice, whole: Whole) -> None:
        """Answer the phone, without keeping the provider waiting for it."""
        task = asyncio.create_task(self._answer(kind, whole.sender, whole.service))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, kind: Notice, phone: str, service: str) -> None:
        text = notice(kind, phone, self._policy.app, self._policy.language)
        allowance = Quota(f"sms-{kind}:{phone}", _NOTICES_A_DAY[kind], DAY)
        taken = [allowance, *self._policy.quotas(0, phone, text)]
        sms = OutgoingSms(phone, text, encode_id("ntc", new_id()), sender=service or None)
        try:
            if await self._db.write(quotas.try_take, taken, self._clock()) is None:
                await self._provider.send(sms)
        except (SmsError, ApiError) as fault:
            _log.warning("a phone could not be answered: %s", fault)

    async def run(self) -> None:
        """The background loop: long texts of which a piece never came are taken as they are."""
        while True:
            await asyncio.sleep(_SWEEP)
            try:
                await self.sweep()
            except ApiError as fault:
                _log.warning("pieces of texts wait: %s", fault)

    async def sweep(self) -> None:
        """Take what has waited too long for its missing pieces. Raises `ApiError` `overloaded`."""
        for whole, gaps in await self._db.read(pieces.overdue, self._clock() - _PATIENCE):
            await self._take_whole(whole)
            await self._db.write(pieces.fill, gaps, self._clock())
        await self._db.write(pieces.forget_pieces, self._clock() - _REPEATED)

    async def close(self) -> None:
        """Let answers under way come to their end."""
        if self._answering:
            await asyncio.wait(self._answering, timeout=2)


def _clean(text: str) -> str:
    return text.replace("\0", "").strip("\r\n")


def _client_id(provider: str, provider_id: str) -> str:
    key = f"sms:{provider}:{provider_id}"
    if len(key) <= MAX_CLIENT_ID and key.isprintable():
        return key
    return f"sms:{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def _chat_for(tx: Tx, phone: str, service: str | None, now: int) -> tuple[User, Pair] | None:
    found = pairs.chat_on_line(tx, phone, service)
    if found is None:
        return None
    user, chat_id = found
    pairs.used(tx, user.id, chat_id, now)
    pair = pair_of(tx, user.id, chat_id)
    return (user, pair) if pair else None


def _grant(tx: Tx, wish: Wish, phone: str, now: int) -> bool:
    """Do as the phone's owner asks; whether that is worth an answer."""
    if wish == "help":
        return True
    if wish == "start":
        return pairs.opt_in(tx, phone)
    news = pairs.opt_out(tx, phone, now)
    if user := user_by_phone(tx, phone):
        outbox.cancel_for(tx, user.id, "opted_out", now)
    return news
