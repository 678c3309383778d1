"""Several keepers at work on one store, by themselves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from htq.keeper import Keeper
from htq.policy.store_time import StoreTime
from htq.words.callback import Callback
from htq.words.schedule import Schedule
from htq.words.task import Task
from keeper.world import World


@asynccontextmanager
async def keepers(world: World, count: int) -> AsyncIterator[None]:
    """So many processes that keep house."""
    stores = [await world.open(signals=True) for _ in range(count)]
    clock, chance = world.clock, world.chance
    all_of_them = [Keeper(store, clock=clock, time=StoreTime(clock), chance=chance) for store in stores]
    keeping = [asyncio.create_task(keeper.run()) for keeper in all_of_them]
    yield
    for task in keeping:
        task.cancel()
    await asyncio.wait(keeping)
    assert all(task.cancelled() for task in keeping)


async def time_passes(world: World, until: Callable[[list[Task]], bool]) -> list[Task]:
    """Let the clock run on in small steps until the tasks are as they should be."""
    async with asyncio.timeout(20):
        while not until(tasks := await world.tasks()):
            world.clock.advance(0.05)
    return tasks


async def test_a_schedule_makes_one_task_a_slot_though_three_keepers_see_to_it(world: World) -> None:
    async with keepers(world, 3):
        first = world.now + 1000
        await world.store.put_schedule(
            Schedule(name="s", every=1.0, task=world.task(uuid=""), created_at=world.now, next_at=first, catch_up="all")
        )
        await time_passes(world, lambda tasks: len(tasks) >= 3)
    slots = [task.run_at for task in await world.tasks()]
    assert slots == [first + 1000 * number for number in range(len(slots))]


async def test_a_callback_is_queued_once_though_three_keepers_see_to_it(world: World) -> None:
    async with keepers(world, 3):
        await world.store.enqueue([world.task(callback=Callback(url="http://hooks.example/", source="http://q"))])
        await world.end()
        await time_passes(world, lambda tasks: len(tasks) >= 2)
        later = world.now + 5000
        await time_passes(world, lambda _: world.now > later)
    assert len(await world.tasks()) == 2


async def test_what_is_past_its_time_ends_by_itself(world: World) -> None:
    async with keepers(world, 2):
        await world.store.enqueue([world.task(run_at=world.now + 60_000, start_by=world.now + 700)])
        (task,) = await time_passes(world, lambda tasks: tasks[0].state != "scheduled")
    assert (task.state, task.reason) == ("timeout", "expired")
