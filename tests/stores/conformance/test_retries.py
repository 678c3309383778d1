"""`finish` with `Retry`: another attempt, at its time, and what a cancel between two attempts owes."""

import asyncio

import pytest

from htq.stores.base import (
    BLOCKED_FOR,
    STOP_LAPSES_AFTER,
    Cancel,
    Canceled,
    Claim,
    Done,
    Interrupted,
    Released,
    Retry,
)
from htq.words.attempt import Phase
from htq.words.task import DeleteRecord
from stores.conformance.lab import NO_DELETE, Lab, Worker, answer, request


async def _between(
    lab: Lab, *, between: bool, phase: Phase = "finished", seconds: float = 30.0, **fields: object
) -> tuple[Worker, Claim]:
    """A task whose first attempt has just failed."""
    worker, claim = await lab.pending(None, **fields)
    retry = Retry(lab.now + round(seconds * 1000), between)
    assert await worker.finish(claim, retry, phase=phase) == "applied"
    return worker, claim


async def _due(lab: Lab, seconds: float) -> None:
    lab.clock.advance(seconds)
    await lab.store.promote(10)


async def _canceled_delete(lab: Lab, uuid: str) -> DeleteRecord:
    task = await lab.get(uuid)
    assert task.cancel is not None
    return task.cancel.delete


async def test_retried_task_is_scheduled_for_its_time_and_counts_a_failure(lab: Lab) -> None:
    """finish_retry: pending -> scheduled: the attempt failed, and its policy allows another: failures + 1."""
    _, claim = await _between(lab, between=False)
    task = await lab.get(claim.uuid)
    assert (task.state, task.status, task.attempt, task.failures, task.crashes) == ("scheduled", "queued", 1, 1, 0)
    assert (task.run_at, task.reason, task.finished_at, task.has_response) == (lab.now + 30_000, None, None, False)
    assert task.cancel is None


async def test_retried_task_is_claimed_when_it_is_due_and_not_before(lab: Lab) -> None:
    """*Between attempts.* … `scheduled` until its time, then `queued`, until its next claim."""
    worker, claim = await _between(lab, between=False, seconds=10)
    assert await lab.store.promote(10) == (0, lab.now + 10_000)
    await _due(lab, 9.9)
    assert await worker.claim() == []
    await _due(lab, 0.1)
    assert await lab.state(claim.uuid) == "queued"
    again = await worker.claim_one()
    assert (again.uuid, again.attempt) == (claim.uuid, 2)


async def test_retry_whose_time_has_come_already_is_due(lab: Lab) -> None:
    """finish_retry: pending -> scheduled, and promote: scheduled -> queued: its time has come."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Retry(lab.now - 1000))
    assert await lab.state(claim.uuid) == "scheduled"
    assert (await lab.store.promote(10)).promoted == 1
    assert (await worker.claim_one()).attempt == 2


async def test_retried_task_takes_its_place_by_its_new_time(lab: Lab) -> None:
    """`claim`: the order is by `run_at`: that of a retried task is the time of its next attempt."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Retry(lab.now + 2000))
    between = await lab.enqueue(run_at=lab.now + 1000)
    after = await lab.enqueue(run_at=lab.now + 3000)
    await _due(lab, 5)
    assert [one.uuid for one in await worker.claim()] == [between, claim.uuid, after]


async def test_claim_tells_how_often_it_failed_and_when_it_began(lab: Lab) -> None:
    """`Claim.failures`: Attempts that ended with `Retry` before this one. `begun_at`: When the first attempt began."""
    worker = await lab.worker()
    uuid = await lab.enqueue()
    lab.clock.advance(2)
    begun_at = lab.now
    for failures in range(3):
        claim = await worker.claim_one()
        assert (claim.uuid, claim.attempt, claim.failures, claim.begun_at) == (uuid, failures + 1, failures, begun_at)
        assert (await lab.store.claim(worker.session, worker.seq, 1)).claims == [claim]
        await worker.finish(claim, Retry(lab.now + 1000))
        await _due(lab, 1)
    assert (await lab.get(uuid)).failures == 3


