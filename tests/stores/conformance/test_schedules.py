"""Schedules: kept with a revision, and fired by compare and set."""

import asyncio
from typing import Any

import msgspec

from htq.stores.base import DueSchedules, Enqueued, Firing, Retry
from htq.words.schedule import Schedule
from htq.words.states import LIVE
from htq.words.task import NewTask, StopPolicy
from stores.conformance.lab import Lab, request

HOUR = 3_600_000


def _schedule(lab: Lab, name: str = "report", **fields: Any) -> Schedule:
    """Every hour, as somebody puts it now."""
    given: dict[str, Any] = {
        "name": name,
        "every": 3600.0,
        "task": lab.task(uuid=""),
        "created_at": lab.now,
        "next_at": lab.now + HOUR,
    }
    return Schedule(**(given | fields))


def _firing(schedule: Schedule, task: NewTask | None, **fields: Any) -> Firing:
    """Its slot is carried out, and the next one is an hour later."""
    assert schedule.next_at is not None
    firing = Firing(
        tenant=schedule.tenant,
        name=schedule.name,
        revision=schedule.revision,
        slot=schedule.next_at,
        last_at=schedule.next_at,
        next_at=schedule.next_at + HOUR,
        task=task,
    )
    return firing._replace(**fields)


async def _one(lab: Lab, name: str = "report", tenant: str = "") -> Schedule:
    (found,) = [schedule for schedule in await lab.store.schedules(tenant) if schedule.name == name]
    return found


async def _due(lab: Lab, **fields: Any) -> Schedule:
    """A schedule whose slot has just come."""
    schedule = await lab.store.put_schedule(_schedule(lab, **fields))
    lab.clock.advance(3600)
    return schedule


# --- put, keep, forget ---


async def test_schedule_is_kept_as_it_was_put(lab: Lab) -> None:
    """`put_schedule`: Make a schedule; as it is now, with its `revision`."""
    task = lab.task(
        uuid="",
        request=request(stop=StopPolicy(method="post", url="{url}/{uuid}", headers=(("X-Raw", "caf\xe9"),))),
        body=b"\x00\xff" * 5000,
        name="schedule:report",
        queue="q",
        labels={"a": "1"},
        cost={"tokens": 1.5},
        on_conflict="queue_after",
        priority=9,
        group="g",
    )
    put = Schedule(
        name="report",
        cron="*/5 2 * * mon",
        zone="Europe/Berlin",
        overlap="queue",
        catch_up="all",
        paused=True,
        task=task,
        created_at=lab.now,
        next_at=None,
    )
    kept = await lab.store.put_schedule(put)
    assert msgspec.structs.replace(kept, revision=put.revision) == put
    assert await lab.store.schedules("") == [kept]
    assert await (await lab.open()).schedules("") == [kept]


async def test_schedules_are_the_tenants_own_and_come_by_name(lab: Lab) -> None:
    """`schedules`: All of them, by name."""
    for name in ("b", "a", "c"):
        await lab.store.put_schedule(_schedule(lab, name))
    await lab.store.put_schedule(_schedule(lab, "a", tenant="acme"))
    assert [schedule.name for schedule in await lab.store.schedules("")] == ["a", "b", "c"]
    assert [schedule.tenant for schedule in await lab.store.schedules("acme")] == ["acme"]
    assert await lab.store.schedules("nobody") == []


async def test_schedule_that_is_put_again_keeps_what_it_has_done(lab: Lab) -> None:
    """`put_schedule`: `created_at`, `last_at` and `last_uuid` of one that is there are kept; `revision` grows."""
    first = await _due(lab)
    task = lab.task()
    await lab.store.fire([_firing(first, task)])
    again = _schedule(lab, every=60.0, overlap="allow", next_at=lab.now + 60_000, last_at=5, last_uuid="mine")
    second = await lab.store.put_schedule(again)
    assert second.revision > first.revision
    assert (second.created_at, second.last_at, second.last_uuid) == (first.created_at, first.next_at, task.uuid)
    assert (second.every, second.overlap, second.next_at) == (60.0, "allow", lab.now + 60_000)
    assert await _one(lab) == second


async def test_schedule_is_forgotten_and_its_tasks_stay(lab: Lab) -> None:
    """`delete_schedule`: Forget a schedule; its tasks stay. False: there is none."""
    schedule = await _due(lab)
    task = lab.task()
    await lab.store.fire([_firing(schedule, task)])
    assert not await lab.store.delete_schedule("acme", "report")
    assert await lab.store.delete_schedule("", "report")
    assert not await lab.store.delete_schedule("", "report")
    assert await lab.store.schedules("") == []
    assert await lab.state(task.uuid) == "queued"
    assert await lab.store.due_schedules(10) == DueSchedules([], None, lab.now)


