"""The command line."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from msgspec import Meta

from duologue import __version__
from duologue.config import ENV_PREFIX, ConfigError, Settings, load

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Private 1:1 text messaging, self-hosted.")

_BAD_CONFIGURATION = 2


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


def _with_settings(command: Any) -> Any:
    """A command that takes `Settings`, as one that takes a flag for each."""

    def wrapped(**flags: Any) -> None:
        try:
            command(load(flags, os.environ))
        except ConfigError as fault:
            typer.echo(f"duologue: {fault}", err=True)
            raise typer.Exit(_BAD_CONFIGURATION) from fault

    wrapped.__name__ = command.__name__
    wrapped.__doc__ = command.__doc__
    wrapped.__signature__ = inspect.Signature(_flags())  # type: ignore[attr-defined]
    return wrapped


@app.command()
@_with_settings
def serve(settings: Settings) -> None:
    """Run a server until it is told to stop (SIGTERM, Ctrl-C)."""
    from duologue.serve import serve as run

    try:
        started = run(settings)
    except OSError as fault:
        typer.echo(f"duologue: can't listen on {settings.host}:{settings.port}: {fault.strerror}", err=True)
        raise typer.Exit(1) from fault
    raise typer.Exit(0 if started else 1)


@app.command()
@_with_settings
def migrate(settings: Settings) -> None:
    """Bring the database's schema up to date."""
    from duologue.storage.engines import migrate as run

    for step in run(settings.store_url):
        typer.echo(f"{step.number:04d} {step.name}")
    typer.echo("The schema is up to date.")


@app.command()
def docs(
    to: Annotated[Path, typer.Option(help="The folder with the generated documents.")] = Path("docs"),
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if something differs.")] = False,
) -> None:
    """Write the documents that are made from the code: OpenAPI, errors, settings."""
    from duologue.docs import drift, write

    if not check:
        for path in write(to):
            typer.echo(f"wrote {path}")
        return
    report = drift(to)
    if report:
        typer.echo("\n".join([*report, "The documents differ from the code: run `duologue docs`."]), err=True)
        raise typer.Exit(1)


@app.command()
def phone(
    number: Annotated[str, typer.Argument(help="Its number, with + and the country code.")],
    *,
    url: Annotated[str, typer.Option(help="The server.")] = "http://127.0.0.1:8000",
) -> None:
    """Be a phone of the simulated network: its texts as they come, and answers to them."""
    from duologue.phone import PhoneError, run

    try:
        run(number, url)
    except PhoneError as fault:
        typer.echo(f"duologue: {fault}", err=True)
        raise typer.Exit(fault.exit_code) from fault


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """The entry point."""
    app()


if __name__ == "__main__":
    main()
