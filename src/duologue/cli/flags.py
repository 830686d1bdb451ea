"""Flags of the commands that take settings: one for each setting."""

from __future__ import annotations

import inspect
import os
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from msgspec import Meta

from duologue.cli.exits import UNUSABLE, ending
from duologue.config import ENV_PREFIX, ConfigError, Settings, load


def _flags() -> list[inspect.Parameter]:
    """One command-line flag for each setting."""
    parameters = [
        inspect.Parameter(
            "config",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                str | None,
                typer.Option(help=f"A TOML file with settings. [{ENV_PREFIX}CONFIG]", metavar="FILE"),
            ],
        )
    ]
    hints = get_type_hints(Settings, include_extras=True)
    for name, default in zip(Settings.__struct_fields__, Settings.__struct_defaults__, strict=True):
        kind, meta = get_args(hints[name])
        parameters.append(_flag(name, kind, meta, default))
    return parameters


def _flag(name: str, kind: Any, meta: Meta, default: Any) -> inspect.Parameter:
    choices = "|".join(get_args(kind)) if get_origin(kind) is not None else None
    shown = f"{meta.description} [{ENV_PREFIX}{name.upper()}; default: {default!r}]"
    option = typer.Option(help=shown, metavar=choices, show_default=False)
    annotation = Annotated[(kind if kind in (bool, int) else str) | None, option]  # type: ignore[valid-type]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def with_settings(command: Any) -> Any:
    """Make of a command that takes `Settings` one that takes a flag for each, besides its own parameters."""
    kinds = get_type_hints(command, include_extras=True)
    own = [
        each.replace(annotation=kinds[name])
        for name, each in inspect.signature(command).parameters.items()
        if name != "settings"
    ]

    def wrapped(**flags: Any) -> None:
        given = {each.name: flags.pop(each.name) for each in own}
        with ending(ConfigError, code=UNUSABLE):
            command(load(flags, os.environ), **given)

    wrapped.__name__ = command.__name__
    wrapped.__doc__ = command.__doc__
    wrapped.__signature__ = inspect.Signature([*own, *_flags()])  # type: ignore[attr-defined]
    return wrapped
