"""The dozens of SMS services that Apprise knows: for sending only, with no id, no reason and no receipt."""

from __future__ import annotations

import asyncio
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, unquote

from apprise import Apprise, NotifyFormat, OverflowMode

from duologue.providers.sms.address import ProviderUrl
from duologue.providers.sms.provider import (
    Accepted,
    Capabilities,
    OutgoingSms,
    Rejected,
    Sink,
    Unavailable,
    WithoutCallbacks,
    require_e164,
)
from duologue.providers.sms.segments import measure

# Below WARNING both write URLs, with their tokens, and texts to the log.
for _library in ("apprise", "urllib3"):
    logging.getLogger(_library).setLevel(logging.WARNING)

_THREADS = 4  # threads
_SAMPLE = "+15005550006"
# The attributes in which Apprise's plugins keep whom they send to.
_RECIPIENTS = re.compile(r"(target_)?(targets?|phones?|groups|contacts|channels|topics)|b?cc")


class AppriseService(WithoutCallbacks):
    """The provider `apprise+SCHEME://…{to}…`.

    Apprise blocks, so it runs in a few threads. It says only yes or no, and its no may hide a time-out:
    therefore every failure of a request is `Unavailable` with an unknown outcome, and our reference is the id.
    A number that the plugin would not send to is `Rejected` before any request.
    """

    capabilities = Capabilities(receipts=False, inbound=False, idempotent=False, explains=False)

    def __init__(self, name: str, template: str, *, timeout: float = 15) -> None:
        self.name = name
        self._template = template
        self._timeout = timeout
        self._free = asyncio.Semaphore(_THREADS)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="apprise")

    async def start(self, sink: Sink) -> None:
        """Apprise only sends; there is nothing to open."""

    async def aclose(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def send(self, sms: OutgoingSms) -> Accepted:
        require_e164(sms.to)
        service = service_for(self._template, sms.to)
        if service is None:
            raise Rejected(f"{self.name}: Apprise's plugin does not take this number", cause="number")
        if not await self._notify(service, sms.text):
            raise Unavailable(f"{self.name} failed without a reason", outcome_unknown=True)
        return Accepted(self.name, (sms.reference,), measure(sms.text).parts)

    async def _notify(self, service: Apprise, text: str) -> bool:
        try:
            async with asyncio.timeout(self._timeout):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable(f"{self.name} is busy", retry_after=self._timeout) from None
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(
            self._threads, lambda: service.notify(body=text, title="", body_format=NotifyFormat.TEXT)
        )
        work.add_done_callback(lambda _: self._free.release())
        try:
            async with asyncio.timeout(self._timeout):
                return bool(await asyncio.shield(work))
        except TimeoutError:
            raise Unavailable(f"{self.name} did not answer", outcome_unknown=True) from None


def service_for(template: str, to: str) -> Apprise | None:
    """Return the service that sends to exactly `to`; None if the plugin would send to another number, or to none.

    Plugins drop what they don't take for a number (10 to 14 digits), and some send to their own number then.
    """
    service = Apprise()
    if not service.add(template.replace("{to}", quote(to, safe=""))):
        return None
    plugin = service[0]
    # Splitting would make a short line of the text an SMS of its own; the service splits as phones expect it.
    plugin.overflow_mode = OverflowMode.UPSTREAM
    return service if _sends_to(plugin, to) else None


def _sends_to(plugin: Any, to: str) -> bool:
    lists = [value for name, value in vars(plugin).items() if _RECIPIENTS.fullmatch(name)]
    if not lists:
        # One of the plugins that hand a request on: the number is in it.
        return to in unquote(str(plugin.url()))
    found = [each for listed in lists for each in listed]
    if len(found) != 1:
        return False
    told = "".join(found[0][1:]) if isinstance(found[0], tuple) else str(found[0])
    digits = "".join(filter(str.isdigit, told))
    # Services of North America alone leave its 1 out.
    return digits == to[1:] or f"+1{digits}" == to


def from_url(url: ProviderUrl, name: str) -> AppriseService:
    """The provider for `apprise+SCHEME://…`, an Apprise URL with {to} where the number goes.

    Raises `BadProviderUrl`.
    """
    template = url.raw.removeprefix("apprise+")
    if "{to}" not in template:
        raise url.refuse("needs {to} where the recipient's number goes, as in apprise+d7sms://token@{to}.")
    if service_for(template, _SAMPLE) is None:
        raise url.refuse(
            "is not a URL that Apprise can use to send to {to} alone: see its page of the service for the right form."
        )
    return AppriseService(name, template)
