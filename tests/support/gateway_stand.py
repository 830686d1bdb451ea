"""A gateway that gives one answer, and providers that talk to it."""

from __future__ import annotations

from typing import Any

from duologue.providers.sms.gateway import Gateway
from duologue.providers.sms.provider import OutgoingSms
from duologue.providers.sms.registry import open_provider
from tests.support.sms_http import Answer, Heard, HttpProvider

SECRET = "a-secret-of-at-least-thirty-two-bytes"
BASE = "https://chat.example/v1/sms"


class Stand:
    """A gateway that gives one answer, and providers that talk to it."""

    def __init__(self) -> None:
        self.answer = Answer(202, "0: Accepted for delivery")
        self.remote = HttpProvider(lambda _: self.answer)
        self.opened: list[Gateway] = []
        self.credentials = "user:pass"

    def open(self, options: str, path: str = "") -> Gateway:
        setting = f"gateway+http://{self.credentials}@{self.remote.address}{path}?{options}"
        provider = open_provider(setting)
        assert isinstance(provider, Gateway)
        self.opened.append(provider)
        return provider

    @property
    def last(self) -> Heard:
        return self.remote.heard[-1]

    async def close(self) -> None:
        for provider in self.opened:
            await provider.aclose()
        self.remote.close()


def sms(**fields: Any) -> OutgoingSms:
    return OutgoingSms(**({"to": "+33612345678", "text": "hello", "reference": "ref-1"} | fields))
