"""`run_now` and `patch`: changes to a task that waits."""

import asyncio
from typing import Any

import msgspec

from htq.stores.base import BLOCKED_FOR, Cancel, Canceled, Filter, Patch, Retry
from htq.words.task import Task, Timeouts
from stores.conformance.lab import Lab, request


def _patch(task: Task, **fields: Any) -> Patch:
    """What leaves the task as it is, but for `fields`."""
    same = Patch(
        request=task.request,
        priority=task.priority,
        labels=task.labels,
        run_at=task.run_at,
        start_by=task.start_by,
        deadline=task.deadline,
        result_ttl=task.result_ttl,
    )
    return msgspec.structs.replace(same, **fields)


# --- run_now ---


async def test_scheduled_task_is_queued_when_it_is_to_run_now(lab: Lab) -> None:
    """`run_now`: `scheduled` tasks that wait for nothing but a time are due now, and queued."""
    uuid = await lab.enqueue(run_at=lab.now + 60_000)
    lab.clock.advance(5)
    assert await lab.store.run_now([uuid]) == ["queued"]
    task = await lab.get(uuid)
    assert (task.state, task.run_at) == ("queued", lab.now)
    assert (await lab.store.promote(10)).next_due_at is None
    worker = await lab.worker()
    assert (await worker.claim_one()).uuid == uuid


async def test_what_runs_now_takes_its_place_by_the_new_time(lab: Lab) -> None:
    """`claim`: inside a lane the order is by `run_at`: now, for what is to run now."""
    early = await lab.enqueue()
    moved = await lab.enqueue(run_at=lab.now + 600_000)
    lab.clock.advance(1)
    await lab.store.run_now([moved])
    lab.clock.advance(1)
    late = await lab.enqueue()
    worker = await lab.worker()
    assert [claim.uuid for claim in await worker.claim()] == [early, moved, late]


async def test_run_now_leaves_alone_what_is_not_scheduled(lab: Lab) -> None:
    """`run_now`: Answers the state after it. None for what is unknown."""
    final = await lab.final()
    _, pending = await lab.pending()
    canceled = await lab.enqueue(run_at=lab.now + 60_000)
    await lab.store.cancel([Cancel(canceled)])
    queued = await lab.enqueue()
    before = await lab.snapshot()
    states = await lab.store.run_now([final, "x", pending.uuid, canceled, queued])
    assert states == ["success", None, "pending", "canceled", "queued"]
    assert await lab.snapshot() == before


async def test_run_now_does_not_let_go_of_what_waits_behind_another(lab: Lab) -> None:
    """`run_now`: … that wait *for nothing but a time*: an exchange that may still be under way is no time."""
    worker, old = await lab.pending(name="report")
    successor = await lab.enqueue(name="report")
    _, running = await lab.pending(worker, name="other")
    behind = await lab.enqueue(name="other", on_conflict="queue_after")
    _, retried = await lab.pending(worker)
    await worker.finish(retried, Retry(lab.now), phase="sent", owes_stop=True)
    states = await lab.store.run_now([successor, behind, retried.uuid])
    assert states == ["scheduled"] * 3
    assert await worker.claim() == []
    await worker.finish(old, Canceled(), phase="claimed")
    await worker.succeed(running)
    await worker.settle(retried.uuid, 1)
    assert [await lab.state(uuid) for uuid in (successor, behind, retried.uuid)] == ["queued"] * 3


