"""What the relay may send, when, and at what cost."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import msgspec

from duologue.clock import DAY
from duologue.core.phones import parse_phone
from duologue.core.quiet_hours import QuietHours
from duologue.core.sms_policy import BUDGET, Spending
from duologue.errors import ApiError
from duologue.model import User
from duologue.sms.notices import notice
from duologue.sms.segments import measure
from duologue.storage.pairs import Line
from duologue.storage.quotas import Quota

MAX_PARTS: Final = 10
"""A longer text is cut: the rest is in the app. Carriers and providers take no more."""
_CUT: Final = " [...]"
"""In letters of GSM-7: others would make more parts of what is left."""
_SHARE: Final = 80
"""Percent of the day's money that the relay may use: the rest is for codes, or nobody could sign in any more."""
_SENDER: Final = "relay-sender"


class RelayPolicy(msgspec.Struct, frozen=True):
    """The operator's choices. `sender_budget` is in millionths of the operator's currency, per day; 0: no limit.

    `services` are the numbers that texts come from and answers go to; empty stands for the provider's own.
    `invite_once`: a number that nobody has signed in with gets one text, and more once it has answered.
    """

    app: str
    language: str | None
    services: Sequence[str]
    quiet: QuietHours | None
    spending: Spending
    sender_budget: int
    invite_once: bool

    def quiet_until(self, phone: str, now: int) -> int | None:
        """Return until when (epoch ms) a phone gets no relayed texts; None if it may get one now."""
        return self.quiet.until(phone, now) if self.quiet else None

    def text(self, sender: User, recipient: User, text: str, line: Line) -> str:
        """What the phone shows. The first text from a service number says who writes, and how to stop it."""
        assert recipient.phone is not None
        if line.introduced:
            return _fit("", text, "")
        name = sender.phone or ""
        if sender.display_name:
            name = f"{sender.display_name} ({name})" if name else sender.display_name
        hint = notice("hint", recipient.phone, self.app, self.language)
        return _fit(f"{name or self.app}: ", text, f"\n{hint}")

    def quotas(self, sender_id: int, phone: str, text: str) -> list[Quota]:
        """The allowances that an SMS is taken from."""
        cost = self.spending.cost(phone, text)
        taken = []
        if self.sender_budget:
            taken.append(Quota(f"{_SENDER}:{sender_id}", self.sender_budget, DAY, cost))
        if budget := self.spending.daily_budget:
            taken.append(Quota(BUDGET, budget * _SHARE // 100, DAY, cost))
        return taken

    def service_of(self, to: str | None) -> str | None:
        """The service number that a text came to, as `services` has it if it is one of them; None: nobody knows."""
        if not self.services:
            return ""
        if to is None or to in self.services:
            return to
        try:
            return parse_phone(to)
        except ApiError:
            return to

    def may_guess(self, service: str | None) -> bool:
        """Whether a text to this number may be taken for an answer in whichever chat was last active.

        Where there are several it must not: the number may have been another chat's.
        """
        return service is None or len(self.services) == 1

    @property
    def lines(self) -> Sequence[str]:
        """The service numbers; the empty one is the provider's own."""
        return self.services or ("",)


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


def spent_reason(quota: Quota) -> str:
    """Why an SMS is not sent: whose money is spent."""
    return "sender_budget_spent" if quota.key.startswith(_SENDER) else "budget_spent"


def parse_numbers(text: str) -> list[str]:
    """`+33612345678, +33612345679` as service numbers. Raises `ValueError` for what is none."""
    numbers = []
    for item in filter(None, (item.strip() for item in text.split(","))):
        try:
            numbers.append(item if item.isdigit() and len(item) <= 6 else parse_phone(item))
        except ApiError as fault:
            raise ValueError(f"sms_numbers: {item}: {fault.detail}") from None
    if len(set(numbers)) < len(numbers):
        raise ValueError("sms_numbers names a number twice")
    return numbers


def storable(text: str) -> str:
    """What a provider said, in characters that every database takes: no NUL, no half of a surrogate pair."""
    return text.replace("\0", "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
