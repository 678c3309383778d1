"""`cancel`: for ever, in every state, and what it owes."""

import pytest

from htq.stores.base import BodyRef, Cancel, Canceled, Done, Interrupted, Released
from stores.conformance.lab import LEASE, NO_DELETE, Lab, answer, request


async def test_canceled_queued_task_is_canceled_at_once_and_never_claimed(lab: Lab) -> None:
    """cancel: scheduled, queued -> canceled: at once, and never sent; phase `waiting`."""
    queued = await lab.enqueue()
    scheduled = await lab.enqueue(run_at=lab.now + 1000)
    assert await lab.store.cancel([Cancel(queued, "enough"), Cancel(scheduled)]) == ["canceled", "canceled"]
    lab.clock.advance(5)
    await lab.store.promote(10)
    worker = await lab.worker()
    assert await worker.claim() == []
    assert await worker.claim_stops() == []
    for uuid, reason in ((queued, "enough"), (scheduled, None)):
        task = await lab.get(uuid)
        assert task.cancel is not None
        assert (task.state, task.status, task.attempt, task.reason) == ("canceled", "canceled", 0, "canceled")
        assert (task.cancel.reason, task.cancel.phase, task.cancel.delete.state) == (reason, "waiting", "none")
        assert (task.cancel.requested_at, task.finished_at) == (lab.now - 5000, lab.now - 5000)
        assert task.is_settled


async def test_canceled_pending_task_stays_pending_until_its_session_ends_it(lab: Lab) -> None:
    """`cancel`: `pending`: stays so until its session finishes it, is shown `canceled` from now on."""
    worker, claim = await lab.pending()
    assert await lab.store.cancel([Cancel(claim.uuid, "enough")]) == ["pending"]
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.state, task.status, task.finished_at) == ("pending", "canceled", None)
    assert (task.cancel.requested_at, task.cancel.reason) == (lab.now, "enough")
    assert (task.cancel.phase, task.cancel.interrupted_at, task.cancel.delete.state) == (None, None, "owed")
    assert await lab.store.states([claim.uuid]) == [("pending", True)]
    assert await worker.finish(claim, Canceled(), phase="sent") == "canceled"


async def test_stop_of_a_pending_task_is_held_by_its_session(lab: Lab) -> None:
    """`cancel`: a stop held by its session: nobody else can take or settle it."""
    worker, claim = await lab.pending()
    other = await lab.worker()
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await other.claim_stops() == []
    assert not await other.settle(claim.uuid, 1)
    assert await worker.settle(claim.uuid, 1)


async def test_cancel_without_delete_owes_no_stop(lab: Lab) -> None:
    """`cancel`: Where the task's policy says that no DELETE is sent, no stop is written, and the record says `none`."""
    worker, claim = await lab.pending(request=request(stop=NO_DELETE))
    await lab.store.cancel([Cancel(claim.uuid)])
    (heard,) = (await worker.beat()).cancels
    assert not heard.stop
    assert not await worker.settle(claim.uuid, 1)
    assert await worker.finish(claim, Canceled(), phase="sent") == "canceled"
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.cancel.phase, task.cancel.delete.state, task.is_settled) == ("sent", "none", True)


@pytest.mark.parametrize("state", ["success", "error", "timeout"])
async def test_cancel_of_a_final_task_deletes_its_response(lab: Lab, state: str) -> None:
    """`cancel`: Final: `canceled`, phase `finished`, the response is deleted, no stop."""
    uuid = await lab.final(state)  # type: ignore[arg-type]
    assert await lab.store.cancel([Cancel(uuid)]) == ["canceled"]
    task = await lab.get(uuid)
    assert task.cancel is not None
    assert (task.state, task.has_response, task.reason) == ("canceled", False, "canceled")
    assert (task.cancel.phase, task.cancel.delete.state) == ("finished", "none")
    assert await lab.store.responses([uuid]) == [None]
    assert await (await lab.worker()).claim_stops() == []
    assert len(await lab.store.attempts(uuid)) == 1


