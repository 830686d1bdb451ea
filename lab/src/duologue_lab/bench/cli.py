"""The command that measures a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from duologue.cli.exits import ending
from duologue_lab.bench.command import BenchFailed, Run
from duologue_lab.bench.command import bench as run
from duologue_lab.bench.setup import BenchOptions

app = typer.Typer(add_completion=False)


@app.command()
def bench(  # noqa: PLR0913 - one for each flag
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(metavar="SCENARIO", help="What to measure; all but posts, unless named."),
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
    sizes = BenchOptions(sockets=sockets or (400,), users=users, seconds=seconds, rates=rate or (), text=text)
    options = msgspec.structs.replace(sizes, large=large, limits=limits)
    asked = Run(scenarios or (), engine or (), url, tokens, options, repeat, json, plot, against)
    with ending(BenchFailed):
        run(asked)
