"""Settings that are refused, alone or together, before anything starts."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, urlsplit

from duologue.config.settings import ConfigError, Settings, is_loopback

_SECRET_LENGTH: Final = 32
"""Characters that a secret has at least."""
_SECRET_VARIETY: Final = 8
"""Different characters among them, at least."""
_DATABASE_SCHEMES: Final = ("sqlite:///", "postgresql://", "postgres://")
_UNVERIFIED: Final = (
    "The connection to PostgreSQL on another machine is not verified: add ?sslmode=verify-full to database_url"
    " (see docs/operations.md)."
)


def check(settings: Settings) -> None:
    """Refuse what is insecure or can't work, before anything starts. Raises `ConfigError`."""
    if settings.database_url and not settings.database_url.startswith(_DATABASE_SCHEMES):
        raise ConfigError(
            "database_url must start with postgresql:// or sqlite:///; leave it empty for SQLite."
        )
    _check_nodes(settings)
    _check_secret(settings)
    if settings.public_url and not _is_http_url(settings.public_url):
        raise ConfigError(
            "public_url must be the server's address as clients see it, e.g. https://chat.example."
        )
    _check_public(settings)


def _check_nodes(settings: Settings) -> None:
    if settings.bus_url and not settings.bus_url.startswith(("nats://", "tls://")):
        raise ConfigError("bus_url must start with nats:// or tls://; leave it empty for a single node.")
    if settings.bus_url and settings.store_url.startswith("sqlite:"):
        raise ConfigError("Several nodes need one PostgreSQL: set database_url, or leave bus_url empty.")
    if settings.bus_url and not settings.secret:
        raise ConfigError("Several nodes need one secret: set it on each to the same `openssl rand -hex 32`.")
    if settings.bus_url and _is_open_bus(settings.bus_url) and not settings.allow_open_bus:
        raise ConfigError(
            "Anybody who reaches the NATS of bus_url could disturb all nodes. Use tls://, or credentials"
            " (nats://user:password@host, ?creds=FILE), or add --allow-open-bus if strangers can't reach it."
        )
    if settings.workers > 1 and settings.store_url.startswith("sqlite:"):
        raise ConfigError("Several workers need PostgreSQL: SQLite has one writer. Set database_url.")
    if settings.workers > 1 and settings.simulated:
        raise ConfigError(
            "Simulated phones live in one process: set workers to 1, or sms_url to a real provider."
        )


def _is_open_bus(url: str) -> bool:
    """Return whether a bus URL leads to another machine without TLS and without credentials."""
    parts = urlsplit(url)
    account, _, hosts = parts.netloc.rpartition("@")
    here = all(is_loopback(urlsplit(f"//{host}").hostname or "") for host in hosts.split(","))
    return not (here or parts.scheme == "tls" or account or "creds" in parse_qs(parts.query))


def _check_secret(settings: Settings) -> None:
    for name in ("secret", "previous_secret"):
        secret = getattr(settings, name)
        if secret and len(secret) < _SECRET_LENGTH:
            raise ConfigError(
                f"{name} is too short: give at least 32 random characters (`openssl rand -hex 32`)."
            )
        if secret and len(set(secret)) < _SECRET_VARIETY:
            raise ConfigError(f"{name} is no secret: give 32 random characters (`openssl rand -hex 32`).")


def _check_public(settings: Settings) -> None:
    """Refuse what is for this machine alone, on a server that others reach."""
    reached = settings.reached_by
    if not reached:
        return
    if settings.sign_in == "open" and not settings.allow_open_network:
        raise ConfigError(
            f"With open sign-in anybody who reaches {reached} could sign in as anybody. Listen on 127.0.0.1"
            " without public_url and trusted_proxies, or set sign_in to sms, or add --allow-open-network if something"
            " in front of the server keeps strangers out."
        )
    if settings.simulated and not settings.allow_simulated_phones:
        raise ConfigError(
            f"The phone simulator would show every code to anybody who reaches {reached}. Set sms_url to a"
            " real provider, or add --allow-simulated-phones for a demonstration."
        )


def warnings(settings: Settings) -> list[str]:
    """Return warnings about settings that work, but are less safe than they could be."""
    url = urlsplit(settings.database_url)
    named = parse_qs(url.query)
    hosts = named.get("host", [url.netloc.rpartition("@")[2]])[0].split(",")
    remote = [host for host in hosts if not _is_this_machine(host)]
    if url.scheme.startswith("postgres") and remote and "sslmode" not in named:
        return [_UNVERIFIED]
    return []


def _is_this_machine(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    return not name or is_loopback(name) or host.startswith(("/", "%2F", "%2f"))


def _is_http_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        return False