async def test_only_retries_count_as_failures(lab: Lab) -> None:
    """`Released`: Not counted as a failure. Nor is a crash or an interruption, though each costs an attempt."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Retry(lab.now))
    await lab.store.promote(10)
    await worker.finish(await worker.claim_one(), Released(), phase="claimed")
    await worker.finish(await worker.claim_one(), Interrupted(), phase="sent")
    await worker.settle(claim.uuid, 3)
    await worker.claim_one()
    await lab.store.close_session(worker.session)
    last = await (await lab.worker()).claim_one()
    assert (last.attempt, last.failures, last.begun_at) == (5, 1, claim.claimed_at)


async def test_every_attempt_is_on_record(lab: Lab) -> None:
    """`attempts`: All attempts of a task, first to last."""
    worker, claim = await _between(lab, between=False, seconds=1)
    await _due(lab, 1)
    await worker.succeed(await worker.claim_one())
    first, second = await lab.store.attempts(claim.uuid)
    assert (first.attempt, first.phase, first.ended_at) == (1, "finished", lab.now - 1000)
    assert (second.attempt, second.ended_at) == (2, lab.now)
    task = await lab.get(claim.uuid)
    assert (task.state, task.attempt, task.failures) == ("success", 2, 1)


async def test_repeated_retry_answers_as_it_did_then(lab: Lab) -> None:
    """A repeated finish that had been applied answers as it did then: the failure is counted once."""
    worker, claim = await lab.pending()
    retry = Retry(lab.now + 1000)
    assert await worker.finish_all([claim, claim], retry) == ["applied", "applied"]
    before = await lab.snapshot()
    assert await worker.finish(claim, retry) == "applied"
    assert await lab.snapshot() == before
    await _due(lab, 1)
    heir = await lab.worker()
    again = await heir.claim_one()
    before = await lab.snapshot()
    assert await worker.finish(claim, retry) == "applied"
    assert await lab.snapshot() == before
    assert await heir.succeed(again) == "applied"
    assert (await lab.get(claim.uuid)).failures == 1


async def test_retry_past_the_fence_is_lost(lab: Lab) -> None:
    """`lost`: someone else has the task, and nothing changed."""
    worker, claim = await lab.pending()
    await lab.die()
    before = await lab.snapshot()
    assert await worker.finish(claim, Retry(lab.now), owes_stop=True, phase="sent") == "lost"
    assert await lab.snapshot() == before
    heir = await lab.worker()
    await heir.claim_one()
    assert await worker.finish(claim, Retry(lab.now)) == "lost"
    assert (await lab.get(claim.uuid)).failures == 0


async def test_retries_and_other_outcomes_mix_in_a_batch(lab: Lab) -> None:
    """Outcomes are per item: what is retried moves no other."""
    worker = await lab.worker()
    uuids = await lab.enqueue_many(3)
    first, second, third = await worker.claim(3)
    await worker.finish_all([first, third], Retry(lab.now + 1000))
    await worker.succeed(second)
    assert [await lab.state(uuid) for uuid in uuids] == ["scheduled", "success", "scheduled"]
    assert [(await lab.get(uuid)).failures for uuid in uuids] == [1, 0, 1]


# --- a cancel wins ---


@pytest.mark.parametrize("between", [False, True])
async def test_cancel_on_record_wins_over_a_retry(lab: Lab, between: bool) -> None:
    """`Outcome`: If a cancel is on record the task goes to `canceled`, whatever `result` says."""
    worker, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await worker.finish(claim, Retry(lab.now, between), phase="sent", owes_stop=True) == "canceled"
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.state, task.failures, task.cancel.phase, task.cancel.delete.state) == ("canceled", 0, "sent", "owed")
    assert await worker.settle(claim.uuid, 1)
    await _due(lab, 1)
    assert await worker.claim() == []


async def test_cancel_between_attempts_owes_nothing_unless_it_was_asked_for(lab: Lab) -> None:
    """| between attempts | none is running | no, unless `cancel.between` says so |"""
    worker, claim = await _between(lab, between=False)
    assert await lab.store.cancel([Cancel(claim.uuid, "enough")]) == ["canceled"]
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.state, task.reason, task.cancel.phase) == ("canceled", "canceled", "between_attempts")
    assert (task.cancel.delete.state, task.is_settled) == ("none", True)
    assert await worker.claim_stops() == []
    await _due(lab, 60)
    assert await (await lab.worker()).claim() == []


@pytest.mark.parametrize("seconds", [0.0, 30.0], ids=["queued", "scheduled"])
async def test_cancel_between_attempts_owes_a_stop_held_by_nobody_where_it_was_asked_for(
    lab: Lab, seconds: float
) -> None:
    """`Retry`: With `between` a cancel that comes before the next claim owes a stop for this attempt, held by nobody."""
    worker, claim = await _between(lab, between=True, seconds=seconds)
    await lab.store.promote(10)
    await lab.store.cancel([Cancel(claim.uuid)])
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.state, task.cancel.phase, task.cancel.delete.state) == ("canceled", "between_attempts", "owed")
    assert not await worker.settle(claim.uuid, 1), "held by nobody, not by who finished it"
    (stop,) = await worker.claim_stops()
    assert (stop.uuid, stop.attempt, stop.request, stop.tries) == (claim.uuid, 1, claim.request, 0)
    assert stop.lapses_at == lab.now + STOP_LAPSES_AFTER * 1000
    assert await worker.settle(claim.uuid, 1)
    assert (await lab.get(claim.uuid)).is_settled


async def test_only_the_attempt_that_failed_last_is_owed_a_stop(lab: Lab) -> None:
    """`Retry`: … a stop for *this* attempt, before the *next* claim."""
    worker, claim = await _between(lab, between=True, seconds=0)
    await lab.store.promote(10)
    await worker.finish(await worker.claim_one(), Retry(lab.now, True))
    await lab.store.cancel([Cancel(claim.uuid)])
    assert [(stop.uuid, stop.attempt) for stop in await worker.claim_stops()] == [(claim.uuid, 2)]


async def test_next_claim_ends_what_between_owes(lab: Lab) -> None:
    """`Retry`: … a cancel that comes before the next claim. After it only the attempt that is under way is owed one."""
    worker, claim = await _between(lab, between=True, seconds=0)
    await lab.store.promote(10)
    again = await worker.claim_one()
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await worker.claim_stops() == []
    await worker.finish(again, Canceled(), phase="claimed")
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.cancel.phase, task.cancel.delete.state) == ("claimed", "none")


async def test_task_handed_back_after_a_retry_waits_and_is_not_between_attempts(lab: Lab) -> None:
    """*Between attempts.* A task whose *last* attempt ended with `Retry`."""
    worker, claim = await _between(lab, between=True, seconds=0)
    await lab.store.promote(10)
    await worker.finish(await worker.claim_one(), Released(), phase="claimed")
    await lab.store.cancel([Cancel(claim.uuid)])
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.cancel.phase, task.cancel.delete.state) == ("waiting", "none")
    assert await worker.claim_stops() == []


@pytest.mark.parametrize("phase", ["claimed", "connecting"])
async def test_attempt_of_which_nothing_had_left_owes_nothing_between(lab: Lab, phase: Phase) -> None:
    """`Retry`: … (none in a phase in which nothing had left)."""
    worker, claim = await _between(lab, between=True, phase=phase)
    await lab.store.cancel([Cancel(claim.uuid)])
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.cancel.phase, task.cancel.delete.state) == ("between_attempts", "none")
    assert await worker.claim_stops() == []


async def test_nothing_is_owed_between_where_no_delete_is_sent(lab: Lab) -> None:
    """`cancel`: Where the task's policy says that no DELETE is sent, no stop is written, and the record says `none`."""
    worker, claim = await _between(lab, between=True, request=request(stop=NO_DELETE))
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await _canceled_delete(lab, claim.uuid) == DeleteRecord("none")
    assert await worker.claim_stops() == []


