"""The command line."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import typer
from msgspec import Meta

from duologue import __version__
from duologue.config import ENV_PREFIX, ConfigError, Settings, load

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Private 1:1 text messaging, self-hosted.")

_users = typer.Typer(no_args_is_help=True, help="Suspend users, and let them in again.")
app.add_typer(_users, name="users")
_User = Annotated[str, typer.Argument(help="The phone number or the user id.", metavar="PHONE|USER_ID")]

_BAD_CONFIGURATION = 2  # the exit code
_NICE = 19
"""Of a process that nobody waits for (nice(2))."""


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
    """Make of a command that takes `Settings` one that takes a flag for each, besides its own parameters."""
    kinds = get_type_hints(command, include_extras=True)
    own = [
        each.replace(annotation=kinds[name])
        for name, each in inspect.signature(command).parameters.items()
        if name != "settings"
    ]

    def wrapped(**flags: Any) -> None:
        given = {each.name: flags.pop(each.name) for each in own}
        try:
            command(load(flags, os.environ), **given)
        except ConfigError as fault:
            typer.echo(f"duologue: {fault}", err=True)
            raise typer.Exit(_BAD_CONFIGURATION) from fault

    wrapped.__name__ = command.__name__
    wrapped.__doc__ = command.__doc__
    wrapped.__signature__ = inspect.Signature([*own, *_flags()])  # type: ignore[attr-defined]
    return wrapped


@app.command()
@_with_settings
def serve(settings: Settings) -> None:
    """Run a server until it is told to stop (SIGTERM, Ctrl-C)."""
    from duologue.app.serve import serve as run

    try:
        started = run(settings)
    except ConnectionError as fault:
        typer.echo(f"duologue: {fault}", err=True)
        raise typer.Exit(1) from fault
    except OSError as fault:
        typer.echo(f"duologue: can't listen on {settings.host}:{settings.port}: {fault.strerror}", err=True)
        raise typer.Exit(1) from fault
    raise typer.Exit(0 if started else 1)


@app.command()
@_with_settings
def migrate(settings: Settings) -> None:
    """Bring the database's schema up to date."""
    from duologue.storage.engine.engines import migrate as run

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
    from duologue.cli.docs import drift, write

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
    from duologue.handset import PhoneError, run

    try:
        run(number, url)
    except PhoneError as fault:
        typer.echo(f"duologue: {fault}", err=True)
        raise typer.Exit(fault.exit_code) from fault


@app.command()
def bench(  # noqa: PLR0913 - one for each flag
    scenarios: Annotated[
        list[str] | None, typer.Argument(metavar="SCENARIO", help="What to measure; all, unless named.")
    ] = None,
    *,
    url: Annotated[str, typer.Option(help="A running server, instead of one started for it.")] = "",
    tokens: Annotated[
        Path | None, typer.Option(help="A file of tokens, one a line, where sign-in isn't open.")
    ] = None,
    engine: Annotated[list[str] | None, typer.Option(help="sqlite or postgresql; both.")] = None,
    sockets: Annotated[
        list[int] | None, typer.Option(min=2, help="Sockets that talk; 400. Several: one after the other.")
    ] = None,
    users: Annotated[int, typer.Option(min=2, help="Users who connect, idle and reconnect.")] = 10_000,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each is measured.")] = 10.0,
    rate: Annotated[
        list[float] | None, typer.Option(min=1, help="Messages a second; 200, 1,000 and 5,000.")
    ] = None,
    text: Annotated[int, typer.Option(min=1, max=4000, help="Characters in a message.")] = 200,
    large: Annotated[bool, typer.Option("--large", help="Page reads also at 10 million messages.")] = False,
    limits: Annotated[bool, typer.Option("--limits", help="Leave the server's rate limits on.")] = False,
    repeat: Annotated[int, typer.Option(min=1, help="Runs; the medians are shown.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Write all that was measured here.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw latency against load here (.png, .svg), over a sweep of rates.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="A checkout of another build, measured in turns with this one.")
    ] = None,
) -> None:
    """Measure a server: messages/s, latencies, memory and CPU, and what part that is of the machine's best."""
    try:
        from duologue.bench.command import BenchFailed, Run
        from duologue.bench.command import bench as run
        from duologue.bench.setup import BenchOptions
    except ModuleNotFoundError as fault:
        typer.echo(f"duologue: {fault}; install it with: pip install 'duologue[lab]'", err=True)
        raise typer.Exit(1) from fault
    sizes = BenchOptions(sockets=sockets or (400,), users=users, seconds=seconds, rates=rate or (), text=text)
    options = msgspec.structs.replace(sizes, large=large, limits=limits)
    asked = Run(scenarios or (), engine or (), url, tokens, options, repeat, json, plot, against)
    try:
        run(asked)
    except BenchFailed as fault:
        typer.echo(f"duologue: {fault}", err=True)
        raise typer.Exit(1) from fault


@app.command()
@_with_settings
def verify(settings: Settings) -> None:
    """Check a whole database: every seq, mark, count and log. Exit codes: 0 sound, 1 not sound, 2 not readable."""
    from duologue.cli.verify import VerifyError
    from duologue.cli.verify import verify as run

    try:
        sound = run(settings.store_url)
    except VerifyError as fault:
        typer.echo(f"duologue: {fault}", err=True)
        raise typer.Exit(_BAD_CONFIGURATION) from fault
    raise typer.Exit(0 if sound else 1)


@app.command()
@_with_settings
def salvage(
    settings: Settings,
    *,
    to: Annotated[Path, typer.Option(help="The new file, which must not exist.", metavar="FILE")],
) -> None:
    """Write all that can be read of a damaged SQLite database to a new file, and tell what is lost."""
    from duologue.cli.verify import VerifyError
    from duologue.cli.verify import salvage as run

    try:
        run(settings.store_url, to)
    except VerifyError as fault:
        typer.echo(f"duologue: {fault}", err=True)
        raise typer.Exit(_BAD_CONFIGURATION) from fault


@app.command()
@_with_settings
def backup(
    settings: Settings,
    target: Annotated[str, typer.Argument(help="The new file, or - for stdout.")],
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Let the copy pass `duologue verify`, too.")
    ] = False,
) -> None:
    """Copy the whole database to a file while the server runs. It overwrites nothing."""
    from duologue.cli.backup import BackupError
    from duologue.cli.backup import backup as run

    try:
        # The server goes first where cores are scarce.
        os.nice(_NICE)
        run(settings.store_url, target, thorough=verify)
    except BackupError as fault:
        typer.echo(f"duologue: {fault}", err=True)
        raise typer.Exit(1) from fault