async def test_cancel_of_a_final_task_deletes_a_large_body(lab: Lab) -> None:
    """`cancel`: the response is deleted, with what of it lies beside."""
    worker, claim = await lab.pending()
    await worker.succeed(claim, b"x" * 9000)
    ref = BodyRef(claim.uuid, 1, "response")
    assert await lab.store.read_body(ref, 0, 10)
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await lab.store.read_body(ref, 0, 10) == []


async def test_first_cancel_counts(lab: Lab) -> None:
    """`cancel`: The first request counts: `requested_at` and `reason` are set once."""
    worker, pending = await lab.pending()
    final = await lab.final()
    queued = await lab.enqueue()
    uuids = [pending.uuid, queued, final]
    first = await lab.store.cancel([Cancel(uuid, "first") for uuid in uuids])
    before = await lab.snapshot()
    lab.clock.advance(1)
    assert await lab.store.cancel([Cancel(uuid, "second") for uuid in uuids]) == first
    assert await lab.snapshot() == before
    assert await worker.settle(pending.uuid, 1)


async def test_cancel_of_unknown_tasks_says_so_and_cancels_the_others(lab: Lab) -> None:
    """`cancel`: None for an unknown uuid; one item's refusal never fails another."""
    known = await lab.enqueue()
    cancels = [Cancel("nonsense"), Cancel(known), Cancel(lab.chance.uuid()), Cancel(known)]
    assert await lab.store.cancel(cancels) == [None, "canceled", None, "canceled"]


async def test_no_new_attempt_starts_after_a_cancel(lab: Lab) -> None:
    """`cancel`: After it returns no new attempt of the task can start: by hand-back, crash or time."""
    worker, released = await lab.pending()
    interrupted = (await lab.pending(worker))[1]
    crashed = (await lab.pending())[1]
    await lab.store.cancel([Cancel(claim.uuid) for claim in (released, interrupted, crashed)])
    await worker.finish(released, Released(), phase="claimed")
    await worker.finish(interrupted, Interrupted(), phase="sent")
    await lab.die(worker)
    lab.clock.advance(LEASE - 1)
    await lab.store.promote(100)
    assert await worker.claim() == []
    states = await lab.store.states([claim.uuid for claim in (released, interrupted, crashed)])
    assert states == [("canceled", True)] * 3


async def test_cancel_between_settling_and_finish_keeps_what_was_settled(lab: Lab) -> None:
    """A stop settled while its request was still open stays settled: `finish` does not touch it."""
    worker, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await worker.settle(claim.uuid, 1, "confirmed", proof="ended")
    await worker.finish(claim, Canceled(), phase="finished")
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.cancel.delete.state, task.cancel.proof) == ("confirmed", "ended")


async def test_cancel_of_a_queued_task_owes_a_stop_for_its_loose_attempt(lab: Lab) -> None:
    """`cancel`: `canceled`, phase `waiting`, and a stop held by nobody for a loose attempt."""
    _, claim = await lab.pending()
    await lab.die()
    assert await lab.store.cancel([Cancel(claim.uuid)]) == ["canceled"]
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.cancel.phase, task.cancel.delete.state, task.is_settled) == ("waiting", "owed", False)
    worker = await lab.worker()
    (stop,) = await worker.claim_stops()
    assert (stop.uuid, stop.attempt, stop.request) == (claim.uuid, 1, claim.request)
    assert await worker.settle(claim.uuid, 1, "gone", code=404)
    settled = await lab.get(claim.uuid)
    assert settled.cancel is not None
    assert (settled.cancel.delete.state, settled.cancel.delete.code, settled.is_settled) == ("gone", 404, True)


