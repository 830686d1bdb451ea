"""Attacks on what comes before any rule cost the server little, and the others nothing."""

from __future__ import annotations

import pytest

from tests.hostile import attacks_edge as attacks
from tests.hostile.harness import Attack, Siege

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "attack",
    [
        attacks.endless_head,
        attacks.endless_handshake,
        attacks.endless_framing,
        attacks.unfinished,
        attacks.unread,
    ],
    ids=lambda attack: attack.__name__,
)
async def test_a_client_over_the_bounds_of_a_connection_harms_nobody(siege: Siege, attack: Attack) -> None:
    await siege.withstand(attack)
