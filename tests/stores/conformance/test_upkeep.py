"""`promote`, `forget` and `delete_response`: what time brings, and what is cleared away."""

from htq.stores.base import STOP_LAPSES_AFTER, BodyRef, Cancel, Canceled, Enqueued, Filter, Interrupted, Promoted
from stores.conformance.lab import LEASE, Lab

TTL = 3600.0


async def test_promote_queues_what_is_due_and_says_when_to_come_again(lab: Lab) -> None:
    """`Promoted`: How many scheduled tasks were queued, and when the next one is due (None: none is scheduled)."""
    start = lab.now
    assert await lab.store.promote(10) == Promoted(0, None)
    late = await lab.enqueue(run_at=start + 3000)
    soon = await lab.enqueue(run_at=start + 1000)
    assert await lab.store.promote(10) == Promoted(0, start + 1000)
    lab.clock.advance(0.999)
    assert (await lab.store.promote(10)).promoted == 0
    lab.clock.advance(0.001)
    assert await lab.store.promote(10) == Promoted(1, start + 3000)
    assert [await lab.state(uuid) for uuid in (soon, late)] == ["queued", "scheduled"]
    lab.clock.advance(10)
    assert await lab.store.promote(10) == Promoted(1, None)


async def test_promote_stops_at_its_limit(lab: Lab) -> None:
    """`promote`: Queue at most `limit` scheduled tasks that are due."""
    await lab.enqueue_many(5, run_at=lab.now + 1)
    lab.clock.advance(1)
    promoted = [await lab.store.promote(2) for _ in range(4)]
    assert [one.promoted for one in promoted] == [2, 2, 1, 0]
    assert promoted[0].next_due_at is not None
    assert promoted[0].next_due_at <= lab.now


async def test_scheduled_task_is_never_claimed_before_it_is_due(lab: Lab) -> None:
    """promote: a task is never claimed before it is due; any process may promote it."""
    other = await lab.open()
    uuid = await lab.enqueue(run_at=lab.now + 1000)
    worker = await lab.worker()
    await other.promote(10)
    assert await worker.claim() == []
    lab.clock.advance(1)
    await other.promote(10)
    assert (await worker.claim_one()).uuid == uuid


async def test_promoted_task_keeps_its_place_by_run_at(lab: Lab) -> None:
    """`claim`: the order is by `run_at`: what was due earlier goes first, though it was enqueued later."""
    late = await lab.enqueue(run_at=lab.now + 2000)
    early = await lab.enqueue(run_at=lab.now + 1000)
    lab.clock.advance(5)
    await lab.store.promote(10)
    worker = await lab.worker()
    assert [claim.uuid for claim in await worker.claim()] == [early, late]


async def test_canceled_scheduled_task_is_not_promoted(lab: Lab) -> None:
    """promote: `scheduled` only."""
    uuid = await lab.enqueue(run_at=lab.now + 1000)
    await lab.store.cancel([Cancel(uuid)])
    lab.clock.advance(2)
    assert await lab.store.promote(10) == Promoted(0, None)


async def test_final_task_is_forgotten_after_its_retention_with_everything(lab: Lab) -> None:
    """`forget`: Remove final tasks past their retention, with everything of theirs; how many there were."""
    worker, claim = await lab.pending(body=b"x" * 9000, name="n", result_ttl=TTL)
    await worker.succeed(claim, b"y" * 9000)
    lab.clock.advance(TTL - 1)
    assert await lab.store.forget(10) == 0
    lab.clock.advance(2)
    assert await lab.store.forget(10) == 1
    assert await lab.state(claim.uuid) == "unknown"
    assert await lab.store.responses([claim.uuid]) == [None]
    assert await lab.store.attempts(claim.uuid) == []
    assert await lab.store.read_body(BodyRef(claim.uuid, 0, "request"), 0, 10) == []
    assert await lab.store.read_body(BodyRef(claim.uuid, 1, "response"), 0, 10) == []
    assert await lab.store.cancel([Cancel(claim.uuid)]) == [None]
    assert await lab.everything() == []
    assert await lab.list_all(Filter(name="n", statuses=("success",))) == []
    assert await worker.succeed(claim) == "lost"


async def test_live_tasks_are_never_forgotten(lab: Lab) -> None:
    """`forget`: *final* tasks."""
    await lab.enqueue(result_ttl=1.0)
    await lab.enqueue(result_ttl=1.0, run_at=lab.now + 10**9)
    worker = await lab.worker(lease=10**6)
    assert len(await worker.claim()) == 1
    lab.clock.advance(10_000)
    assert await lab.store.forget(10) == 0
    assert len(await lab.everything()) == 2