async def test_cancel_of_a_pending_task_owes_stops_for_every_loose_attempt_too(lab: Lab) -> None:
    """`cancel`: `pending`: … a stop held by its session, and one held by nobody for a loose attempt."""
    _, claim = await lab.pending()
    await lab.die()
    await (await lab.worker()).claim_one()
    await lab.die()
    worker = await lab.worker()
    third = await worker.claim_one()
    await lab.store.cancel([Cancel(claim.uuid)])
    other = await lab.worker()
    stops = await other.claim_stops()
    assert sorted(stop.attempt for stop in stops) == [1, 2]
    for stop in stops:
        assert await other.settle(stop.uuid, stop.attempt)
    assert not (await lab.get(claim.uuid)).is_settled
    await worker.finish(third, Canceled(), phase="claimed")
    assert (await lab.get(claim.uuid)).is_settled


async def test_loose_attempt_without_delete_owes_nothing(lab: Lab) -> None:
    """`cancel`: Where the task's policy says that no DELETE is sent, no stop is written."""
    _, claim = await lab.pending(request=request(stop=NO_DELETE))
    await lab.die()
    await lab.store.cancel([Cancel(claim.uuid)])
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.cancel.delete.state, task.is_settled) == ("none", True)
    assert await (await lab.worker()).claim_stops() == []


async def test_done_forgets_loose_attempts(lab: Lab) -> None:
    """*Loose attempt*: `finish` with `Done` forgets it."""
    _, claim = await lab.pending()
    await lab.die()
    worker = await lab.worker()
    await worker.succeed(await worker.claim_one())
    await lab.store.cancel([Cancel(claim.uuid)])
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert task.cancel.delete.state == "none"
    assert await worker.claim_stops() == []


async def test_cancel_of_an_interrupted_task_leaves_its_stop_with_its_session(lab: Lab) -> None:
    """`Interrupted`: a stop is owed, held by the finishing session. A cancel waits for that one, and owes no second."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Interrupted(), phase="sent")
    assert await lab.store.cancel([Cancel(claim.uuid)]) == ["canceled"]
    assert not (await lab.get(claim.uuid)).is_settled
    assert await worker.claim_stops() == []
    assert await worker.settle(claim.uuid, 1)
    assert (await lab.get(claim.uuid)).is_settled


async def test_cancel_after_an_interrupted_attempts_stop_was_settled_owes_nothing(lab: Lab) -> None:
    """Asked twice: once. The attempt has had its DELETE."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Interrupted(), phase="sent")
    await worker.settle(claim.uuid, 1)
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await worker.claim_stops() == []
    assert (await lab.get(claim.uuid)).is_settled


async def test_version_grows_with_every_change_and_only_then(lab: Lab) -> None:
    """`Task.version`: Grows with every change of the record: the ETag."""
    worker = await lab.worker()
    uuid = await lab.enqueue(run_at=lab.now + 1000)
    versions = [(await lab.get(uuid)).version]
    lab.clock.advance(1)
    await lab.store.promote(1)
    versions.append((await lab.get(uuid)).version)
    claim = await worker.claim_one()
    versions.append((await lab.get(uuid)).version)
    await worker.succeed(claim)
    versions.append((await lab.get(uuid)).version)
    await lab.store.delete_response([uuid])
    versions.append((await lab.get(uuid)).version)
    await lab.store.cancel([Cancel(uuid)])
    versions.append((await lab.get(uuid)).version)
    assert versions == sorted(set(versions))
    await lab.store.cancel([Cancel(uuid)])
    await worker.succeed(claim)
    assert (await lab.get(uuid)).version == versions[-1]


async def test_cancel_wins_over_a_done_that_comes_later(lab: Lab) -> None:
    """204 to a cancel is for ever: no response will appear."""
    worker, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await worker.finish(claim, Done("success", answer(lab.now)), phase="finished") == "canceled"
    assert await lab.store.responses([claim.uuid]) == [None]
    assert not await lab.store.append_body(BodyRef(claim.uuid, 1, "response"), 0, [b"late"])
