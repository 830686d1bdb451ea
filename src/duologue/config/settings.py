"""All settings. Each is declared once, here; the command line and `docs/settings.md` follow from it."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta


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
    allow_open_bus: Annotated[
        bool,
        Meta(
            description="Use a `bus_url` on another machine without credentials and without TLS. Only in a network"
            " that strangers can't reach."
        ),
    ] = False
    sign_in: Annotated[
        Literal["open", "sms"],
        Meta(
            description="How clients sign in. `open`: a phone number, without proof. `sms`: a code proves it."
        ),
    ] = "open"
    allow_open_network: Annotated[
        bool,
        Meta(
            description="Listen beyond this machine, or behind a proxy, although anybody could sign in with any"
            " number. Only behind something else that keeps strangers out."
        ),
    ] = False
    allow_simulated_phones: Annotated[
        bool,
        Meta(
            description="Listen beyond this machine, or behind a proxy, although the phone simulator shows every code"
            " to anybody."
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
            description="At least 32 characters, the same on every node; codes and the keys of the bus follow from"
            " it. Empty: made on the first start and kept in the data directory (mode 0600). Needed with `bus_url`."
        ),
    ] = ""
    previous_secret: Annotated[
        str,
        Meta(
            description="The `secret` before the present one, while nodes are restarted one after the other: what"
            " they say on the bus is believed, too."
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
            description="What SMS may cost in a day, in the currency of the prices, of which messages may use 70 %;"
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
        Meta(
            ge=0,
            le=1e9,
            description="What one sender's messages may cost in a day as SMS, half of it at once; 0: no limit.",
        ),
    ] = 1.0
    relay_unanswered: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="How many messages of one chat go to a phone by SMS before the phone or a device answers;"
            " of all chats together four times as many. The rest waits. 0: no limit.",
        ),
    ] = 5
    relay_valid_hours: Annotated[
        int, Meta(ge=1, le=168, description="After so many hours a message is not sent by SMS any more.")
    ] = 24
    who_can_write: Annotated[
        Literal["everyone", "requests", "nobody"],
        Meta(
            description="Whose messages reach users who chose nothing. `requests`: a stranger's chat waits apart"
            " until it is accepted. `nobody`: only those whom the user has written to."
        ),
    ] = "everyone"
    presence: Annotated[
        Literal["everyone", "chats", "nobody"],
        Meta(
            description="Who sees when users who chose nothing are online; never a stranger whom the user has neither"
            " written to nor accepted."
        ),
    ] = "chats"
    discoverable: Annotated[
        bool,
        Meta(
            description="Whether strangers may see that users who chose nothing have an account: `false` keeps"
            " delivered and read marks from them until they are answered."
        ),
    ] = True
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
    edit_window_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=315_360_000,
            description="How long after it was sent a message can be edited; 0: not at all.",
        ),
    ] = 86_400
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
        """True if codes go to simulated phones, where anybody can read them."""
        return "simulator://" in self.sms_url or (self.sign_in == "sms" and not self.sms_url)

    @property
    def reached_by(self) -> str:
        """The address by which others than this machine reach the server; empty if there is none."""
        if not is_loopback(self.host):
            return self.host or "any address of this machine"
        if self.public_url and not is_loopback(_host_of(self.public_url)):
            return self.public_url
        return "the proxies of trusted_proxies" if self.trusted_proxies else ""

    @property
    def provider_url(self) -> str:
        """URL of the SMS provider; empty if no SMS are sent."""
        if self.sms_url or self.reached_by:
            return self.sms_url or ("simulator://" if self.sign_in == "sms" else "")
        # Unasked, only where there is one process: each would have a phone network of its own.
        return "simulator://" if self.workers == 1 else ""


def _host_of(url: str) -> str:
    """The host's name; empty if the URL is malformed."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
