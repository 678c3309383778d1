"""What a Redis store does when its server dies, hangs, forgets, or comes back."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from htq.stores.base import Cancel, Done, Gap, Signal
from htq.stores.redis import RedisStore
from htq.words.clock import Chance, SystemClock
from htq.words.errors import StoreUnavailable
from htq.words.task import NewTask
from stores.conformance.lab import INFO, answer, outcome, request
from support.redis_server import RedisServer, flavours

WITHIN = 4.0
"""The contract's bound on every verb, seconds."""


@pytest.fixture(params=flavours())
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(request.param) as running:
        yield running


@pytest.fixture
def chance() -> Chance:
    return Chance(SystemClock())


@pytest.fixture
async def store(server: RedisServer, chance: Chance) -> AsyncIterator[RedisStore]:
    it = RedisStore(server.url, chance=chance)
    await it.open()
    yield it
    await it.close()


def new_tasks(chance: Chance, count: int) -> list[NewTask]:
    return [NewTask(uuid=chance.uuid(), request=request(), key="k", host="h") for _ in range(count)]


async def test_nothing_is_lost_when_the_server_is_killed(
    server: RedisServer, store: RedisStore, chance: Chance
) -> None:
    tasks = new_tasks(chance, 50)
    await store.enqueue(tasks)
    session = await store.open_session(INFO, 60.0)
    claims = (await store.claim(session, 1, 20)).claims
    done = claims[:10]
    now = claims[0].claimed_at
    outcomes = [outcome(claim, session, Done("success", answer(now)), now) for claim in done]
    assert await store.finish(session, outcomes) == ["applied"] * 10
    assert await store.cancel([Cancel(tasks[-1].uuid)]) == ["canceled"]
    before = await store.get([task.uuid for task in tasks])
    server.kill()
    server.start()
    assert await store.get([task.uuid for task in tasks]) == before
    assert (await store.claim(session, 1, 20)).claims == claims[10:]
    assert await store.finish(session, outcomes) == ["applied"] * 10


async def test_library_is_loaded_again_where_the_server_has_lost_it(
    store: RedisStore, server: RedisServer, chance: Chance
) -> None:
    with server.client() as client:
        client.function_flush()
    (enqueued,) = await store.enqueue(new_tasks(chance, 1))
    assert await store.states([enqueued.uuid]) == [("queued", False)]


async def test_server_without_persistence_comes_back_empty_and_working(chance: Chance) -> None:
    with RedisServer(appendonly=False) as server:
        store = RedisStore(server.url, chance=chance)
        await store.open()
        try:
            (lost,) = await store.enqueue(new_tasks(chance, 1))
            server.kill()
            server.start()
            assert await store.get([lost.uuid]) == [None]
            (kept,) = await store.enqueue(new_tasks(chance, 1))
            assert await store.states([kept.uuid]) == [("queued", False)]
        finally:
            await store.close()


async def test_absent_server_is_unavailable_and_its_return_is_enough(
    server: RedisServer, store: RedisStore, chance: Chance
) -> None:
    tasks = new_tasks(chance, 1)
    server.kill()
    for _ in range(3):
        async with asyncio.timeout(WITHIN):
            with pytest.raises(StoreUnavailable):
                await store.enqueue(tasks)
    server.start()
    (enqueued,) = await store.enqueue(tasks)
    assert enqueued.uuid == tasks[0].uuid


async def test_frozen_server_is_unavailable_in_time_and_no_reply_is_mistaken(
    server: RedisServer, store: RedisStore, chance: Chance
) -> None:
    tasks = new_tasks(chance, 2)
    await store.enqueue(tasks[:1])
    server.freeze()
    began = time.perf_counter()
    # More than there are connections: those that wait for one are answered in time as well.
    verbs = [store.states([tasks[0].uuid]) for _ in range(30)]
    results = await asyncio.gather(*verbs, store.enqueue(tasks[1:]), return_exceptions=True)
    assert time.perf_counter() - began < WITHIN
    assert all(isinstance(result, StoreUnavailable) for result in results)
    server.thaw()
    assert await store.states([task.uuid for task in tasks[:1]]) == [("queued", False)]
    assert [enqueued.uuid for enqueued in await store.enqueue(tasks)] == [task.uuid for task in tasks]


async def test_server_that_never_answers_is_unavailable_in_time(chance: Chance) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        store = RedisStore(f"redis://127.0.0.1:{hole.getsockname()[1]}/0", chance=chance)
        began = time.perf_counter()
        with pytest.raises(StoreUnavailable):
            await store.open()
        assert time.perf_counter() - began < WITHIN
        await store.close()


async def test_full_server_refuses_new_tasks_and_lets_the_others_end(
    server: RedisServer, store: RedisStore, chance: Chance
) -> None:
    await store.enqueue(new_tasks(chance, 3))
    session = await store.open_session(INFO, 60.0)
    with server.client() as client:
        client.config_set("maxmemory", "1")
        with pytest.raises(StoreUnavailable):
            await store.enqueue(new_tasks(chance, 1))
        claims = (await store.claim(session, 1, 2)).claims
        assert len(claims) == 2
        now = claims[0].claimed_at
        outcomes = [outcome(claim, session, Done("success", answer(now)), now) for claim in claims]
        assert await store.finish(session, outcomes) == ["applied", "applied"]
        client.config_set("maxmemory", "0")
    await store.enqueue(new_tasks(chance, 1))


async def test_caller_that_gives_up_leaves_no_reply_behind(
    server: RedisServer, store: RedisStore, chance: Chance
) -> None:
    (first, second) = new_tasks(chance, 2)
    await store.enqueue([first])
    server.freeze()
    waiting = [asyncio.ensure_future(store.get([first.uuid])) for _ in range(5)]
    await asyncio.wait(waiting, timeout=0.05)
    for verb in waiting:
        verb.cancel()
    await asyncio.wait(waiting)
    server.thaw()
    assert [enqueued.uuid for enqueued in await store.enqueue([second])] == [second.uuid]
    assert await store.states([second.uuid, first.uuid, "nobody"]) == [("queued", False), ("queued", False), None]


async def test_signals_come_back_with_a_gap(server: RedisServer, store: RedisStore, chance: Chance) -> None:
    gap, available = asyncio.Event(), asyncio.Event()

    def hear(signal: Signal) -> None:
        (gap if isinstance(signal, Gap) else available).set()

    other = RedisStore(server.url, chance=chance)
    await other.open()
    other.subscribe(hear)
    try:
        server.kill()
        server.start()
        async with asyncio.timeout(10):
            await gap.wait()
            await store.enqueue(new_tasks(chance, 1))
            await available.wait()
    finally:
        await other.close()


async def test_open_and_close_leave_nothing_behind(server: RedisServer, chance: Chance) -> None:
    store = RedisStore(server.url, chance=chance)
    before = await _descriptors()
    for _ in range(50):
        await store.open()
        await store.enqueue(new_tasks(chance, 1))
        await store.close()
    assert await _descriptors() == before
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def _descriptors() -> int:
    """How many are open, once the loop's next round has let go of what was closed."""
    turn = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(turn.set_result, None)
    await turn
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208