async def test_hostile_names_are_names(lab: Lab) -> None:
    """A schedule's name is the caller's text."""
    names = sorted(["", " ", "a:b", "{htq:x}", "a\x00b", "'; --", "%_*", "ü\U0001f600", "x" * 2000, "1"])
    for name in names:
        await lab.store.put_schedule(_schedule(lab, name))
    assert [schedule.name for schedule in await lab.store.schedules("")] == names
    lab.clock.advance(3600)
    due = (await lab.store.due_schedules(100)).due
    fired = await lab.store.fire([_firing(schedule, lab.task()) for schedule in due])
    assert [one is not None for one in fired] == [True] * len(names)
    assert [await lab.store.delete_schedule("", name) for name in names] == [True] * len(names)


# --- due ---


async def test_schedule_is_due_once_its_slot_has_come(lab: Lab) -> None:
    """`due_schedules`: Schedules whose `next_at` has come; and when the next one of the others comes (None: none does)."""
    assert await lab.store.due_schedules(10) == DueSchedules([], None, lab.now)
    start = lab.now
    late = await lab.store.put_schedule(_schedule(lab, "late", next_at=start + 9000))
    soon = await lab.store.put_schedule(_schedule(lab, "soon", next_at=start + 1000, tenant="acme"))
    never = await lab.store.put_schedule(_schedule(lab, "never", next_at=None))
    assert await lab.store.due_schedules(10) == DueSchedules([], start + 1000, lab.now)
    lab.clock.advance(1)
    assert await lab.store.due_schedules(10) == DueSchedules([soon], start + 9000, lab.now)
    lab.clock.advance(8)
    due = await lab.store.due_schedules(10)
    assert (sorted(schedule.name for schedule in due.due), due.next_at) == (["late", "soon"], None)
    assert late in due.due
    assert never not in due.due


async def test_paused_schedule_is_never_due(lab: Lab) -> None:
    """`due_schedules`: Schedules that are not paused."""
    await lab.store.put_schedule(_schedule(lab, paused=True))
    assert await lab.store.due_schedules(10) == DueSchedules([], None, lab.now)
    lab.clock.advance(3600)
    assert await lab.store.due_schedules(10) == DueSchedules([], None, lab.now)
    going = await lab.store.put_schedule(_schedule(lab, next_at=lab.now))
    assert await lab.store.due_schedules(10) == DueSchedules([going], None, lab.now)


async def test_no_more_are_given_than_asked_for(lab: Lab) -> None:
    """`due_schedules`: the oldest slots first; those that are left are due as well, so their time has come."""
    for at in range(5):
        await lab.store.put_schedule(_schedule(lab, str(at), next_at=lab.now + 1000 * at))
    lab.clock.advance(10)
    due = await lab.store.due_schedules(2)
    assert [schedule.name for schedule in due.due] == ["0", "1"]
    assert len((await lab.store.due_schedules(10)).due) == 5


# --- fire ---


async def test_slot_that_is_fired_makes_its_task_and_moves_on(lab: Lab) -> None:
    """`fire`: the schedule goes on to `next_at`, and its task is enqueued in the same step."""
    schedule = await _due(lab)
    task = lab.task(name="schedule:report", labels={"schedule": "report"})
    assert await lab.store.fire([_firing(schedule, task)]) == [Enqueued(task.uuid)]
    assert await lab.state(task.uuid) == "queued"
    after = await _one(lab)
    assert (after.last_at, after.last_uuid, after.next_at) == (schedule.next_at, task.uuid, lab.now + HOUR)
    assert after.revision == schedule.revision
    assert await lab.store.due_schedules(10) == DueSchedules([], lab.now + HOUR, lab.now)
    worker = await lab.worker()
    assert (await worker.claim_one()).uuid == task.uuid


async def test_slot_is_fired_once(lab: Lab) -> None:
    """`Firing`: applies only if the schedule has this revision and its `next_at` is `slot`. Else None, and nothing changes."""
    schedule = await _due(lab)
    task = lab.task()
    await lab.store.fire([_firing(schedule, task)])
    before = await lab.snapshot()
    kept = await _one(lab)
    assert await lab.store.fire([_firing(schedule, task)]) == [None]
    assert await lab.store.fire([_firing(schedule, lab.task())]) == [None]
    assert await lab.snapshot() == before
    assert await _one(lab) == kept


async def test_firing_that_was_reckoned_before_a_change_is_not_carried_out(lab: Lab) -> None:
    """`Schedule.revision`: a firing that was reckoned before is not carried out after."""
    schedule = await _due(lab)
    changed = await lab.store.put_schedule(_schedule(lab, next_at=schedule.next_at, paused=True))
    for firing in (
        _firing(schedule, lab.task()),
        _firing(changed, lab.task(), slot=lab.now - 1),
        _firing(changed, lab.task(), revision=changed.revision + 1),
        _firing(changed, lab.task(), name="unknown"),
        _firing(changed, lab.task(), tenant="acme"),
    ):
        assert await lab.store.fire([firing]) == [None]
    assert await _one(lab) == changed
    assert await lab.everything() == []


async def test_schedule_that_was_forgotten_is_not_fired(lab: Lab) -> None:
    """None: it does not apply any more."""
    schedule = await _due(lab)
    await lab.store.delete_schedule("", "report")
    assert await lab.store.fire([_firing(schedule, lab.task())]) == [None]
    assert await lab.everything() == []


