"""Texts from phones: answers that land in their chat, and the words that are meant for the service."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Final

import msgspec
from prometheus_client import Counter

from duologue.clock import DAY, MINUTE, Clock
from duologue.core.delivery.relay_policy import RelayPolicy, storable
from duologue.core.given_codes import Given, GivenCodes
from duologue.core.phone_numbers import masked
from duologue.core.senders import Senders
from duologue.core.strangers import Strangers
from duologue.core.tasks import Tasks
from duologue.errors import ApiError
from duologue.model import Pair, User, encode_id, new_id
from duologue.protocol.bodies import MAX_CLIENT_ID, MAX_TEXT
from duologue.providers.sms.alphabets import decode
from duologue.providers.sms.keywords import Keyword, keyword_of
from duologue.providers.sms.provider import Encoded, InboundSms, OutgoingSms, Provider, SmsError
from duologue.providers.sms.service_texts import ServiceText, service_text
from duologue.storage.append.batch import NoSuchChat
from duologue.storage.database import Database, Post, Tx
from duologue.storage.tables import (
    inbound,
    opt_outs,
    outbox,
    quotas,
    service_numbers,
    text_segments,
    unanswered,
    unplaced,
)
from duologue.storage.tables.accounts import user_by_phone
from duologue.storage.tables.chats import pair_of
from duologue.storage.tables.quotas import Quota
from duologue.storage.tables.text_segments import Added, AssembledText, Stretch, TextSegment

_log = logging.getLogger(__name__)

_NOTICES_A_DAY: Final[dict[ServiceText, int]] = {
    "stopped": 3,
    "started": 3,
    "help": 3,
    "unknown": 1,
    "code": 3,
}
_GIVEN_AWAY: Final = Counter(
    "duologue_codes_given_away_total",
    "Live sign-in codes that their phone sent to us; each was made void.",
)
_PATIENCE: Final = 10 * MINUTE
"""For the segments of a long text; after that it is taken as it is."""
_REPEATED: Final = 2 * DAY
"""For as long a provider may offer a text again."""
_SWEEP: Final = 60.0  # seconds


class Destination(msgspec.Struct, frozen=True):
    """Destination of a text: a side of a chat, or nobody; and the notice for its phone.

    `code_voided`: the text held a live code, which is void now. `known`: we had written to the phone before.
    """

    home: tuple[Pair, int] | None = None
    answer: ServiceText | None = None
    code_voided: bool = False
    known: bool = False


class Replies:
    """Rules for texts from phones."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        provider: Provider,
        policy: RelayPolicy,
        strangers: Strangers,
        codes: GivenCodes | None = None,
        settled: Clock | None = None,
    ) -> None:
        """`codes` finds sign-in codes in texts; None where there are none. `settled` judges what has grown old."""
        self._settled = settled or clock
        self._codes = codes
        self._db = db
        self._strangers = strangers
        self._clock = clock
        self._provider = provider
        self._policy = policy
        self._senders = Senders(db, policy, clock)
        self._answering = Tasks()

    async def receive(self, provider: str, sms: InboundSms) -> None:
        """Store a text, once for each id of the provider's; returns when that is durable.

        What seems to come from a number of our own is dropped: it would be an endless conversation with ourselves.
        Raises `ApiError` `overloaded`: the provider should offer it again.
        """
        service = self._policy.service_of(self._senders.service_of(sms))
        sender = await self._senders.phone_of(provider, sms, service)
        if sender is None:
            return
        provider_id = storable(sms.provider_id)
        # Only what is cut into segments needs its bytes.
        encoded = (
            sms.encoded
            if sms.part and sms.encoded
            else Encoded(storable(sms.text).encode(), text_segments.UTF8)
        )
        if sms.part is None:
            stretches = [Stretch(encoded.data, encoded.alphabet)]
            await self._take_whole(AssembledText(sender, service or "", provider, provider_id, stretches))
            return
        segment = TextSegment(
            sender=sender,
            service=service or "",
            reference=sms.part.reference,
            number=sms.part.number,
            total=sms.part.total,
            provider=provider,
            provider_id=provider_id,
            data=encoded.data,
            alphabet=encoded.alphabet,
        )
        found, added = await self._db.directory().write(self._add_segment, segment, self._clock())
        self._answer_as(found, segment.sender, segment.service)
        if added.whole:
            await self._take_whole(added.whole)
        if added.crowded:
            await self._give_up_overdue()

    def _add_segment(self, tx: Tx, segment: TextSegment, now: int) -> tuple[Destination, Added]:
        """Keep a segment. A code in it is void at once: the other segments may take their time."""
        found = self._given_away(tx, segment.sender, decode(segment.data, segment.alphabet), now)
        return found or Destination(), text_segments.add_segment(tx, segment, now)

    async def _take_whole(self, whole: AssembledText) -> None:
        text = storable("".join(decode(*stretch) for stretch in whole.stretches)).strip("\r\n")
        if not text:
            return
        found = await self._db.directory().write(self._place, whole, text, self._clock())
        if found.home and not await self._post(whole, text, *found.home):
            found = Destination(answer="unknown")
        self._answer_as(found, whole.sender, whole.service)

    def _place(self, tx: Tx, whole: AssembledText, text: str, now: int) -> Destination:
        """Return the chat of a text, decided when it first comes."""
        user = user_by_phone(tx, whole.sender)
        if not inbound.claim_inbound(tx, whole.provider, whole.provider_id, now):
            return Destination(
                home=_home(tx, user, inbound.chat_of_inbound(tx, whole.provider, whole.provider_id))
            )
        if given_away := self._given_away(tx, whole.sender, text, now):
            return given_away
        keyword = keyword_of(text)
        if keyword and (heeded := _heed(tx, keyword, whole.sender, user, now)):
            return msgspec.structs.replace(heeded, known=_is_known(tx, user))
        if user and user.suspended_at is not None:
            unplaced.note(tx, whole.provider, masked(whole.sender), "suspended", now)
            return Destination()
        service = None if not whole.service and self._policy.services else whole.service
        chat_id = (
            service_numbers.chat_of_number(tx, user.id, service, guess=self._policy.may_guess(service))
            if user
            else None
        )
        home = _home(tx, user, chat_id)
        if user is None or home is None:
            unplaced.note(tx, whole.provider, masked(whole.sender), "no_chat", now)
            quiet = opt_outs.is_opted_out(tx, whole.sender)
            return Destination(answer=None if quiet else "unknown")
        service_numbers.touch_number(tx, user.id, home[0].chat_id, now)
        unanswered.answered(tx, user.id, home[0].chat_id, now)
        inbound.assign_chat(tx, whole.provider, whole.provider_id, home[0].chat_id)
        return Destination(home=home)

    def _given_away(self, tx: Tx, phone: str, text: str, now: int) -> Destination | None:
        """The place of a text that holds a sign-in code of its phone: nowhere. None if it holds none."""
        given = self._codes.search(tx, phone, text, now) if self._codes else Given.NOTHING
        if given is Given.NOTHING:
            return None
        live = given is Given.LIVE
        answer: ServiceText | None = "code" if live and not opt_outs.is_opted_out(tx, phone) else None
        return Destination(answer=answer, code_voided=live, known=True)

    async def _post(self, whole: AssembledText, text: str, pair: Pair, side: int) -> bool:
        """Store it in its chat, in as many messages as it takes; whether the chat is still there."""
        for start in range(0, len(text), MAX_TEXT):
            number = start // MAX_TEXT
            client_id = _client_id(
                whole.provider, f"{whole.provider_id}#{number}" if number else whole.provider_id
            )
            stretch = text[start : start + MAX_TEXT]
            post = Post(pair.chat_id, pair.low, pair.high, side, client_id, stretch, 0, by_sms=True)
            try:
                await self._strangers.send(post)
            except NoSuchChat:
                return False
            except ApiError as fault:
                if fault.code != "client_id_reused":
                    raise
                _log.warning("%s gave another text the id of one that came before", whole.provider)
        return True

    def _answer_as(self, found: Destination, phone: str, service: str) -> None:
        """Answer the phone, if it is to be, without keeping the provider waiting for it."""
        if found.code_voided:
            _GIVEN_AWAY.inc()
            _log.warning("a phone sent a live sign-in code by SMS; the code is void now")
        if found.answer:
            sender = service if service in self._policy.services else None
            self._answering.start(self._answer(found.answer, phone, sender, known=found.known))

    async def _answer(self, kind: ServiceText, phone: str, service: str | None, *, known: bool) -> None:
        if self._policy.refusal(phone):
            return
        text = service_text(kind, phone, self._policy.app, self._policy.language)
        allowance = Quota(f"sms-{kind}:{phone}", _NOTICES_A_DAY[kind], DAY)
        taken = [allowance, *self._policy.notice_quotas(kind, phone, text, known=known)]
        sms = OutgoingSms(phone, text, encode_id("ntc", new_id()), sender=service)
        try:
            if await self._db.directory().write(quotas.try_take, taken, self._clock()) is None:
                await self._provider.send(sms)
        except (SmsError, ApiError) as fault:
            _log.warning("a phone could not be answered: %s", fault)

    async def run(self) -> None:
        """The background loop: long texts of which a segment never came are taken as they are."""
        while True:
            await asyncio.sleep(_SWEEP)
            try:
                await self.sweep()
            except ApiError as fault:
                _log.warning("pieces of texts wait: %s", fault)
            except Exception as fault:  # noqa: BLE001 - one bad text mustn't hold back all others
                _log.error("pieces of texts could not be put together", exc_info=fault)

    async def sweep(self) -> None:
        """Take what has waited too long for its missing segments. Raises `ApiError` `overloaded`."""
        while await self._give_up_overdue():
            pass
        for forget in (text_segments.forget_segments, inbound.forget_inbound):
            while await self._db.directory().write(forget, self._settled() - _REPEATED):
                pass

    async def _give_up_overdue(self) -> int:
        """Take the next few texts as they are that waited too long, or were too many; how many."""
        overdue = await self._db.directory().read(text_segments.overdue, self._settled() - _PATIENCE)
        for text, whole in overdue:
            if whole:
                await self._take_whole(whole)
            await self._db.directory().write(text_segments.give_up, text)
        return len(overdue)

    async def close(self) -> None:
        """Let answers under way come to their end."""
        await self._answering.ended()


