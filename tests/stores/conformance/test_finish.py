"""`finish`: the ways out of `pending`, and the fence before them."""

from typing import Literal

import pytest

from htq.stores.base import BLOCKED_FOR, Cancel, Canceled, Done, Interrupted, Released
from htq.words.attempt import AttemptRecord, Phase
from htq.words.reasons import Reason
from htq.words.task import Response
from stores.conformance.lab import NO_DELETE, Lab, answer, outcome, request


@pytest.mark.parametrize(
    ("state", "reason"), [("success", None), ("error", "connect"), ("timeout", "total"), ("error", "too_large")]
)
async def test_done_writes_state_and_response_in_one_step(
    lab: Lab, state: Literal["success", "error", "timeout"], reason: Reason | None
) -> None:
    """finish_done: pending -> success, error, timeout: state and response in one step."""
    worker, claim = await lab.pending()
    lab.clock.advance(3)
    response = Response(
        time=lab.now,
        elapsed_ms=79.81,
        message=None if reason is None else "it failed",
        code=200 if reason is None else None,
        phrase="OK",
        headers=(("Age", "0"), ("X-Raw", "caf\xe9"), ("x-raw", "")),
        body=b"\x00\xff",
        body_size=2,
    )
    assert await worker.finish(claim, Done(state, response, reason)) == "applied"
    task = await lab.get(claim.uuid)
    assert (task.state, task.reason, task.finished_at, task.has_response) == (state, reason, lab.now, True)
    assert task.is_settled
    assert await lab.store.responses([claim.uuid]) == [response]


async def test_finish_is_seen_by_another_client(lab: Lab) -> None:
    """It is one atomic step: another process sees all of it."""
    other = await lab.open()
    uuid = await lab.final()
    assert await other.states([uuid]) == [("success", False)]
    assert (await other.responses([uuid]))[0] is not None


async def test_final_state_never_changes_by_another_finish(lab: Lab) -> None:
    """A final status never changes, except by an explicit cancel: a second, different finish is answered as the first."""
    worker, claim = await lab.pending()
    assert await worker.succeed(claim) == "applied"
    before = await lab.snapshot()
    await worker.finish(claim, Done("error", answer(lab.now)))
    await worker.finish(claim, Interrupted(), phase="sent")
    assert await lab.snapshot() == before


async def test_repeated_finish_answers_as_it_did_then(lab: Lab) -> None:
    """`Finished`: A repeated finish that had been applied answers as it did then."""
    worker, claim = await lab.pending()
    assert [await worker.succeed(claim) for _ in range(3)] == ["applied"] * 3
    canceled = (await lab.pending(worker))[1]
    await lab.store.cancel([Cancel(canceled.uuid)])
    assert [await worker.succeed(canceled) for _ in range(3)] == ["canceled"] * 3


async def test_repeated_finish_of_a_task_that_was_canceled_since_answers_as_it_did_then(lab: Lab) -> None:
    """`Finished`: … answers as it did then, though the task has gone on."""
    worker, claim = await lab.pending()
    await worker.succeed(claim)
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await worker.succeed(claim) == "applied"
    assert await lab.state(claim.uuid) == "canceled"


async def test_repeated_hand_back_answers_applied_while_another_runs_it(lab: Lab) -> None:
    """`Finished`: a repeated `Released` whose task was claimed again meanwhile changes nothing, and was applied."""
    worker, claim = await lab.pending()
    assert await worker.finish(claim, Released(), phase="claimed") == "applied"
    heir = await lab.worker()
    again = await heir.claim_one()
    before = await lab.snapshot()
    assert await worker.finish(claim, Released(), phase="claimed") == "applied"
    assert await lab.snapshot() == before
    assert await heir.succeed(again) == "applied"
    assert await worker.finish(claim, Released(), phase="claimed") == "applied"


