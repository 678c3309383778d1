"""When the keeper looks, and how often."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from htq.keeper import CALLBACKS_EVERY, EXPIRE_EVERY, FIRE_EVERY, FORGET_EVERY, PROMOTE_EVERY, Keeper
from htq.policy.store_time import StoreTime
from htq.stores.base import DueSchedules, Expired, Gap, OwedCallback, Promoted, Signal, Store, TasksAvailable, ToDo
from htq.words.clock import Chance
from htq.words.errors import StoreUnavailable
from support.clock import ManualClock

NOTHING_SCHEDULED = Promoted(0, None)


class StubStore:
    """Says what a test has laid ready, and counts."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.listener: Callable[[Signal], None] | None = None
        self.promotes: asyncio.Queue[asyncio.Future[Promoted]] = asyncio.Queue()
        self.looks: dict[str, asyncio.Queue[None]] = {
            name: asyncio.Queue() for name in ("expire", "schedules", "callbacks")
        }
        self.past_their_time = 0
        self.expires_next: int | None = None
        self.forgettable = 0
        self.forgets = 0

    def subscribe(self, listener: Callable[[Signal], None]) -> Callable[[], None]:
        self.listener = listener
        return lambda: None

    async def promote(self, limit: int) -> Promoted:
        answer: asyncio.Future[Promoted] = asyncio.get_running_loop().create_future()
        self.promotes.put_nowait(answer)
        return await answer

    async def expire(self, limit: int) -> Expired:
        self.looks["expire"].put_nowait(None)
        done = min(self.past_their_time, limit)
        self.past_their_time -= done
        return Expired(done, self.expires_next)

    async def due_schedules(self, limit: int) -> DueSchedules:
        self.looks["schedules"].put_nowait(None)
        return DueSchedules([], None, self._clock.now_ms())

    async def owed_callbacks(self, limit: int) -> list[OwedCallback]:
        self.looks["callbacks"].put_nowait(None)
        return []

    async def reap(self, limit: int) -> int:
        return 0

    async def forget(self, limit: int) -> int:
        self.forgets += 1
        done = min(self.forgettable, 25)
        self.forgettable -= done
        return done


class Steady(Chance):
    """Periods without jitter."""

    def around(self, seconds: float, share: float = 0.1) -> float:
        return seconds

    def below(self, seconds: float) -> float:
        return 0.0


class Desk:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = StubStore(self.clock)
        time = StoreTime(self.clock)
        self.keeper = Keeper(cast("Store", self.store), clock=self.clock, time=time, chance=Steady(self.clock))
        self.keeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.keeping = asyncio.create_task(self.keeper.run())

    def hear(self, signal: Signal) -> None:
        assert self.store.listener is not None
        self.store.listener(signal)

    def at(self, seconds: float) -> int:
        return self.clock.now_ms() + round(seconds * 1000)

    async def looks(self, name: str) -> None:
        async with asyncio.timeout(5):
            await self.store.looks[name].get()

    async def promotes(self) -> asyncio.Future[Promoted]:
        async with asyncio.timeout(5):
            return await self.store.promotes.get()

    async def sleeps(self, seconds: float) -> None:
        """Wait until somebody sleeps for so long."""
        async with asyncio.timeout(5):
            await self.clock.somebody_sleeps(seconds)

    async def rests(self) -> None:
        """Every duty has looked once and waits."""
        (await self.promotes()).set_result(NOTHING_SCHEDULED)
        for name, period in (("expire", EXPIRE_EVERY), ("schedules", FIRE_EVERY), ("callbacks", CALLBACKS_EVERY)):
            await self.looks(name)
            await self.sleeps(period)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    assert desk.keeping is not None
    desk.keeping.cancel()
    await asyncio.wait((desk.keeping,))


async def test_a_task_that_comes_in_while_it_looks_is_not_forgotten(desk: Desk) -> None:
    desk.start()
    first = await desk.promotes()
    desk.hear(TasksAvailable(desk.at(0.1)))
    first.set_result(NOTHING_SCHEDULED)
    await desk.sleeps(0.1)
    desk.clock.advance(0.1)
    await desk.promotes()


async def test_a_store_whose_clock_is_behind_is_not_asked_without_a_pause(desk: Desk) -> None:
    desk.start()
    (await desk.promotes()).set_result(Promoted(0, desk.at(-0.5)))
    await desk.sleeps(0.01)
    assert desk.store.promotes.empty()


async def test_with_nothing_scheduled_it_looks_once_a_period(desk: Desk) -> None:
    desk.start()
    (await desk.promotes()).set_result(NOTHING_SCHEDULED)
    await desk.sleeps(PROMOTE_EVERY)
    desk.clock.advance(PROMOTE_EVERY)
    await desk.promotes()


async def test_it_promotes_at_the_very_time_of_the_next_task(desk: Desk) -> None:
    desk.start()
    (await desk.promotes()).set_result(Promoted(3, desk.at(0.25)))
    await desk.sleeps(0.25)
    assert desk.store.promotes.empty()
    desk.clock.advance(0.25)
    await desk.promotes()


async def test_it_goes_on_at_once_while_there_is_more_than_one_step_takes(desk: Desk) -> None:
    desk.start()
    (await desk.promotes()).set_result(Promoted(500, desk.at(-5)))
    await desk.promotes()


async def test_a_store_that_is_away_is_asked_again(desk: Desk) -> None:
    desk.start()
    (await desk.promotes()).set_exception(StoreUnavailable("away"))
    await desk.sleeps(PROMOTE_EVERY)
    desk.clock.advance(PROMOTE_EVERY)
    await desk.promotes()


async def test_a_time_of_the_keepers_is_looked_at_then(desk: Desk) -> None:
    desk.start()
    await desk.rests()
    desk.hear(ToDo(desk.at(0.3)))
    await desk.sleeps(0.3)
    desk.clock.advance(0.3)
    await desk.looks("expire")
    await desk.looks("schedules")
    assert desk.store.looks["callbacks"].empty()


async def test_what_expires_next_is_looked_at_then(desk: Desk) -> None:
    desk.store.expires_next = desk.at(0.4)
    desk.start()
    await desk.looks("expire")
    await desk.sleeps(0.4)
    desk.clock.advance(0.4)
    await desk.looks("expire")


async def test_a_crowd_that_expires_is_ended_step_by_step(desk: Desk) -> None:
    desk.store.past_their_time = 1100
    desk.start()
    for _ in range(3):
        await desk.looks("expire")
    assert desk.store.past_their_time == 0


async def test_a_callback_that_is_owed_is_looked_for_at_once(desk: Desk) -> None:
    desk.start()
    await desk.rests()
    desk.hear(ToDo())
    await desk.sleeps(0)
    desk.clock.advance(0)
    await desk.looks("callbacks")
    assert desk.store.looks["expire"].empty()


async def test_after_a_gap_everything_is_looked_at(desk: Desk) -> None:
    desk.start()
    await desk.rests()
    desk.hear(Gap())
    await desk.promotes()
    await desk.looks("expire")
    await desk.looks("schedules")
    await desk.sleeps(0)
    desk.clock.advance(0)
    await desk.looks("callbacks")


async def test_it_forgets_until_nothing_is_left_before_it_rests(desk: Desk) -> None:
    desk.store.forgettable = 60
    desk.start()
    await desk.sleeps(FORGET_EVERY)
    assert (desk.store.forgettable, desk.store.forgets) == (0, 4)
