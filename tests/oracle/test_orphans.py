"""A worker died with many canceled requests: whoever takes its DELETEs over is not held up by a service that hangs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from htq.stores.base import Cancel
from htq.worker import WorkerSettings
from worker.world import World, make_world

MANY = 150
"""More than a worker takes over at once."""

SETTINGS = WorkerSettings(threads=MANY)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with make_world(tmp_path) as world:
        yield world


async def test_a_hanging_service_does_not_hold_up_the_others_deletes(world: World) -> None:
    world.start(SETTINGS)
    uuids = [await world.enqueue() for _ in range(MANY)]
    for _ in uuids:
        await world.sender.requests.get()
    (session,) = {(await world.store.attempts(uuid))[0].session for uuid in uuids}
    world.kill()
    await world.died()
    await world.store.close_session(session)
    await world.store.cancel([Cancel(uuid) for uuid in uuids])
    world.start(SETTINGS)
    async with asyncio.timeout(20):
        hanging = await world.sender.deletes.get()
        told = {hanging.header("HTQ-Task-Id")}
        while len(told) < MANY:
            delete = await world.sender.deletes.get()
            told.add(delete.header("HTQ-Task-Id"))
            delete.reply(204)
    assert told == set(uuids)
    hanging.reply(204)
    await world.settled(uuids[0])
