"""The command that tries to make a server lose something."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from duologue.cli.exits import UNUSABLE, ending, passed
from duologue.cli.verify import VerifyError
from duologue.cli.verify import verify as check_database
from duologue_lab.torture import command as tortures

app = typer.Typer(add_completion=False)


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
    with ending(tortures.TortureError, VerifyError, code=UNUSABLE):
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
    passed(well=kept)
