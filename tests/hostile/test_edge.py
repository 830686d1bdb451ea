"""Attacks on what comes before any rule cost the server little, and the others nothing."""

from __future__ import annotations

import pytest

from tests.hostile import attacks_edge as attacks
from tests.hostile.harness import Siege

pytestmark = pytest.mark.anyio


async def test_connections_that_come_and_go_harm_nobody(siege: Siege) -> None:
    await siege.withstand(attacks.come_and_go)