async def test_task_between_attempts_can_be_told_to_run_now_and_is_between_them_still(lab: Lab) -> None:
    """*Between attempts.* … until its next claim: to be queued sooner is no claim."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Retry(lab.now + 60_000, between=True))
    assert await lab.store.run_now([claim.uuid]) == ["queued"]
    await lab.store.cancel([Cancel(claim.uuid)])
    (stop,) = await worker.claim_stops()
    assert (stop.uuid, stop.attempt) == (claim.uuid, 1)


async def test_repeated_run_now_answers_the_same_and_changes_nothing(lab: Lab) -> None:
    """It may be repeated when its outcome is unknown, and then answers as the first call would have."""
    uuid = await lab.enqueue(run_at=lab.now + 60_000)
    assert await lab.store.run_now([uuid, uuid]) == ["queued", "queued"]
    before = await lab.snapshot()
    lab.clock.advance(1)
    assert await lab.store.run_now([uuid]) == ["queued"]
    assert await lab.snapshot() == before


# --- patch ---


async def test_patch_puts_every_part_in_the_place_of_what_was(lab: Lab) -> None:
    """`Patch`: What takes the place of these parts of a task. Its lane, its body and its name stay."""
    uuid = await lab.enqueue(name="n", queue="q", key="k", body=b"x" * 9000, labels={"a": "1"}, group="g")
    old = await lab.get(uuid)
    patch = Patch(
        request=msgspec.structs.replace(old.request, headers=(("X-New", "1"),), timeouts=Timeouts(total=7.5)),
        priority=9,
        labels={"b": "2"},
        run_at=lab.now + 5000,
        start_by=lab.now + 50_000,
        deadline=lab.now + 60_000,
        result_ttl=99.0,
    )
    assert await lab.store.patch(uuid, patch, old.version) == "patched"
    new = await lab.get(uuid)
    for field in ("request", "priority", "labels", "run_at", "start_by", "deadline", "result_ttl"):
        assert getattr(new, field) == getattr(patch, field), field
    for field in ("uuid", "body", "body_size", "name", "queue", "key", "host", "group", "created_at", "attempt"):
        assert getattr(new, field) == getattr(old, field), field
    assert new.state == "scheduled"
    assert new.version > old.version
    assert await lab.list_all(Filter(statuses=("scheduled",), labels={"b": "2"})) == [new]
    assert await lab.list_all(Filter(statuses=("scheduled",), labels={"a": "1"})) == []


async def test_patched_request_is_what_is_claimed(lab: Lab) -> None:
    """`patch`: Change a task that is waiting."""
    uuid = await lab.enqueue(body=b"payload")
    task = await lab.get(uuid)
    patched = request(total=3.5)
    await lab.store.patch(uuid, _patch(task, request=patched), task.version)
    worker = await lab.worker()
    claim = await worker.claim_one()
    assert (claim.request, claim.body) == (patched, b"payload")


async def test_patch_of_another_version_is_stale(lab: Lab) -> None:
    """`stale`: its version is another one by now. Nothing changed."""
    uuid = await lab.enqueue()
    task = await lab.get(uuid)
    assert await lab.store.patch(uuid, _patch(task, priority=9), task.version) == "patched"
    before = await lab.snapshot()
    assert await lab.store.patch(uuid, _patch(task, priority=1), task.version) == "stale"
    assert await lab.store.patch(uuid, _patch(task, priority=1), task.version + 999) == "stale"
    assert await lab.snapshot() == before


async def test_repeated_patch_finds_the_version_another_one(lab: Lab) -> None:
    """`patch`: A repeat finds the version another one."""
    uuid = await lab.enqueue()
    task = await lab.get(uuid)
    patch = _patch(task, priority=9)
    assert await lab.store.patch(uuid, patch, task.version) == "patched"
    assert await lab.store.patch(uuid, patch, task.version) == "stale"


async def test_task_that_has_started_or_ended_is_not_patched(lab: Lab) -> None:
    """`started`: it is not `scheduled` or `queued`, whatever its version."""
    _, claim = await lab.pending()
    final = await lab.final()
    canceled = await lab.enqueue()
    queued = await lab.get(canceled)
    await lab.store.cancel([Cancel(canceled)])
    before = await lab.snapshot()
    for uuid in (claim.uuid, final, canceled):
        task = await lab.get(uuid)
        assert await lab.store.patch(uuid, _patch(task, priority=9), task.version) == "started"
    assert await lab.store.patch(canceled, _patch(queued, priority=9), queued.version) == "started"
    assert await lab.snapshot() == before


async def test_patch_of_an_unknown_task_is_none(lab: Lab) -> None:
    """`patch`: None for an unknown uuid."""
    task = await lab.get(await lab.enqueue())
    for uuid in (lab.chance.uuid(), "", "x"):
        assert await lab.store.patch(uuid, _patch(task), task.version) is None


async def test_run_at_is_moved_both_ways(lab: Lab) -> None:
    """`patch`: A `run_at` in the future leaves it `scheduled`, one in the past `queued`."""
    uuid = await lab.enqueue()
    worker = await lab.worker()
    for seconds, state in ((60, "scheduled"), (0, "queued"), (30, "scheduled"), (-5, "queued")):
        task = await lab.get(uuid)
        run_at = lab.now + seconds * 1000
        assert await lab.store.patch(uuid, _patch(task, run_at=run_at), task.version) == "patched"
        task = await lab.get(uuid)
        assert (task.state, task.run_at) == (state, run_at)
        assert (await lab.store.promote(10)).next_due_at == (run_at if state == "scheduled" else None)
    task = await lab.get(uuid)
    await lab.store.patch(uuid, _patch(task, run_at=lab.now + 1000), task.version)
    assert await worker.claim() == []
    lab.clock.advance(1)
    await lab.store.promote(10)
    assert (await worker.claim_one()).uuid == uuid


async def test_patched_priority_moves_a_task_in_its_lane(lab: Lab) -> None:
    """`claim`: inside a lane the order is by `run_at + (9 - priority) * 60 s`: by what both are now."""
    first, second, third = await lab.enqueue_many(3)
    task = await lab.get(third)
    await lab.store.patch(third, _patch(task, priority=9), task.version)
    task = await lab.get(first)
    await lab.store.patch(first, _patch(task, priority=0), task.version)
    worker = await lab.worker()
    assert [claim.uuid for claim in await worker.claim()] == [third, second, first]


async def test_patch_does_not_let_go_of_what_waits_behind_another(lab: Lab) -> None:
    """`patch`: … one in the past `queued`, *unless it is blocked*. Its new time holds once it is let go."""
    worker, old = await lab.pending(name="report")
    uuid = await lab.enqueue(name="report", run_at=lab.now + 60_000)
    task = await lab.get(uuid)
    assert await lab.store.patch(uuid, _patch(task, run_at=lab.now), task.version) == "patched"
    assert await lab.state(uuid) == "scheduled"
    await worker.finish(old, Canceled(), phase="claimed")
    assert await lab.state(uuid) == "queued"


async def test_blocked_task_can_be_put_off(lab: Lab) -> None:
    """A scheduled task is never claimed before it is due: neither the other's end nor the 15 s make it due sooner."""
    worker, old = await lab.pending(name="report")
    uuid = await lab.enqueue(name="report")
    task = await lab.get(uuid)
    run_at = lab.now + 60_000
    await lab.store.patch(uuid, _patch(task, run_at=run_at), task.version)
    lab.clock.advance(BLOCKED_FOR - 1)
    await worker.finish(old, Canceled(), phase="claimed")
    assert await lab.state(uuid) == "scheduled"
    lab.clock.advance(2)
    assert await lab.store.promote(10) == (0, run_at)
    lab.clock.advance(60)
    assert (await lab.store.promote(10)).promoted == 1