async def test_finish_of_an_older_attempt_of_the_same_session_is_no_finish_of_the_newer(lab: Lab) -> None:
    """The fence names (task, attempt, session): the older attempt's outcome never ends the newer one."""
    worker, first = await lab.pending()
    await worker.finish(first, Released(), phase="claimed")
    second = await worker.claim_one()
    assert second.attempt == 2
    await worker.succeed(first)
    assert await lab.state(first.uuid) == "pending"
    assert await worker.succeed(second) == "applied"


async def test_finish_of_an_unknown_or_future_attempt_is_lost(lab: Lab) -> None:
    """`lost`: someone else has the task, and nothing changed."""
    worker, claim = await lab.pending()
    now = lab.now
    future = type(claim)(
        uuid=claim.uuid,
        attempt=2,
        claimed_at=now,
        request=claim.request,
        body=b"",
        body_size=0,
        delivery="at_least_once",
    )
    unknown = type(claim)(
        uuid=lab.chance.uuid(),
        attempt=1,
        claimed_at=now,
        request=claim.request,
        body=b"",
        body_size=0,
        delivery="at_least_once",
    )
    before = await lab.snapshot()
    assert await worker.finish_all([future, unknown], Done("success", answer(now))) == ["lost", "lost"]
    assert await lab.snapshot() == before


async def test_finish_of_a_queued_task_is_lost(lab: Lab) -> None:
    """`Outcome`: applies only to `pending`."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Released(), phase="claimed")
    other = await lab.worker()
    assert await other.succeed(claim) == "lost"
    assert await lab.state(claim.uuid) == "queued"


async def test_released_task_is_queued_and_counts_no_failure(lab: Lab) -> None:
    """finish_released: pending -> queued: nothing was sent: not counted as a failure."""
    worker, claim = await lab.pending()
    assert await worker.finish(claim, Released(), phase="connecting") == "applied"
    task = await lab.get(claim.uuid)
    assert (task.state, task.attempt, task.failures, task.crashes, task.reason) == ("queued", 1, 0, 0, None)


async def test_release_before_anything_was_sent_leaves_no_loose_attempt(lab: Lab) -> None:
    """*Loose attempt*: … handed it back *when it had been sent*. Nothing was, so a cancel owes no stop."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Released(), phase="connecting")
    await lab.store.cancel([Cancel(claim.uuid)])
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert task.cancel.delete.state == "none"
    assert await worker.claim_stops() == []


async def test_release_after_it_was_sent_leaves_a_loose_attempt(lab: Lab) -> None:
    """*Loose attempt*: the worker handed it back when it had been sent. A cancel owes a stop for it."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Released(), phase="sent")
    assert await lab.state(claim.uuid) == "queued"
    await lab.store.cancel([Cancel(claim.uuid)])
    (stop,) = await worker.claim_stops()
    assert (stop.uuid, stop.attempt) == (claim.uuid, 1)


async def test_canceled_where_no_cancel_is_on_record_is_as_released(lab: Lab) -> None:
    """`Canceled`: Where no cancel is on record: as `Released`."""
    worker, claim = await lab.pending()
    assert await worker.finish(claim, Canceled(), phase="claimed") == "applied"
    task = await lab.get(claim.uuid)
    assert (task.state, task.cancel, task.failures) == ("queued", None, 0)


async def test_interrupted_task_waits_behind_its_own_stop(lab: Lab) -> None:
    """`Interrupted`: A stop is owed, held by the finishing session; the next attempt waits behind it."""
    worker, claim = await lab.pending()
    assert await worker.finish(claim, Interrupted(), phase="sent") == "applied"
    task = await lab.get(claim.uuid)
    assert (task.state, task.attempt, task.failures, task.crashes, task.cancel) == ("scheduled", 1, 0, 0, None)
    assert await (await lab.worker()).claim_stops() == []
    assert await worker.settle(claim.uuid, 1, "accepted", code=202)
    assert await lab.state(claim.uuid) == "queued"
    again = await worker.claim_one()
    assert again.attempt == 2


async def test_interrupted_task_waits_fifteen_seconds_at_most(lab: Lab) -> None:
    """*Blocked*: an interrupted task behind its own stop: due 15 s later at the latest."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Interrupted(), phase="sent")
    assert (await lab.store.promote(10)).next_due_at == lab.now + BLOCKED_FOR * 1000
    lab.clock.advance(BLOCKED_FOR)
    assert (await lab.store.promote(10)).promoted == 1
    assert await lab.state(claim.uuid) == "queued"


