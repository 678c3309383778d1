"""`on_conflict`: what becomes of a task whose name a live one has, in all four forms."""

import asyncio
from typing import get_args

import pytest

from htq.stores.base import BLOCKED_FOR, Cancel, Canceled, Done, Enqueued, Interrupted, Retry
from htq.words.limits import FOREVER
from htq.words.states import LIVE
from htq.words.task import OnConflict
from stores.conformance.lab import NO_DELETE, Lab, answer, request


async def _chain(lab: Lab, length: int, **fields: object) -> list[str]:
    """Tasks of one name, each waiting for the one before."""
    return [await lab.enqueue(name="report", on_conflict="queue_after", **fields) for _ in range(length)]


async def _states(lab: Lab, uuids: list[str]) -> list[str]:
    return [await lab.state(uuid) for uuid in uuids]


@pytest.mark.parametrize("on_conflict", get_args(OnConflict))
async def test_name_that_no_live_task_has_is_no_conflict(lab: Lab, on_conflict: OnConflict) -> None:
    """`enqueue`: With a `name`, *and live tasks of the tenant that have it*."""
    await lab.final(name="report")
    canceled = await lab.enqueue(name="report")
    await lab.store.cancel([Cancel(canceled)])
    await lab.enqueue(name="report", tenant="acme")
    await lab.enqueue(name="other")
    task = lab.task(name="report", on_conflict=on_conflict)
    assert await lab.store.enqueue([task]) == [Enqueued(task.uuid)]
    assert await lab.state(task.uuid) == "queued"


@pytest.mark.parametrize("on_conflict", get_args(OnConflict))
async def test_task_without_a_name_meets_no_conflict(lab: Lab, on_conflict: OnConflict) -> None:
    """`OnConflict`: What to do where a live task has the same `id`: without one there is none."""
    tasks = [lab.task(on_conflict=on_conflict) for _ in range(2)]
    assert await lab.store.enqueue(tasks) == [Enqueued(task.uuid) for task in tasks]


# --- return_existing, reject ---


@pytest.mark.parametrize(
    ("on_conflict", "outcome"), [("return_existing", "existing"), ("reject", "rejected")], ids=["existing", "reject"]
)
@pytest.mark.parametrize("state", ["scheduled", "queued", "pending"])
async def test_existing_task_stays_and_the_new_one_is_not_taken(
    lab: Lab, on_conflict: OnConflict, outcome: str, state: str
) -> None:
    """`enqueue`: `return_existing` and `reject` take nothing. `Enqueued.uuid`: that of the task in its place."""
    if state == "pending":
        live = (await lab.pending(name="report"))[1].uuid
    else:
        live = await lab.enqueue(name="report", run_at=lab.now + (60_000 if state == "scheduled" else 0))
    before = await lab.snapshot()
    task = lab.task(name="report", on_conflict=on_conflict, group="g")
    assert await lab.store.enqueue([task]) == [(live, (), outcome)]
    assert await lab.store.enqueue([task]) == [(live, (), outcome)], "and so does a repeat"
    assert await lab.snapshot() == before
    assert await lab.store.group("", "g") is None, "nor does it make its group"


@pytest.mark.parametrize("on_conflict", ["return_existing", "reject"])
async def test_task_that_is_being_canceled_is_in_nobodys_way(lab: Lab, on_conflict: OnConflict) -> None:
    """`enqueue`: live tasks … (their cancel not yet requested): the new one waits behind the exchange that is under way."""
    worker, old = await lab.pending(name="report")
    await lab.store.cancel([Cancel(old.uuid)])
    task = lab.task(name="report", on_conflict=on_conflict)
    assert await lab.store.enqueue([task]) == [Enqueued(task.uuid)]
    assert await lab.state(task.uuid) == "scheduled"
    await worker.finish(old, Canceled(), phase="claimed")
    assert await lab.state(task.uuid) == "queued"


