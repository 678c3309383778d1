"""Exactly one task a slot, whoever fires it, how often, and whatever is lost."""

import asyncio
import logging
from typing import Any

import pytest

from htq.keeper.alarm import Alarm
from htq.keeper.slots import Slots
from htq.policy.schedules import MOST_AT_ONCE, Step, steps
from htq.stores.base import Store
from htq.words.errors import StoreUnavailable
from htq.words.schedule import Schedule
from htq.words.task import Request
from keeper.world import World


async def put(world: World, name: str = "often", **fields: Any) -> Schedule:
    """A schedule of every minute, whose first slot comes in a minute."""
    usual: dict[str, Any] = {
        "every": 60.0,
        "task": world.task(uuid=""),
        "created_at": world.now,
        "next_at": world.now + 60_000,
    }
    return await world.store.put_schedule(Schedule(name=name, **(usual | fields)))


async def kept(store: Store) -> Schedule:
    (schedule,) = await store.schedules("")
    return schedule


async def test_a_slot_that_has_not_come_makes_nothing(world: World) -> None:
    await put(world)
    world.clock.advance(59.999)
    assert not await world.slots().look()
    assert await world.tasks() == []


async def test_a_slot_makes_its_task_and_the_next_one_waits(world: World) -> None:
    schedule = await put(world)
    world.clock.advance(60.02)
    await world.slots().look()
    await world.slots().look()
    (task,) = await world.tasks()
    assert (task.state, task.run_at) == ("queued", schedule.next_at)
    after = await kept(world.store)
    assert (after.last_at, after.last_uuid, after.next_at) == (schedule.next_at, task.uuid, world.now - 20 + 60_000)


async def test_two_keepers_make_one_task_for_each_of_many_slots(world: World) -> None:
    other = await world.open()
    for number in range(20):
        await put(world, f"s{number}", catch_up="all")
    world.clock.advance(310)
    await asyncio.gather(world.slots().look(), world.slots(other).look(), world.slots().look())
    assert len(await world.tasks()) == 20 * 5


async def test_a_lost_reply_makes_no_second_task(world: World) -> None:
    await put(world)
    world.clock.advance(60)
    slots = world.slots(world.losing("fire"))
    with pytest.raises(StoreUnavailable):
        await slots.look()
    assert not await slots.look()
    assert len(await world.tasks()) == 1


async def test_a_keeper_that_dies_in_the_middle_is_gone_on_for_by_another(world: World) -> None:
    await put(world, every=1.0, next_at=world.now + 1000, catch_up="all", task=world.task(uuid="", body=b"x" * 300_000))
    world.clock.advance(40)
    with pytest.raises(StoreUnavailable):
        await world.slots(world.losing("fire")).look()
    begun = len(await world.tasks())
    assert 0 < begun < 40
    await world.slots().look()
    tasks = await world.tasks()
    assert sorted(task.run_at for task in tasks) == [world.now - 39_000 + 1000 * n for n in range(40)]


async def test_slots_that_nobody_saw_make_one_task(world: World) -> None:
    await put(world)
    world.clock.advance(3600 + 30)
    await world.slots().look()
    (task,) = await world.tasks()
    assert task.run_at == world.now - 30_000
    assert (await kept(world.store)).last_at == world.now - 30_000


async def test_no_more_than_so_many_slots_are_made_up_for(world: World) -> None:
    await put(world, catch_up="all")
    world.clock.advance(86400)
    await world.slots().look()
    assert len(await world.tasks()) == MOST_AT_ONCE
    assert (await kept(world.store)).next_at == world.now + 60_000


async def test_a_schedule_that_was_changed_meanwhile_is_not_fired_by_the_old_one(world: World) -> None:
    schedule = await put(world)
    world.clock.advance(60)
    due = await world.store.due_schedules(10)
    await put(world, created_at=schedule.created_at, next_at=schedule.next_at, paused=True)

    class Late:
        """Answers with what was due before the change."""

        async def due_schedules(self, limit: int) -> Any:
            return due

        fire = staticmethod(world.store.fire)

    await world.slots(Late()).look()  # type: ignore[arg-type]
    assert await world.tasks() == []


async def test_a_slot_whose_earlier_task_is_alive_is_passed_over(world: World) -> None:
    await put(world, task=world.task(uuid="", name="schedule:often", on_conflict="reject"))
    for _ in range(3):
        world.clock.advance(60)
        await world.slots().look()
    (task,) = await world.tasks()
    after = await kept(world.store)
    assert (after.last_at, after.last_uuid, after.next_at) == (world.now, task.uuid, world.now + 60_000)


async def test_each_task_has_its_uuid_in_its_url(world: World) -> None:
    request = Request(url="http://a/{uuid}", method="get")
    await put(world, task=world.task(uuid="", request=request))
    world.clock.advance(60)
    await world.slots().look()
    (task,) = await world.tasks()
    assert task.request.url == f"http://a/{task.uuid}"


async def test_a_schedule_that_can_not_be_reckoned_here_is_told_of_once_and_holds_up_nobody(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    lost = [f"lost{number}" for number in range(101)]
    for name in lost:
        await put(world, name, every=None, cron="* * * * *", zone="Mars/Olympus", next_at=world.now + 50_000)
    await put(world, "good")
    world.clock.advance(60)
    slots = world.slots()
    with caplog.at_level(logging.ERROR, "htq.keeper"):
        for _ in range(4):
            await slots.look()
    assert len(await world.tasks()) == 1
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(lost)
    assert all("lost" in line and "Mars/Olympus" in line for line in said)


async def test_a_defect_costs_one_schedule_and_is_told_of_once(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(schedule: Schedule, now: int) -> list[Step]:
        if schedule.name == "poison":
            raise ZeroDivisionError("a defect")
        return steps(schedule, now)

    monkeypatch.setattr("htq.keeper.slots.steps", broken)
    await put(world, "poison")
    await put(world, "sound")
    world.clock.advance(60)
    slots = world.slots()
    for _ in range(3):
        await slots.look()
    assert len(await world.tasks()) == 1
    (record,) = caplog.records
    assert "poison" in record.getMessage()
    assert record.exc_info is not None


async def test_it_knows_when_the_next_slots_come(world: World) -> None:
    await put(world, every=1.0, next_at=world.now + 1000)
    await put(world, "later", every=3600.0, next_at=world.now + 1300)
    world.clock.advance(1)
    alarm = Alarm(60.0, clock=world.clock, time=world.time, chance=world.chance)
    await Slots(world.store, alarm, world.time).look()
    for seconds in (0.3, 0.7):
        waiting = asyncio.create_task(alarm.wait())
        async with asyncio.timeout(5):
            await world.clock.somebody_sleeps(seconds)
            world.clock.advance(seconds)
            await waiting
        alarm.reset()
        await Slots(world.store, alarm, world.time).look()
    assert len(await world.tasks()) == 3
