"""From the one setting that chooses how SMS are sent to the provider that does it."""

from __future__ import annotations

import importlib
from typing import cast

from duologue.providers.sms.address import parse, scheme_of, split_urls
from duologue.providers.sms.failover import FailoverProvider
from duologue.providers.sms.provider import BadProviderUrl, Provider

# Kind → (module, extra that it needs). Each module has `from_url(url, name)`. They are loaded when asked for:
# the Twilio SDK alone takes a quarter of a second, and the extras may be absent.
_KINDS = {
    "simulator": ("duologue.providers.sms.simulator", None),
    "twilio": ("duologue.providers.sms.twilio", "twilio"),
    "smpp": ("duologue.providers.sms.smpp", "smpp"),
    "gateway": ("duologue.providers.sms.gateway", None),
    "apprise": ("duologue.providers.sms.apprise", "apprise"),
}
_KNOWN = "simulator://, twilio://, smpp:// (smpps:// with TLS), gateway+https:// or apprise+…://"


def open_provider(setting: str) -> Provider:
    """The provider for `setting`: one URL, or several in order of preference.

    Opens no connection yet. Raises `BadProviderUrl` with a sentence that says what to put right.
    """
    urls = split_urls(setting)
    if not urls:
        raise BadProviderUrl(f"The SMS provider is empty: give {_KNOWN}.")
    names: list[str] = []
    members = []
    for url in urls:
        names.append(_unused(_kind(url), names))
        members.append(_open(url, names[-1]))
    return members[0] if len(members) == 1 else FailoverProvider(members)


def _kind(url: str) -> str:
    scheme = scheme_of(url)
    kind = "smpp" if scheme == "smpps" else scheme.partition("+")[0]
    if kind not in _KINDS or (kind in {"gateway", "apprise"}) != ("+" in scheme):
        raise BadProviderUrl(f"{scheme}:// is not an SMS provider: give {_KNOWN}.")
    return kind


def _unused(kind: str, names: list[str]) -> str:
    """`kind`, or `kind-2` and so on: the name is a segment of the callback paths, so it must be unique."""
    taken = sum(name.partition("-")[0] == kind for name in names)
    return f"{kind}-{taken + 1}" if taken else kind


def _open(url: str, name: str) -> Provider:
    module, extra = _KINDS[_kind(url)]
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if extra is None or not (missing.name or "").startswith((extra, "smpplib")):
            raise
        raise BadProviderUrl(
            f"{scheme_of(url)}:// needs a package that is not installed: run pip install 'duologue[{extra}]'."
        ) from None
    return cast("Provider", loaded.from_url(parse(url), name))