async def test_blocked_task_that_is_wanted_sooner_waits_no_longer_than_it_would_have(lab: Lab) -> None:
    """*Blocked*: due 15 s later at the latest: counted from when it was blocked, and not from a change."""
    await lab.pending(name="report")
    let_go_at = lab.now + round(BLOCKED_FOR * 1000)
    uuid = await lab.enqueue(name="report", run_at=lab.now + 60_000)
    lab.clock.advance(5)
    task = await lab.get(uuid)
    await lab.store.patch(uuid, _patch(task, run_at=lab.now), task.version)
    assert await lab.store.promote(10) == (0, let_go_at)
    lab.clock.advance(10)
    assert (await lab.store.promote(10)).promoted == 1
    assert await lab.state(uuid) == "queued"


async def test_patch_of_two_at_once_is_taken_from_one(lab: Lab) -> None:
    """`patch`: if its `version` is this one: of many at once exactly one finds it so."""
    stores = [lab.store, await lab.open()]
    uuid = await lab.enqueue()
    task = await lab.get(uuid)
    patches = [_patch(task, labels={"winner": str(at)}) for at in range(10)]
    async with asyncio.timeout(20):
        answers = await asyncio.gather(
            *(stores[at % 2].patch(uuid, patch, task.version) for at, patch in enumerate(patches))
        )
    assert sorted(answers, key=str) == ["patched"] + ["stale"] * 9
    assert (await lab.get(uuid)).labels == {"winner": str(answers.index("patched"))}