async def test_forget_stops_at_its_limit(lab: Lab) -> None:
    """`forget`: at most `limit`."""
    uuids = await lab.enqueue_many(5, result_ttl=1.0)
    await lab.store.cancel([Cancel(uuid) for uuid in uuids])
    lab.clock.advance(2)
    assert [await lab.store.forget(2) for _ in range(4)] == [2, 2, 1, 0]


async def test_task_with_an_unsettled_stop_is_kept(lab: Lab) -> None:
    """`forget`: A task with an unsettled stop is kept until that is settled."""
    worker, claim = await lab.pending(result_ttl=1.0)
    plain = (await lab.pending(worker, result_ttl=1.0))[1]
    await lab.store.cancel([Cancel(claim.uuid), Cancel(plain.uuid)])
    await worker.finish(claim, Canceled(), phase="sent")
    await worker.finish(plain, Canceled(), phase="claimed")
    lab.clock.advance(5)
    assert await lab.store.forget(10) == 1
    assert [await lab.state(one.uuid) for one in (claim, plain)] == ["canceled", "unknown"]
    await worker.settle(claim.uuid, 1)
    assert await lab.store.forget(10) == 1


async def test_kept_tasks_do_not_stand_in_the_way_of_others(lab: Lab) -> None:
    """`forget`: the limit counts what is removed: tasks that wait for a stop never starve the rest."""
    worker = await lab.worker()
    await lab.enqueue_many(5, result_ttl=1.0)
    claims = await worker.claim(5)
    await lab.store.cancel([Cancel(claim.uuid) for claim in claims])
    await worker.finish_all(claims, Canceled(), phase="sent")
    lab.clock.advance(1)
    others = await lab.enqueue_many(2, result_ttl=1.0)
    await lab.store.cancel([Cancel(uuid) for uuid in others])
    lab.clock.advance(5)
    forgotten = [await lab.store.forget(2) for _ in range(4)]
    assert sum(forgotten) == 2
    assert [await lab.state(uuid) for uuid in others] == ["unknown"] * 2


async def test_task_is_forgotten_once_its_stop_has_lapsed(lab: Lab) -> None:
    """`forget`: … until that is settled, and to lapse is to be settled."""
    worker, claim = await lab.pending(result_ttl=1.0, delivery="at_most_once")
    await worker.finish(claim, Interrupted(), phase="sent")
    lab.clock.advance(LEASE + 1)
    await lab.store.reap(10)
    assert await lab.store.forget(10) == 0
    lab.clock.advance(STOP_LAPSES_AFTER)
    await lab.store.reap(10)
    assert await lab.store.forget(10) == 1


async def test_canceled_final_task_is_kept_for_its_ttl_from_the_cancel_on(lab: Lab) -> None:
    """`cancel`: A canceled final task is kept for its `result_ttl` from now on."""
    uuid = await lab.final(result_ttl=10.0)
    lab.clock.advance(9)
    await lab.store.cancel([Cancel(uuid)])
    lab.clock.advance(9)
    assert await lab.store.forget(10) == 0
    lab.clock.advance(2)
    assert await lab.store.forget(10) == 1


async def test_forgotten_uuid_is_unknown_and_its_name_is_free(lab: Lab) -> None:
    """`forget`: final -> gone."""
    old = await lab.final(name="n", result_ttl=1.0)
    lab.clock.advance(2)
    await lab.store.forget(10)
    new = lab.task(name="n")
    assert await lab.store.enqueue([new]) == [Enqueued(new.uuid)]
    assert await lab.state(old) == "unknown"


async def test_delete_response_frees_it_once(lab: Lab) -> None:
    """`delete_response`: Delete responses with their bodies. False where there is none. The task stays as it is."""
    worker, claim = await lab.pending()
    await worker.succeed(claim, b"y" * 9000)
    before = await lab.get(claim.uuid)
    assert await lab.store.delete_response([claim.uuid]) == [True]
    assert await lab.store.responses([claim.uuid]) == [None]
    assert await lab.store.read_body(BodyRef(claim.uuid, 1, "response"), 0, 10) == []
    after = await lab.get(claim.uuid)
    assert (after.state, after.finished_at, after.has_response) == (before.state, before.finished_at, False)
    assert await lab.store.delete_response([claim.uuid]) == [False]


async def test_delete_response_of_what_has_none_is_false_item_by_item(lab: Lab) -> None:
    """`delete_response`: False where there is none."""
    final = await lab.final()
    pending = (await lab.pending())[1].uuid
    queued = await lab.enqueue()
    assert await lab.store.delete_response([queued, final, "nonsense", pending, final]) == [
        *(False, True, False, False, False),
    ]


async def test_task_without_its_response_is_still_forgotten(lab: Lab) -> None:
    """`delete_response`: The task stays as it is, its retention too."""
    uuid = await lab.final(result_ttl=10.0)
    lab.clock.advance(5)
    await lab.store.delete_response([uuid])
    lab.clock.advance(6)
    assert await lab.store.forget(10) == 1
