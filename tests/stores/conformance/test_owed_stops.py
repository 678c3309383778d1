"""Stops after a timeout (`Outcome.owes_stop`), and what `attempts` tells of every stop."""

import msgspec
import pytest

from htq.stores.base import (
    STOP_LAPSES_AFTER,
    Cancel,
    Canceled,
    Claim,
    Done,
    Interrupted,
    Outcome,
    Released,
    StopSettled,
)
from htq.words.attempt import Phase
from htq.words.task import DeleteRecord
from stores.conformance.lab import NO_DELETE, Lab, Result, Worker, answer, outcome, request

MONTH = 30 * 86400.0


def timed_out(lab: Lab, worker: Worker, claim: Claim, result: Result | None = None, phase: Phase = "sent") -> Outcome:
    """An attempt whose target may go on with what nobody waits for any more."""
    ended = Done("timeout", answer(lab.now, b"", code=None), "total") if result is None else result
    return outcome(claim, worker.session, ended, lab.now, phase=phase, owes_stop=True)


async def _timed_out(lab: Lab, worker: Worker | None = None, **fields: object) -> tuple[Worker, Claim]:
    """A task that has just ended so, and the worker that holds its stop."""
    worker, claim = await lab.pending(worker, **fields)
    assert await lab.store.finish(worker.session, [timed_out(lab, worker, claim)]) == ["applied"]
    return worker, claim


async def _deletes(lab: Lab, uuid: str) -> list[DeleteRecord | None]:
    return [record.delete for record in await lab.store.attempts(uuid)]


async def test_stop_of_a_timeout_is_written_in_the_step_that_ends_the_task(lab: Lab) -> None:
    """`owes_stop`: with `Done`, and no cancel on record, a stop is written that the finishing session holds."""
    worker, claim = await _timed_out(lab)
    task = await lab.get(claim.uuid)
    assert (task.state, task.reason, task.has_response, task.cancel) == ("timeout", "total", True, None)
    assert await _deletes(lab, claim.uuid) == [DeleteRecord("owed")]
    other = await lab.worker()
    assert await other.claim_stops() == []
    assert not await other.settle(claim.uuid, 1)
    assert await worker.settle(claim.uuid, 1, "confirmed")
    assert await _deletes(lab, claim.uuid) == [DeleteRecord("confirmed", 204, 1, 2.5)]


async def test_settling_it_changes_nothing_of_the_result(lab: Lab) -> None:
    """A final state never changes, except by a cancel. The record's `version` grows, since its attempts are shown with it."""
    worker, claim = await _timed_out(lab)
    before = await lab.get(claim.uuid)
    response = await lab.store.responses([claim.uuid])
    await worker.settle(claim.uuid, 1, "gone", code=404)
    after = await lab.get(claim.uuid)
    assert after.version > before.version
    assert msgspec.structs.replace(after, version=before.version) == before
    assert await lab.store.responses([claim.uuid]) == response


@pytest.mark.parametrize("state", ["success", "error", "timeout"])
async def test_any_done_may_owe_a_stop(lab: Lab, state: str) -> None:
    """`owes_stop`: with `Done`: whether it is worth it is the worker's to say."""
    worker, claim = await lab.pending()
    done = Done(state, answer(lab.now, b"x" * 9000))  # type: ignore[arg-type]
    assert await lab.store.finish(worker.session, [timed_out(lab, worker, claim, done)]) == ["applied"]
    assert await lab.state(claim.uuid) == state
    assert await worker.settle(claim.uuid, 1)


async def test_outcomes_that_owe_and_such_that_do_not_mix_in_a_batch(lab: Lab) -> None:
    """Outcomes are per item: who owes nothing has no stop."""
    worker = await lab.worker()
    await lab.enqueue_many(4)
    claims = await worker.claim(4)
    outcomes = [timed_out(lab, worker, claim) for claim in claims]
    outcomes[1] = msgspec.structs.replace(outcomes[1], owes_stop=False)
    outcomes[3] = outcome(claims[3], worker.session, Done("success", answer(lab.now)), lab.now)
    assert await lab.store.finish(worker.session, outcomes) == ["applied"] * 4
    found = [await _deletes(lab, claim.uuid) for claim in claims]
    owed = DeleteRecord("owed")
    assert found == [[owed], [None], [owed], [None]]


