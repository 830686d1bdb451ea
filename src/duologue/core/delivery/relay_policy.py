"""Rules of the relay: what it may send, when, and at what cost."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from duologue.clock import DAY
from duologue.core.phone_numbers import parse_phone
from duologue.core.quiet_hours import QuietHours
from duologue.core.sms_policy import BUDGET, Spending
from duologue.errors import ApiError
from duologue.model import User
from duologue.providers.sms.segments import measure
from duologue.providers.sms.service_texts import ServiceText, service_text
from duologue.storage.tables.quotas import Allowance, Pace, Quota
from duologue.storage.tables.service_numbers import ServiceNumber

MAX_PARTS: Final = 10
"""A longer text is cut: the rest is in the app. Carriers and providers take no more."""
_CUT: Final = " [...]"
"""In letters of GSM-7: others would make more parts of what is left."""
_SHARE: Final = 70
"""Percent of the day's money that the relay may use: the rest is for codes, or nobody could sign in any more."""
_AHEAD: Final = DAY
"""Of a purse that gets half of the day's money over the day: the other half, which may be used at once (ms)."""
_RESERVED: Final = DAY // 4
"""Of all senders' purse: left to those who have used little (ms)."""
_LITTLE: Final = DAY // 4
"""What a sender's purse may lack of being full for that (ms)."""
_CONFIRMATIONS: Final = {"stopped": 10, "code": 10, "started": 5, "help": 5}
"""Percent of the day's money for what phones that we know are told. HELP and START can't use up all of it."""
_STRANGERS: Final = 5
"""Percent of the day's money for answers to phones that we never wrote to …"""
_BEFORE_STRANGERS: Final = 50
"""… as long as less than so many percent of it are used."""
PHONES: Final = 4
"""How many chats' worth of texts without an answer one phone gets."""
_SENDER: Final = "relay-sender"
_ALL: Final = "relay-all"
_NOBODY: Final = "?"
"""Stands for the number of a sender who has deleted the account."""
_SHORT_CODE: Final = 6
"""Digits that a short code may have."""
_NAME: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 ._&-]{1,11}")
"""A sender that is a name (3GPP TS 23.040, 9.1.2.5: eleven characters)."""
_LIKE_A_CODE: Final = re.compile(r"\d(?:[\W_]{0,3}\d){5}")
"""Six digits, of any script, with at most three signs between each two."""


