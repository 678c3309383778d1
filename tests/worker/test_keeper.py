"""When the keeper looks, and how often."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from htq.keeper import FORGET_EVERY, PROMOTE_EVERY, Keeper
from htq.stores.base import Promoted, Signal, Store, TasksAvailable
from htq.words.clock import Chance
from support.clock import ManualClock


class StubStore:
    """Says what a test has laid ready, and counts."""

    def __init__(self) -> None:
        self.listener: Callable[[Signal], None] | None = None
        self.promotes: asyncio.Queue[asyncio.Future[Promoted]] = asyncio.Queue()
        self.expired = 0
        self.forgets = 0

    def subscribe(self, listener: Callable[[Signal], None]) -> Callable[[], None]:
        self.listener = listener
        return lambda: None

    async def promote(self, limit: int) -> Promoted:
        answer: asyncio.Future[Promoted] = asyncio.get_running_loop().create_future()
        self.promotes.put_nowait(answer)
        return await answer

    async def reap(self, limit: int) -> int:
        return 0

    async def forget(self, limit: int) -> int:
        self.forgets += 1
        done = min(self.expired, 25)
        self.expired -= done
        return done


class Steady(Chance):
    """Periods without jitter."""

    def around(self, seconds: float, share: float = 0.1) -> float:
        return seconds


class Desk:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = StubStore()
        self.keeper = Keeper(cast("Store", self.store), clock=self.clock, chance=Steady(self.clock))

    def hear(self, seconds: float) -> None:
        assert self.store.listener is not None
        self.store.listener(TasksAvailable(self.clock.now_ms() + round(seconds * 1000)))


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_task_that_comes_in_while_it_looks_is_not_forgotten(desk: Desk) -> None:
    keeping = asyncio.create_task(desk.keeper.run())
    first = await desk.store.promotes.get()
    desk.hear(0.1)
    first.set_result(Promoted(0, None))
    await desk.clock.somebody_sleeps(0.1)
    desk.clock.advance(0.1)
    await desk.store.promotes.get()
    keeping.cancel()


async def test_a_store_whose_clock_is_behind_is_not_asked_without_a_pause(desk: Desk) -> None:
    keeping = asyncio.create_task(desk.keeper.run())
    (await desk.store.promotes.get()).set_result(Promoted(0, desk.clock.now_ms() - 500))
    await desk.clock.somebody_sleeps(0.05)
    assert desk.store.promotes.empty()
    keeping.cancel()


async def test_with_nothing_scheduled_it_looks_once_a_period(desk: Desk) -> None:
    keeping = asyncio.create_task(desk.keeper.run())
    (await desk.store.promotes.get()).set_result(Promoted(0, None))
    await desk.clock.somebody_sleeps(PROMOTE_EVERY)
    desk.clock.advance(PROMOTE_EVERY)
    await desk.store.promotes.get()
    keeping.cancel()


async def test_it_forgets_until_nothing_is_left_before_it_rests(desk: Desk) -> None:
    desk.store.expired = 60
    keeping = asyncio.create_task(desk.keeper.run())
    await desk.clock.somebody_sleeps(FORGET_EVERY)
    assert (desk.store.expired, desk.store.forgets) == (0, 4)
    keeping.cancel()
