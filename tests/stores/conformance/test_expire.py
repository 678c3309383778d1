"""`start_by` and `deadline`: what is too late does not begin, or comes to its end."""

import asyncio

import pytest

from htq.stores.base import BLOCKED_FOR, Cancel, Canceled, Done, Expired, Interrupted, Released, Retry
from stores.conformance.lab import NO_DELETE, Lab, answer, request


async def _assert_expired(lab: Lab, uuid: str) -> None:
    task = await lab.get(uuid)
    assert (task.state, task.reason, task.finished_at, task.attempt) == ("timeout", "expired", lab.now, 0)
    assert (task.cancel, task.has_response, task.is_settled) == (None, False, True)


async def _assert_overdue(lab: Lab, uuid: str, phase: str | None) -> None:
    task = await lab.get(uuid)
    assert task.cancel is not None
    assert (task.state, task.reason, task.finished_at) == ("canceled", "deadline", lab.now)
    assert (task.cancel.reason, task.cancel.phase, task.cancel.requested_at) == ("deadline", phase, lab.now)


# --- start_by ---


@pytest.mark.parametrize("run_in", [0, 60_000], ids=["queued", "scheduled"])
async def test_task_past_its_start_by_times_out_and_is_never_called(lab: Lab, run_in: int) -> None:
    """`expire`: `start_by`, and neither pending nor begun before (`attempt` 0): `timeout`, reason `expired`."""
    start = lab.now
    uuid = await lab.enqueue(start_by=start + 5000, run_at=start + run_in)
    assert await lab.store.expire(10) == Expired(0, start + 5000)
    lab.clock.advance(4.999)
    assert await lab.store.expire(10) == Expired(0, start + 5000)
    lab.clock.advance(0.001)
    assert await lab.store.expire(10) == Expired(1, None)
    await _assert_expired(lab, uuid)
    assert await lab.store.responses([uuid]) == [None]
    lab.clock.advance(60)
    await lab.store.promote(10)
    assert await (await lab.worker()).claim() == []


async def test_start_by_means_nothing_once_it_has_begun(lab: Lab) -> None:
    """`expire`: `start_by`, and neither *pending* nor *begun before*."""
    worker, running = await lab.pending(start_by=lab.now + 1000)
    _, handed_back = await lab.pending(worker, start_by=lab.now + 1000)
    await worker.finish(handed_back, Released(), phase="claimed")
    lab.clock.advance(2)
    assert await lab.store.expire(10) == Expired(0, None)
    assert [await lab.state(claim.uuid) for claim in (running, handed_back)] == ["pending", "queued"]
    assert (await worker.claim_one()).uuid == handed_back.uuid


async def test_retry_past_the_start_by_goes_out_all_the_same(lab: Lab) -> None:
    """`claim`: past its `start_by` … it ends here as by `expire`, which looks at what has never begun."""
    worker, claim = await lab.pending(start_by=lab.now + 1000)
    await worker.finish(claim, Retry(lab.now + 5000))
    lab.clock.advance(5)
    await lab.store.promote(10)
    assert (await lab.store.expire(10)).expired == 0
    assert (await worker.claim_one()).attempt == 2


async def test_start_by_holds_for_what_waits_behind_another(lab: Lab) -> None:
    """`expire`: scheduled -> timeout: whatever it waits for. What stands behind it waits no longer than before."""
    worker, first = await lab.pending(name="report")
    second = await lab.enqueue(name="report", on_conflict="queue_after", start_by=lab.now + 1000)
    third = await lab.enqueue(name="report", on_conflict="queue_after")
    lab.clock.advance(1)
    assert (await lab.store.expire(10)).expired == 1
    await _assert_expired(lab, second)
    assert await lab.state(third) == "scheduled"
    await worker.succeed(first)
    assert await lab.state(third) == "queued"


# --- deadline ---


@pytest.mark.parametrize("run_in", [0, 60_000], ids=["queued", "scheduled"])
async def test_waiting_task_past_its_deadline_is_canceled(lab: Lab, run_in: int) -> None:
    """`expire`: `deadline`, not final: as by `cancel`, with the reason `deadline` in the cancel's record and of the task."""
    start = lab.now
    uuid = await lab.enqueue(deadline=start + 5000, run_at=start + run_in)
    lab.clock.advance(4.999)
    assert await lab.store.expire(10) == Expired(0, start + 5000)
    lab.clock.advance(0.001)
    assert await lab.store.expire(10) == Expired(1, None)
    await _assert_overdue(lab, uuid, "waiting")
    assert (await lab.get(uuid)).is_settled
    assert await lab.store.retry([uuid]) == ["canceled"]