class RelayPolicy(msgspec.Struct, frozen=True):
    """The operator's choices. `sender_budget` is in millionths of the operator's currency, per day; 0: no limit.

    `services` are the numbers that texts come from and answers go to; empty stands for the provider's own.
    `invite_once`: a number that nobody has signed in with gets one text, and more once it has answered.
    `unanswered` is how many texts go to a phone in one chat before it or a device answers; 0: no limit.
    `code_senders` are the numbers that sign-in codes come from, the empty one standing for the provider's own.
    """

    app: str
    language: str | None
    services: Sequence[str]
    quiet: QuietHours | None
    spending: Spending
    sender_budget: int
    invite_once: bool
    unanswered: int = 0
    code_senders: Collection[str] = ()

    def quiet_until(self, phone: str, now: int) -> int | None:
        """Return until when (epoch ms) a phone gets no relayed texts; None if it may get one now."""
        return self.quiet.until(phone, now) if self.quiet else None

    def text(self, sender: User, recipient: User, text: str, number: ServiceNumber) -> str:
        """Return the text that the phone shows. The first from a service number says who writes, and how to stop it.

        So does each that could be taken for the service's own. From a number that other texts come from too, each one
        says who writes.
        """
        assert recipient.phone is not None
        if not number.introduced or resembles_ours(text, self.app):
            hint = service_text("hint", recipient.phone, self.app, self.language)
            return _fit(f"{self._name_of(sender)}: ", text, f"\n{hint}")
        if number.shared or number.service in self.code_senders:
            return _fit(f"{self._name_of(sender)}: ", text, "")
        return _fit("", text, "")

    def _name_of(self, sender: User) -> str:
        """The sender's name and number; without a name that could be taken for the service's."""
        phone = sender.phone or _NOBODY
        honest = sender.display_name and not resembles_ours(sender.display_name, self.app)
        return f"{sender.display_name} ({phone})" if honest else phone

    def is_own(self, phone: str) -> bool:
        """Tell whether texts of ours come from this number."""
        return phone in self.services or phone in self.code_senders

    def refusal(self, phone: str) -> str | None:
        """The reason why no text goes to this number; None if texts may."""
        return "own_number" if self.is_own(phone) else self.spending.refusal(phone)

    def allowances(self, sender_id: int, phone: str, text: str, spent: int) -> list[Allowance]:
        """The allowances that a relayed SMS is taken from.

        Half of a day's money may be used at once, the other half over the day. So in any 24 hours no sender spends
        more than a day's money, and early in the day all together can't spend that of the evening. `spent` (ms) is
        what the sender's purse lacks of being full.
        """
        cost = self.spending.cost(phone, text)
        taken: list[Allowance] = []
        if self.sender_budget:
            taken.append(_purse(purse_of(sender_id), cost, self.sender_budget, _AHEAD))
        if budget := self.spending.daily_budget:
            share = budget * _SHARE // 100
            ahead = _AHEAD if spent < _LITTLE else _AHEAD - _RESERVED
            taken += [_purse(_ALL, cost, share, ahead), Quota(BUDGET, share, DAY, cost)]
        return taken

    def notice_quotas(self, kind: ServiceText, phone: str, text: str, *, known: bool) -> list[Allowance]:
        """The allowances that an answer of the service is taken from. `known`: we had written to the phone before.

        Confirmations have a purse of their own. Answers to strangers come last.
        """
        budget, cost = self.spending.daily_budget, self.spending.cost(phone, text)
        if not budget:
            return []
        if known and kind in _CONFIRMATIONS:
            return [Quota("sms-confirmations", budget * _CONFIRMATIONS[kind] // 100, DAY, cost)]
        return [
            Quota("sms-strangers", budget * _STRANGERS // 100, DAY, cost),
            Quota(BUDGET, budget * _BEFORE_STRANGERS // 100, DAY, cost),
        ]

    def service_of(self, to: str | None) -> str | None:
        """The service number that a text came to, as `services` has it if it is one of them; None: nobody knows."""
        if not self.services:
            return ""
        if to is None or to in self.services:
            return to
        try:
            return parse_phone(to, respell=False)
        except ApiError:
            return to

    def may_guess(self, service: str | None) -> bool:
        """Return whether a text to this number may be taken for an answer in the chat that was active last.

        Where there are several it must not: the number may have been another chat's.
        """
        return service is None or len(self.services) == 1

    @property
    def lines(self) -> Sequence[str]:
        """The service numbers; the empty one is the provider's own."""
        return self.services or ("",)


def resembles_ours(text: str, app: str) -> bool:
    """Tell whether a text has the product's name in it, or six digits in a row: it could be taken for our own."""
    plain = unicodedata.normalize("NFKC", text)
    name = _letters(app)
    return bool(_LIKE_A_CODE.search(plain) or (name and name in _letters(plain)))


def _letters(text: str) -> str:
    """Letters and digits alone, without case and accents."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in folded if character.isalnum())


def _fit(before: str, text: str, after: str) -> str:
    """The three together, with so much of the middle one as fits into the parts that a text may have."""
    whole = f"{before}{text}{after}"
    if measure(whole).parts <= MAX_PARTS:
        return whole

    def cut(length: int) -> str:
        return f"{before}{text[:length]}{_CUT}{after}"

    # Measured as a whole: one character beyond GSM-7 anywhere makes all of it longer.
    fitting = bisect_right(range(len(text)), MAX_PARTS, key=lambda length: measure(cut(length)).parts)
    return cut(max(0, fitting - 1))


def purse_of(sender_id: int) -> str:
    """The key of a sender's purse."""
    return f"{_SENDER}:{sender_id}"


def _purse(key: str, cost: int, budget: int, ahead: int) -> Pace:
    """A use of a purse that gets half of `budget` over a day."""
    return Pace(key, -(-2 * cost * DAY // budget), ahead)


def spent_reason(allowance: Allowance) -> str:
    """The reason why an SMS waits: whose money is spent."""
    return "sender_budget_spent" if allowance.key.startswith(_SENDER) else "budget_spent"


def parse_numbers(text: str) -> list[str]:
    """`+33612345678, +33612345679` as service numbers. Raises `ValueError` for what is none."""
    numbers = []
    for item in filter(None, (item.strip() for item in text.split(","))):
        try:
            short = item.isdigit() and len(item) <= _SHORT_CODE
            numbers.append(item if short else parse_phone(item, respell=False))
        except ApiError as fault:
            raise ValueError(f"sms_numbers: {item}: {fault.detail}") from None
    if len(set(numbers)) < len(numbers):
        raise ValueError("sms_numbers names a number twice")
    return numbers


def parse_sender(text: str) -> str:
    """`+33612345678`, a short code, or a name of up to 11 letters and digits, as a sender. Raises `ValueError`."""
    if _NAME.fullmatch(text) or (text.isascii() and text.isdigit() and len(text) <= _SHORT_CODE):
        return text
    try:
        return parse_phone(text, respell=False)
    except ApiError as fault:
        raise ValueError(
            f"sms_code_sender: {text} is neither a name of up to 11 letters nor a number"
        ) from fault


def storable(text: str) -> str:
    """Return a provider's words in characters that every database takes: no NUL, no half of a surrogate pair."""
    return text.replace("\0", "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
