"""Settings: flags, then `DUOLOGUE_*` environment variables, then a TOML file, then the defaults.

Each setting is declared once, here; the command line and `docs/settings.md` follow from it.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

ENV_PREFIX: Final = "DUOLOGUE_"
_SECRET_LENGTH: Final = 32
_SECRET_VARIETY: Final = 8
_DATABASE_SCHEMES: Final = ("sqlite:///", "postgresql://", "postgres://")


class ConfigError(Exception):
    """The settings are wrong; the message is a sentence that says what to do."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything an operator can set."""

    host: Annotated[str, Meta(description="The address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="The port to listen on; 0 takes any free one.")] = (
        8000
    )
    workers: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="Processes that share the port, one a core. More than one need PostgreSQL.",
        ),
    ] = 1
    drain_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=300,
            description="How long a node that is told to stop goes on serving while it says that it isn't ready: as"
            " long as a load balancer takes to notice.",
        ),
    ] = 0
    data_dir: Annotated[str, Meta(description="Where the embedded database lives.")] = "./data"
    database_url: Annotated[
        str,
        Meta(
            description="`postgresql://…` (with `?prepare=off` behind a PgBouncer before 1.21), or `sqlite:///file`."
            " Empty: SQLite in the data directory.",
        ),
    ] = ""
    bus_url: Annotated[
        str,
        Meta(
            description="How nodes tell each other what happens: `nats://host:4222`, more hosts after commas,"
            " `?prefix=` for a system of its own, `&creds=FILE`; `tls://…`. Empty: there is one node."
        ),
    ] = ""
    sign_in: Annotated[
        Literal["open", "sms"],
        Meta(
            description="How clients sign in. `open`: a phone number, without proof. `sms`: a code proves it."
        ),
    ] = "open"
    allow_open_network: Annotated[
        bool,
        Meta(
            description="Listen beyond this machine although anybody could sign in with any number."
            " Only behind something else that keeps strangers out."
        ),
    ] = False
    allow_simulated_phones: Annotated[
        bool,
        Meta(
            description="Listen beyond this machine although the phone simulator shows every code to anybody."
            " For demonstrations only."
        ),
    ] = False
    public_url: Annotated[
        str,
        Meta(
            description="Where clients and SMS providers reach the server, e.g. `https://chat.example`."
            " Browsers bind codes to its host."
        ),
    ] = ""
    trusted_proxies: Annotated[
        str,
        Meta(
            description="Networks of one's own reverse proxies, comma-separated, whose `X-Forwarded-For` is"
            " believed, e.g. `127.0.0.1/32, 10.0.0.0/8`."
        ),
    ] = ""
    secret: Annotated[
        str,
        Meta(
            description="At least 32 characters, the same on every node; codes follow from it."
            " Empty: made on the first start and kept in the data directory (mode 0600)."
        ),
    ] = ""
    sms_url: Annotated[
        str,
        Meta(
            description="How SMS are sent: `twilio://…`, `smpp://…`, `gateway+https://…`, `apprise+…`, or several in"
            " order of preference. Empty: the phone simulator, on this machine alone."
        ),
    ] = ""
    sms_app_name: Annotated[str, Meta(description="What the text of a code calls the product.")] = "Duologue"
    sms_code_sender: Annotated[
        str,
        Meta(
            description="The number or name that codes come from, if not the provider's own sender: one that no"
            " message comes from keeps codes and messages apart on a phone."
        ),
    ] = ""
    sms_language: Annotated[
        str, Meta(description="The language of codes, e.g. `fr`. Empty: that of the number's country.")
    ] = ""
    sms_countries: Annotated[
        str, Meta(description="Countries, comma-separated (`FR,BE`), to which SMS are sent. Empty: all.")
    ] = ""
    sms_denied_countries: Annotated[
        str, Meta(description="Countries, comma-separated, to which no SMS is ever sent.")
    ] = ""
    sms_unassigned_numbers: Annotated[
        bool,
        Meta(
            description="Send SMS also to numbers that no operator is known to have, and to those of no country"
            " (satellites)."
        ),
    ] = False
    sms_prices: Annotated[
        str, Meta(description="The price of one SMS by country; `*` for all others, which it must have.")
    ] = "US=0.01,CA=0.01,FR=0.06,DE=0.09,GB=0.05,*=0.10"
    sms_daily_budget: Annotated[
        float,
        Meta(
            ge=0,
            le=1e9,
            description="What SMS may cost in a day, in the currency of the prices, of which messages may use 80 %;"
            " 0: no limit.",
        ),
    ] = 20.0
    sms_numbers: Annotated[
        str,
        Meta(
            description="Service numbers, comma-separated, that messages come from and answers go to: with more of"
            " them more chats keep one of their own on a phone. Empty: the provider's own sender."
        ),
    ] = ""
    relay: Annotated[
        Literal["off", "offline", "always"],
        Meta(
            description="When messages to users who chose nothing go on to their phone by SMS. `offline`: when no"
            " device has acknowledged them in time."
        ),
    ] = "offline"
    relay_delay: Annotated[
        int,
        Meta(ge=0, le=86400, description="Seconds that devices have to acknowledge a message before that."),
    ] = 30
    relay_unregistered: Annotated[
        Literal["off", "invited", "everyone"],
        Meta(
            description="Whether messages go by SMS to numbers that nobody has signed in with. `invited`: one in a"
            " chat, and more once it was answered."
        ),
    ] = "off"
    relay_quiet_hours: Annotated[
        str,
        Meta(
            description="When no phone is disturbed, in its own time: `22:00-08:00`. Messages wait. Empty: never."
        ),
    ] = ""
    relay_sender_budget: Annotated[
        float,
        Meta(ge=0, le=1e9, description="What one sender's messages may cost in a day as SMS; 0: no limit."),
    ] = 1.0
    relay_valid_hours: Annotated[
        int, Meta(ge=1, le=168, description="After so many hours a message is not sent by SMS any more.")
    ] = 24
    trace_days: Annotated[
        int, Meta(ge=0, le=90, description="How long it can be told where a message was when; 0: not at all.")
    ] = 3
    allowed_origins: Annotated[
        str,
        Meta(
            description="Origins, comma-separated, whose pages may use the API besides this server's own;"
            " `*` for all."
        ),
    ] = ""
    rate_limits: Annotated[
        Literal["on", "off"],
        Meta(description="`off` for benchmarks. Bounds that protect memory or sign-in always hold."),
    ] = "on"
    max_connections: Annotated[
        int,
        Meta(
            ge=0,
            description="Connections that a process takes in all; 0: as many as its file descriptors allow, less"
            " what the rest of it needs.",
        ),
    ] = 0
    max_connections_per_address: Annotated[
        int,
        Meta(
            ge=0,
            description="Connections that a process takes from one network (a /24, or a /48 of IPv6) that is no"
            " trusted proxy; 0: no limit of its own.",
        ),
    ] = 1000
    event_retention_days: Annotated[
        int, Meta(ge=1, le=3650, description="How long events can be resumed from.")
    ] = 90
    session_idle_days: Annotated[
        int, Meta(ge=1, le=3650, description="After so many days without use a session ends.")
    ] = 90
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least that is logged.")
    ] = "info"

    @property
    def store_url(self) -> str:
        """The database to use."""
        return self.database_url or f"sqlite:///{Path(self.data_dir) / 'duologue.db'}"

    @property
    def simulated(self) -> bool:
        """Whether codes go to simulated phones, where anybody can read them."""
        return "simulator://" in self.sms_url or (self.sign_in == "sms" and not self.sms_url)

    @property
    def provider_url(self) -> str:
        """How SMS are sent; empty when they aren't: nobody needs one, and the simulator mustn't be public."""
        if self.sms_url or not is_loopback(self.host):
            return self.sms_url or ("simulator://" if self.sign_in == "sms" else "")
        # Unasked, only where there is one process: each would have a phone network of its own.
        return "simulator://" if self.workers == 1 else ""


