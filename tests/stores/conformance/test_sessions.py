"""Sessions: leases, their ends, and what becomes of what they held."""

import pytest

from htq.stores.base import MAX_CRASHES, BodyRef, Cancel, Done, Interrupted, Released
from htq.words.errors import SessionLost
from stores.conformance.lab import INFO, LEASE, NO_DELETE, Lab, answer, outcome, request


async def test_every_session_has_a_fresh_id(lab: Lab) -> None:
    """`open_session`: A fresh session id. A name is never used again."""
    other = await lab.open()
    sessions = [await store.open_session(INFO, LEASE) for store in (lab.store, other, lab.store)]
    await lab.store.close_session(sessions[0])
    sessions.append(await lab.store.open_session(INFO, LEASE))
    assert len(set(sessions)) == 4


async def test_heartbeat_renews_the_lease(lab: Lab) -> None:
    """`heartbeat`: Renew the lease."""
    worker, claim = await lab.pending()
    for _ in range(5):
        lab.clock.advance(LEASE - 1)
        assert (await worker.beat()).cancels == []
        assert await lab.store.reap(10) == 0
    assert await worker.succeed(claim) == "applied"


async def test_heartbeat_past_the_lease_is_lost_though_nobody_reaped(lab: Lab) -> None:
    """`heartbeat`: Raises `SessionLost` if it is over, reaped or not."""
    worker = await lab.worker()
    lab.clock.advance(LEASE + 0.001)
    with pytest.raises(SessionLost):
        await worker.beat()
    with pytest.raises(SessionLost):
        await worker.beat()


async def test_heartbeat_of_a_closed_or_unknown_session_is_lost(lab: Lab) -> None:
    """`heartbeat`: Raises `SessionLost` if it is over."""
    worker = await lab.worker()
    await lab.store.close_session(worker.session)
    with pytest.raises(SessionLost):
        await worker.beat()
    for name in ("", "nobody", lab.chance.uuid()):
        with pytest.raises(SessionLost):
            await lab.store.heartbeat(name, LEASE)


async def test_claim_past_the_lease_is_lost_in_the_same_step(lab: Lab) -> None:
    """`claim`: Raises `SessionLost` in the same step if the lease is over."""
    worker = await lab.worker()
    uuid = await lab.enqueue()
    lab.clock.advance(LEASE + 0.001)
    with pytest.raises(SessionLost):
        await worker.claim()
    assert await lab.state(uuid) == "queued"
    with pytest.raises(SessionLost):
        await lab.store.claim("nobody", 1, 1)
    with pytest.raises(SessionLost):
        await worker.claim_stops()


async def test_repeated_claim_past_the_lease_is_lost_as_well(lab: Lab) -> None:
    """`claim`: Raises `SessionLost` if the lease is over: its earlier claims are no longer its own."""
    worker, _ = await lab.pending()
    lab.clock.advance(LEASE + 0.001)
    with pytest.raises(SessionLost):
        await lab.store.claim(worker.session, worker.seq, 10)


async def test_reaped_task_is_queued_again_and_counted_as_crash(lab: Lab) -> None:
    """reap: pending, session expired: queued; `crashes` + 1."""
    worker, claim = await lab.pending()
    lab.clock.advance(LEASE)
    assert await lab.store.reap(10) == 1
    task = await lab.get(claim.uuid)
    assert (task.state, task.attempt, task.crashes, task.failures, task.cancel) == ("queued", 1, 1, 0, None)
    with pytest.raises(SessionLost):
        await worker.beat()
    again = await (await lab.worker()).claim_one()
    assert (again.uuid, again.attempt) == (claim.uuid, 2)


async def test_reap_leaves_living_sessions_alone(lab: Lab) -> None:
    """`reap`: End sessions whose lease is over."""
    dying, lost = await lab.pending()
    living, kept = await lab.pending(await lab.worker())
    await lab.die(living)
    assert [await lab.state(claim.uuid) for claim in (lost, kept)] == ["queued", "pending"]
    assert await living.succeed(kept) == "applied"
    assert await dying.succeed(lost) == "lost"


