"""Settings: which source wins, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from duologue.config import ConfigError, Settings, is_loopback, load, warnings

SECRET = "3c9f0b51d0a4e87726c1f5b29d8e4a63"
PUBLIC = {"host": "192.0.2.1"}
TWILIO = "twilio://AC00000000000000000000000000000000:token@/?from=+15005550006"


def settings(**flags: Any) -> Settings:
    return load(flags, {})


def refusal(**flags: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(flags, {})
    return str(caught.value)


def test_without_any_setting_it_is_a_safe_place_to_try_things_out() -> None:
    given = settings()
    assert (given.host, given.port, given.sign_in) == ("127.0.0.1", 8000, "open")
    assert given.store_url == "sqlite:///data/duologue.db"
    assert given.provider_url == "simulator://"
    assert (given.session_idle_days, given.event_retention_days) == (90, 90)


def test_flags_go_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "duologue.toml"
    file.write_text('port = 1\nlog_level = "error"\nsms_app_name = "Filed"\n')
    env = {"DUOLOGUE_PORT": "2", "DUOLOGUE_LOG_LEVEL": "warning", "OTHER": "7"}
    given = load({"config": str(file), "port": 3, "log_level": None}, env)
    assert (given.port, given.log_level, given.sms_app_name) == (3, "warning", "Filed")
    assert load({}, {**env, "DUOLOGUE_CONFIG": str(file)}).sms_app_name == "Filed"


def test_the_environment_is_text_and_still_typed() -> None:
    env = {"PORT": "0", "ALLOW_OPEN_NETWORK": "true", "SMS_DAILY_BUDGET": "1.5"}
    given = load({}, {f"DUOLOGUE_{name}": value for name, value in env.items()})
    assert (given.port, given.allow_open_network, given.sms_daily_budget) == (0, True, 1.5)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"port": 70000}, "DUOLOGUE_PORT"),
        ({"port": "http"}, "Setting port"),
        ({"sign_in": "sesame"}, "sign_in"),
        ({"session_idle_days": 0}, "session_idle_days"),
        ({"sms_daily_budget": -1}, "sms_daily_budget"),
        ({"sms_daily_budget": "nan"}, "sms_daily_budget"),
        ({"sms_daily_budget": "inf"}, "sms_daily_budget"),
        ({"database_url": "mysql://db"}, "postgresql://"),
        ({"public_url": "chat.example"}, "https://chat.example"),
        ({"public_url": "https://"}, "public_url"),
        ({"public_url": "https://chat.example:port"}, "public_url"),
        ({"public_url": "javascript://chat.example"}, "public_url"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(flags: dict[str, Any], told: str) -> None:
    assert told in refusal(**flags)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"port = ", "not TOML"),
        (b"prot = 1", "Did you mean port?"),
        (b'host = "\xff"', "not TOML"),
        (None, "can't be read"),
    ],
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, content: bytes | None, told: str) -> None:
    file = tmp_path / "duologue.toml"
    if content is not None:
        file.write_bytes(content)
    assert told in refusal(config=str(file))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "chat.example", "", "127.0.0.1.example"])  # noqa: S104 - refused
def test_open_sign_in_is_not_for_the_public(host: str) -> None:
    told = refusal(host=host)
    assert "sign in as anybody" in told
    assert "--allow-open-network" in told
    assert settings(host=host, allow_open_network=True).provider_url == ""


@pytest.mark.parametrize("sms_url", ["", "simulator://", "simulator://?seed=1", f"{TWILIO} simulator://"])
def test_the_phone_simulator_is_not_for_the_public(sms_url: str) -> None:
    told = refusal(**PUBLIC, sign_in="sms", sms_url=sms_url)
    assert "show every code to anybody" in told
    assert "--allow-simulated-phones" in told
    assert settings(**PUBLIC, sign_in="sms", sms_url=sms_url, allow_simulated_phones=True)


def test_a_simulator_that_open_sign_in_needs_not_is_not_for_the_public_either() -> None:
    assert "simulator" in refusal(**PUBLIC, allow_open_network=True, sms_url="simulator://")


def test_a_real_provider_may_serve_the_public() -> None:
    assert settings(**PUBLIC, sign_in="sms", sms_url=TWILIO).provider_url == TWILIO


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_this_machine_everything_may_be_tried(host: str) -> None:
    assert is_loopback(host)
    assert settings(host=host).provider_url == "simulator://"
    assert settings(host=host, sign_in="sms").provider_url == "simulator://"
    assert settings(host=host, sign_in="sms", sms_url=TWILIO).provider_url == TWILIO


@pytest.mark.parametrize(
    ("secret", "told"), [("x" * 31, "too short"), ("x" * 64, "no secret"), ("changeme" * 8, "no secret")]
)
def test_a_secret_that_can_be_guessed_is_refused(secret: str, told: str) -> None:
    assert told in refusal(secret=secret)
    assert "openssl rand" in refusal(secret=secret)


def test_a_refusal_repeats_no_secret() -> None:
    assert "hunter2" not in refusal(secret="hunter2")
    assert "pass-word" not in refusal(database_url="mysql://user:pass-word@db")


def test_several_nodes_need_one_database_and_one_secret() -> None:
    bus = {"bus_url": "nats://127.0.0.1"}
    shared = {**bus, "database_url": "postgresql://db/duologue"}
    assert "PostgreSQL" in refusal(**bus)
    assert "one secret" in refusal(**shared)
    assert "one secret" in refusal(**shared, sign_in="sms")
    assert settings(**shared, secret=SECRET)
    assert "previous_secret is too short" in refusal(**shared, secret=SECRET, previous_secret="x")


@pytest.mark.parametrize(
    "url", ["nats://bus", "nats://127.0.0.1,bus:4222", "nats://192.0.2.1?prefix=a", "nats://[2001:db8::1]"]
)
def test_a_bus_that_anybody_could_reach_is_refused(url: str) -> None:
    shared = {"bus_url": url, "database_url": "postgresql://db/duologue", "secret": SECRET}
    told = refusal(**shared)
    assert "--allow-open-bus" in told
    assert "tls://" in told
    assert settings(**shared, allow_open_bus=True)


@pytest.mark.parametrize(
    "url",
    [
        "nats://127.0.0.1:4222",
        "nats://localhost,[::1]:4223",
        "nats://user:password@bus",
        "nats://bus?creds=/etc/nats.creds",
        "tls://bus",
    ],
)
def test_a_bus_on_this_machine_or_behind_a_lock_is_taken(url: str) -> None:
    assert settings(bus_url=url, database_url="postgresql://db/duologue", secret=SECRET)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DUOLOGUE_SIGNIN", "DUOLOGUE_SIGN_IN"),
        ("DUOLOGUE_DATABASE", "DUOLOGUE_DATABASE_URL"),
        ("DUOLOGUE_host", "DUOLOGUE_HOST"),
        ("DUOLOGUE_", "DUOLOGUE_"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"no setting {name}\\. Did you mean {meant}"):
        load({}, {name: "sms"})


def test_a_misspelt_key_of_the_file_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    file = tmp_path / "duologue.toml"
    file.write_text('signin = "sms"\n')
    assert "no setting signin. Did you mean sign_in?" in refusal(config=str(file))


BEHIND = [{"public_url": "https://chat.example"}, {"trusted_proxies": "127.0.0.1/32"}]


@pytest.mark.parametrize("behind", BEHIND)
def test_a_server_behind_a_proxy_is_public(behind: dict[str, str]) -> None:
    assert "sign in as anybody" in refusal(**behind)
    assert "show every code" in refusal(**behind, sign_in="sms")
    assert "show every code" in refusal(**behind, sms_url="simulator://", allow_open_network=True)
    assert settings(**behind, allow_open_network=True).provider_url == ""
    assert settings(**behind, sign_in="sms", allow_simulated_phones=True)
    assert settings(**behind, sign_in="sms", sms_url=TWILIO)


@pytest.mark.parametrize("url", ["http://localhost:8000", "http://127.0.0.1", "http://[::1]:8000/"])
def test_an_address_of_this_machine_is_not_public(url: str) -> None:
    assert settings(public_url=url).provider_url == "simulator://"


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("", False),
        ("postgresql:///duologue", False),
        ("postgresql://postgres@/duologue?host=/run/postgresql", False),
        ("postgresql://localhost/duologue", False),
        ("postgresql://db/duologue?sslmode=verify-full", False),
        ("postgresql://db/duologue", True),
        ("postgresql://user:password@localhost,db:5433/duologue", True),
        ("postgresql:///duologue?host=db", True),
    ],
)
def test_a_database_across_the_network_without_tls_is_warned_of(url: str, warned: bool) -> None:
    assert bool(warnings(settings(database_url=url))) is warned
