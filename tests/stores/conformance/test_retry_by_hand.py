"""`retry`: what has ended runs again because somebody says so."""

import asyncio
from typing import Literal

import pytest

from htq.stores.base import BLOCKED_FOR, BodyRef, Cancel, Canceled, Done, Interrupted, Retry
from htq.words.states import LIVE
from stores.conformance.lab import Lab, answer


@pytest.mark.parametrize("state", ["success", "error", "timeout"])
async def test_ended_task_is_queued_again_without_its_response(
    lab: Lab, state: Literal["success", "error", "timeout"]
) -> None:
    """`retry`: `queued`, due now, `failures` 0, the response gone; `attempt` goes on counting."""
    worker, claim = await lab.pending(body=b"payload")
    await worker.finish(claim, Retry(lab.now))
    await lab.store.promote(10)
    again = await worker.claim_one()
    await worker.finish(again, Done(state, answer(lab.now, b"y" * 9000), None if state == "success" else "total"))
    version = (await lab.get(claim.uuid)).version
    lab.clock.advance(5)
    assert await lab.store.retry([claim.uuid]) == ["queued"]
    task = await lab.get(claim.uuid)
    assert (task.state, task.reason, task.finished_at, task.has_response) == ("queued", None, None, False)
    assert (task.attempt, task.failures, task.run_at, task.cancel) == (2, 0, lab.now, None)
    assert task.version > version
    assert await lab.store.responses([claim.uuid]) == [None]
    assert await lab.store.read_body(BodyRef(claim.uuid, 2, "response"), 0, 10) == []
    lab.clock.advance(1)
    third = await worker.claim_one()
    assert (third.uuid, third.attempt, third.failures, third.begun_at) == (claim.uuid, 3, 0, lab.now)
    assert third.body == b"payload"


async def test_retried_task_ends_like_any_other(lab: Lab) -> None:
    """retry: … `queued`: from there it goes the usual way, and its retention begins with its new end."""
    uuid = await lab.final("error", result_ttl=10.0)
    await lab.store.retry([uuid])
    lab.clock.advance(20)
    assert await lab.store.forget(10) == 0
    worker = await lab.worker()
    assert await worker.succeed(await worker.claim_one(), b"at last") == "applied"
    (response,) = await lab.store.responses([uuid])
    assert response is not None
    assert response.body == b"at last"
    assert [record.attempt for record in await lab.store.attempts(uuid)] == [1, 2]
    lab.clock.advance(9)
    assert await lab.store.forget(10) == 0
    lab.clock.advance(2)
    assert await lab.store.forget(10) == 1


async def test_only_what_has_ended_is_retried_each_for_itself(lab: Lab) -> None:
    """`Retried`: `queued`: it will run again. Else nothing changed: it is alive, or was canceled (is being canceled
    too). None for an unknown uuid."""
    final = await lab.final()
    canceled = await lab.final()
    _, pending = await lab.pending()
    _, canceling = await lab.pending()
    await lab.store.cancel([Cancel(canceled), Cancel(canceling.uuid)])
    scheduled = await lab.enqueue(run_at=lab.now + 60_000)
    queued = await lab.enqueue()
    others = (canceled, pending.uuid, canceling.uuid, scheduled, queued)
    before = [await lab.get(uuid) for uuid in others]
    unknown = lab.chance.uuid()
    retried = await lab.store.retry([unknown, final, canceled, pending.uuid, canceling.uuid, scheduled, queued, "x"])
    assert retried == [None, "queued", "canceled", "live", "canceled", "live", "live", None]
    assert [await lab.get(uuid) for uuid in others] == before
    assert await lab.state(final) == "queued"


async def test_repeated_retry_finds_the_task_alive(lab: Lab) -> None:
    """`retry`: A repeat finds the task alive. In one batch as well."""
    uuid = await lab.final()
    assert await lab.store.retry([uuid, uuid]) == ["queued", "live"]
    before = await lab.snapshot()
    assert await lab.store.retry([uuid]) == ["live"]
    assert await lab.snapshot() == before


async def test_task_whose_name_a_live_one_has_is_not_retried(lab: Lab) -> None:
    """`Retried`: `named`: a live task has its name. Nothing changed."""
    old = await lab.final("error", name="report")
    new = await lab.enqueue(name="report")
    before = await lab.snapshot()
    assert await lab.store.retry([old]) == ["named"]
    assert await lab.snapshot() == before
    await lab.store.cancel([Cancel(new)])
    assert await lab.store.retry([old]) == ["queued"]


async def test_name_is_the_tenants_own_when_it_comes_to_a_retry(lab: Lab) -> None:
    """`named`: a live task *of the tenant* has its name."""
    old = await lab.final("error", name="report", tenant="acme")
    await lab.enqueue(name="report")
    assert await lab.store.retry([old]) == ["queued"]


async def test_two_of_one_name_are_not_both_retried(lab: Lab) -> None:
    """Unique among the tenant's live tasks: the second finds that the first one is alive."""
    pair = [await lab.final("error", name="report") for _ in range(2)]
    assert await lab.store.retry(pair) == ["queued", "named"]
    assert [await lab.state(uuid) for uuid in pair] == ["queued", "error"]