async def test_interrupted_task_without_delete_is_queued_at_once(lab: Lab) -> None:
    """`Interrupted`: A stop is owed (unless the task's policy says none is)."""
    worker, claim = await lab.pending(request=request(stop=NO_DELETE))
    assert await worker.finish(claim, Interrupted(), phase="sent") == "applied"
    assert await lab.state(claim.uuid) == "queued"
    assert await worker.claim_stops() == []
    assert not await worker.settle(claim.uuid, 1)


async def test_interrupted_at_most_once_task_ends_in_error_and_its_stop_is_owed(lab: Lab) -> None:
    """`Interrupted`: An at-most-once task ends in `error`, reason `interrupted`. A stop is owed."""
    worker, claim = await lab.pending(delivery="at_most_once")
    assert await worker.finish(claim, Interrupted(), phase="sent") == "applied"
    task = await lab.get(claim.uuid)
    assert (task.state, task.reason, task.finished_at) == ("error", "interrupted", lab.now)
    assert await worker.settle(claim.uuid, 1)


@pytest.mark.parametrize("phase", ["waiting", "claimed", "connecting", "finished"])
async def test_cancel_that_met_no_open_exchange_owes_no_delete(lab: Lab, phase: Phase) -> None:
    """`Outcome`: a phase in which nothing had left, or `finished`, settles the attempt's stop as `none`."""
    worker, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await worker.finish(claim, Canceled(), phase=phase) == "canceled"
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.state, task.cancel.phase, task.cancel.delete.state) == ("canceled", phase, "none")
    assert task.is_settled
    assert not await worker.settle(claim.uuid, 1)


@pytest.mark.parametrize("phase", ["sending", "sent", "receiving"])
async def test_cancel_that_met_an_open_exchange_owes_a_delete_until_it_is_settled(lab: Lab, phase: Phase) -> None:
    """`Outcome`: `phase` and `interrupted_at` go into the cancel's record. A stop held by its session."""
    worker, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid, "enough")])
    lab.clock.advance(1)
    ended = outcome(claim, worker.session, Canceled(), lab.now, phase=phase, interrupted_at=lab.now - 5)
    assert await lab.store.finish(worker.session, [ended]) == ["canceled"]
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.state, task.finished_at) == ("canceled", lab.now)
    assert (task.cancel.requested_at, task.cancel.reason) == (lab.now - 1000, "enough")
    assert (task.cancel.phase, task.cancel.interrupted_at) == (phase, lab.now - 5)
    assert (task.cancel.delete.state, task.is_settled) == ("owed", False)
    assert await worker.settle(claim.uuid, 1, "confirmed", proof="header")
    settled = await lab.get(claim.uuid)
    assert settled.cancel is not None
    delete = settled.cancel.delete
    assert (delete.state, delete.code, delete.tries, delete.elapsed_ms) == ("confirmed", 204, 1, 2.5)
    assert (settled.cancel.proof, settled.is_settled) == ("header", True)