@pytest.mark.parametrize(
    ("on_conflict", "outcome"), [("return_existing", "existing"), ("reject", "rejected")], ids=["existing", "reject"]
)
async def test_latest_of_several_live_tasks_is_named(lab: Lab, on_conflict: OnConflict, outcome: str) -> None:
    """`Enqueued.uuid`: of the latest one, where several live tasks have its name."""
    uuids = await _chain(lab, 3)
    task = lab.task(name="report", on_conflict=on_conflict)
    assert await lab.store.enqueue([task]) == [(uuids[2], (), outcome)]
    await lab.store.cancel([Cancel(uuids[2])])
    assert await lab.store.enqueue([task]) == [(uuids[1], (), outcome)]


async def test_conflicts_inside_one_batch_are_decided_in_its_order(lab: Lab) -> None:
    """A batch is as its items one after the other."""
    forms: list[OnConflict] = ["reject", "return_existing", "reject", "cancel_previous", "queue_after", "reject"]
    tasks = [lab.task(name="report", on_conflict=form) for form in forms]
    uuids = [task.uuid for task in tasks]
    assert await lab.store.enqueue(tasks) == [
        (uuids[0], (), "created"),
        (uuids[0], (), "existing"),
        (uuids[0], (), "rejected"),
        (uuids[3], (uuids[0],), "created"),
        (uuids[4], (), "created"),
        (uuids[4], (), "rejected"),
    ]
    found = ["canceled", "unknown", "unknown", "queued", "scheduled", "unknown"]
    assert await _states(lab, uuids) == found


# --- cancel_previous, over several ---


async def test_every_live_task_of_the_name_is_canceled(lab: Lab) -> None:
    """`enqueue`: with `cancel_previous` *each* of them is canceled in the same step (reason `superseded`)."""
    uuids = await _chain(lab, 3)
    task = lab.task(name="report")
    (item,) = await lab.store.enqueue([task])
    assert (item.uuid, sorted(item.superseded), item.outcome) == (task.uuid, uuids, "created")
    assert await _states(lab, [*uuids, task.uuid]) == ["canceled"] * 3 + ["queued"]
    for uuid in uuids:
        assert (await lab.get(uuid)).reason == "superseded"
    (again,) = await lab.store.enqueue([task])
    assert (again.uuid, sorted(again.superseded)) == (task.uuid, uuids)


async def test_successor_of_a_chain_waits_behind_the_exchange_at_its_head(lab: Lab) -> None:
    """`enqueue`: … else behind what that one itself was blocked by, if that is still so: 15 s at most."""
    worker, head = await lab.pending(name="report")
    await _chain(lab, 2)
    new = await lab.enqueue(name="report")
    assert await lab.state(new) == "scheduled"
    assert await lab.store.promote(10) == (0, lab.now + BLOCKED_FOR * 1000)
    await worker.finish(head, Canceled(), phase="sent")
    assert await lab.state(new) == "scheduled"
    await worker.settle(head.uuid, 1)
    assert await lab.state(new) == "queued"


@pytest.mark.parametrize("canceled", [(), (0,), (1,), (0, 1), (2,), (0, 2), (1, 2), (2, 0), (0, 1, 2)])
async def test_successor_waits_behind_the_exchange_that_a_chain_has_handed_on(
    lab: Lab, canceled: tuple[int, ...]
) -> None:
    """*Blocked*: … waits behind whatever it was waiting for; and who takes its place, behind what it was blocked by."""
    worker, head = await lab.pending(name="report")
    await lab.store.cancel([Cancel(head.uuid)])
    chain = await _chain(lab, 3)
    for at in canceled:
        await lab.store.cancel([Cancel(chain[at])])
    new = await lab.enqueue(name="report")
    assert await lab.state(new) == "scheduled"
    await worker.finish(head, Canceled(), phase="claimed")
    assert await lab.state(new) == "queued"


# --- queue_after ---


async def test_task_that_came_with_queue_after_waits_until_the_other_is_final(lab: Lab) -> None:
    """`queue_after` waits behind the latest of them: until the other is final, and nothing of it is canceled."""
    worker, first = await lab.pending(name="report")
    task = lab.task(name="report", on_conflict="queue_after")
    assert await lab.store.enqueue([task]) == [Enqueued(task.uuid)]
    assert await _states(lab, [first.uuid, task.uuid]) == ["pending", "scheduled"]
    assert await worker.claim() == []
    await worker.succeed(first)
    assert await _states(lab, [first.uuid, task.uuid]) == ["success", "queued"]
    assert (await worker.claim_one()).uuid == task.uuid


