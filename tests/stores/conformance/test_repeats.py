"""Lost replies: every verb that changes something, called once more with the same arguments, changes nothing more."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from htq.stores.base import (
    BodyRef,
    Cancel,
    Canceled,
    Done,
    Firing,
    Interrupted,
    Patch,
    Released,
    Retry,
    StopSettled,
)
from htq.words.callback import Callback
from htq.words.schedule import Schedule
from htq.words.states import STATES
from htq.words.task import Idempotency
from stores.conformance.lab import NO_DELETE, Lab, answer, outcome, request

CALLBACK = Callback(url="http://127.0.0.1:9/done", source="http://127.0.0.1:5000")

Call = Callable[[], Awaitable[object]]


async def _enqueue(lab: Lab) -> Call:
    await lab.enqueue(name="n")
    tasks = [lab.task(name="n", body=b"x" * 9000), lab.task(name="n"), lab.task(run_at=lab.now + 1000)]
    return lambda: lab.store.enqueue(tasks)


async def _enqueue_behind_an_exchange(lab: Lab) -> Call:
    await lab.pending(name="n")
    tasks = [lab.task(name="n")]
    return lambda: lab.store.enqueue(tasks)


async def _enqueue_in_every_way(lab: Lab) -> Call:
    await lab.enqueue(name="n", idempotency=Idempotency("known", b"f", 100.0))
    await lab.store.put_group("", "closed", CALLBACK, close=True)
    told = msgspec.structs.replace(request(), callback=CALLBACK)
    tasks = [
        lab.task(name="n", on_conflict="return_existing"),
        lab.task(name="n", on_conflict="reject"),
        lab.task(name="m", on_conflict="queue_after"),
        lab.task(name="m", on_conflict="queue_after", group="g", request=told),
        lab.task(idempotency=Idempotency("known", b"f", 100.0)),
        lab.task(idempotency=Idempotency("known", b"other", 100.0)),
        lab.task(idempotency=Idempotency("new", b"f", 100.0), group="g"),
        lab.task(group="closed"),
        lab.task(start_by=lab.now + 9000, deadline=lab.now + 9000, cost={"tokens": 5.0}),
    ]
    return lambda: lab.store.enqueue(tasks)


async def _enqueue_refused_atomically(lab: Lab) -> Call:
    await lab.enqueue(name="n")
    tasks = [lab.task(name="m", group="g"), lab.task(name="n", on_conflict="reject")]
    return lambda: lab.store.enqueue(tasks, atomic=True)


async def _close_session(lab: Lab) -> Call:
    worker, claim = await lab.pending()
    await lab.pending(worker)
    await lab.store.cancel([Cancel(claim.uuid)])
    return lambda: lab.store.close_session(worker.session)


async def _heartbeat(lab: Lab) -> Call:
    worker, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid)])
    return worker.beat


async def _claim(lab: Lab) -> Call:
    worker = await lab.worker()
    await lab.enqueue_many(5)
    return lambda: lab.store.claim(worker.session, 1, 3)


async def _finish(lab: Lab) -> Call:
    worker = await lab.worker()
    once = lab.task(delivery="at_most_once")
    quiet = lab.task(request=request(stop=NO_DELETE))
    await lab.store.enqueue([*(lab.task(name=f"n{at}") for at in range(6)), once, quiet])
    claims = {claim.uuid: claim for claim in await worker.claim(8)}
    first, second, third, fourth, fifth, sixth = (
        claims[uuid] for uuid in claims if uuid not in (once.uuid, quiet.uuid)
    )
    await lab.store.cancel([Cancel(fifth.uuid)])
    await lab.enqueue(name="n5")
    now = lab.now
    big = answer(now, b"x" * 9000)
    outcomes = [
        outcome(first, worker.session, Done("success", answer(now)), now),
        outcome(second, worker.session, Done("timeout", big, "total"), now),
        outcome(third, worker.session, Released(), now, phase="sent"),
        outcome(fourth, worker.session, Interrupted(), now, phase="sent"),
        outcome(fifth, worker.session, Canceled(), now, phase="sent"),
        outcome(sixth, worker.session, Canceled(), now, phase="finished"),
        outcome(claims[once.uuid], worker.session, Interrupted(), now, phase="sent"),
        outcome(claims[quiet.uuid], worker.session, Interrupted(), now, phase="sent"),
    ]
    return lambda: lab.store.finish(worker.session, outcomes)


async def _finish_with_retries(lab: Lab) -> Call:
    worker = await lab.worker()
    told = msgspec.structs.replace(request(), callback=CALLBACK)
    await lab.store.put_group("", "g", CALLBACK, close=False)
    await lab.enqueue_many(4, group="g", request=told)
    await lab.store.put_group("", "g", None, close=True)
    first, second, third, fourth = await worker.claim(4)
    await lab.store.cancel([Cancel(third.uuid)])
    now = lab.now
    outcomes = [
        outcome(first, worker.session, Retry(now + 9000, between=True), now),
        outcome(second, worker.session, Retry(now + 9000), now, phase="sent", owes_stop=True),
        outcome(third, worker.session, Retry(now), now, phase="sent"),
        outcome(fourth, worker.session, Done("error", answer(now), "status"), now),
    ]
    return lambda: lab.store.finish(worker.session, outcomes)


async def _append_body(lab: Lab) -> Call:
    _, claim = await lab.pending()
    ref = BodyRef(claim.uuid, 1, "response")
    return lambda: lab.store.append_body(ref, 0, [b"x" * 5000, b"y"])


async def _cancel(lab: Lab) -> Call:
    _, pending = await lab.pending()
    final = await lab.final()
    queued = await lab.enqueue()
    _, loose = await lab.pending()
    await lab.die()
    cancels = [Cancel(uuid, "why") for uuid in (pending.uuid, final, queued, loose.uuid, queued)]
    return lambda: lab.store.cancel(cancels)


async def _claim_stops(lab: Lab) -> Call:
    worker, claim = await lab.pending()
    other = await lab.worker()
    await lab.store.close_session(worker.session)
    await lab.store.cancel([Cancel(claim.uuid)])
    return lambda: lab.store.claim_stops(other.session, 1, 10)


async def _settle_stops(lab: Lab) -> Call:
    worker, claim = await lab.pending(name="n")
    interrupted = (await lab.pending(worker))[1]
    await lab.enqueue(name="n")
    await worker.finish(claim, Canceled(), phase="sent")
    await worker.finish(interrupted, Interrupted(), phase="sent")
    settled = [
        StopSettled(claim.uuid, 1, "confirmed", 204, 1, 3.5, "header"),
        StopSettled(interrupted.uuid, 1, "failed", None, 3, None),
    ]
    return lambda: lab.store.settle_stops(worker.session, settled)


async def _run_now(lab: Lab) -> Call:
    await lab.pending(name="n")
    uuids = [await lab.enqueue(run_at=lab.now + 9000), await lab.enqueue(name="n"), await lab.final()]
    return lambda: lab.store.run_now(uuids)


async def _claim_of_what_is_overdue(lab: Lab) -> Call:
    told = msgspec.structs.replace(request(), callback=CALLBACK)
    await lab.enqueue(start_by=lab.now + 1000, request=told, group="g")
    await lab.enqueue(deadline=lab.now + 1000, request=told, group="g")
    await lab.enqueue_many(2)
    worker = await lab.worker()
    lab.clock.advance(2)
    return lambda: lab.store.claim(worker.session, 1, 5)


async def _put_group(lab: Lab) -> Call:
    await lab.final(group="g")
    return lambda: lab.store.put_group("", "g", CALLBACK, close=True)


async def _settle_callbacks(lab: Lab) -> Call:
    told = msgspec.structs.replace(request(), callback=CALLBACK)
    await lab.final(request=told)
    await lab.store.put_group("", "g", CALLBACK, close=True)
    owed = await lab.store.owed_callbacks(10)
    return lambda: lab.store.settle_callbacks(owed)


async def _retry(lab: Lab) -> Call:
    uuid = await lab.final("error", group="g")
    return lambda: lab.store.retry([uuid])


async def _patch(lab: Lab) -> Call:
    task = await lab.get(await lab.enqueue())
    patch = Patch(
        request=task.request,
        priority=9,
        labels={"a": "1"},
        run_at=lab.now + 9000,
        start_by=None,
        deadline=lab.now + 99_000,
        result_ttl=1.0,
    )
    return lambda: lab.store.patch(task.uuid, patch, task.version)


async def _fire(lab: Lab) -> Call:
    put = Schedule(name="s", every=5.0, task=lab.task(uuid=""), created_at=lab.now, next_at=lab.now)
    schedule = await lab.store.put_schedule(put)
    firing = Firing("", "s", schedule.revision, lab.now, lab.now, lab.now + 5000, lab.task())
    return lambda: lab.store.fire([firing])


async def _delete_schedule(lab: Lab) -> Call:
    await _fire(lab)
    return lambda: lab.store.delete_schedule("", "s")


VERBS = (
    _enqueue,
    _enqueue_behind_an_exchange,
    _enqueue_in_every_way,
    _enqueue_refused_atomically,
    _close_session,
    _heartbeat,
    _claim,
    _claim_of_what_is_overdue,
    _finish,
    _finish_with_retries,
    _run_now,
    _put_group,
    _settle_callbacks,
    _append_body,
    _cancel,
    _claim_stops,
    _settle_stops,
)


ONCE = (_retry, _patch, _fire, _delete_schedule)
"""Verbs whose repeat finds that it was done: it answers so, and changes nothing."""


@pytest.mark.parametrize("prepare", VERBS, ids=lambda prepare: prepare.__name__.strip("_"))
async def test_verb_repeated_after_a_lost_reply_answers_as_before(
    lab: Lab, prepare: Callable[[Lab], Awaitable[Call]]
) -> None:
    """It may be repeated when its outcome is unknown (the reply was lost), and then answers as the first call would have."""
    call = await prepare(lab)
    first = await call()
    before = await lab.snapshot()
    lab.clock.advance(0.5)
    assert await call() == first
    assert await call() == first
    assert await lab.snapshot() == before


@pytest.mark.parametrize("prepare", ONCE, ids=lambda prepare: prepare.__name__.strip("_"))
async def test_verb_whose_repeat_finds_it_done_says_so_and_changes_nothing(
    lab: Lab, prepare: Callable[[Lab], Awaitable[Call]]
) -> None:
    """`retry`, `patch`, `fire`, `delete_schedule`: a repeat finds the task alive, the version another one, the slot gone."""
    call = await prepare(lab)
    untouched = await lab.snapshot()
    first = await call()
    before = await lab.snapshot()
    assert before != untouched
    lab.clock.advance(0.5)
    again = await call()
    assert again != first
    assert await call() == again
    assert await lab.snapshot() == before


@pytest.mark.parametrize("prepare", [*VERBS, *ONCE], ids=lambda prepare: prepare.__name__.strip("_"))
async def test_verb_that_was_never_taken_leaves_no_trace(lab: Lab, prepare: Callable[[Lab], Awaitable[Call]]) -> None:
    """What a verb does is in its call: to look at the store changes nothing."""
    await prepare(lab)
    before = await lab.snapshot()
    await lab.store.stats()
    await lab.store.get([task.uuid for task in await lab.everything()])
    assert await lab.snapshot() == before


async def test_sweeps_may_be_repeated_by_anybody_at_any_time(lab: Lab) -> None:
    """`promote`, `expire`, `reap`, `forget`: harmless when two do it, so no leader is needed."""
    other = await lab.open()
    await lab.pending(result_ttl=1.0)
    await lab.pending(deadline=lab.now + 1000, group="g")
    await lab.enqueue(start_by=lab.now + 1000)
    await lab.enqueue(run_at=lab.now + 1000)
    await lab.final(result_ttl=1.0)
    lab.clock.advance(100)
    for store in (lab.store, other):
        await store.promote(100)
        await store.expire(100)
        await store.reap(100)
        await store.forget(100)
    before = await lab.snapshot()
    for store in (lab.store, other):
        assert (await store.promote(100)).promoted == 0
        assert (await store.expire(100)).expired == 0
        assert await store.reap(100) == 0
        assert await store.forget(100) == 0
    assert await lab.snapshot() == before
    assert {task.state for task in await lab.everything()} <= set(STATES)