async def test_reap_goes_on_where_its_limit_stopped_it(lab: Lab) -> None:
    """`reap`: at most `limit` tasks; how many there were."""
    worker = await lab.worker()
    await lab.enqueue_many(5)
    assert len(await worker.claim()) == 5
    lab.clock.advance(LEASE)
    assert [await lab.store.reap(2) for _ in range(4)] == [2, 2, 1, 0]


async def test_task_that_crashes_too_often_ends_in_error(lab: Lab) -> None:
    """`MAX_CRASHES`: A task that was reaped more often than this ends in `error`, reason `interrupted`."""
    uuid = await lab.enqueue()
    for crash in range(1, MAX_CRASHES + 1):
        claim = await (await lab.worker()).claim_one()
        assert claim.attempt == crash
        await lab.die()
        assert await lab.state(uuid) == "queued"
    await (await lab.worker()).claim_one()
    await lab.die()
    task = await lab.get(uuid)
    assert (task.state, task.reason, task.crashes) == ("error", "interrupted", MAX_CRASHES + 1)
    assert task.finished_at == lab.now
    assert task.is_settled


async def test_at_most_once_task_is_never_begun_again_after_a_crash(lab: Lab) -> None:
    """reap: past `max_crashes` or at-most-once: `error`, reason `interrupted`."""
    _, claim = await lab.pending(delivery="at_most_once")
    assert claim.delivery == "at_most_once"
    await lab.die()
    task = await lab.get(claim.uuid)
    assert (task.state, task.reason, task.attempt) == ("error", "interrupted", 1)


async def test_reap_of_a_task_with_a_cancel_on_record_ends_in_canceled(lab: Lab) -> None:
    """cancel: every later finish, retry or reap ends in `canceled`; `unknown`: its worker died."""
    other = await lab.worker()
    _, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid)])
    await lab.die(other)
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.state, task.cancel.phase, task.cancel.delete.state) == ("canceled", "unknown", "owed")
    assert not task.is_settled
    (stop,) = await other.claim_stops()
    assert (stop.uuid, stop.attempt, stop.tries) == (claim.uuid, 1, 0)


async def test_reaped_session_does_not_hold_its_stops_any_more(lab: Lab) -> None:
    """`reap`: Their stops are held by nobody from now on."""
    other = await lab.worker()
    worker, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await other.claim_stops() == []
    await lab.die(other)
    assert not await worker.settle(claim.uuid, 1)
    (stop,) = await other.claim_stops()
    assert await other.settle(stop.uuid, stop.attempt)


async def test_finish_after_reap_is_lost(lab: Lab) -> None:
    """`Outcome`: applies only to `pending` at this very attempt and session (the fence)."""
    worker, claim = await lab.pending()
    await lab.die()
    before = await lab.snapshot()
    for result in (Done("success", answer(lab.now)), Interrupted(), Released()):
        assert await worker.finish(claim, result, phase="sent") == "lost"
    assert await lab.snapshot() == before


async def test_finish_after_reap_is_lost_while_another_has_the_task(lab: Lab) -> None:
    """The fence: a loser changes nothing and is told so, even where the task is pending again."""
    dead, claim = await lab.pending()
    await lab.die()
    heir = await lab.worker()
    again = await heir.claim_one()
    assert (again.uuid, again.attempt) == (claim.uuid, 2)
    assert await dead.succeed(claim, b"old") == "lost"
    assert await dead.succeed(again, b"stolen") == "lost"
    assert await heir.succeed(claim, b"older attempt") == "lost"
    assert await heir.succeed(again, b"new") == "applied"
    (response,) = await lab.store.responses([claim.uuid])
    assert response is not None
    assert response.body == b"new"