async def test_queue_after_waits_however_long_it_takes(lab: Lab) -> None:
    """*Blocked*: One that came with `queue_after` waits longer: … however long that takes."""
    worker, first = await lab.pending(await lab.worker(lease=10**6), name="report")
    waiter = await lab.enqueue(name="report", on_conflict="queue_after")
    promoted = await lab.store.promote(10)
    assert promoted.next_due_at in (None, FOREVER)
    for _ in range(3):
        lab.clock.advance(86_400)
        assert (await lab.store.promote(10)).promoted == 0
    assert await lab.state(waiter) == "scheduled"
    await worker.succeed(first)
    assert await lab.state(waiter) == "queued"


async def test_queue_after_waits_through_retries_and_hand_backs(lab: Lab) -> None:
    """*Blocked*: until the other is *final*: to have left `pending` is not enough."""
    worker, first = await lab.pending(name="report")
    waiter = await lab.enqueue(name="report", on_conflict="queue_after")
    await worker.finish(first, Retry(lab.now))
    await lab.store.promote(10)
    again = await worker.claim_one()
    assert again.uuid == first.uuid
    await lab.store.close_session(worker.session)
    heir = await lab.worker()
    third = await heir.claim_one()
    assert (third.uuid, await lab.state(waiter)) == (first.uuid, "scheduled")
    await heir.finish(third, Interrupted(), phase="sent")
    await heir.settle(first.uuid, 3)
    assert await _states(lab, [first.uuid, waiter]) == ["queued", "scheduled"]
    await heir.succeed(await heir.claim_one())
    assert await lab.state(waiter) == "queued"


async def test_queue_after_waits_for_the_last_stop_too(lab: Lab) -> None:
    """*Blocked*: until the other is final *and its last stop is settled*."""
    worker, first = await lab.pending(name="report")
    waiter = await lab.enqueue(name="report", on_conflict="queue_after")
    done = Done("timeout", answer(lab.now, b"", code=None), "total")
    await worker.finish(first, done, phase="sent", owes_stop=True)
    assert await _states(lab, [first.uuid, waiter]) == ["timeout", "scheduled"]
    await worker.settle(first.uuid, 1)
    assert await lab.state(waiter) == "queued"


async def test_queue_after_waits_until_a_stop_that_is_never_sent_has_lapsed(lab: Lab) -> None:
    """*Stop.* … settled as `lapsed` by `reap`: that settles it as well."""
    worker, first = await lab.pending(name="report")
    waiter = await lab.enqueue(name="report", on_conflict="queue_after")
    await lab.store.cancel([Cancel(first.uuid)])
    await worker.finish(first, Canceled(), phase="sent")
    lab.clock.advance(299)
    await lab.store.promote(10)
    await lab.store.reap(10)
    assert await lab.state(waiter) == "scheduled"
    lab.clock.advance(2)
    await lab.store.reap(10)
    assert await lab.state(waiter) == "queued"


@pytest.mark.parametrize("end", ["cancel", "expire", "claim", "reap"])
async def test_queue_after_is_let_go_however_the_other_ends(lab: Lab, end: str) -> None:
    """*Blocked*: queued in the very step in which the other … is final."""
    fields = {"request": request(stop=NO_DELETE), "start_by": lab.now + 1000}
    if end == "reap":
        first = (await lab.pending(name="report", delivery="at_most_once"))[1].uuid
    else:
        first = await lab.enqueue(name="report", **fields)
    waiter = await lab.enqueue(name="report", on_conflict="queue_after")
    if end == "cancel":
        await lab.store.cancel([Cancel(first)])
    elif end == "reap":
        await lab.die()
    else:
        lab.clock.advance(1)
        if end == "expire":
            await lab.store.expire(10)
        else:
            await (await lab.worker()).claim()
    assert await lab.state(first) in ("canceled", "timeout", "error")
    if end == "claim":
        assert await lab.state(waiter) in ("queued", "pending")
    else:
        assert await lab.state(waiter) == "queued"