def _client_id(provider: str, provider_id: str) -> str:
    key = f"sms:{provider}:{provider_id}"
    if len(key) <= MAX_CLIENT_ID and key.isprintable():
        return key
    return f"sms:{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def _home(tx: Tx, user: User | None, chat_id: int | None) -> tuple[Pair, int] | None:
    """The user's chat with this id, and the user's side of it."""
    pair = pair_of(tx, user.id, chat_id) if user and chat_id else None
    return (pair, pair.side_of(user.id)) if user and pair else None


def _heed(tx: Tx, keyword: Keyword, phone: str, user: User | None, now: int) -> Destination | None:
    """Do as the phone's owner asks. None: it asks for nothing, and may be meant for somebody."""
    if keyword == "help":
        return Destination(answer="help")
    if keyword == "start":
        return Destination(answer="started") if opt_outs.opt_in(tx, phone) else None
    news = opt_outs.opt_out(tx, phone, now)
    if user:
        outbox.cancel_for(tx, user.id, "opted_out", now)
    return Destination(answer="stopped" if news else None)


def _is_known(tx: Tx, user: User | None) -> bool:
    """Tell whether the phone's owner has signed in, or was sent a message: else it is a stranger's."""
    return user is not None and (
        user.registered_at is not None or service_numbers.has_any_number(tx, user.id)
    )