async def test_repeated_finish_writes_no_second_stop(lab: Lab) -> None:
    """`Finished`: A repeated finish that had been applied answers as it did then: nor is a settled stop owed again."""
    worker, claim = await lab.pending()
    ended = timed_out(lab, worker, claim)
    assert await lab.store.finish(worker.session, [ended]) == ["applied"]
    before = await lab.snapshot()
    assert await lab.store.finish(worker.session, [ended]) == ["applied"]
    assert await lab.snapshot() == before
    await worker.settle(claim.uuid, 1)
    before = await lab.snapshot()
    assert await lab.store.finish(worker.session, [ended, ended]) == ["applied", "applied"]
    assert await lab.snapshot() == before
    assert await worker.claim_stops() == []


async def test_lost_finish_owes_nothing(lab: Lab) -> None:
    """`lost`: someone else has the task, and nothing changed."""
    worker, claim = await lab.pending()
    await lab.die()
    before = await lab.snapshot()
    assert await lab.store.finish(worker.session, [timed_out(lab, worker, claim)]) == ["lost"]
    assert await lab.snapshot() == before
    assert await (await lab.worker()).claim_stops() == []


async def test_no_stop_is_written_where_the_policy_says_none(lab: Lab) -> None:
    """`cancel`: Where the task's policy says that no DELETE is sent, no stop is written. It holds for a timeout as well."""
    worker, claim = await _timed_out(lab, request=request(stop=NO_DELETE))
    assert await _deletes(lab, claim.uuid) == [None]
    assert not await worker.settle(claim.uuid, 1)


@pytest.mark.parametrize("phase", ["claimed", "connecting"])
async def test_no_stop_is_written_where_nothing_had_left(lab: Lab, phase: Phase) -> None:
    """`UNSENT_PHASES`: The target can't know of it, and is owed no DELETE."""
    worker, claim = await lab.pending()
    await lab.store.finish(worker.session, [timed_out(lab, worker, claim, phase=phase)])
    assert await lab.state(claim.uuid) == "timeout"
    assert await _deletes(lab, claim.uuid) == [None]


@pytest.mark.parametrize("result", [Released(), Interrupted(), Canceled()], ids=lambda result: type(result).__name__)
async def test_what_is_handed_back_owes_no_stop_for_a_timeout(lab: Lab, result: Result) -> None:
    """`owes_stop`: with `Done` or `Retry`. What is handed back owes what it always owes."""
    worker, claim = await lab.pending()
    await lab.store.finish(worker.session, [timed_out(lab, worker, claim, result)])
    owed = DeleteRecord("owed") if isinstance(result, Interrupted) else None
    assert await _deletes(lab, claim.uuid) == [owed]


async def test_cancel_on_record_leaves_one_stop(lab: Lab) -> None:
    """`owes_stop`: … and *no cancel on record*: the cancel has written the stop, and there is one for an attempt."""
    worker, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await lab.store.finish(worker.session, [timed_out(lab, worker, claim)]) == ["canceled"]
    assert await worker.settle(claim.uuid, 1, "accepted", code=202)
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.state, task.cancel.delete.state, task.is_settled) == ("canceled", "accepted", True)
    assert [delete.state for delete in await _deletes(lab, claim.uuid) if delete] == ["accepted"]


async def test_session_that_ends_leaves_it_to_whoever_claims_it(lab: Lab) -> None:
    """*Stop*: either held by a live session or by nobody. `close_session`: its stops are held by nobody."""
    worker, claim = await _timed_out(lab)
    heir = await lab.worker()
    await lab.store.close_session(worker.session)
    assert not await worker.settle(claim.uuid, 1)
    (stop,) = await heir.claim_stops()
    assert (stop.uuid, stop.attempt, stop.request, stop.tries) == (claim.uuid, 1, claim.request, 0)
    assert await heir.settle(claim.uuid, 1, "failed", code=None)
    assert await _deletes(lab, claim.uuid) == [DeleteRecord("failed", None, 1, 2.5)]


async def test_session_that_dies_leaves_it_to_whoever_claims_it(lab: Lab) -> None:
    """`reap`: Their stops are held by nobody from now on. The task itself is final, and stays so."""
    heir = await lab.worker()
    worker, claim = await _timed_out(lab)
    await lab.die(heir)
    task = await lab.get(claim.uuid)
    assert (task.state, task.crashes) == ("timeout", 0)
    assert not await worker.settle(claim.uuid, 1)
    (stop,) = await heir.claim_stops()
    assert await heir.settle(stop.uuid, stop.attempt)