async def test_pending_task_past_its_deadline_is_being_canceled_and_its_session_hears_of_it(lab: Lab) -> None:
    """`expire`: as by `cancel`: stays pending until its session finishes it; a stop held by its session."""
    worker, claim = await lab.pending(deadline=lab.now + 5000)
    lab.clock.advance(5)
    assert await lab.store.expire(10) == Expired(1, None)
    assert await lab.state(claim.uuid) == "pending+canceled"
    assert (await worker.beat()).cancels == [(claim.uuid, 1, "deadline", True)]
    assert await (await lab.worker()).claim_stops() == []
    assert await worker.finish(claim, Canceled(), phase="sent") == "canceled"
    await _assert_overdue(lab, claim.uuid, "sent")
    assert not (await lab.get(claim.uuid)).is_settled
    assert await worker.settle(claim.uuid, 1)


async def test_deadline_sends_no_delete_where_none_is_sent(lab: Lab) -> None:
    """`cancel`: Where the task's policy says that no DELETE is sent, no stop is written, and the record says `none`."""
    worker, claim = await lab.pending(deadline=lab.now + 1000, request=request(stop=NO_DELETE))
    lab.clock.advance(1)
    await lab.store.expire(10)
    assert (await worker.beat()).cancels == [(claim.uuid, 1, "deadline", False)]
    assert not await worker.settle(claim.uuid, 1)


async def test_deadline_between_attempts_owes_what_a_cancel_owes(lab: Lab) -> None:
    """`expire`: as by `cancel`: phase `between_attempts` with what `Retry.between` owes."""
    worker, claim = await lab.pending(deadline=lab.now + 5000)
    await worker.finish(claim, Retry(lab.now + 60_000, between=True))
    lab.clock.advance(5)
    assert (await lab.store.expire(10)).expired == 1
    await _assert_overdue(lab, claim.uuid, "between_attempts")
    (stop,) = await worker.claim_stops()
    assert (stop.uuid, stop.attempt) == (claim.uuid, 1)


async def test_deadline_takes_over_the_stop_of_an_interrupted_attempt(lab: Lab) -> None:
    """`cancel`: A stop that is owed already becomes the cancel's own."""
    worker, claim = await lab.pending(deadline=lab.now + 5000)
    await worker.finish(claim, Interrupted(), phase="sent")
    lab.clock.advance(5)
    assert (await lab.store.expire(10)).expired == 1
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.state, task.reason, task.cancel.delete.state) == ("canceled", "deadline", "owed")
    assert await worker.settle(claim.uuid, 1)


async def test_deadline_owes_a_stop_for_a_loose_attempt(lab: Lab) -> None:
    """`cancel`: and a stop held by nobody for a loose attempt."""
    _, claim = await lab.pending(deadline=lab.now + 60_000)
    await lab.die()
    lab.clock.advance(60)
    assert (await lab.store.expire(10)).expired == 1
    assert [(stop.uuid, stop.attempt) for stop in await (await lab.worker()).claim_stops()] == [(claim.uuid, 1)]


async def test_deadline_means_nothing_once_it_has_ended(lab: Lab) -> None:
    """`expire`: `deadline`, *not final*."""
    uuid = await lab.final(deadline=lab.now + 1000)
    assert await lab.store.expire(10) == Expired(0, None)
    lab.clock.advance(2)
    before = await lab.snapshot()
    assert await lab.store.expire(10) == Expired(0, None)
    assert await lab.snapshot() == before
    assert await lab.state(uuid) == "success"


async def test_task_that_is_being_canceled_is_left_to_it(lab: Lab) -> None:
    """`cancel`: The first request counts: `requested_at` and `reason` are set once. So it is not past a time any more."""
    worker, claim = await lab.pending(deadline=lab.now + 1000)
    await lab.store.cancel([Cancel(claim.uuid, "enough")])
    assert await lab.store.expire(10) == Expired(0, None)
    lab.clock.advance(2)
    assert await lab.store.expire(10) == Expired(0, None)
    await worker.finish(claim, Canceled(), phase="sent")
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.reason, task.cancel.reason) == ("canceled", "enough")
    await worker.settle(claim.uuid, 1)


