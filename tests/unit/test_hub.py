"""The hub hands each notice to those who follow its user, and each signal to those it is for."""

from __future__ import annotations

import asyncio

import pytest

from duologue.core.events import Publisher
from duologue.realtime.bus import Hidden, LocalBus, Notice, Roll, TransientFrame, Whereabouts
from duologue.realtime.hub import Hub, Waiter

ANA, BEN = 1, 2


class Follower:
    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.rechecks = 0
        self.ends: list[int] = []

    def offer(self, notice: Notice) -> None:
        self.seqs.append(notice.seq)

    def recheck(self) -> None:
        self.rechecks += 1

    def reached(self, seq: int) -> None:
        self.ends.append(seq)


class Device:
    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def signal(self, frame: bytes) -> None:
        self.frames.append(frame)


def notice(user_id: int, seq: int) -> Notice:
    return Notice(user_id, seq, 1, 1, 1, 0, b"{}")


def test_a_notice_goes_to_all_who_follow_its_user_and_to_nobody_else() -> None:
    hub, one, other, stranger = Hub(), Follower(), Follower(), Follower()
    hub.attach(ANA, one)
    hub.attach(ANA, other)
    hub.attach(BEN, stranger)
    hub.deliver([notice(ANA, 1), notice(BEN, 7), notice(ANA, 2), notice(3, 1)])
    assert (one.seqs, other.seqs, stranger.seqs) == ([1, 2], [1, 2], [7])


def test_who_has_stopped_following_hears_nothing_and_may_stop_twice() -> None:
    hub, one, other = Hub(), Follower(), Follower()
    hub.attach(ANA, one)
    hub.attach(ANA, other)
    hub.detach(ANA, one)
    hub.detach(ANA, one)
    hub.deliver([notice(ANA, 1)])
    assert (one.seqs, other.seqs) == ([], [1])


def test_a_user_is_wanted_while_somebody_follows() -> None:
    hub, one, other = Hub(), Follower(), Follower()
    assert not hub.wants(ANA)
    hub.attach(ANA, one)
    hub.attach(ANA, other)
    hub.detach(ANA, one)
    assert hub.wants(ANA)
    hub.detach(ANA, other)
    assert not hub.wants(ANA)


def test_a_follower_may_leave_while_it_is_told() -> None:
    """A connection that is too slow ends in the middle of a delivery."""
    hub, stays = Hub(), Follower()

    class Leaves(Follower):
        def offer(self, notice: Notice) -> None:
            super().offer(notice)
            hub.detach(ANA, self)

    leaves = Leaves()
    hub.attach(ANA, leaves)
    hub.attach(ANA, stays)
    hub.deliver([notice(ANA, 1), notice(ANA, 2)])
    assert (leaves.seqs, stays.seqs) == ([1], [1, 2])


def test_all_followers_are_told_to_look_again() -> None:
    hub, one, other = Hub(), Follower(), Follower()
    hub.attach(ANA, one)
    hub.attach(BEN, other)
    hub.recheck()
    assert (one.rechecks, other.rechecks) == (1, 1)


def test_a_signal_for_the_user_goes_to_all_its_devices() -> None:
    hub, phone, tablet, stranger = Hub(), Device(), Device(), Device()
    hub.arrive(ANA, phone)
    hub.arrive(ANA, tablet)
    hub.arrive(BEN, stranger)
    hub.signal(TransientFrame(ANA, b"typing"))
    assert (phone.frames, tablet.frames, stranger.frames) == ([b"typing"], [b"typing"], [])


def test_a_word_for_the_watchers_goes_to_them_alone() -> None:
    hub, own, watcher, other = Hub(), Device(), Device(), Device()
    hub.arrive(ANA, own)
    hub.watch(ANA, watcher)
    hub.watch(BEN, other)
    hub.tell_watchers(ANA, b"presence")
    assert (own.frames, watcher.frames, other.frames) == ([], [b"presence"], [])
    hub.unwatch(ANA, watcher)
    hub.unwatch(ANA, watcher)
    hub.tell_watchers(ANA, b"presence")
    assert watcher.frames == [b"presence"]


def test_the_first_device_that_comes_and_the_last_that_goes_are_told_apart() -> None:
    hub, phone, tablet = Hub(), Device(), Device()
    assert hub.arrive(ANA, phone)
    assert not hub.arrive(ANA, tablet)
    assert hub.devices(ANA) == 2
    assert not hub.leave(ANA, phone)
    assert hub.leave(ANA, tablet)
    assert hub.devices(ANA) == 0


def test_nothing_is_kept_of_those_who_left() -> None:
    hub = Hub()
    for user_id in range(100):
        follower, device = Follower(), Device()
        hub.attach(user_id, follower)
        hub.arrive(user_id, device)
        hub.watch(user_id, device)
        hub.detach(user_id, follower)
        hub.leave(user_id, device)
        hub.unwatch(user_id, device)
    assert hub.idle


@pytest.mark.anyio
async def test_a_waiter_wakes_at_news_and_gives_up_after_its_time() -> None:
    waiter = Waiter()
    assert not await waiter.wait(0.01)
    asyncio.get_running_loop().call_later(0.01, waiter.offer, notice(ANA, 1))
    assert await waiter.wait(10)
    assert not await waiter.wait(0.01), "each piece of news wakes once"
    waiter.recheck()
    assert await waiter.wait(10)


@pytest.mark.anyio
async def test_a_waiter_remembers_news_that_came_before_it_waited() -> None:
    waiter = Waiter()
    waiter.offer(notice(ANA, 1))
    assert await waiter.wait(0)


def test_who_is_where_is_heard_by_the_one_who_keeps_count() -> None:
    hub, heard = Hub(), list[Whereabouts | Roll | Hidden]()
    hub.on_presence = heard.append
    said = Whereabouts(1, [ANA], online=True, at=1)
    hub.signal(said)
    hub.signal(Roll([ANA]))
    assert heard == [said, Roll([ANA])]


def test_a_doubtful_commit_makes_every_follower_look_again() -> None:
    hub, followers = Hub(), [Follower(), Follower()]
    for user_id, follower in zip((ANA, BEN), followers, strict=True):
        hub.attach(user_id, follower)
    Publisher(LocalBus(), hub).in_doubt()
    assert [follower.rechecks for follower in followers] == [1, 1]


@pytest.mark.anyio
async def test_a_waiter_is_woken_by_a_log_that_goes_further() -> None:
    waiter = Waiter()
    waiter.seen = 4
    waiter.reached(4)
    assert not await waiter.wait(0)
    waiter.reached(5)
    assert await waiter.wait(0)
