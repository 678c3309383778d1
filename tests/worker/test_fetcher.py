"""When a worker looks for work."""

import asyncio
from typing import cast

import pytest

from htq.policy.store_time import StoreTime
from htq.stores.base import Claim, Claims, QueueSettings, Store
from htq.words.clock import Chance
from htq.words.limits import Hold, LaneLimits, Rate
from htq.words.task import Request
from htq.worker import WorkerSettings
from htq.worker.context import Context
from htq.worker.fetcher import Fetcher
from htq.worker.persist import Persistence
from support.clock import ManualClock
from worker.world import ScriptedSender, World

CLAIM = Claim(
    uuid="01a20a08-766b-7000-bc7b-c5d8b1b884e2",
    attempt=1,
    claimed_at=0,
    request=Request(url="http://127.0.0.1:9/work", method="post"),
    body=b"",
    body_size=0,
    delivery="at_least_once",
)


class ScriptedStore:
    """Answers claims in turn, the last answer again and again."""

    def __init__(self, *answers: Claims) -> None:
        self._answers = list(answers)
        self.seqs: list[int] = []

    async def claim(self, session: str, seq: int, limit: int) -> Claims:
        self.seqs.append(seq)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def fetcher(store: ScriptedStore, clock: ManualClock, started: asyncio.Queue[Claim]) -> Fetcher:
    chance = Chance(clock, seed=3)
    context = Context(
        session="session",
        store=cast("Store", store),
        sender=ScriptedSender(),
        clock=clock,
        time=StoreTime(clock),
        chance=chance,
        persist=Persistence(clock, chance),
        settings=WorkerSettings(),
    )
    return Fetcher(context, free_slots=lambda: 10, start=started.put_nowait)


async def test_it_looks_again_when_the_first_lane_is_ready() -> None:
    clock, started = ManualClock(), asyncio.Queue[Claim]()
    store = ScriptedStore(Claims([], clock.now_ms() + 300), Claims([CLAIM]))
    fetching = fetcher(store, clock, started)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(fetching.run())
        await clock.somebody_sleeps(0.3)
        clock.advance(0.3)
        assert await started.get() is CLAIM
        fetching.stop()
    assert store.seqs == [1, 2]


async def test_a_store_whose_clock_is_behind_is_asked_less_and_less_often() -> None:
    clock, started = ManualClock(), asyncio.Queue[Claim]()
    store = ScriptedStore(Claims([], clock.now_ms() - 10_000))
    fetching = fetcher(store, clock, started)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(fetching.run())
        for wait in (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64):
            await clock.somebody_sleeps(wait)
            clock.advance(wait)
        fetching.stop()
    assert len(store.seqs) == 8


@pytest.mark.parametrize("ahead_ms", [0, -3_600_000, 3_600_000], ids=["right", "behind", "ahead"])
async def test_the_next_task_of_a_rate_starts_at_its_time_by_the_stores_clock(world: World, ahead_ms: int) -> None:
    await world.store.put_queue("default", QueueSettings(rate=(Rate(10),)))
    world.start(ahead_ms=ahead_ms)
    for _ in range(2):
        await world.enqueue()
    async with asyncio.timeout(10):
        await world.sender.requests.get()
        await world.clock.somebody_sleeps(0.1)
        assert world.sender.requests.empty()
        world.clock.advance(0.1)
        await world.sender.requests.get()


async def test_an_end_in_a_full_lane_is_followed_by_the_next_at_once(world: World) -> None:
    await world.store.put_queue("default", QueueSettings(per_key=LaneLimits(concurrency=1)))
    world.start()
    for _ in range(3):
        await world.enqueue()
    for _ in range(3):
        async with asyncio.timeout(10):
            sent = await world.sender.requests.get()
        assert world.sender.requests.empty()
        sent.reply()


async def test_a_hold_that_is_let_go_of_is_noticed_at_once(world: World) -> None:
    hold = Hold(world.clock.now_ms() + 3_600_000, "operator")
    await world.store.put_lane("default", "http://127.0.0.1:9", LaneLimits(), hold)
    world.start()
    held = await world.enqueue()
    other = await world.enqueue(key="another lane")
    async with asyncio.timeout(10):
        assert (await world.sender.requests.get()).header("HTQ-Task-Id") == other
    await world.store.put_lane("default", "http://127.0.0.1:9", LaneLimits(), None)
    async with asyncio.timeout(10):
        assert (await world.sender.requests.get()).header("HTQ-Task-Id") == held


async def test_a_limit_that_is_lifted_is_noticed_at_once(world: World) -> None:
    await world.store.put_queue("default", QueueSettings(concurrency=1))
    world.start()
    for _ in range(2):
        await world.enqueue()
    async with asyncio.timeout(10):
        await world.sender.requests.get()
    assert world.sender.requests.empty()
    await world.store.put_queue("default", QueueSettings(concurrency=2))
    async with asyncio.timeout(10):
        await world.sender.requests.get()
