"""Provider URLs: taken apart once, with sentences that say what to put right and never quote a secret."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from duologue.providers.sms.provider import BadProviderUrl

# A comma is also a legal character of a URL: it separates only where another URL begins.
_SEPARATOR = re.compile(r"[\s,]+(?=[a-z][a-z0-9+.-]*://)")
# Networks carry no other letters in a sender's name, and neither do HTTP headers.
_SENDER = re.compile(r"[ -~]{0,40}")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://")


@dataclass(frozen=True, slots=True)
class ProviderUrl:
    """`scheme://user:password@host:port/path?option=value`, percent-decoded."""

    scheme: str
    user: str
    password: str = field(repr=False)
    host: str
    port: int | None
    path: str
    options: dict[str, str] = field(repr=False)
    raw: str = field(repr=False)

    def refuse(self, sentence: str) -> BadProviderUrl:
        """The error that says `sentence` about this URL."""
        return BadProviderUrl(f"{self.scheme}:// {sentence}")

    def allow(self, known: Collection[str]) -> None:
        """Raises `BadProviderUrl` for an option that isn't one of `known`: a misspelt one must be noticed."""
        if unknown := sorted(set(self.options) - set(known)):
            raise self.refuse(f"has no option {unknown[0]!r}; it knows {', '.join(sorted(known))}.")

    def credentials(self, example: str) -> tuple[str, str]:
        """User and password, both required; `example` shows how they are written. Raises `BadProviderUrl`."""
        if not (self.user and self.password):
            raise self.refuse(f"needs a user and a password: write {example}.")
        return self.user, self.password

    def number(self, option: str, default: float, *, low: float, high: float) -> float:
        """A numeric option between `low` and `high`, or `default`. Raises `BadProviderUrl`."""
        text = self.options.get(option)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise self.refuse(f"option {option!r} must be a number from {low:g} to {high:g}.")
        return value

    def sender(self, default: str = "") -> str:
        """The option `from`: a number, a short code, a name or a provider's id of one. Raises `BadProviderUrl`."""
        sender = self.options.get("from", default)
        if not _SENDER.fullmatch(sender):
            raise self.refuse("takes as option 'from' up to 40 plain letters, digits, blanks and signs.")
        return sender


def split_urls(setting: str) -> list[str]:
    """The URLs of a setting, which are separated by white space or commas."""
    return [url for url in _SEPARATOR.split(setting.strip().strip(",")) if url]


def scheme_of(url: str) -> str:
    """The scheme of `url`. Raises `BadProviderUrl` if it has none."""
    found = _SCHEME.match(url)
    if found is None:
        raise BadProviderUrl(
            "An SMS provider is given as a URL, for example simulator:// or "
            "twilio://ACCOUNT_SID:AUTH_TOKEN@/?from=+15005550006."
        )
    return found.group(1)


def parse(url: str) -> ProviderUrl:
    """`url` in its pieces. Raises `BadProviderUrl`."""
    scheme = scheme_of(url)
    try:
        pieces = urlsplit(url)
        port = pieces.port
    except ValueError:
        # The standard library's message would quote what it took for the port: often half of a password.
        raise _unencoded(scheme) from None
    if pieces.fragment:
        raise _unencoded(scheme)
    return _decoded(scheme, pieces, port, url)


def _decoded(scheme: str, pieces: SplitResult, port: int | None, url: str) -> ProviderUrl:
    return ProviderUrl(
        scheme=scheme,
        user=unquote(pieces.username or ""),
        password=unquote(pieces.password or ""),
        host=pieces.hostname or "",
        port=port,
        path=pieces.path,
        options=_options(pieces.query),
        raw=url,
    )


def _options(query: str) -> dict[str, str]:
    # Not parse_qsl: it would read the plus of from=+1500… as a space.
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return {unquote(name): unquote(value) for name, _, value in pairs}


def _unencoded(scheme: str) -> BadProviderUrl:
    return BadProviderUrl(
        f"{scheme}:// cannot be read as a URL: percent-encode special characters in the user and password "
        "(/ as %2F, @ as %40, : as %3A, # as %23, ? as %3F, % as %25), and give the port as a number."
    )