async def test_task_let_go_still_waits_for_its_own_time(lab: Lab) -> None:
    """A scheduled task is never claimed before it is due: to be let go is not to be due."""
    first = await lab.enqueue(name="report")
    waiter = await lab.enqueue(name="report", on_conflict="queue_after", run_at=lab.now + 60_000)
    await lab.store.cancel([Cancel(first)])
    assert await lab.state(waiter) == "scheduled"
    assert await lab.store.promote(10) == (0, lab.now + 60_000)
    lab.clock.advance(60)
    assert (await lab.store.promote(10)).promoted == 1


async def test_waiter_past_its_own_time_still_waits_for_the_other(lab: Lab) -> None:
    """*Blocked*: … however long that takes: `promote` queues what waits for a time."""
    first = await lab.enqueue(name="report")
    waiter = await lab.enqueue(name="report", on_conflict="queue_after", run_at=lab.now + 1000)
    lab.clock.advance(BLOCKED_FOR + 5)
    assert (await lab.store.promote(10)).promoted == 0
    assert await lab.state(waiter) == "scheduled"
    await lab.store.cancel([Cancel(first)])
    assert await lab.state(waiter) == "queued"


async def test_chain_runs_one_after_the_other(lab: Lab) -> None:
    """`queue_after` waits behind the *latest* of them."""
    uuids = await _chain(lab, 4)
    worker = await lab.worker()
    assert await _states(lab, uuids) == ["queued", "scheduled", "scheduled", "scheduled"]
    for uuid in uuids:
        (claim,) = await worker.claim()
        assert claim.uuid == uuid
        await worker.succeed(claim)
    assert await _states(lab, uuids) == ["success"] * 4


async def test_chain_in_one_batch_runs_one_after_the_other(lab: Lab) -> None:
    """A batch is as its items one after the other."""
    tasks = [lab.task(name="report", on_conflict="queue_after") for _ in range(3)]
    assert await lab.store.enqueue(tasks) == [Enqueued(task.uuid) for task in tasks]
    worker = await lab.worker()
    for task in tasks:
        (claim,) = await worker.claim()
        assert claim.uuid == task.uuid
        await worker.succeed(claim)


async def test_middle_that_is_canceled_hands_on_what_it_waited_for(lab: Lab) -> None:
    """*Blocked*: where that one is canceled while it waits itself, what waited behind it waits behind whatever it was waiting
    for."""
    worker, first = await lab.pending(await lab.worker(lease=10**6), name="report")
    second, third, fourth = await _chain(lab, 3)
    await lab.store.cancel([Cancel(second)])
    assert await _states(lab, [second, third, fourth]) == ["canceled", "scheduled", "scheduled"]
    lab.clock.advance(1000)
    assert (await lab.store.promote(10)).promoted == 0, "it waits as long as before"
    await worker.succeed(first)
    assert await _states(lab, [third, fourth]) == ["queued", "scheduled"]


async def test_several_of_the_middle_may_be_canceled_in_any_order(lab: Lab) -> None:
    """*Blocked*: … behind whatever it was waiting for, which may have been handed on itself."""
    head = await lab.enqueue(name="report")
    second, third, fourth, fifth = await _chain(lab, 4)
    await lab.store.cancel([Cancel(third), Cancel(second)])
    await lab.store.cancel([Cancel(fourth)])
    assert await lab.state(fifth) == "scheduled"
    await lab.store.cancel([Cancel(head)])
    assert await lab.state(fifth) == "queued"


async def test_waiters_behind_a_middle_that_expires_wait_for_what_it_waited_for(lab: Lab) -> None:
    """*Blocked*: canceled while it waits: by its `deadline` too."""
    worker, first = await lab.pending(name="report")
    second = await lab.enqueue(name="report", on_conflict="queue_after", deadline=lab.now + 1000)
    third = await lab.enqueue(name="report", on_conflict="queue_after")
    lab.clock.advance(1)
    await lab.store.expire(10)
    assert await _states(lab, [second, third]) == ["canceled", "scheduled"]
    await worker.succeed(first)
    assert await lab.state(third) == "queued"