async def test_task_that_is_being_canceled_has_its_name_still(lab: Lab) -> None:
    """`Retried`: a live task has its name (one that is being canceled too: its exchange is not over)."""
    old = await lab.final("error", name="report")
    worker, running = await lab.pending(name="report")
    await lab.store.cancel([Cancel(running.uuid)])
    assert await lab.store.retry([old]) == ["named"]
    await worker.finish(running, Canceled(), phase="claimed")
    assert await lab.store.retry([old]) == ["queued"]


async def test_successor_of_a_retried_task_waits_behind_its_exchange(lab: Lab) -> None:
    """`retry`: From now on it is the latest of its name: though a newer one had come and gone."""
    old = await lab.final("error", name="report")
    await lab.final("success", name="report")
    assert await lab.store.retry([old]) == ["queued"]
    worker = await lab.worker()
    claim = await worker.claim_one()
    new = lab.task(name="report")
    assert await lab.store.enqueue([new]) == [(new.uuid, (old,), "created")]
    assert [await lab.state(uuid) for uuid in (old, new.uuid)] == ["pending+canceled", "scheduled"]
    await worker.finish(claim, Canceled(), phase="sent")
    assert await lab.state(new.uuid) == "scheduled"
    await worker.settle(old, claim.attempt)
    assert await lab.state(new.uuid) == "queued"


async def test_retry_waits_behind_a_stop_that_its_last_attempt_owes(lab: Lab) -> None:
    """`retry`: Where a stop of it is unsettled it is blocked behind that: a late DELETE would hit the new attempt."""
    worker, claim = await lab.pending()
    done = Done("timeout", answer(lab.now, b"", code=None), "total")
    await worker.finish(claim, done, phase="sent", owes_stop=True)
    assert await lab.store.retry([claim.uuid]) == ["queued"]
    assert await lab.state(claim.uuid) == "scheduled"
    assert await worker.claim() == []
    await worker.settle(claim.uuid, 1)
    assert await lab.state(claim.uuid) == "queued"
    assert (await worker.claim_one()).attempt == 2


async def test_retry_waits_behind_its_stop_for_fifteen_seconds_at_most(lab: Lab) -> None:
    """*Blocked*: due 15 s later at the latest."""
    worker, claim = await lab.pending(delivery="at_most_once")
    await worker.finish(claim, Interrupted(), phase="sent")
    assert await lab.store.retry([claim.uuid]) == ["queued"]
    await worker.beat(100)
    assert await lab.store.promote(10) == (0, lab.now + BLOCKED_FOR * 1000)
    lab.clock.advance(BLOCKED_FOR)
    assert (await lab.store.promote(10)).promoted == 1
    assert await lab.state(claim.uuid) == "queued"


async def test_task_that_expired_can_be_retried(lab: Lab) -> None:
    """`retry`: From now on it … has no `start_by`: else it would expire at once again. Its `deadline` holds."""
    uuid = await lab.enqueue(start_by=lab.now + 1000, deadline=lab.now + 60_000)
    lab.clock.advance(1)
    assert (await lab.store.expire(10)).expired == 1
    assert await lab.store.retry([uuid]) == ["queued"]
    task = await lab.get(uuid)
    assert (task.start_by, task.deadline) == (None, lab.now + 59_000)
    assert await lab.store.expire(10) == (0, lab.now + 59_000)
    worker = await lab.worker()
    assert (await worker.claim_one()).uuid == uuid
    lab.clock.advance(59)
    assert await lab.store.expire(10) == (1, None)
    assert await lab.state(uuid) == "pending+canceled"


async def test_retried_task_can_be_canceled_without_a_word_to_the_target(lab: Lab) -> None:
    """cancel: `queued`: phase `waiting`. The attempts before it had ended."""
    uuid = await lab.final()
    await lab.store.retry([uuid])
    await lab.store.cancel([Cancel(uuid)])
    task = await lab.get(uuid)
    assert task.cancel is not None
    assert (task.state, task.cancel.phase, task.cancel.delete.state) == ("canceled", "waiting", "none")
    assert await lab.store.retry([uuid]) == ["canceled"]


async def test_late_finish_of_an_attempt_before_the_retry_changes_nothing(lab: Lab) -> None:
    """The fence names (task, attempt, session): a repeat answers as it did then, and the task goes on."""
    worker, claim = await lab.pending()
    await worker.succeed(claim)
    await lab.store.retry([claim.uuid])
    before = await lab.snapshot()
    assert await worker.succeed(claim) == "applied"
    assert await lab.snapshot() == before


async def test_retry_from_two_clients_at_once_is_done_once(lab: Lab) -> None:
    """It is one atomic step: of many who ask at once one is told `queued`, the others find it alive."""
    stores = [lab.store, await lab.open()]
    uuid = await lab.final(name="report")
    async with asyncio.timeout(20):
        answers = await asyncio.gather(*(stores[at % 2].retry([uuid]) for at in range(20)))
    assert sorted(answer for (answer,) in answers if answer) == ["live"] * 19 + ["queued"]
    assert await lab.state(uuid) in LIVE
