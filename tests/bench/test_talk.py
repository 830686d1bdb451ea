"""The generator's clients count and time what really happened."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from duologue_lab.bench.chat import online, open_loop
from duologue_lab.bench.http import Http, RequestFailed
from duologue_lab.bench.measured_server import MeasuredServer
from duologue_lab.bench.meter import Spent, quantiles
from duologue_lab.bench.people import BenchUser, People
from duologue_lab.bench.progress import ProgressBars
from duologue_lab.bench.result import Machine, Result, medians
from duologue_lab.bench.setup import BenchOptions, BenchSetup
from duologue_lab.bench.talk import Talker, Tally, clock, talkers_of
from duologue_lab.servers.server import DuologueServer

pytestmark = pytest.mark.anyio

MACHINE = Machine(
    echoes_per_second=1,
    echo_cpu_us=1,
    round_trip_ms=1,
    connects_per_second=1,
    kib_per_socket=1,
    start_seconds=1,
)


def setup(server: DuologueServer, http: Http, seconds: float) -> BenchSetup:
    watch = ProgressBars()
    return BenchSetup(
        MeasuredServer(engine="given", url=server.url),
        MACHINE,
        BenchOptions(seconds=seconds),
        People(http, (), watch),
        http,
        watch,
    )


async def test_a_message_that_had_to_wait_is_timed_from_when_it_was_due(tmp_path: Path) -> None:
    with DuologueServer(tmp_path) as server, closing(Http(server.url)) as http:
        here = setup(server, http, 1.0)
        tally = Tally()
        talkers = talkers_of(tally, await here.people.pairs(2), "late")
        await online(here, talkers)
        loop = asyncio.create_task(open_loop(here, tally, talkers, 100))
        await asyncio.sleep(1.2)
        os.kill(server.pid, signal.SIGSTOP)
        await asyncio.sleep(0.6)
        os.kill(server.pid, signal.SIGCONT)
        result = await loop
        for talker in talkers:
            talker.close()
    for what in ("ack", "delivery", "receipt"):
        # The server stood still for 0.6 s, and what was due in the first half of that waited for the second.
        assert result.latencies[what].p90 > 200
        assert result.latencies[what].count == pytest.approx(100, rel=0.3)


async def test_a_lost_message_fails_the_run() -> None:
    tally = Tally()
    tally.number(0, clock())
    with pytest.raises(RuntimeError, match="of 1 messages: 0 acked, 0 delivered"):
        await tally.wait_until_done(0.05)


async def test_frames_in_another_order_are_understood() -> None:
    tally = Tally()
    low, high = BenchUser("usr_a", "+33612345678", "dlg_a"), BenchUser("usr_b", "+33612345679", "dlg_b")
    sender, reader = talkers_of(tally, [(low, high, "cht_1")], "hello")
    number = tally.number(sender.index, clock())
    message = {"text": "hello", "seq": 7, "client_id": f"{tally.mark.decode()}{number:09d}"}
    hear(sender, {"message": message, "op": "sent"})
    hear(reader, {"data": message, "type": "message.created", "seq": 41, "op": "event"})
    hear(sender, {"data": message, "type": "message.created", "seq": 12, "op": "event"})
    assert (tally.acked, tally.delivered, tally.receipted) == (1, 1, 0)
    marks = {"read": 0, "delivered": 7, "chat_id": "cht_1"}
    hear(sender, {"data": {**marks, "user_id": "usr_a"}, "type": "receipt.updated", "seq": 13, "op": "event"})
    assert tally.receipted == 0
    hear(sender, {"data": {**marks, "user_id": "usr_b"}, "type": "receipt.updated", "seq": 14, "op": "event"})
    assert tally.receipted == 1
    assert (sender.seq, reader.seq) == (14, 41)


def hear(talker: Talker, frame: dict[str, object]) -> None:
    talker.on_frame(msgspec.json.encode(frame))


async def test_a_refused_request_tells_the_answer(tmp_path: Path) -> None:
    with DuologueServer(tmp_path) as server, closing(Http(server.url)) as http:
        with pytest.raises(RequestFailed, match=r"POST /v1/sessions: 422 .*invalid_phone"):
            await http.ask("POST", "/v1/sessions", body={"phone": "12"})
        assert (await http.ask("GET", "/v1/server"))["name"]


def test_quantiles_are_right_to_three_digits() -> None:
    got = quantiles(number / 1000 for number in range(1, 10_001))
    assert (got.p50, got.p99, got.p999, got.max) == pytest.approx((5000, 9900, 9990, 10_000), rel=1e-3)
    assert got.count == 10_000


def test_repeated_runs_give_their_medians() -> None:
    runs = [
        Result(
            scenario="chat",
            case="one",
            engine=engine,
            figures={"messages/s": rate},
            latencies={"ack": quantiles([rate / 1000])},
        )
        for engine, rate in (("sqlite", 3.0), ("sqlite", 900.0), ("sqlite", 5.0), ("postgresql", 7.0))
    ]
    first, second = medians(runs)
    assert (first.figures, second.figures) == ({"messages/s": 5.0}, {"messages/s": 7.0})
    assert first.latencies["ack"].p50 == pytest.approx(5.0, rel=1e-3)
    assert first.latencies["ack"].count == 3


@pytest.mark.parametrize(
    ("own", "core", "told"),
    [(0.5, 0.6, ""), (0.95, 0.97, "may be what was measured"), (0.3, 0.99, "mostly with others")],
)
def test_a_busy_generator_is_told(own: float, core: float, told: str) -> None:
    spent = Spent(wall=1.0, server=0.5, database=0.0, generator=own, server_core=0.5, generator_core=core)
    assert told in " ".join(spent.warnings())
    assert bool(spent.warnings()) == bool(told)
