"""Stops: who sends a DELETE, what comes of it, and when it is too late for one."""

import pytest

from htq.stores.base import STOP_LAPSES_AFTER, Cancel, Canceled, Interrupted, StopSettled
from htq.words.task import DeleteState
from stores.conformance.lab import LEASE, Lab, request


async def _free_stops(lab: Lab, count: int) -> set[str]:
    """Stops that nobody holds: of tasks whose worker died."""
    worker = await lab.worker()
    uuids = set(await lab.enqueue_many(count))
    await worker.claim(count)
    await lab.store.close_session(worker.session)
    await lab.store.cancel([Cancel(uuid) for uuid in uuids])
    return uuids


async def test_free_stops_are_claimed_once(lab: Lab) -> None:
    """`claim_stops`: At most `limit` stops that nobody holds are held by `session` from now on."""
    uuids = await _free_stops(lab, 5)
    first = await lab.worker()
    second = await lab.worker(await lab.open())
    one = await first.claim_stops(3)
    two = await second.claim_stops(3)
    assert (len(one), len(two)) == (3, 2)
    assert {stop.uuid for stop in one + two} == uuids
    assert await first.claim_stops() == []
    assert all(stop.lapses_at == lab.now + STOP_LAPSES_AFTER * 1000 for stop in one)


async def test_same_seq_gives_the_same_stops_again(lab: Lab) -> None:
    """`claim_stops`: `seq` works as in `claim`, apart from it."""
    await _free_stops(lab, 4)
    worker = await lab.worker()
    stops = await lab.store.claim_stops(worker.session, 1, 3)
    again = await lab.store.claim_stops(worker.session, 1, 3)
    assert {stop.uuid for stop in again} == {stop.uuid for stop in stops}
    await worker.settle(stops[0].uuid, 1)
    again = await lab.store.claim_stops(worker.session, 1, 3)
    assert {stop.uuid for stop in again} == {stop.uuid for stop in stops[1:]}
    assert len(await lab.store.claim_stops(worker.session, 2, 3)) == 1


async def test_seq_of_stops_is_apart_from_the_seq_of_claims(lab: Lab) -> None:
    """`claim_stops`: `seq` works as in `claim`, apart from it."""
    await _free_stops(lab, 1)
    await lab.enqueue()
    worker = await lab.worker()
    assert len((await lab.store.claim(worker.session, 1, 10)).claims) == 1
    assert len(await lab.store.claim_stops(worker.session, 1, 10)) == 1


@pytest.mark.parametrize("state", ["none", "confirmed", "accepted", "gone", "unsupported", "refused", "failed"])
async def test_what_came_of_a_stop_is_on_record(lab: Lab, state: DeleteState) -> None:
    """`settle_stops`: Put what came of stops on record."""
    worker, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid)])
    await worker.finish(claim, Canceled(), phase="sent")
    assert await worker.settle(claim.uuid, 1, state, code=None)
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert (task.cancel.delete.state, task.cancel.delete.code) == (state, None)
    assert task.is_settled


async def test_repeated_settling_answers_true_again(lab: Lab) -> None:
    """`settle_stops`: A repeated settling that had been applied answers True again."""
    worker, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await worker.settle(claim.uuid, 1)
    before = await lab.snapshot()
    assert await worker.settle(claim.uuid, 1)
    assert await lab.snapshot() == before


async def test_settled_stop_is_settled_for_good(lab: Lab) -> None:
    """`settle_stops`: False: it is settled already or `session` does not hold it; nothing changed."""
    worker, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid)])
    await worker.settle(claim.uuid, 1, "confirmed")
    before = await lab.snapshot()
    other = await lab.worker()
    assert not await other.settle(claim.uuid, 1, "failed", code=500)
    assert await lab.snapshot() == before