@pytest.mark.parametrize("between", [False, True])
async def test_loose_attempt_is_owed_a_stop_whether_or_not_between_says_so(lab: Lab, between: bool) -> None:
    """`cancel`: … with what `Retry.between` owes; *and* a stop held by nobody for a loose attempt."""
    await lab.pending(name="n")
    await lab.die()
    worker = await lab.worker()
    claim = await worker.claim_one()
    await worker.finish(claim, Retry(lab.now + 1000, between))
    await lab.store.cancel([Cancel(claim.uuid)])
    stops = sorted(stop.attempt for stop in await worker.claim_stops())
    assert stops == ([1, 2] if between else [1])


async def test_successor_supersedes_a_task_between_attempts(lab: Lab) -> None:
    """`enqueue`: each of them is canceled in the same step; the new one waits where a stop is owed, between included."""
    worker, claim = await _between(lab, between=True, name="report")
    new = await lab.enqueue(name="report")
    assert [await lab.state(uuid) for uuid in (claim.uuid, new)] == ["canceled", "scheduled"]
    (stop,) = await worker.claim_stops()
    await worker.settle(stop.uuid, stop.attempt)
    assert await lab.state(new) == "queued"
    _, quiet = await _between(lab, between=False, name="other")
    new = await lab.enqueue(name="other")
    assert [await lab.state(uuid) for uuid in (quiet.uuid, new)] == ["canceled", "queued"]


