"""Loading of settings: flags, then `DUOLOGUE_*` environment variables, then a TOML file, then the defaults."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from duologue.config.checks import check
from duologue.config.settings import ConfigError, Settings

ENV_PREFIX: Final = "DUOLOGUE_"


def load(flags: Mapping[str, Any], env: Mapping[str, str]) -> Settings:
    """The settings in force. Raises `ConfigError`.

    `flags` holds what was given on the command line; `config` among them, or `DUOLOGUE_CONFIG`, names the TOML
    file.
    """
    file = flags.get("config") or env.get(f"{ENV_PREFIX}CONFIG")
    values: dict[str, Any] = _read_toml(Path(file)) if file else {}
    _check_names(values)
    _check_names(
        [name for name in env if name.startswith(ENV_PREFIX) and name != f"{ENV_PREFIX}CONFIG"], ENV_PREFIX
    )
    for name in Settings.__struct_fields__:
        given = env.get(ENV_PREFIX + name.upper())
        if given is not None:
            values[name] = given
    values |= {name: value for name, value in flags.items() if name != "config" and value is not None}
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as fault:
        raise ConfigError(_explain(fault)) from fault
    check(settings)
    return settings


def _check_names(names: Iterable[str], prefix: str = "") -> None:
    """Refuse what looks like a setting and is none: somebody meant it to change something."""
    known = {prefix + (name.upper() if prefix else name): name for name in Settings.__struct_fields__}
    for name in names:
        if name not in known:
            bare = name.removeprefix(prefix).lower()
            near = max(known, key=lambda each: difflib.SequenceMatcher(None, bare, known[each]).ratio())
            raise ConfigError(f"There is no setting {name}. Did you mean {near}?")


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