async def test_stop_that_is_not_there_is_not_settled(lab: Lab) -> None:
    """`settle_stops`: False, item by item, for what is unknown or owed by nobody."""
    worker, claim = await lab.pending()
    canceled = (await lab.pending(worker))[1]
    await lab.store.cancel([Cancel(canceled.uuid)])
    settled = [
        StopSettled(claim.uuid, 1, "confirmed"),
        StopSettled("nonsense", 1, "confirmed"),
        StopSettled(canceled.uuid, 2, "confirmed"),
        StopSettled(canceled.uuid, 1, "confirmed"),
        StopSettled(lab.chance.uuid(), 1, "confirmed"),
    ]
    assert await lab.store.settle_stops(worker.session, settled) == [False, False, False, True, False]


async def test_free_stop_is_settled_by_nobody(lab: Lab) -> None:
    """`settle_stops`: False: `session` does not hold it."""
    (uuid,) = await _free_stops(lab, 1)
    worker = await lab.worker()
    assert not await worker.settle(uuid, 1)
    await worker.claim_stops()
    assert await worker.settle(uuid, 1)


async def test_stop_goes_on_from_hand_to_hand_while_its_holders_die(lab: Lab) -> None:
    """*Stop*: either held by a live session or by nobody."""
    (uuid,) = await _free_stops(lab, 1)
    for _ in range(3):
        worker = await lab.worker()
        (stop,) = await worker.claim_stops()
        assert stop.uuid == uuid
        await lab.die()
        assert not await worker.settle(uuid, 1)


async def test_unsettled_stop_lapses(lab: Lab) -> None:
    """*Stop*: Unsettled past `lapses_at` (max(total timeout, 5 min) after it was written), it is settled by `reap`."""
    (uuid,) = await _free_stops(lab, 1)
    lab.clock.advance(STOP_LAPSES_AFTER - 1)
    await lab.store.reap(10)
    assert not (await lab.get(uuid)).is_settled
    lab.clock.advance(2)
    await lab.store.reap(10)
    task = await lab.get(uuid)
    assert task.cancel is not None
    assert (task.cancel.delete.state, task.is_settled) == ("lapsed", True)
    worker = await lab.worker()
    assert await worker.claim_stops() == []


async def test_stop_of_a_long_task_lapses_after_its_total_timeout(lab: Lab) -> None:
    """*Stop*: … max(total timeout, 5 min)."""
    worker, claim = await lab.pending(request=request(total=1000))
    await lab.store.cancel([Cancel(claim.uuid)])
    await worker.finish(claim, Canceled(), phase="sent")
    await lab.store.close_session(worker.session)
    lab.clock.advance(999)
    await lab.store.reap(10)
    assert not (await lab.get(claim.uuid)).is_settled
    lab.clock.advance(2)
    await lab.store.reap(10)
    assert (await lab.get(claim.uuid)).is_settled


async def test_stop_held_by_a_living_session_lapses_too(lab: Lab) -> None:
    """*Stop*: Unsettled past `lapses_at`, whoever holds it: a late DELETE hits other work."""
    worker, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid)])
    await worker.finish(claim, Canceled(), phase="sent")
    await worker.beat(STOP_LAPSES_AFTER * 2)
    lab.clock.advance(STOP_LAPSES_AFTER + 1)
    await lab.store.reap(10)
    assert (await lab.get(claim.uuid)).is_settled
    assert not await worker.settle(claim.uuid, 1)


async def test_lapsed_stop_lets_go_on_what_waits_behind_it(lab: Lab) -> None:
    """*Blocked*: queued in the very step in which … its last stop is settled, and to lapse is to be settled."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Interrupted(), phase="sent")
    await worker.beat(STOP_LAPSES_AFTER * 2)
    assert await lab.state(claim.uuid) == "scheduled"
    lab.clock.advance(STOP_LAPSES_AFTER + 1)
    await lab.store.reap(10)
    assert await lab.state(claim.uuid) == "queued"


async def test_stops_lapse_no_more_than_the_limit_at_a_time(lab: Lab) -> None:
    """`reap`: Stops past `lapses_at` are settled as `lapsed`, at most `limit`."""
    uuids = await _free_stops(lab, 5)
    lab.clock.advance(STOP_LAPSES_AFTER + LEASE)
    await lab.store.reap(2)
    assert [task.is_settled for task in await lab.everything()].count(True) == 2
    await lab.store.reap(10)
    assert {task.uuid for task in await lab.everything() if task.is_settled} == uuids