async def test_slot_may_be_passed_over(lab: Lab) -> None:
    """`Firing.task` None: the slot is passed over. `last_at`: The last slot that was fired or skipped."""
    schedule = await _due(lab)
    task = lab.task()
    await lab.store.fire([_firing(schedule, task)])
    lab.clock.advance(3600)
    passed = _firing(await _one(lab), None)
    assert await lab.store.fire([passed]) == [None]
    after = await _one(lab)
    assert (after.last_at, after.last_uuid, after.next_at) == (lab.now, task.uuid, lab.now + HOUR)
    assert len(await lab.everything()) == 1


async def test_one_task_may_stand_for_several_slots(lab: Lab) -> None:
    """`Firing.last_at`: `slot` itself, or a later one where several were missed."""
    schedule = await _due(lab)
    lab.clock.advance(2 * 3600)
    task = lab.task()
    firing = _firing(schedule, task, last_at=lab.now, next_at=lab.now + HOUR)
    assert await lab.store.fire([firing]) == [Enqueued(task.uuid)]
    after = await _one(lab)
    assert (after.last_at, after.next_at) == (lab.now, lab.now + HOUR)


async def test_several_slots_of_one_schedule_are_fired_in_one_call(lab: Lab) -> None:
    """A batch is as its items one after the other: each finds the slot that the one before has left."""
    schedule = await _due(lab)
    assert schedule.next_at is not None
    tasks = [lab.task(), lab.task(), lab.task()]
    first = _firing(schedule, tasks[0])
    second = _firing(schedule, tasks[1], slot=first.next_at, last_at=first.next_at, next_at=schedule.next_at + 2 * HOUR)
    wrong = _firing(schedule, tasks[2])
    assert await lab.store.fire([first, second, wrong]) == [Enqueued(tasks[0].uuid), Enqueued(tasks[1].uuid), None]
    after = await _one(lab)
    assert (after.last_at, after.last_uuid, after.next_at) == (first.next_at, tasks[1].uuid, second.next_at)


async def test_last_slot_leaves_none(lab: Lab) -> None:
    """`Schedule.next_at` None: there is none."""
    schedule = await _due(lab)
    await lab.store.fire([_firing(schedule, lab.task(), next_at=None)])
    assert (await _one(lab)).next_at is None
    assert await lab.store.due_schedules(10) == DueSchedules([], None, lab.now)


async def test_refused_task_leaves_its_slot_behind(lab: Lab) -> None:
    """`fire`: the schedule goes on, whatever `enqueue` says of its task: `skip` is `reject`."""
    schedule = await _due(lab, overlap="skip")
    first = lab.task(name="schedule:report", on_conflict="reject")
    await lab.store.fire([_firing(schedule, first)])
    lab.clock.advance(3600)
    second = lab.task(name="schedule:report", on_conflict="reject")
    assert await lab.store.fire([_firing(await _one(lab), second)]) == [Enqueued(first.uuid, (), "rejected")]
    after = await _one(lab)
    assert (after.last_at, after.last_uuid, after.next_at) == (lab.now, first.uuid, lab.now + HOUR)
    assert await lab.state(second.uuid) == "unknown"


async def test_task_of_a_schedule_meets_those_before_it_as_any_other_does(lab: Lab) -> None:
    """`Overlap`: `cancel_previous`, `queue`: the forms of `on_conflict`. A retry between them changes nothing."""
    schedule = await _due(lab)
    first = lab.task(name="schedule:report")
    await lab.store.fire([_firing(schedule, first)])
    worker = await lab.worker(lease=10**6)
    await worker.finish(await worker.claim_one(), Retry(lab.now + 10 * HOUR))
    lab.clock.advance(3600)
    second = lab.task(name="schedule:report", on_conflict="queue_after")
    assert await lab.store.fire([_firing(await _one(lab), second)]) == [Enqueued(second.uuid)]
    lab.clock.advance(3600)
    third = lab.task(name="schedule:report")
    (item,) = await lab.store.fire([_firing(await _one(lab), third)])
    assert item is not None
    assert sorted(item.superseded) == sorted([first.uuid, second.uuid])
    assert [await lab.state(task.uuid) for task in (first, second, third)] == ["canceled", "canceled", "queued"]


async def test_two_who_fire_one_slot_at_once_make_one_task(lab: Lab) -> None:
    """Exactly one task a slot, with any number of servers."""
    stores = [lab.store, await lab.open()]
    schedule = await _due(lab)
    tasks = [lab.task() for _ in range(20)]
    async with asyncio.timeout(20):
        answers = await asyncio.gather(
            *(stores[at % 2].fire([_firing(schedule, task)]) for at, task in enumerate(tasks))
        )
    fired = [item for (item,) in answers if item is not None]
    (task,) = await lab.everything()
    assert [item.uuid for item in fired] == [task.uuid]
    assert task.state in LIVE
    assert (await _one(lab)).last_uuid == task.uuid
