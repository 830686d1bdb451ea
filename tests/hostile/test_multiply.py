"""A request that means work for many users or rows costs the server little at once, and the others nothing."""

from __future__ import annotations

import pytest

from tests.hostile import attacks_multiply as attacks
from tests.hostile.harness import Attack, Siege

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "attack",
    [attacks.renaming, attacks.watching, attacks.replaying, attacks.leaving],
    ids=lambda attack: attack.__name__,
)
async def test_requests_that_multiply_harm_nobody(siege: Siege, attack: Attack) -> None:
    await siege.withstand(attack, await siege.popular_target())
