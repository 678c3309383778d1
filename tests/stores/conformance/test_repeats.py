"""Lost replies: every verb that changes something, called once more with the same arguments, changes nothing more."""

from collections.abc import Awaitable, Callable

import pytest

from htq.stores.base import BodyRef, Cancel, Canceled, Done, Interrupted, Released, StopSettled
from htq.words.states import STATES
from stores.conformance.lab import NO_DELETE, Lab, answer, outcome, request

Call = Callable[[], Awaitable[object]]


async def _enqueue(lab: Lab) -> Call:
    await lab.enqueue(name="n")
    tasks = [lab.task(name="n", body=b"x" * 9000), lab.task(name="n"), lab.task(run_at=lab.now + 1000)]
    return lambda: lab.store.enqueue(tasks)


async def _enqueue_behind_an_exchange(lab: Lab) -> Call:
    await lab.pending(name="n")
    tasks = [lab.task(name="n")]
    return lambda: lab.store.enqueue(tasks)


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


VERBS = (
    _enqueue,
    _enqueue_behind_an_exchange,
    _close_session,
    _heartbeat,
    _claim,
    _finish,
    _append_body,
    _cancel,
    _claim_stops,
    _settle_stops,
)


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


@pytest.mark.parametrize("prepare", VERBS, ids=lambda prepare: prepare.__name__.strip("_"))
async def test_verb_that_was_never_taken_leaves_no_trace(lab: Lab, prepare: Callable[[Lab], Awaitable[Call]]) -> None:
    """What a verb does is in its call: to look at the store changes nothing."""
    await prepare(lab)
    before = await lab.snapshot()
    await lab.store.stats()
    await lab.store.get([task.uuid for task in await lab.everything()])
    assert await lab.snapshot() == before


async def test_sweeps_may_be_repeated_by_anybody_at_any_time(lab: Lab) -> None:
    """`promote`, `reap`, `forget`: harmless when two do it, so no leader is needed."""
    other = await lab.open()
    await lab.pending(result_ttl=1.0)
    await lab.enqueue(run_at=lab.now + 1000)
    await lab.final(result_ttl=1.0)
    lab.clock.advance(100)
    for store in (lab.store, other):
        await store.promote(100)
        await store.reap(100)
        await store.forget(100)
    before = await lab.snapshot()
    for store in (lab.store, other):
        assert (await store.promote(100)).promoted == 0
        assert await store.reap(100) == 0
        assert await store.forget(100) == 0
    assert await lab.snapshot() == before
    assert {task.state for task in await lab.everything()} <= set(STATES)