async def test_every_result_is_canceled_once_a_cancel_is_on_record(lab: Lab) -> None:
    """`Outcome`: If a cancel is on record the task goes to `canceled`, whatever `result` says; its response is not kept."""
    for result in (
        Done("success", answer(lab.now)),
        Done("error", answer(lab.now, code=None), "reset"),
        Done("timeout", answer(lab.now, b"x" * 9000)),
        Released(),
        Interrupted(),
        Canceled(),
    ):
        worker, claim = await lab.pending()
        await lab.store.cancel([Cancel(claim.uuid)])
        assert await worker.finish(claim, result) == "canceled"
        task = await lab.get(claim.uuid)
        assert (task.state, task.has_response, task.reason) == ("canceled", False, "canceled")
        assert await lab.store.responses([claim.uuid]) == [None]
        assert await worker.claim() == []


async def test_mixed_outcomes_are_judged_one_by_one(lab: Lab) -> None:
    """Outcomes are per item and in the order of the items; one item's refusal never fails another."""
    worker = await lab.worker()
    foreign = (await lab.pending())[1]
    await lab.enqueue_many(3)
    done, canceled, handed_back = await worker.claim(3)
    await lab.store.cancel([Cancel(canceled.uuid)])
    now = lab.now
    outcomes = [
        outcome(done, worker.session, Done("success", answer(now)), now),
        outcome(foreign, worker.session, Done("success", answer(now)), now),
        outcome(canceled, worker.session, Canceled(), now, phase="sent"),
        outcome(handed_back, worker.session, Released(), now, phase="claimed"),
    ]
    assert await lab.store.finish(worker.session, outcomes) == ["applied", "lost", "canceled", "applied"]
    states = [await lab.state(claim.uuid) for claim in (done, foreign, canceled, handed_back)]
    assert states == ["success", "pending", "canceled", "queued"]


async def test_same_attempt_twice_in_one_batch_is_ended_once(lab: Lab) -> None:
    """A batch is as its items one after the other: the second is a repeat."""
    worker, claim = await lab.pending()
    done = Done("success", answer(lab.now))
    assert await worker.finish_all([claim, claim], done) == ["applied", "applied"]
    assert len(await lab.store.attempts(claim.uuid)) == 1


async def test_attempts_are_kept_first_to_last(lab: Lab) -> None:
    """`attempts`: All attempts of a task, first to last, with one that is under way and those whose worker died."""
    worker, first = await lab.pending()
    await worker.finish(first, Released(), phase="connecting")
    crashed = await worker.claim_one()
    crashed_at = lab.now
    await lab.die()
    heir = await lab.worker()
    running = await heir.claim_one()
    dead, under_way = (await lab.store.attempts(first.uuid))[1:]
    assert (dead.attempt, dead.session, dead.claimed_at) == (crashed.attempt, worker.session, crashed_at)
    assert (dead.phase, dead.ended_at) == ("unknown", None)
    assert (under_way.attempt, under_way.session, under_way.claimed_at) == (3, heir.session, lab.now)
    assert (under_way.phase, under_way.ended_at) == ("claimed", None)
    record = AttemptRecord(
        attempt=3,
        session=heir.session,
        claimed_at=running.claimed_at,
        ended_at=lab.now,
        phase="finished",
        code=503,
        remote="127.0.0.1:9",
        reused=True,
        bytes_sent=100,
        bytes_received=200,
        timings_ms={"connect": 0.25, "first_byte": 10.0},
        closed_by="target",
    )
    ended = outcome(running, heir.session, Done("success", answer(lab.now, code=503)), lab.now)
    ended = type(ended)(uuid=ended.uuid, attempt=3, result=ended.result, record=record, phase="finished")
    assert await lab.store.finish(heir.session, [ended]) == ["applied"]
    records = await lab.store.attempts(first.uuid)
    assert [one.attempt for one in records] == [1, 2, 3]
    assert (records[0].phase, records[0].bytes_sent) == ("connecting", 7)
    assert records[2] == record


async def test_lost_finish_leaves_no_record(lab: Lab) -> None:
    """`lost`: nothing changed."""
    worker, claim = await lab.pending()
    await lab.die()
    await worker.succeed(claim)
    (record,) = await lab.store.attempts(claim.uuid)
    assert (record.phase, record.ended_at) == ("unknown", None)