async def test_overdue_task_ends_canceled_however_its_attempt_ended(lab: Lab) -> None:
    """`Outcome`: If a cancel is on record the task goes to `canceled`, whatever `result` says."""
    worker = await lab.worker()
    await lab.enqueue_many(2, deadline=lab.now + 1000)
    done, retried = await worker.claim(2)
    lab.clock.advance(1)
    assert (await lab.store.expire(10)).expired == 2
    assert await worker.finish(done, Done("success", answer(lab.now))) == "canceled"
    assert await worker.finish(retried, Retry(lab.now)) == "canceled"
    for claim in (done, retried):
        await _assert_overdue(lab, claim.uuid, "finished")


async def test_finish_before_anybody_looked_counts(lab: Lab) -> None:
    """A deadline is a cancel, and that comes with `expire`: what was finished before has ended."""
    worker, claim = await lab.pending(deadline=lab.now + 1000)
    lab.clock.advance(2)
    assert await worker.succeed(claim) == "applied"
    assert await lab.store.expire(10) == Expired(0, None)
    assert await lab.state(claim.uuid) == "success"


async def test_earlier_of_both_times_decides(lab: Lab) -> None:
    """`expire`: past a time of theirs. Past both, it was never called: `timeout`."""
    first = await lab.enqueue(start_by=lab.now + 1000, deadline=lab.now + 2000)
    second = await lab.enqueue(start_by=lab.now + 2000, deadline=lab.now + 1000)
    lab.clock.advance(1)
    assert await lab.store.expire(10) == Expired(2, None)
    await _assert_expired(lab, first)
    await _assert_overdue(lab, second, "waiting")
    third = await lab.enqueue(start_by=lab.now + 1000, deadline=lab.now + 1000)
    lab.clock.advance(1)
    assert await lab.store.expire(10) == Expired(1, None)
    await _assert_expired(lab, third)


# --- claims, limits, retention ---


async def test_claim_never_takes_an_overdue_task_and_ends_it(lab: Lab) -> None:
    """`claim`: A task past its `start_by` or `deadline` is never claimed: it ends here as by `expire`."""
    late = await lab.enqueue(start_by=lab.now + 1000)
    over = await lab.enqueue(deadline=lab.now + 1000)
    good = await lab.enqueue(start_by=lab.now + 1001, deadline=lab.now + 1001)
    worker = await lab.worker()
    lab.clock.advance(1)
    assert (await worker.claim_one()).uuid == good
    assert await worker.claim() == []
    await _assert_expired(lab, late)
    await _assert_overdue(lab, over, "waiting")


async def test_claim_goes_past_many_overdue_tasks_in_a_few_looks(lab: Lab) -> None:
    """`claim`: Nothing that may run is left out: what is over stands in nobody's way, in its lane or in others."""
    await lab.enqueue_many(300, start_by=lab.now + 1000)
    await lab.enqueue_many(20, deadline=lab.now + 1000, queue="q")
    lab.clock.advance(1)
    good = [await lab.enqueue(), await lab.enqueue(queue="q"), await lab.enqueue(key="other")]
    worker = await lab.worker()
    claimed: set[str] = set()
    async with asyncio.timeout(20):
        while len(claimed) < len(good):
            claimed |= {claim.uuid for claim in await worker.claim(10)}
    assert claimed == set(good)


async def test_slot_that_met_an_overdue_task_is_not_lost(lab: Lab) -> None:
    """`claim`: Nothing that may run is left out: whichever queue and lane it looks into first."""
    for at in range(6):
        fields = {"queue": f"q{at % 3}", "key": f"k{at % 2}"}
        await lab.enqueue(start_by=lab.now + 1000, **fields)
        await lab.enqueue(deadline=lab.now + 1000, **fields)
    good = [await lab.enqueue(queue=f"q{at}") for at in range(4)]
    worker = await lab.worker()
    lab.clock.advance(1)
    claimed = [(await worker.claim_one()).uuid for _ in good]
    assert sorted(claimed) == good


async def test_chain_of_overdue_tasks_comes_to_its_end(lab: Lab) -> None:
    """`expire`: each that waits for one that is too late may be too late itself."""
    for _ in range(3):
        await lab.enqueue(name="report", on_conflict="queue_after", start_by=lab.now + 1000)
    last = await lab.enqueue(name="report", on_conflict="queue_after")
    worker = await lab.worker()
    lab.clock.advance(1)
    async with asyncio.timeout(10):
        while not (claims := await worker.claim()):
            pass
    assert [claim.uuid for claim in claims] == [last]