def load(flags: Mapping[str, Any], env: Mapping[str, str]) -> Settings:
    """The settings in force. Raises `ConfigError`.

    `flags` holds what was given on the command line; `config` among them, or `DUOLOGUE_CONFIG`, names the TOML
    file.
    """
    file = flags.get("config") or env.get(f"{ENV_PREFIX}CONFIG")
    values: dict[str, Any] = _read_toml(Path(file)) if file else {}
    for name in Settings.__struct_fields__:
        given = env.get(ENV_PREFIX + name.upper())
        if given is not None:
            values[name] = given
    values |= {name: value for name, value in flags.items() if name != "config" and value is not None}
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as fault:
        raise ConfigError(_explain(fault)) from fault
    _check(settings)
    return settings


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as fault:
        raise ConfigError(f"The settings file can't be read: {fault}.") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ConfigError(f"The settings file {path} is not TOML: {fault}.") from fault


def _explain(fault: msgspec.ValidationError) -> str:
    reason, _, path = str(fault).partition(" - at `$.")
    name = path.rstrip("`")
    return f"Setting {name} ({ENV_PREFIX}{name.upper()}): {reason}." if name else f"Settings: {reason}."


def _check(settings: Settings) -> None:
    """Refuse what is insecure or can't work, before anything starts."""
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
    if not is_loopback(settings.host):
        _check_public(settings)
    elif settings.simulated and settings.public_url and not settings.allow_simulated_phones:
        raise ConfigError(
            f"The phone simulator would show every code to anybody who reaches {settings.public_url}."
            " Set sms_url to a real provider, or add --allow-simulated-phones for a demonstration."
        )