@app.command()
def torture(  # noqa: PLR0913 - one for each flag
    *,
    engine: Annotated[str, typer.Option(help="postgresql, or sqlite: one node, no bus.")] = "postgresql",
    nodes: Annotated[int, typer.Option(min=1, help="Nodes to start.")] = 3,
    url: Annotated[
        list[str] | None, typer.Option(help="Running nodes, instead of starting some: nothing is killed.")
    ] = None,
    tokens: Annotated[
        Path | None, typer.Option(help="Tokens of accounts without chats, where sign-in isn't open.")
    ] = None,
    users: Annotated[int, typer.Option(min=2, help="How many people.")] = 300,
    workers: Annotated[int, typer.Option(min=1, help="Processes of each node.")] = 1,
    seconds: Annotated[float, typer.Option(min=1, help="For how long.")] = 300,
    minutes: Annotated[float, typer.Option(min=0, help="For how long, instead of --seconds.")] = 0,
    rate: Annotated[float, typer.Option(min=1, help="Messages a second, repeats not counted.")] = 50,
    cuts: Annotated[float, typer.Option(min=0, help="Connections cut a second.")] = 5,
    retention: Annotated[float, typer.Option(min=1, help="Seconds for which events are kept.")] = 8,
    kill_every: Annotated[float, typer.Option(min=0.5, help="Seconds from one harm to the next.")] = 4,
    kill: Annotated[
        list[str] | None,
        typer.Option(help="What is harmed, or none; all, unless named: see docs/torture.md."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="For the same choices as in another run.")] = None,
    history: Annotated[Path | None, typer.Option(help="Write all that was said and seen here.")] = None,
    check: Annotated[Path | None, typer.Option(help="Run nothing: check a history that was saved.")] = None,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Plant every kind of fault into a good history; find each.")
    ] = False,
) -> None:
    """Try to make it lose, double, reorder or leak a message, and judge by what was seen. Exit code 1: it did."""
    from duologue.cli.verify import VerifyError
    from duologue.cli.verify import verify as check_database
    from duologue.torture import command as tortures

    try:
        if self_test:
            kept = tortures.self_test(check)
        elif check:
            kept = tortures.check_file(check)
        else:
            length = minutes * 60 or seconds
            plan = tortures.plan(users, length, rate, cuts, kill_every, seed, tokens, retention)
            kinds = kill or tortures.KINDS
            options = tortures.TortureOptions(plan, engine, nodes, workers, url or (), kinds, history)
            kept = tortures.torture(options, check_database)
    except (tortures.TortureError, VerifyError) as fault:
        typer.echo(f"duologue: {fault}", err=True)
        raise typer.Exit(_BAD_CONFIGURATION) from fault
    raise typer.Exit(0 if kept else 1)


@app.command()
@_with_settings
def outbox(settings: Settings) -> None:
    """Show messages that went on by SMS, why the newest failed, and the newest texts that are in no chat."""
    from duologue.cli.outbox import OutboxError
    from duologue.cli.outbox import outbox as run

    try:
        run(settings.store_url)
    except OutboxError as fault:
        typer.echo(f"duologue: {fault}", err=True)
        raise typer.Exit(_BAD_CONFIGURATION) from fault


@_users.command()
@_with_settings
def suspend(settings: Settings, user: _User) -> None:
    """Refuse a user everything, on every node within a second. Nothing of the user's is lost."""
    from duologue.cli.users import suspend as run

    _change_user(run, settings, user)


@_users.command()
@_with_settings
def lift(settings: Settings, user: _User) -> None:
    """Let a suspended user in again, with the same devices."""
    from duologue.cli.users import lift as run

    _change_user(run, settings, user)


def _change_user(run: Callable[[str, str], str], settings: Settings, user: str) -> None:
    from duologue.cli.users import UsersError

    try:
        typer.echo(run(settings.store_url, user))
    except UsersError as fault:
        typer.echo(f"duologue: {fault}", err=True)
        raise typer.Exit(fault.exit_code) from fault


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """The entry point."""
    app()
