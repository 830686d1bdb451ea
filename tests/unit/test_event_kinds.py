"""Every place that must know a kind of event knows all: a new kind fails here, and not in a user's log."""

from __future__ import annotations

import pytest

from duologue.model import SUBJECTS, Kind, Subject, kinds_about
from duologue.protocol.render import EVENT_TYPES
from duologue.storage.tables.replay import LOADERS


@pytest.mark.parametrize("table", [SUBJECTS, LOADERS, EVENT_TYPES], ids=["subjects", "loaders", "types"])
def test_every_kind_is_known(table: dict[Kind, object]) -> None:
    assert set(table) == set(Kind)


def test_each_kind_is_about_one_record() -> None:
    assert kinds_about(*Subject) == tuple(range(1, len(Kind) + 1))
    assert sorted(kind for subject in Subject for kind in kinds_about(subject)) == sorted(Kind)