def _check_nodes(settings: Settings) -> None:
    if settings.bus_url and not settings.bus_url.startswith(("nats://", "tls://")):
        raise ConfigError("bus_url must start with nats:// or tls://; leave it empty for a single node.")
    if settings.bus_url and settings.store_url.startswith("sqlite:"):
        raise ConfigError("Several nodes need one PostgreSQL: set database_url, or leave bus_url empty.")
    if settings.bus_url and settings.sign_in == "sms" and not settings.secret:
        raise ConfigError("Several nodes need one secret: set it on each to the same `openssl rand -hex 32`.")
    if settings.workers > 1 and settings.store_url.startswith("sqlite:"):
        raise ConfigError("Several workers need PostgreSQL: SQLite has one writer. Set database_url.")
    if settings.workers > 1 and settings.simulated:
        raise ConfigError(
            "Simulated phones live in one process: set workers to 1, or sms_url to a real provider."
        )


def _check_secret(settings: Settings) -> None:
    if settings.secret and len(settings.secret) < _SECRET_LENGTH:
        raise ConfigError("secret is too short: give at least 32 random characters (`openssl rand -hex 32`).")
    if settings.secret and len(set(settings.secret)) < _SECRET_VARIETY:
        raise ConfigError("secret is no secret: give 32 random characters (`openssl rand -hex 32`).")


def _check_public(settings: Settings) -> None:
    if settings.sign_in == "open" and not settings.allow_open_network:
        raise ConfigError(
            f"With open sign-in anybody who reaches {settings.host} could sign in as anybody. Listen on 127.0.0.1,"
            " or set sign_in to sms, or add --allow-open-network if something in front of the server keeps"
            " strangers out."
        )
    if settings.simulated and not settings.allow_simulated_phones:
        raise ConfigError(
            f"The phone simulator would show every code to anybody who reaches {settings.host}. Set sms_url to a"
            " real provider, or add --allow-simulated-phones for a demonstration."
        )


def _is_http_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
