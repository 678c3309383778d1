"""The store goes away and comes back: 503 meanwhile, and then everything goes on by itself."""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.system import System
from htq.client import AsyncClient, Unavailable
from support.redis_server import RedisServer
from support.target import FakeTarget, hold


@contextmanager
def frozen_writer(database: Path) -> Iterator[None]:
    """What a process does that was stopped in the middle of its write: it holds the lock, and does not move."""
    lock = os.open(f"{database}.lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


async def refused(client: AsyncClient, target: FakeTarget) -> Unavailable:
    """A POST while the store is away: refused within 5 s, with a time to come again."""
    started = time.perf_counter()
    with pytest.raises(Unavailable) as raised:
        await client.send(target.url("/"))
    assert time.perf_counter() - started < 5
    assert raised.value.retry_after is not None
    assert raised.value.retry_after >= 1
    return raised.value


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[tuple[RedisServer, System]]:
    with RedisServer() as server:
        async with System(server.url, tmp_path) as system:
            yield server, system


async def accepted_again(client: AsyncClient, target: FakeTarget) -> str:
    """The first POST that is taken: the store is back."""
    async with asyncio.timeout(20):
        while True:
            try:
                uuid: str = (await client.send(target.url("/")))["uuid"]
            except Unavailable:
                continue
            return uuid


async def test_a_frozen_redis_gives_503_and_nothing_in_flight_is_lost(
    redis: tuple[RedisServer, System], target: FakeTarget
) -> None:
    server, system = redis
    target.on("/slow", hold())
    _, client = await system.server()
    await system.worker()
    task = await client.send(target.url("/slow"))
    received = await target.arrived("/slow")
    server.freeze()
    try:
        await refused(client, target)
        received.release()
    finally:
        server.thaw()
    assert (await client.wait(task["uuid"], timeout=20))["code"] == 200
    assert len(target.received("/slow")) == 1, "it was not sent again"
    assert (await client.wait(await accepted_again(client, target), timeout=20))["code"] == 200


async def test_a_redis_that_is_killed_and_started_again_has_everything(
    redis: tuple[RedisServer, System], target: FakeTarget
) -> None:
    server, system = redis
    _, client = await system.server()
    tasks = [await client.send(target.url("/")) for _ in range(50)]
    server.kill()
    await refused(client, target)
    worker = await system.run("worker")
    await worker.said("store is away")
    server.start()
    for task in tasks:
        assert (await client.wait(task["uuid"], timeout=30))["code"] == 200
    assert len([line for line in worker.lines if "away" in line]) == 1, "one line, not a flood"


async def test_a_writer_that_is_frozen_over_sqlite_gives_503_and_then_all_goes_on(
    tmp_path: Path, target: FakeTarget
) -> None:
    async with System(f"sqlite:///{tmp_path}/htq.db", tmp_path) as system:
        target.on("/slow", hold())
        _, client = await system.server()
        await system.worker()
        task = await client.send(target.url("/slow"))
        received = await target.arrived("/slow")
        with frozen_writer(tmp_path / "htq.db"):
            await refused(client, target)
            received.release()
        assert (await client.wait(task["uuid"], timeout=20))["code"] == 200
        assert len(target.received("/slow")) == 1, "it was not sent again"
        assert (await client.wait(await accepted_again(client, target), timeout=20))["code"] == 200