async def test_queue_after_a_blocked_successor_waits_for_its_end(lab: Lab) -> None:
    """`queue_after` waits behind the latest of them, which may itself wait behind an exchange."""
    worker, old = await lab.pending(name="report")
    successor = await lab.enqueue(name="report")
    waiter = await lab.enqueue(name="report", on_conflict="queue_after")
    assert await _states(lab, [successor, waiter]) == ["scheduled", "scheduled"]
    await worker.finish(old, Canceled(), phase="claimed")
    assert await _states(lab, [successor, waiter]) == ["queued", "scheduled"]
    await worker.succeed(await worker.claim_one())
    assert await lab.state(waiter) == "queued"


async def test_waiter_behind_a_canceled_successor_waits_for_the_exchange_that_one_waited_for(lab: Lab) -> None:
    """*Blocked*: … waits behind whatever it was waiting for, which for a successor is an exchange."""
    worker, old = await lab.pending(name="report")
    successor = await lab.enqueue(name="report")
    waiter = await lab.enqueue(name="report", on_conflict="queue_after")
    await lab.store.cancel([Cancel(successor)])
    assert await _states(lab, [successor, waiter]) == ["canceled", "scheduled"]
    await worker.finish(old, Canceled(), phase="sent")
    assert await lab.state(waiter) == "scheduled"
    await worker.settle(old.uuid, 1)
    assert await lab.state(waiter) == "queued"


async def test_waiter_that_is_canceled_is_never_let_go(lab: Lab) -> None:
    """cancel: scheduled -> canceled: at once, and never sent."""
    worker, first = await lab.pending(name="report")
    (waiter,) = await _chain(lab, 1)
    await lab.store.cancel([Cancel(waiter)])
    await worker.succeed(first)
    assert await lab.state(waiter) == "canceled"
    assert await worker.claim() == []


async def test_waiters_are_counted_as_scheduled(lab: Lab) -> None:
    """*Blocked*: it is `scheduled`."""
    await lab.enqueue(name="report")
    await _chain(lab, 2)
    (queue,) = await lab.store.stats()
    assert (queue.scheduled, queue.queued, queue.pending) == (2, 1, 0)


async def test_parallel_enqueues_of_every_form_leave_one_alive_or_a_chain(lab: Lab) -> None:
    """`enqueue`: Any number of parallel calls leave exactly one alive: of 200, in the forms that leave one."""
    stores = [lab.store, await lab.open()]
    forms: list[OnConflict] = ["cancel_previous", "return_existing", "reject"]
    tasks = [lab.task(name="report", on_conflict=forms[at % 3]) for at in range(200)]
    async with asyncio.timeout(20):
        items = await asyncio.gather(*(stores[at % 2].enqueue([task]) for at, task in enumerate(tasks)))
    states = await lab.store.states([task.uuid for task in tasks])
    assert sum(state is not None and state[0] in LIVE for state in states) == 1
    created = [item for (item,) in items if item.outcome == "created"]
    superseded = [uuid for item in created for uuid in item.superseded]
    assert len(superseded) == len(set(superseded)) == len(created) - 1


async def test_parallel_queue_after_makes_one_chain(lab: Lab) -> None:
    """`queue_after` waits behind the latest of them: so that they never run beside one another."""
    stores = [lab.store, await lab.open()]
    tasks = [lab.task(name="report", on_conflict="queue_after") for _ in range(30)]
    async with asyncio.timeout(20):
        await asyncio.gather(*(stores[at % 2].enqueue([task]) for at, task in enumerate(tasks)))
    worker = await lab.worker()
    seen = set()
    for _ in tasks:
        (claim,) = await worker.claim()
        seen.add(claim.uuid)
        await worker.succeed(claim)
    assert seen == {task.uuid for task in tasks}
