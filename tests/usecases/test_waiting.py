"""Who waits is woken for his own task only, and a gap in the signals costs one round of batched reading."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import cast

import pytest

from htq.stores.base import Gap, Signal, Store
from htq.usecases.waiting import Waiting
from htq.words.clock import Chance
from htq.words.states import State
from support.clock import ManualClock

BOUND = 10.0
BATCH = 4


class States:
    """The part of a store that waiting needs. A round goes on when it is let."""

    def __init__(self) -> None:
        self.final: set[str] = set()
        self.calls: list[list[str]] = []
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.listener: Callable[[Signal], None] = lambda signal: None

    def subscribe(self, listener: Callable[[Signal], None]) -> Callable[[], None]:
        self.listener = listener
        return lambda: None

    async def states(self, uuids: Sequence[str]) -> list[tuple[State, bool] | None]:
        self.calls.append(list(uuids))
        self.asked.set()
        await self.gate.wait()
        return [("success" if uuid in self.final else "pending", False) for uuid in uuids]

    async def called(self, count: int) -> None:
        while len(self.calls) < count:
            self.asked.clear()
            await self.asked.wait()


class HeardClock(ManualClock):
    """Counts who goes to sleep: the poll does so when there is nothing to do at once."""

    def __init__(self) -> None:
        super().__init__()
        self._sleeps = 0
        self._more = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self._sleeps += 1
        self._more.set()
        await super().sleep(seconds)

    async def slept(self, count: int) -> None:
        while self._sleeps < count:
            self._more.clear()
            await self._more.wait()


class Waiters:
    """Callers who wait, each for a task of its own, and how often each has looked."""

    def __init__(self, waiting: Waiting, states: States, count: int) -> None:
        self._waiting = waiting
        self._states = states
        self.looks = dict.fromkeys((f"task {number}" for number in range(count)), 0)
        self._looked = asyncio.Event()
        self.tasks = {uuid: asyncio.create_task(self._wait(uuid)) for uuid in self.looks}

    async def all_wait(self) -> None:
        """Until each has looked once before it waits, and once as it begins to."""
        while min(self.looks.values()) < 2:
            self._looked.clear()
            await self._looked.wait()

    async def _wait(self, uuid: str) -> str | None:
        async def look() -> str | None:
            self.looks[uuid] += 1
            self._looked.set()
            return uuid if uuid in self._states.final else None

        return await self._waiting.until(uuid, look, None)


@pytest.fixture
async def states() -> States:
    return States()


@pytest.fixture
def clock() -> HeardClock:
    return HeardClock()


@pytest.fixture
async def waiters(states: States, clock: HeardClock) -> AsyncIterator[Waiters]:
    waiting = Waiting(
        cast("Store", states), clock=clock, chance=Chance(clock, seed=1), poll_every=1.0, max_waiters=100, batch=BATCH
    )
    waiters = Waiters(waiting, states, 10)
    async with asyncio.timeout(BOUND):
        await waiters.all_wait()
        await clock.slept(1)
    yield waiters
    for task in waiters.tasks.values():
        task.cancel()
    await asyncio.wait(waiters.tasks.values())
    assert len(waiting) == 0
    await waiting.close()


async def test_a_gap_wakes_only_those_whose_task_has_ended(states: States, waiters: Waiters) -> None:
    states.final.add("task 3")
    async with asyncio.timeout(BOUND):
        states.listener(Gap())
        assert await waiters.tasks["task 3"] == "task 3"
        await states.called(3)
        assert [len(call) for call in states.calls] == [4, 4, 2]
        states.listener(Gap())
        await states.called(6)
    assert waiters.looks.pop("task 3") == 3
    assert set(waiters.looks.values()) == {2}, "the others have not looked again"


async def test_gaps_during_a_round_make_one_more(states: States, waiters: Waiters, clock: HeardClock) -> None:
    states.gate.clear()
    async with asyncio.timeout(BOUND):
        states.listener(Gap())
        await states.called(1)
        for _ in range(50):
            states.listener(Gap())
        states.gate.set()
        await clock.slept(2)
        assert len(states.calls) == 6
        # The round after these comes with the time.
        states.final.update(waiters.tasks)
        clock.advance(2)
        assert {await task for task in waiters.tasks.values()} == set(waiters.tasks)
    assert len(states.calls) == 9
