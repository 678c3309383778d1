"""When a duty looks next."""

import asyncio

import pytest

from htq.keeper.alarm import Alarm
from htq.policy.store_time import StoreTime
from htq.words.clock import Chance
from support.clock import ManualClock


class Steady(Chance):
    """No jitter; a spread is half of what it may be."""

    def around(self, seconds: float, share: float = 0.1) -> float:
        return seconds

    def below(self, seconds: float) -> float:
        return seconds / 2


class Waiter:
    """Somebody who waits for an alarm."""

    def __init__(self, *, spread: float = 0.0) -> None:
        self.clock = ManualClock()
        self.time = StoreTime(self.clock)
        self.alarm = Alarm(1.0, clock=self.clock, time=self.time, chance=Steady(self.clock), spread=spread)

    def at(self, seconds: float) -> int:
        return self.clock.now_ms() + round(seconds * 1000)

    async def waits(self, seconds: float) -> None:
        """It ends after exactly so many seconds."""
        waiting = asyncio.create_task(self.alarm.wait())
        async with asyncio.timeout(5):
            await self.clock.somebody_sleeps(seconds)
            assert not waiting.done()
            self.clock.advance(seconds)
            await waiting


@pytest.fixture
def waiter() -> Waiter:
    return Waiter()


async def test_with_nothing_known_it_waits_for_its_period(waiter: Waiter) -> None:
    await waiter.waits(1.0)


async def test_it_ends_at_the_time_that_is_known(waiter: Waiter) -> None:
    waiter.alarm.note(waiter.at(0.7))
    waiter.alarm.note(waiter.at(0.9))
    waiter.alarm.note(None)
    await waiter.waits(0.7)


@pytest.mark.parametrize("ahead_ms", [-3_600_000, 3_600_000])
async def test_the_time_is_the_stores(waiter: Waiter, ahead_ms: int) -> None:
    waiter.time.heard(waiter.at(0) + ahead_ms, waiter.time.asks())
    waiter.alarm.note(waiter.at(0.7) + ahead_ms)
    await waiter.waits(0.7)


async def test_times_that_lie_close_together_are_looked_at_together(waiter: Waiter) -> None:
    waiter.alarm.note(waiter.at(0.001))
    await waiter.waits(0.01)


async def test_a_time_beyond_the_period_is_not_waited_for(waiter: Waiter) -> None:
    waiter.alarm.note(waiter.at(3600))
    await waiter.waits(1.0)


async def test_a_signal_of_an_earlier_time_brings_it_forward(waiter: Waiter) -> None:
    waiter.alarm.note(waiter.at(0.7))
    waiting = asyncio.create_task(waiter.alarm.wait())
    async with asyncio.timeout(5):
        await waiter.clock.somebody_sleeps(0.7)
        waiter.alarm.hear(waiter.at(0.8))
        waiter.alarm.hear(waiter.at(0.3))
        await waiter.clock.somebody_sleeps(0.3)
        assert not waiting.done()
        waiter.clock.advance(0.3)
        await waiting


@pytest.mark.parametrize("seconds", [0.0, -5.0])
async def test_a_signal_of_what_is_due_ends_it_at_once(waiter: Waiter, seconds: float) -> None:
    waiting = asyncio.create_task(waiter.alarm.wait())
    async with asyncio.timeout(5):
        await waiter.clock.somebody_sleeps(1.0)
        waiter.alarm.hear(waiter.at(seconds))
        await waiting


async def test_a_signal_that_came_before_the_waiting_counts(waiter: Waiter) -> None:
    waiter.alarm.reset()
    waiter.alarm.ring()
    async with asyncio.timeout(5):
        await waiter.alarm.wait()


async def test_what_was_known_is_forgotten_before_a_look(waiter: Waiter) -> None:
    waiter.alarm.ring()
    waiter.alarm.note(waiter.at(0.1))
    waiter.alarm.reset()
    await waiter.waits(1.0)


async def test_a_store_whose_clock_is_behind_is_asked_less_and_less_often(waiter: Waiter) -> None:
    due_at = waiter.at(-0.5)
    for seconds in (0.01, 0.02, 0.04, 0.05, 0.05):
        waiter.alarm.reset()
        waiter.alarm.note(due_at)
        await waiter.waits(seconds)
    waiter.alarm.reset()
    waiter.alarm.note(waiter.at(0.2))
    await waiter.waits(0.2)
    waiter.alarm.reset()
    waiter.alarm.note(waiter.at(0))
    await waiter.waits(0.01)


async def test_with_a_spread_a_ring_is_put_off_a_little() -> None:
    waiter = Waiter(spread=0.02)
    waiter.alarm.ring()
    await waiter.waits(0.01)


async def test_a_period_that_is_over_is_not_put_off() -> None:
    await Waiter(spread=0.02).waits(1.0)