async def test_repeated_claim_after_it_met_overdue_tasks_gives_the_same(lab: Lab) -> None:
    """`claim`: The same `seq` as in the session's last call gives those of its claims again."""
    await lab.enqueue(start_by=lab.now + 1000)
    await lab.enqueue_many(2)
    worker = await lab.worker()
    lab.clock.advance(1)
    claims = await worker.claim(5)
    before = await lab.snapshot()
    assert len(claims) == 2
    assert (await lab.store.claim(worker.session, worker.seq, 5)).claims == claims
    assert await lab.snapshot() == before


async def test_expire_stops_at_its_limit(lab: Lab) -> None:
    """`expire`: End at most `limit` tasks. `next_at` may have come already then."""
    await lab.enqueue_many(3, start_by=lab.now + 1000)
    await lab.enqueue_many(2, deadline=lab.now + 1000)
    later = lab.now + 9000
    await lab.enqueue(deadline=later)
    lab.clock.advance(1)
    looks = [await lab.store.expire(2) for _ in range(4)]
    assert [look.expired for look in looks] == [2, 2, 1, 0]
    assert looks[0].next_at is not None
    assert looks[0].next_at <= lab.now
    assert looks[-1].next_at == later


async def test_next_time_is_the_earliest_of_what_still_counts(lab: Lab) -> None:
    """`Expired`: … and when the next one will be (None: none will)."""
    start = lab.now
    assert await lab.store.expire(10) == Expired(0, None)
    await lab.enqueue(deadline=start + 9000)
    soon = await lab.enqueue(start_by=start + 3000, deadline=start + 8000)
    assert await lab.store.expire(10) == Expired(0, start + 3000)
    worker = await lab.worker()
    claims = {claim.uuid: claim for claim in await worker.claim()}
    assert await lab.store.expire(10) == Expired(0, start + 8000)
    await worker.succeed(claims[soon])
    assert await lab.store.expire(10) == Expired(0, start + 9000)


async def test_expired_task_is_forgotten_after_its_retention(lab: Lab) -> None:
    """A final task gets `finished_at` and is forgotten `result_ttl` later."""
    await lab.enqueue(start_by=lab.now + 1000, result_ttl=10.0)
    await lab.enqueue(deadline=lab.now + 1000, result_ttl=10.0)
    lab.clock.advance(1)
    await lab.store.expire(10)
    lab.clock.advance(9)
    assert await lab.store.forget(10) == 0
    lab.clock.advance(2)
    assert await lab.store.forget(10) == 2


async def test_successor_of_an_overdue_task_waits_behind_its_exchange(lab: Lab) -> None:
    """`enqueue`: behind the exchange of the tenant's latest task with that name, live or not, if it is `pending`."""
    worker, claim = await lab.pending(name="report", deadline=lab.now + 1000)
    lab.clock.advance(1)
    await lab.store.expire(10)
    new = lab.task(name="report")
    assert await lab.store.enqueue([new]) == [(new.uuid, (), "created")]
    assert await lab.state(new.uuid) == "scheduled"
    await worker.finish(claim, Canceled(), phase="connecting")
    assert await lab.state(new.uuid) == "queued"


async def test_blocked_task_past_its_deadline_is_canceled(lab: Lab) -> None:
    """`expire`: `deadline`, not final: whatever it waits for."""
    await lab.pending(name="report")
    new = await lab.enqueue(name="report", deadline=lab.now + 1000)
    lab.clock.advance(1)
    assert (await lab.store.expire(10)).expired == 1
    await _assert_overdue(lab, new, "waiting")
    lab.clock.advance(BLOCKED_FOR)
    assert (await lab.store.promote(10)).promoted == 0


async def test_two_look_at_once_and_each_task_ends_once(lab: Lab) -> None:
    """Harmless when two do it, so no leader is needed."""
    other = await lab.open()
    await lab.enqueue_many(20, start_by=lab.now + 1000)
    await lab.enqueue_many(20, deadline=lab.now + 1000)
    lab.clock.advance(1)
    async with asyncio.timeout(20):
        looks = await asyncio.gather(*(store.expire(30) for store in (lab.store, other) for _ in range(2)))
    assert sum(look.expired for look in looks) == 40
