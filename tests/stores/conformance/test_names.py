"""Names: a newer task takes the place of the older, and waits behind its exchange."""

import asyncio

import pytest

from htq.stores.base import BLOCKED_FOR, Cancel, Canceled, Done, Enqueued, Interrupted
from htq.words.attempt import Phase
from htq.words.states import LIVE
from stores.conformance.lab import NO_DELETE, Lab, answer, request


async def test_newer_task_supersedes_a_queued_one_and_is_not_blocked(lab: Lab) -> None:
    """`enqueue`: a live task of the tenant with that name … is canceled in the same step (reason `superseded`)."""
    old = await lab.enqueue(name="report")
    new = lab.task(name="report")
    (item,) = await lab.store.enqueue([new])
    assert item == Enqueued(new.uuid, (old,))
    assert [await lab.state(uuid) for uuid in (old, new.uuid)] == ["canceled", "queued"]
    canceled = await lab.get(old)
    assert canceled.cancel is not None
    assert (canceled.cancel.reason, canceled.cancel.phase, canceled.reason) == ("superseded", "waiting", "superseded")


async def test_newer_task_supersedes_a_scheduled_one(lab: Lab) -> None:
    """supersede: from any not final, same `id`, as cancel."""
    old = await lab.enqueue(name="report", run_at=lab.now + 60_000)
    new = await lab.enqueue(name="report")
    assert [await lab.state(uuid) for uuid in (old, new)] == ["canceled", "queued"]


async def test_final_task_is_not_superseded(lab: Lab) -> None:
    """`enqueue`: a *live* task of the tenant with that name."""
    old = await lab.final(name="report")
    new = lab.task(name="report")
    assert await lab.store.enqueue([new]) == [Enqueued(new.uuid)]
    assert [await lab.state(uuid) for uuid in (old, new.uuid)] == ["success", "queued"]


async def test_name_is_the_tenants_own(lab: Lab) -> None:
    """Unique among the *tenant's* live tasks."""
    first = await lab.enqueue(name="report", tenant="a")
    second = await lab.enqueue(name="report", tenant="b")
    third = await lab.enqueue(name="report")
    assert [await lab.state(uuid) for uuid in (first, second, third)] == ["queued"] * 3


async def test_in_one_batch_the_later_one_wins(lab: Lab) -> None:
    """`enqueue`: In one batch the later one wins."""
    outside = await lab.enqueue(name="report")
    tasks = [lab.task(name="report"), lab.task(name="other"), lab.task(name="report"), lab.task(name="report")]
    items = await lab.store.enqueue(tasks)
    assert [item.superseded for item in items] == [(outside,), (), (tasks[0].uuid,), (tasks[2].uuid,)]
    assert [await lab.state(task.uuid) for task in tasks] == ["canceled", "queued", "canceled", "queued"]


async def test_successor_of_a_pending_task_is_blocked_until_exchange_and_stop_are_over(lab: Lab) -> None:
    """*Blocked*: queued in the very step in which the other has left `pending` and its last stop is settled."""
    worker, old = await lab.pending(name="report")
    new = await lab.enqueue(name="report")
    assert [await lab.state(uuid) for uuid in (old.uuid, new)] == ["pending+canceled", "scheduled"]
    assert await worker.finish(old, Canceled(), phase="sent") == "canceled"
    assert await lab.state(new) == "scheduled"
    assert await worker.settle(old.uuid, 1)
    assert await lab.state(new) == "queued"
    assert (await worker.claim_one()).uuid == new


async def test_successor_is_queued_when_the_stop_was_settled_before_the_exchange_ended(lab: Lab) -> None:
    """*Blocked*: … the other has left `pending` *and* its last stop is settled, in either order."""
    worker, old = await lab.pending(name="report")
    new = await lab.enqueue(name="report")
    assert await worker.settle(old.uuid, 1)
    assert await lab.state(new) == "scheduled"
    await worker.finish(old, Canceled(), phase="receiving")
    assert await lab.state(new) == "queued"


@pytest.mark.parametrize("phase", ["claimed", "connecting", "finished"])
async def test_successor_is_queued_by_a_finish_that_owes_nothing(lab: Lab, phase: Phase) -> None:
    """`Outcome`: a phase in which nothing had left, or `finished`, settles the attempt's stop as `none`."""
    worker, old = await lab.pending(name="report")
    new = await lab.enqueue(name="report")
    await worker.finish(old, Canceled(), phase=phase)
    assert await lab.state(new) == "queued"


async def test_successor_is_queued_by_the_finish_where_no_delete_is_sent(lab: Lab) -> None:
    """`cancel`: Where the task's policy says that no DELETE is sent, no stop is written."""
    worker, old = await lab.pending(name="report", request=request(stop=NO_DELETE))
    new = await lab.enqueue(name="report")
    assert await lab.state(new) == "scheduled"
    await worker.finish(old, Canceled(), phase="sent")
    assert await lab.state(new) == "queued"


async def test_successor_waits_fifteen_seconds_at_most(lab: Lab) -> None:
    """*Blocked*: it is `scheduled`, due 15 s later at the latest."""
    _, old = await lab.pending(name="report")
    new = await lab.enqueue(name="report")
    lab.clock.advance(BLOCKED_FOR - 0.5)
    assert (await lab.store.promote(10)).promoted == 0
    lab.clock.advance(0.5)
    assert (await lab.store.promote(10)).promoted == 1
    assert [await lab.state(uuid) for uuid in (old.uuid, new)] == ["pending+canceled", "queued"]


