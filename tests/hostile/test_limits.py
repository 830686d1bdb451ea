"""What is cheap to send costs the server little, and the others nothing."""

from __future__ import annotations

import pytest

from tests.hostile import attacks_limits as attacks
from tests.hostile.harness import Attack, Siege

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "attack",
    [
        attacks.pings_before_hello,
        attacks.pings_before_hello_again_and_again,
        attacks.pings_after_hello,
        attacks.fragments_without_end,
        attacks.requests_by_nobody,
        attacks.requests_by_a_user,
        attacks.streams,
        attacks.unread_pages,
    ],
    ids=lambda attack: attack.__name__,
)
async def test_a_flood_harms_nobody(siege: Siege, attack: Attack) -> None:
    await siege.withstand(attack)
