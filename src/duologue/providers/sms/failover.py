"""Several providers in order: the next is asked only if the one before surely did not take the SMS."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from duologue.providers.sms.provider import (
    Accepted,
    BadSignature,
    Callback,
    Capabilities,
    DeliveryReport,
    InboundSms,
    OutgoingSms,
    Provider,
    Rejected,
    Sink,
    Unavailable,
)

_log = logging.getLogger(__name__)
Parsed = TypeVar("Parsed")


class FailoverProvider:
    """Providers in order of preference, each with `timeout` seconds.

    It goes on to the next after `Unavailable` with a known outcome and after a rejection that is the
    provider's own (`cause == "provider"`). An unknown outcome is reported as such, unless the SMS says
    `duplicate_ok`; a bad or opted-out number is refused at once, for no other carrier may be used to get
    around a STOP.
    """

    def __init__(self, members: Sequence[Provider], *, timeout: float = 15) -> None:
        self.members = tuple(members)
        self.timeout = timeout

    @property
    def name(self) -> str:
        return "+".join(member.name for member in self.members)

    @property
    def capabilities(self) -> Capabilities:
        """Capabilities that all members have; inbound if any member has it."""
        all_of = [member.capabilities for member in self.members]
        return Capabilities(
            receipts=all(each.receipts for each in all_of),
            inbound=any(each.inbound for each in all_of),
            idempotent=all(each.idempotent for each in all_of),
            explains=all(each.explains for each in all_of),
        )

    async def start(self, sink: Sink) -> None:
        for member in self.members:
            await member.start(sink)

    async def aclose(self) -> None:
        await asyncio.gather(*(member.aclose() for member in self.members))

    async def send(self, sms: OutgoingSms) -> Accepted:
        failure: Rejected | Unavailable | None = None
        unknown = False
        for member in self.members:
            try:
                return await self._ask(member, sms)
            except Rejected as refused:
                failure, final = refused, refused.cause != "provider"
            except Unavailable as unavailable:
                failure, final = unavailable, unavailable.outcome_unknown and not sms.duplicate_ok
                unknown = unknown or unavailable.outcome_unknown
            _log.warning("%s did not take SMS %s: %s", member.name, sms.reference, failure)
            if final:
                break
        raise _verdict(failure, unknown=unknown)

    async def _ask(self, member: Provider, sms: OutgoingSms) -> Accepted:
        try:
            async with asyncio.timeout(self.timeout):
                return await member.send(sms)
        except TimeoutError:
            raise Unavailable(
                f"{member.name} took longer than {self.timeout:g} s", outcome_unknown=True
            ) from None

    def parse_status(self, request: Callback) -> list[DeliveryReport]:
        return self._first(lambda member: member.parse_status(request))

    def parse_inbound(self, request: Callback) -> list[InboundSms]:
        return self._first(lambda member: member.parse_inbound(request))

    def _first(self, parse: Callable[[Provider], list[Parsed]]) -> list[Parsed]:
        for member in self.members:
            try:
                return parse(member)
            except BadSignature:
                continue
        raise BadSignature("no provider signed this request")


def _verdict(failure: Rejected | Unavailable | None, *, unknown: bool) -> Rejected | Unavailable:
    """The last failure, corrected by what an earlier provider may have sent all the same."""
    if failure is None:
        return Unavailable("no SMS provider is set")
    if unknown and not (isinstance(failure, Unavailable) and failure.outcome_unknown):
        return Unavailable(failure.reason, code=failure.code, outcome_unknown=True)
    return failure


def find(provider: Provider, name: str) -> Provider | None:
    """The provider called `name`: `provider` itself or one of its members. Callback paths name it."""
    members = provider.members if isinstance(provider, FailoverProvider) else (provider,)
    return next((member for member in members if member.name == name), None)
