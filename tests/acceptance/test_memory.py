"""Memory that ends: a node keeps no more for having passed on more messages."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Final

import psutil
import pytest

from duologue_lab.bench.http import Http
from duologue_lab.bench.people import People
from duologue_lab.bench.progress import ProgressBars
from duologue_lab.bench.talk import Tally, talkers_of
from duologue_lab.servers.server import DuologueServer

pytestmark = pytest.mark.anyio

_TEXT: Final = "x" * 4_000
"""Long, so that few messages make much data: what is kept of the file is full after the first third."""
_WARM_UP: Final = 10_000
"""Messages: 40 MB of text."""
_MEASURED: Final = 8_000
_MOST: Final = 8 * 2**20
"""Bytes by which memory may grow meanwhile: 32 MB of text are stored."""
_PATIENCE: Final = 120.0
"""Seconds."""


async def test_memory_grows_no_more_once_its_caches_are_full(tmp_path: Path) -> None:
    env = {"DUOLOGUE_RATE_LIMITS": "off"}
    with DuologueServer(tmp_path, env=env) as server, closing(Http(server.url)) as http:
        tally = Tally()
        tally.ends_at = time.perf_counter() + _PATIENCE
        talkers = talkers_of(tally, await People(http, (), ProgressBars()).pairs(20), _TEXT)
        for talker in talkers:
            await talker.open(server.url)
        node, sizes = psutil.Process(server.pid), []
        for count in (_WARM_UP, _MEASURED):
            for talker in talkers:
                talker.loop(count=count // len(talkers))
            await tally.wait_until_done(_PATIENCE)
            sizes.append(node.memory_info().rss)
        for talker in talkers:
            talker.close()
    assert tally.acked == _WARM_UP + _MEASURED
    assert sizes[1] - sizes[0] < _MOST
