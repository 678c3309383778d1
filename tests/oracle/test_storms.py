"""Cancels by the thousand: nothing is left behind, the API goes on answering, and every service is told once."""

import asyncio
import gc
import itertools
import os
import resource
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from e2e.system import System
from htq.client import AsyncClient
from htq.compose import make_store
from htq.policy.egress import Egress
from htq.sender import HttpSender
from htq.stores.base import Cancel, Store
from htq.words.clock import Chance, SystemClock
from htq.words.task import NewTask, Request
from htq.worker import Worker, WorkerSettings
from oracle.crowd import Crowd

CANCELS = int(os.environ.get("HTQ_TEST_CHURN", "2000"))
"""20,000 for the long form."""
RUNNING = int(os.environ.get("HTQ_TEST_RUNNING", "1000"))
"""Requests that are canceled at once: 10,000 for the long form."""

AT_ONCE = 250
CALLERS = 32
WITHIN = 60 + RUNNING / 50

LONG = CANCELS > 2000 or RUNNING > 1000


@asynccontextmanager
async def working(url: str) -> AsyncIterator[Store]:
    """A store with a worker on it that has room for a batch."""
    clock = SystemClock()
    chance = Chance(clock)
    store = make_store(url, clock=clock, chance=chance)
    await store.open()
    sender = HttpSender(clock=clock, egress=Egress())
    stop = asyncio.Event()
    worker = Worker(store, sender, clock=clock, chance=chance, settings=WorkerSettings(threads=AT_ONCE))
    run = asyncio.ensure_future(worker.run(stop, asyncio.Event()))
    try:
        yield store
    finally:
        stop.set()
        async with asyncio.timeout(30):
            await run
        await sender.close()
        await store.close()


class Footprint(NamedTuple):
    """What a process holds."""

    descriptors: int
    sockets: int
    tasks: int
    memory: int

    @classmethod
    def now(cls) -> "Footprint":
        gc.collect()
        process = psutil.Process()
        return cls(
            process.num_fds(),
            len(process.net_connections("all")),
            len(asyncio.all_tasks()),
            process.memory_info().rss,
        )


async def settled(store: Store, uuids: list[str]) -> None:
    """Wait until nothing more will happen to these tasks."""
    changed = asyncio.Event()
    unsubscribe = store.subscribe(lambda _: changed.set())
    try:
        async with asyncio.timeout(30):
            while any(task is not None and not task.is_settled for task in await store.get(uuids)):
                await changed.wait()
                changed.clear()
    finally:
        unsubscribe()


async def cancel_a_batch(store: Store, crowd: Crowd, chance: Chance) -> None:
    """Have requests on the wire, and cancel them all in one call; when this returns all is settled."""
    request = Request(url=crowd.url, method="post")
    uuids = [chance.uuid() for _ in range(AT_ONCE)]
    await store.enqueue(
        [NewTask(uuid=each, request=request, key="crowd", host="127.0.0.1", result_ttl=1.0) for each in uuids]
    )
    await crowd.held(AT_ONCE, 30)
    await store.cancel([Cancel(uuid) for uuid in uuids])
    await crowd.told(AT_ONCE, 30)
    await crowd.released(30)
    await settled(store, uuids)
    assert set(crowd.posts.values()) == {1}
    assert set(crowd.deletes.values()) == {1}
    crowd.clear()


async def by_many(calls: Sequence[Callable[..., Awaitable[Any]]], given: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Make all calls, `CALLERS` at a time; their answers in order."""
    slots = asyncio.Semaphore(CALLERS)

    async def one(call: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
        async with slots:
            return await call(*arguments)

    return await asyncio.gather(*[one(call, each) for call, each in zip(calls, given, strict=True)])


async def probe(client: AsyncClient, uuids: Sequence[str], until: asyncio.Event) -> list[float]:
    """Ask for one status after another; how long each answer took."""
    loop = asyncio.get_running_loop()
    took = []
    for uuid in itertools.cycle(uuids):
        asked = loop.time()
        await client.status(uuid)
        took.append(loop.time() - asked)
        if until.is_set():
            break
    return took


@pytest.mark.timeout(600 if LONG else 120)
async def test_cancels_leave_nothing_behind(store_url: str, crowd: Crowd) -> None:
    chance = Chance(SystemClock())
    async with working(store_url) as store:
        for _ in range(2):
            await cancel_a_batch(store, crowd, chance)
        await crowd.empty(10)
        before = Footprint.now()
        for _ in range(CANCELS // AT_ONCE):
            await cancel_a_batch(store, crowd, chance)
        await crowd.empty(10)
        after = Footprint.now()
    print(f"\n{CANCELS} cancels: {before} -> {after}")  # noqa: T201 - the figures, for whoever asks with -s
    assert after.tasks <= before.tasks
    assert after.descriptors <= before.descriptors + 2
    assert after.sockets <= before.sockets + 2
    assert after.memory - before.memory < 30 * 1024 * 1024


@pytest.mark.timeout(600 if LONG else 120)
@pytest.mark.parametrize("in_one_call", [False, True], ids=["one by one", "in one call"])
async def test_the_api_answers_while_everything_that_runs_is_canceled(
    store_url: str, crowd: Crowd, tmp_path: Path, in_one_call: bool
) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert most > RUNNING + 1000, f"{RUNNING} requests need more than the {most} open files allowed here"
    loop = asyncio.get_running_loop()
    async with System(store_url, tmp_path) as system:
        process, client = await system.up("--threads", str(RUNNING))
        uuids = await by_many([client.send] * RUNNING, [(crowd.url, "post")] * RUNNING)
        names = [task["uuid"] for task in uuids]
        await crowd.held(RUNNING, WITHIN)
        answered: dict[str, float] = {}

        async def cancel(uuid: str) -> None:
            await client.cancel(uuid)
            answered[uuid] = loop.time()

        done = asyncio.Event()
        probing = asyncio.ensure_future(probe(client, names, done))
        began = loop.time()
        if in_one_call:
            assert await client.cancel_all(queue="default") == RUNNING
        else:
            await by_many([cancel] * RUNNING, [(uuid,) for uuid in names])
        canceled = loop.time()
        await crowd.told(RUNNING, WITHIN)
        told = loop.time()
        await crowd.released(WITHIN)
        released = loop.time()
        done.set()
        took = await probing
        latencies = sorted(crowd.arrived_at[uuid] - answered.get(uuid, began) for uuid in names)
        print(  # noqa: T201
            f"\n{RUNNING} canceled in {canceled - began:.2f} s, told in {told - began:.2f} s, closed in "
            f"{released - began:.2f} s; the API answered in {statistics.median(took) * 1000:.1f} ms, {max(took):.3f} s at "
            f"worst of {len(took)}; to the DELETE p50 {latencies[RUNNING // 2]:.3f} s, max {latencies[-1]:.3f} s"
        )
        assert max(took) < 1.0
        assert await client.status(names[-1]) == "canceled"
        # An orderly end sends what is owed: after it, no DELETE is still to come.
        assert await process.terminate() == 0
    assert set(crowd.posts.values()) == {1}
    assert set(crowd.deletes) == set(names)
    assert set(crowd.deletes.values()) == {1}