# --- behind its own stop ---


async def test_retry_that_owes_a_stop_waits_for_it(lab: Lab) -> None:
    """`Retry`: With `owes_stop` the task is blocked behind its own stop besides."""
    worker, claim = await lab.pending()
    assert await worker.finish(claim, Retry(lab.now + 1000), phase="sent", owes_stop=True) == "applied"
    assert (await lab.get(claim.uuid)).failures == 1
    other = await lab.worker()
    assert await other.claim_stops() == [], "held by the finishing session"
    await _due(lab, 2)
    assert await lab.state(claim.uuid) == "scheduled"
    assert await worker.settle(claim.uuid, 1)
    assert await lab.state(claim.uuid) == "queued"
    assert (await worker.claim_one()).attempt == 2
    assert (await lab.store.attempts(claim.uuid))[0].delete == DeleteRecord("confirmed", 204, 1, 2.5)


async def test_retry_that_owes_a_stop_waits_fifteen_seconds_at_most(lab: Lab) -> None:
    """*Blocked*: due 15 s later at the latest."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Retry(lab.now + 1000), phase="sent", owes_stop=True)
    assert await lab.store.promote(10) == (0, lab.now + BLOCKED_FOR * 1000)
    await worker.beat(100)
    await _due(lab, BLOCKED_FOR - 0.1)
    assert await lab.state(claim.uuid) == "scheduled"
    await _due(lab, 0.1)
    assert await lab.state(claim.uuid) == "queued"


@pytest.mark.parametrize("seconds", [5.0, 60.0])
async def test_retry_whose_stop_is_settled_still_waits_for_its_own_time(lab: Lab, seconds: float) -> None:
    """`Retry`: another one, at `due_at`: never before, whatever becomes of the stop."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Retry(lab.now + round(seconds * 1000)), phase="sent", owes_stop=True)
    await worker.settle(claim.uuid, 1)
    assert await lab.state(claim.uuid) == "scheduled"
    assert await lab.store.promote(10) == (0, lab.now + seconds * 1000)
    await _due(lab, seconds - 0.1)
    assert await lab.state(claim.uuid) == "scheduled"
    await _due(lab, 0.1)
    assert await lab.state(claim.uuid) == "queued"