async def test_unsent_stop_of_a_timeout_lapses(lab: Lab) -> None:
    """*Stop*: Unsettled past `lapses_at` (max(total timeout, 5 min) after it was written), it is settled as `lapsed` by `reap`."""
    worker, claim = await _timed_out(lab)
    await worker.beat(2 * STOP_LAPSES_AFTER)
    lab.clock.advance(STOP_LAPSES_AFTER - 1)
    await lab.store.reap(10)
    assert await _deletes(lab, claim.uuid) == [DeleteRecord("owed")]
    lab.clock.advance(2)
    await lab.store.reap(10)
    assert await _deletes(lab, claim.uuid) == [DeleteRecord("lapsed")]
    assert not await worker.settle(claim.uuid, 1)


async def test_task_with_an_unsettled_stop_is_not_forgotten(lab: Lab) -> None:
    """`forget`: A task with an unsettled stop is kept until that is settled."""
    worker, kept = await _timed_out(lab, result_ttl=1.0)
    settled = (await _timed_out(lab, worker, result_ttl=1.0))[1]
    await worker.settle(settled.uuid, 1)
    await worker.beat(2 * MONTH)
    lab.clock.advance(5)
    assert await lab.store.forget(10) == 1
    assert [await lab.state(claim.uuid) for claim in (kept, settled)] == ["timeout", "unknown"]
    assert await worker.settle(kept.uuid, 1)
    assert await lab.store.forget(10) == 1
    assert await lab.state(kept.uuid) == "unknown"
    assert not await worker.settle(kept.uuid, 1)


async def test_cancel_of_a_timeout_takes_over_the_stop_that_is_under_way(lab: Lab) -> None:
    """`cancel`: Final: `canceled`, phase `finished`, no stop: none is written, and the one that is owed already is told in the
    cancel's record."""
    worker, claim = await _timed_out(lab)
    assert await lab.store.cancel([Cancel(claim.uuid)]) == ["canceled"]
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.cancel.phase, task.cancel.delete, task.is_settled) == ("finished", DeleteRecord("owed"), False)
    assert await worker.settle(claim.uuid, 1, proof="header")
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.cancel.delete, task.cancel.proof) == (DeleteRecord("confirmed", 204, 1, 2.5), "header")
    assert task.is_settled
    assert await worker.claim_stops() == []


async def test_cancel_after_the_stop_of_a_timeout_was_settled_has_none_of_its_own(lab: Lab) -> None:
    """`cancel`: Final: no stop. What came of the earlier one stands at its attempt."""
    worker, claim = await _timed_out(lab)
    await worker.settle(claim.uuid, 1)
    await lab.store.cancel([Cancel(claim.uuid)])
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.cancel.delete, task.is_settled) == (DeleteRecord("none"), True)
    assert await _deletes(lab, claim.uuid) == [DeleteRecord("confirmed", 204, 1, 2.5)]


async def test_every_attempt_is_told_with_what_came_of_its_own_stop(lab: Lab) -> None:
    """`attempts`: Each with what came of its stop, if one was written for it."""
    worker, first = await lab.pending()
    await worker.finish(first, Interrupted(), phase="sent")
    settled = StopSettled(first.uuid, 1, "unsupported", 405, 2, 0.1)
    assert await lab.store.settle_stops(worker.session, [settled]) == [True]
    second = await worker.claim_one()
    await worker.finish(second, Released(), phase="connecting")
    await worker.claim_one()
    await lab.store.close_session(worker.session)
    heir = await lab.worker()
    fourth = await heir.claim_one()
    assert await _deletes(lab, first.uuid) == [DeleteRecord("unsupported", 405, 2, 0.1), None, None, None]
    await lab.store.cancel([Cancel(first.uuid)])
    owed = DeleteRecord("owed")
    assert await _deletes(lab, first.uuid) == [DeleteRecord("unsupported", 405, 2, 0.1), None, owed, owed]
    await heir.finish(fourth, Canceled(), phase="claimed")
    deletes = await _deletes(lab, first.uuid)
    assert deletes[2:] == [owed, DeleteRecord("none")]


async def test_reaped_task_whose_cancel_is_on_record_counts_its_crash(lab: Lab) -> None:
    """reap: pending, session expired: `crashes` + 1, whatever state it leads to. `close_session` is no crash."""
    worker, closed = await lab.pending()
    await lab.store.cancel([Cancel(closed.uuid)])
    await lab.store.close_session(worker.session)
    _, reaped = await lab.pending()
    await lab.store.cancel([Cancel(reaped.uuid)])
    await lab.die()
    found = [await lab.get(claim.uuid) for claim in (closed, reaped)]
    assert [(task.state, task.crashes) for task in found] == [("canceled", 0), ("canceled", 1)]
