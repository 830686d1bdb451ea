"""After a restore what was acknowledged since the copy may be gone, and nothing else; and devices must hear of it."""

from __future__ import annotations

from duologue_lab.torture.checker import check
from duologue_lab.torture.history import (
    AnyEntry,
    EventEntry,
    HarmEntry,
    ListeningEntry,
    SentEntry,
    SkippedEntry,
    StoredEntry,
)
from duologue_lab.torture.undone import without_undone
from tests.torture.ideal import Ideal


def restored(*, told: bool, lost: str = "lost") -> list[AnyEntry]:
    """Two people write; an older copy of the store is put back, which lacks one message; they go on."""
    system = Ideal()
    for user in ("ana", "ben"):
        system.person(user, devices=1)
    system.chat("chat", "ana", "ben")
    system.write(0, "chat", "kept")
    system.give(0)
    system.give(1)
    if lost == "kept":
        forget(system)
    system.add(HarmEntry("copy", "store"))
    if lost == "lost":
        system.write(0, "chat", "lost")
        system.give(0)
        forget(system)
    system.add(HarmEntry("restore", "store"))
    if told:
        for device in (0, 1):
            log = len(system.logs[system.owners[device]])
            system.add(SkippedEntry(device, "log_changed", system.given[device], log))
            system.given[device] = log
    else:
        system.given[0] = len(system.logs["ana"]) + 1
        system.write(1, "chat", "in its place")
    system.write(0, "chat", "after")
    return list(system.end().entries)


def forget(system: Ideal) -> None:
    """The store has no longer what came last."""
    system.messages["chat"].pop()
    for log in system.logs.values():
        log.pop()


def rules(entries: list[AnyEntry]) -> set[str]:
    return {violation.rule for violation in check(entries)}


def test_what_was_acknowledged_after_the_copy_may_be_gone() -> None:
    entries = restored(told=True)
    assert any(isinstance(entry, SentEntry) and entry.text == "text of lost" for entry in entries)
    assert not any(isinstance(entry, StoredEntry) and entry.client_id == "lost" for entry in entries)
    assert rules(entries) == set()


def test_what_was_acknowledged_before_the_copy_must_be_there() -> None:
    assert "lost" in rules(restored(told=True, lost="kept"))


def test_what_a_poller_hears_of_a_second_restore_undoes_nothing_of_the_first() -> None:
    """It was told nothing of the first one, and went on: what it had been given before stands."""
    told: list[AnyEntry] = [
        HarmEntry("copy", "store"),
        EventEntry(0, 1, "chat.updated", "12:00", "chat"),
        HarmEntry("restore", "store"),
        ListeningEntry(0, 1, 0),
        EventEntry(0, 2, "chat.updated", "12:01", "chat"),
        HarmEntry("copy", "store"),
        EventEntry(0, 3, "chat.updated", "12:02", "chat"),
        HarmEntry("restore", "store"),
        ListeningEntry(0, 2, 0),
        SkippedEntry(0, "log_changed", 3, 2),
    ]
    kept = [entry.seq for entry in without_undone(told) if isinstance(entry, EventEntry)]
    assert kept == [1, 2]


def test_what_was_on_its_way_to_a_connection_that_outlives_a_restore_is_undone_with_it() -> None:
    """It is of the log that was; until it is told of the new one, the device knows no better."""
    outlived: list[AnyEntry] = [
        EventEntry(0, 1, "chat.updated", "12:00", "chat"),
        HarmEntry("copy", "store"),
        EventEntry(0, 2, "chat.updated", "12:01", "chat"),
        HarmEntry("restore", "store"),
        EventEntry(0, 3, "chat.updated", "12:02", "chat"),
        SkippedEntry(0, "log_changed", 3, 1),
        EventEntry(0, 2, "chat.updated", "12:03", "chat"),
    ]
    kept = [(entry.seq, entry.at) for entry in without_undone(outlived) if isinstance(entry, EventEntry)]
    assert kept == [(1, "12:00"), (2, "12:03")]


def test_what_comes_after_the_next_restore_is_not_undone_with_this_one() -> None:
    told_late: list[AnyEntry] = [
        HarmEntry("copy", "store"),
        HarmEntry("restore", "store"),
        EventEntry(0, 1, "chat.updated", "12:00", "chat"),
        HarmEntry("copy", "store"),
        HarmEntry("restore", "store"),
        EventEntry(1, 1, "chat.updated", "12:01", "chat"),
        SkippedEntry(0, "log_changed", 1, 0),
    ]
    kept = [entry.device for entry in without_undone(told_late) if isinstance(entry, EventEntry)]
    assert kept == [1]


def test_a_device_that_is_not_told_of_a_restore_has_another_log_than_the_others() -> None:
    entries = restored(told=False)
    assert any(isinstance(entry, EventEntry) and entry.client_id == "lost" for entry in entries)
    assert "two logs" in rules(entries)
