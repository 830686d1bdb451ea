"""`duologue bench` measures every scenario, on both engines and on a server that runs already."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from duologue_lab.servers.server import DuologueServer

BENCH = (sys.executable, "-m", "duologue.cli", "bench")
SMALL = ("--sockets", "6", "--users", "20", "--rate", "100", "--seconds", "0.5")
CASES = [
    "chat, 6 sockets, closed loop",
    "chat, 6 sockets, 100/s",
    "connect, sign-in",
    "connect, sockets",
    "idle, 20 sockets",
    "history, 1,000 messages",
    "history, 10,000 messages",
    "chats, 1,000 messages",
    "chats, 10,000 messages",
    "fanin, 5 to one user",
    "fanin, one chat, 100 from each side",
    "sync, 20 users, 20 events each",
    "start, with 1,000 messages",
]
POSTS = "posts, 6 senders, closed loop"
"""Left out unless it is named."""


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run((*BENCH, *args), capture_output=True, text=True, check=False, timeout=240)


def measured(path: Path) -> Any:
    return msgspec.json.decode(path.read_bytes())


def cases(report: Any, kind: str = "medians") -> dict[str, Any]:
    return {f"{result['scenario']}, {result['case']}": result for result in report[kind]}


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "only"), [("sqlite", ()), ("postgresql", ("chat", "connect", "posts"))])
def test_every_scenario_tells_what_it_did(engine: str, only: tuple[str, ...], tmp_path: Path) -> None:
    done = run(*only, "--engine", engine, "--json", str(tmp_path / "out.json"), *SMALL)
    assert done.returncode == 0, done.stderr
    report = measured(tmp_path / "out.json")
    results = cases(report)
    assert list(results) == ([*CASES[:4], POSTS] if only else CASES)
    assert {result["engine"] for result in report["medians"]} == {engine}
    assert all(result["ratios"] for case, result in results.items() if case != "connect, sign-in")
    assert all(value > 0 for result in results.values() for value in result["figures"].values())
    spent = {name for result in results.values() for name in result["figures"] if "database µs" in name}
    assert bool(spent) == (engine == "postgresql")
    machine = report["machines"][0][1]
    assert all(machine[name] > 0 for name in ("echoes_per_second", "rows_per_second", "commit_ms"))
    for grown in (result for case, result in results.items() if case.endswith(", 10,000 messages")):
        assert {"p50 / at 1,000 messages", "CPU / at 1,000 messages"} <= grown["ratios"].keys()


def test_two_builds_are_measured_in_turns(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    root = str(Path(__file__).parents[2])
    done = run("chat", "--engine", "sqlite", "--against", root, "--repeat", "2", "--json", str(out), *SMALL)
    assert done.returncode == 0, done.stderr
    report = measured(out)
    assert [result["build"] for result in report["runs"]] == [*["other"] * 2, *["this"] * 4, *["other"] * 2]
    assert [len(comparison["ratios"]) for comparison in report["comparisons"]] == [2] * len(
        report["comparisons"]
    )
    assert {comparison["case"] for comparison in report["comparisons"]} == set(CASES[:2])
    assert {"messages/s", "server µs/message", "ack p50", "receipt p99"} <= {
        comparison["figure"] for comparison in report["comparisons"]
    }
    assert "This build / the other" in done.stdout


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    done = run("chat", "--against", str(tmp_path))
    assert done.returncode == 1
    assert "there is no checkout of Duologue" in done.stderr


def test_a_running_server_is_measured_at_its_url(tmp_path: Path) -> None:
    with DuologueServer(tmp_path / "data") as server:
        out = tmp_path / "out.json"
        done = run("chat", "connect", "--url", server.url, "--json", str(out), "--repeat", "2", *SMALL)
        assert done.returncode == 0, done.stderr
    report = measured(out)
    assert list(cases(report)) == CASES[:4]
    assert len(report["runs"]) == 8
    loop = cases(report)["chat, 6 sockets, 100/s"]
    assert {name: got["count"] for name, got in loop["latencies"].items()} == {
        "ack": pytest.approx(100, abs=40),
        "delivery": pytest.approx(100, abs=40),
        "receipt": pytest.approx(100, abs=40),
    }
    assert "messages/s" in done.stdout
    assert "p99.9" in done.stdout


def test_tokens_stand_in_for_signing_up(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    with DuologueServer(tmp_path / "data") as server:
        tokens = [
            httpx.post(f"{server.url}/v1/sessions", json={"phone": f"+3361234567{digit}"}).json()["token"]
            for digit in range(6)
        ]
        (tmp_path / "tokens").write_text("\n".join(tokens))
        given = ("chat", "--url", server.url, "--tokens", str(tmp_path / "tokens"))
        done = run(*given, "--json", str(out), *SMALL)
        assert done.returncode == 0, done.stderr
        assert list(cases(measured(out))) == CASES[:2]
        refused = run(*given, "--sockets", "8", "--seconds", "0.1")
    assert refused.returncode == 1
    assert "8 users are needed, and there are tokens for 6" in refused.stderr


@pytest.mark.slow
def test_a_sweep_of_rates_is_drawn(tmp_path: Path) -> None:
    plot = tmp_path / "load.svg"
    rates = [part for rate in (50, 100) for part in ("--rate", str(rate))]
    done = run(
        "chat", "--engine", "sqlite", "--sockets", "4", "--seconds", "0.3", "--plot", str(plot), *rates
    )
    assert done.returncode == 0, done.stderr
    assert plot.read_text().startswith("<?xml")


def test_what_there_is_not_is_said() -> None:
    done = run("chatter")
    assert done.returncode == 1
    assert "chatter: there is only chat, connect, idle" in done.stderr


def test_what_cannot_be_written_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    for args, said in (
        (("chat", "--json", str(tmp_path / "no" / "out.json")), "there is no such folder"),
        (("chat", "--plot", str(tmp_path / "load.gif")), "a plot shows chat, as .png"),
        (("idle", "--plot", str(tmp_path / "load.svg")), "a plot shows chat"),
    ):
        done = run(*args)
        assert done.returncode == 1
        assert said in done.stderr


def test_a_server_that_does_not_answer_is_said() -> None:
    done = run("chat", "--url", "http://127.0.0.1:9", "--seconds", "0.1")
    assert done.returncode == 1
    assert done.stderr.startswith("duologue: ")
    assert "Traceback" not in done.stderr