async def test_blocked_retry_is_not_due_before_its_own_time(lab: Lab) -> None:
    """*Blocked*: the 15 s end the waiting for the stop, not the delay of the retry."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Retry(lab.now + 60_000), phase="sent", owes_stop=True)
    await _due(lab, BLOCKED_FOR + 1)
    assert await lab.state(claim.uuid) == "scheduled"


@pytest.mark.parametrize("phase", ["claimed", "connecting"])
async def test_retry_of_which_nothing_had_left_owes_no_stop(lab: Lab, phase: Phase) -> None:
    """`owes_stop`: none in a phase in which nothing had left: so the task waits for nothing but its time."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Retry(lab.now + 1000), phase=phase, owes_stop=True)
    assert not await worker.settle(claim.uuid, 1)
    await _due(lab, 1)
    assert await lab.state(claim.uuid) == "queued"


async def test_retry_owes_no_stop_where_the_policy_says_none(lab: Lab) -> None:
    """`owes_stop`: none … where the task's policy says that no DELETE is sent."""
    worker, claim = await lab.pending(request=request(stop=NO_DELETE))
    await worker.finish(claim, Retry(lab.now + 1000), phase="sent", owes_stop=True)
    assert not await worker.settle(claim.uuid, 1)
    await _due(lab, 1)
    assert await lab.state(claim.uuid) == "queued"


@pytest.mark.parametrize("between", [False, True])
async def test_cancel_takes_over_the_stop_that_a_retry_owes(lab: Lab, between: bool) -> None:
    """`cancel`: A stop that is owed already (after an interruption or a timeout) becomes the cancel's own: there is one."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Retry(lab.now + 1000, between), phase="sent", owes_stop=True)
    await lab.store.cancel([Cancel(claim.uuid)])
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.state, task.cancel.phase, task.cancel.delete.state) == ("canceled", "between_attempts", "owed")
    assert await worker.claim_stops() == []
    assert await worker.settle(claim.uuid, 1, "accepted", code=202)
    assert (await _canceled_delete(lab, claim.uuid)).state == "accepted"


async def test_stop_of_a_retry_whose_session_died_is_sent_by_another(lab: Lab) -> None:
    """*Stop*: held by a live session or by nobody. The next attempt waits for whoever settles it."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Retry(lab.now), phase="sent", owes_stop=True)
    heir = await lab.worker()
    await lab.store.close_session(worker.session)
    (stop,) = await heir.claim_stops()
    assert (stop.uuid, stop.attempt) == (claim.uuid, 1)
    assert await lab.state(claim.uuid) == "scheduled"
    await heir.settle(stop.uuid, stop.attempt)
    assert await lab.state(claim.uuid) == "queued"


async def test_task_that_comes_to_its_end_forgets_its_loose_attempts_only_then(lab: Lab) -> None:
    """*Loose attempt*: `finish` with `Done` forgets it. With `Retry` it is still loose."""
    await lab.pending()
    await lab.die()
    worker = await lab.worker()
    claim = await worker.claim_one()
    await worker.finish(claim, Retry(lab.now))
    await lab.store.promote(10)
    await worker.finish(await worker.claim_one(), Done("success", answer(lab.now)))
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await worker.claim_stops() == []


async def test_two_clients_retry_one_attempt_once(lab: Lab) -> None:
    """It may be repeated when its outcome is unknown: at the same time as well."""
    other = await lab.open()
    worker, claim = await lab.pending()
    twin = Worker(other, worker.session, lab.clock)
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(who.finish(claim, Retry(lab.now + 1000)) for who in (worker, twin)))
    assert answers == ["applied", "applied"]
    assert (await lab.get(claim.uuid)).failures == 1