async def test_close_session_hands_back_what_it_holds_and_is_no_crash(lab: Lab) -> None:
    """`close_session`: what it still holds is treated as by `reap`, but is no crash."""
    worker, claim = await lab.pending()
    once = (await lab.pending(worker, delivery="at_most_once"))[1]
    canceled = (await lab.pending(worker))[1]
    await lab.store.cancel([Cancel(canceled.uuid)])
    await lab.store.close_session(worker.session)
    task = await lab.get(claim.uuid)
    assert (task.state, task.attempt, task.crashes) == ("queued", 1, 0)
    lost = await lab.get(once.uuid)
    assert (lost.state, lost.reason, lost.crashes) == ("error", "interrupted", 0)
    ended = await lab.get(canceled.uuid)
    assert ended.cancel is not None
    assert (ended.state, ended.cancel.phase, ended.cancel.delete.state) == ("canceled", "unknown", "owed")


async def test_close_session_lets_go_of_its_stops(lab: Lab) -> None:
    """`close_session`: its stops are held by nobody."""
    other = await lab.worker()
    worker, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid)])
    await lab.store.close_session(worker.session)
    assert [stop.uuid for stop in await other.claim_stops()] == [claim.uuid]


async def test_attempt_of_a_closed_session_is_loose(lab: Lab) -> None:
    """*Loose attempt*: its worker died, or handed it back when it had been sent. A cancel owes a stop for it."""
    worker, claim = await lab.pending()
    await lab.store.close_session(worker.session)
    assert await lab.store.cancel([Cancel(claim.uuid)]) == ["canceled"]
    (stop,) = await (await lab.worker()).claim_stops()
    assert (stop.uuid, stop.attempt) == (claim.uuid, 1)


async def test_finish_after_close_session_is_lost(lab: Lab) -> None:
    """The fence: the session is no longer the one that has the task."""
    worker, claim = await lab.pending()
    await lab.store.close_session(worker.session)
    assert await worker.succeed(claim) == "lost"
    assert not await lab.store.append_body(BodyRef(claim.uuid, 1, "response"), 0, [b"x"])


async def test_close_session_may_be_repeated(lab: Lab) -> None:
    """Every verb may be repeated when its outcome is unknown."""
    worker, _ = await lab.pending()
    await lab.store.close_session(worker.session)
    before = await lab.snapshot()
    await lab.store.close_session(worker.session)
    await lab.store.close_session("nobody")
    assert await lab.snapshot() == before


async def test_close_session_after_reap_takes_nothing_from_the_heir(lab: Lab) -> None:
    """A worker that was frozen and comes back changes nothing."""
    dead, claim = await lab.pending()
    await lab.die()
    heir = await lab.worker()
    again = await heir.claim_one()
    await lab.store.close_session(dead.session)
    assert await lab.state(claim.uuid) == "pending"
    assert await heir.succeed(again) == "applied"


async def test_heartbeat_tells_every_cancel_that_is_not_finished(lab: Lab) -> None:
    """`Heartbeat`: every cancel that it has not finished yet. `stop` tells whether a stop was written for it."""
    worker, first = await lab.pending()
    second = (await lab.pending(worker, request=request(stop=NO_DELETE)))[1]
    third = (await lab.pending(worker))[1]
    elsewhere = (await lab.pending())[1]
    await lab.store.cancel([Cancel(claim.uuid, "enough") for claim in (first, second, elsewhere)])
    for _ in range(2):
        heard = sorted((await worker.beat()).cancels)
        assert heard == sorted([(first.uuid, 1, "enough", True), (second.uuid, 1, "enough", False)])
    await worker.finish(first, Released(), phase="claimed")
    assert [cancel.uuid for cancel in (await worker.beat()).cancels] == [second.uuid]
    assert await worker.succeed(third) == "applied"


async def test_one_session_cannot_finish_anothers_attempt(lab: Lab) -> None:
    """`Outcome`: applies only to `pending` at this very attempt *and session*."""
    worker, claim = await lab.pending()
    thief = await lab.worker()
    assert await thief.succeed(claim) == "lost"
    assert await lab.store.finish("nobody", [outcome(claim, "nobody", Done("error", answer(lab.now)), lab.now)]) == [
        "lost"
    ]
    assert await worker.succeed(claim) == "applied"