async def test_released_successor_still_waits_for_its_own_time(lab: Lab) -> None:
    """A scheduled task is never claimed before it is due: to be let go is not to be due."""
    worker, old = await lab.pending(name="report")
    new = await lab.enqueue(name="report", run_at=lab.now + 60_000)
    await worker.finish(old, Canceled(), phase="claimed")
    assert await lab.state(new) == "scheduled"
    lab.clock.advance(59.9)
    await lab.store.promote(10)
    assert await lab.state(new) == "scheduled"
    lab.clock.advance(0.2)
    assert (await lab.store.promote(10)).promoted == 1


async def test_blocked_successor_is_not_due_before_its_own_time(lab: Lab) -> None:
    """A scheduled task is never claimed before it is due: the 15 s end the waiting, not the delay that was asked for."""
    await lab.pending(name="report")
    run_at = lab.now + 60_000
    new = await lab.enqueue(name="report", run_at=run_at)
    lab.clock.advance(BLOCKED_FOR + 1)
    assert await lab.store.promote(10) == (0, run_at)
    assert await lab.state(new) == "scheduled"


async def test_successor_of_a_blocked_task_inherits_what_it_was_blocked_by(lab: Lab) -> None:
    """`enqueue`: … or behind what it itself was blocked by."""
    worker, first = await lab.pending(name="report")
    second = await lab.enqueue(name="report")
    third = await lab.enqueue(name="report")
    assert [await lab.state(uuid) for uuid in (second, third)] == ["canceled", "scheduled"]
    await worker.finish(first, Canceled(), phase="sent")
    assert await lab.state(third) == "scheduled"
    await worker.settle(first.uuid, 1)
    assert await lab.state(third) == "queued"


async def test_successor_waits_behind_a_reaped_tasks_stop(lab: Lab) -> None:
    """`reap`: a cancel on record leads to `canceled`; the stop, held by nobody then, still blocks."""
    other = await lab.worker()
    _, old = await lab.pending(name="report")
    new = await lab.enqueue(name="report")
    lab.clock.advance(10)
    await other.beat()
    lab.clock.advance(4.9)
    await other.beat()
    lab.clock.advance(0.1)
    await lab.store.reap(10)
    assert [await lab.state(uuid) for uuid in (old.uuid, new)] == ["canceled", "scheduled"]
    (stop,) = await other.claim_stops()
    assert await other.settle(stop.uuid, stop.attempt)
    assert await lab.state(new) == "queued"


async def test_successor_waits_behind_the_stop_of_a_loose_attempt(lab: Lab) -> None:
    """`enqueue`: … or one of its stops is unsettled: the canceled task was queued, an attempt of it is loose."""
    other = await lab.worker()
    _, old = await lab.pending(name="report")
    await lab.die(other)
    assert await lab.state(old.uuid) == "queued"
    new = await lab.enqueue(name="report")
    assert [await lab.state(uuid) for uuid in (old.uuid, new)] == ["canceled", "scheduled"]
    (stop,) = await other.claim_stops()
    await other.settle(stop.uuid, stop.attempt)
    assert await lab.state(new) == "queued"


async def test_successor_waits_behind_the_stop_of_an_interrupted_task(lab: Lab) -> None:
    """`Interrupted`: a stop is owed, held by the finishing session; the canceled task's successor waits behind it."""
    worker, old = await lab.pending(name="report")
    await worker.finish(old, Interrupted(), phase="sent")
    new = await lab.enqueue(name="report")
    assert [await lab.state(uuid) for uuid in (old.uuid, new)] == ["canceled", "scheduled"]
    assert await worker.settle(old.uuid, 1)
    assert await lab.state(new) == "queued"


async def test_task_whose_cancel_was_requested_is_not_superseded(lab: Lab) -> None:
    """`enqueue`: a live task of the tenant with that name, *its cancel not yet requested*."""
    _, old = await lab.pending(name="report")
    await lab.store.cancel([Cancel(old.uuid, "enough")])
    new = lab.task(name="report")
    assert await lab.store.enqueue([new]) == [Enqueued(new.uuid)]
    task = await lab.get(old.uuid)
    assert task.cancel is not None
    assert task.cancel.reason == "enough"


async def test_superseded_session_hears_of_it(lab: Lab) -> None:
    """`Enqueued`: Their sessions hear of it as of any cancel."""
    worker, old = await lab.pending(name="report")
    await lab.enqueue(name="report")
    (heard,) = (await worker.beat()).cancels
    assert heard == (old.uuid, 1, "superseded", True)


async def test_finish_of_a_superseded_task_keeps_no_response(lab: Lab) -> None:
    """Every way out of `pending` ends in `canceled` once a cancel is on record."""
    worker, old = await lab.pending(name="report")
    await lab.enqueue(name="report")
    assert await worker.finish(old, Done("success", answer(lab.now))) == "canceled"
    assert await lab.store.responses([old.uuid]) == [None]


async def test_parallel_enqueues_of_one_name_leave_one_alive(lab: Lab) -> None:
    """`enqueue`: Any number of parallel calls leave exactly one alive."""
    stores = [lab.store, await lab.open()]
    tasks = [lab.task(name="report") for _ in range(200)]
    async with asyncio.timeout(20):
        items = await asyncio.gather(*(stores[at % 2].enqueue([task]) for at, task in enumerate(tasks)))
    states = await lab.store.states([task.uuid for task in tasks])
    assert sum(state is not None and state[0] in LIVE for state in states) == 1
    superseded = [uuid for (item,) in items for uuid in item.superseded]
    assert len(superseded) == len(set(superseded)) == 199
