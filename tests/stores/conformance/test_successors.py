"""A successor waits behind the exchange of the latest task with its name, however that one came to its end."""

import msgspec

from htq.stores.base import Cancel, Canceled, Done, Enqueued
from stores.conformance.lab import Lab, answer, outcome

# `enqueue`: The new one is blocked behind the exchange of the tenant's latest task with that name, live or not, if it is
# `pending` or one of its stops is unsettled; else behind what that one itself was blocked by, if that is still so.


async def test_successor_of_a_running_task_that_was_canceled_before_waits_behind_it(lab: Lab) -> None:
    """*… live or not, if it is `pending` or one of its stops is unsettled.*"""
    worker, old = await lab.pending(name="report")
    await lab.store.cancel([Cancel(old.uuid, "by hand")])
    new = lab.task(name="report")
    assert await lab.store.enqueue([new]) == [Enqueued(new.uuid)]
    assert await lab.state(new.uuid) == "scheduled"
    await worker.finish(old, Canceled(), phase="sent")
    assert await lab.state(new.uuid) == "scheduled"
    assert await worker.settle(old.uuid, 1)
    assert await lab.state(new.uuid) == "queued"


async def test_successor_of_a_canceled_task_whose_stop_is_unsettled_waits_behind_it(lab: Lab) -> None:
    """*… or one of its stops is unsettled.*"""
    worker, old = await lab.pending(name="report")
    await lab.store.cancel([Cancel(old.uuid)])
    await worker.finish(old, Canceled(), phase="sent")
    new = await lab.enqueue(name="report")
    assert [await lab.state(uuid) for uuid in (old.uuid, new)] == ["canceled", "scheduled"]
    assert await worker.settle(old.uuid, 1)
    assert await lab.state(new) == "queued"


async def test_successor_of_a_task_that_timed_out_waits_behind_its_stop(lab: Lab) -> None:
    """A retry or successor after a timeout that owes a DELETE starts when that is settled: a late one would hit it."""
    worker, old = await lab.pending(name="report")
    done = Done("timeout", answer(lab.now, b"", code=None), "total")
    ended = msgspec.structs.replace(outcome(old, worker.session, done, lab.now, phase="sent"), owes_stop=True)
    assert await lab.store.finish(worker.session, [ended]) == ["applied"]
    new = await lab.enqueue(name="report")
    assert await lab.state(new) == "scheduled"
    assert await worker.settle(old.uuid, 1)
    assert await lab.state(new) == "queued"


async def test_successor_of_a_canceled_waiter_waits_behind_what_that_one_waited_for(lab: Lab) -> None:
    """*… else behind what that one itself was blocked by, if that is still so.*"""
    worker, first = await lab.pending(name="report")
    second = await lab.enqueue(name="report")
    await lab.store.cancel([Cancel(second)])
    third = await lab.enqueue(name="report")
    assert [await lab.state(uuid) for uuid in (second, third)] == ["canceled", "scheduled"]
    await worker.finish(first, Canceled(), phase="sent")
    assert await worker.settle(first.uuid, 1)
    assert await lab.state(third) == "queued"


async def test_successor_of_a_canceled_waiter_does_not_wait_for_what_is_over(lab: Lab) -> None:
    """*… if that is still so.*"""
    worker, first = await lab.pending(name="report")
    second = await lab.enqueue(name="report")
    await worker.finish(first, Canceled(), phase="connecting")
    await lab.store.cancel([Cancel(second)])
    assert await lab.state(await lab.enqueue(name="report")) == "queued"


async def test_successor_of_a_settled_task_does_not_wait(lab: Lab) -> None:
    """Nothing of the latest task is under way any more."""
    worker, old = await lab.pending(name="report")
    await lab.store.cancel([Cancel(old.uuid)])
    await worker.finish(old, Canceled(), phase="sent")
    await worker.settle(old.uuid, 1)
    assert await lab.state(await lab.enqueue(name="report")) == "queued"


async def test_the_latest_task_counts_and_not_an_earlier_one(lab: Lab) -> None:
    """*… of the tenant's latest task with that name.* An earlier one was waited for by the one in between."""
    _, _pending = await lab.pending(name="report")
    second = await lab.enqueue(name="report")
    assert await lab.state(second) == "scheduled"
    lab.clock.advance(15)
    await lab.store.promote(10)
    worker = await lab.worker()
    claim = await worker.claim_one()
    assert claim.uuid == second
    await worker.succeed(claim)
    assert await lab.state(await lab.enqueue(name="report")) == "queued"
