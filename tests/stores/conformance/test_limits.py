"""How many at once: the concurrency of queues and lanes, pauses, and what holds where both say something."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from htq.stores.base import (
    Cancel,
    Canceled,
    Claim,
    Done,
    Interrupted,
    QueueSettings,
    Released,
    Retry,
    Signal,
    TasksAvailable,
)
from htq.words.limits import FOREVER, LaneLimits
from stores.conformance.ends import LONG, wait
from stores.conformance.lab import LEASE, Lab, Worker, answer

HEARD_WITHIN = 10.0

LimitSetter = Callable[[Lab, int | None], Awaitable[None]]


async def _queue(lab: Lab, limit: int | None) -> None:
    await lab.store.put_queue("default", QueueSettings(concurrency=limit))


async def _each_lane(lab: Lab, limit: int | None) -> None:
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(concurrency=limit)))


async def _one_lane(lab: Lab, limit: int | None) -> None:
    await lab.store.put_lane("default", "k", LaneLimits(concurrency=limit), None)


@pytest.fixture(params=[_queue, _each_lane, _one_lane], ids=["queue", "each-lane", "one-lane"])
def allow(request: pytest.FixtureRequest) -> LimitSetter:
    """Sets the concurrency, in each of the places where it may be said, for tasks of the lane `k` of the default queue."""
    setter: LimitSetter = request.param
    return setter


async def test_no_more_run_at_once_than_are_allowed(lab: Lab, allow: LimitSetter) -> None:
    """`claim`: Nothing passes a limit: `concurrency` of queue and lane."""
    await allow(lab, 3)
    uuids = await lab.enqueue_many(5, key="k")
    worker = await lab.worker()
    claims, again_at = await worker.look()
    assert [claim.uuid for claim in claims] == uuids[:3]
    assert again_at is None
    assert await worker.look() == ([], None)
    await worker.succeed(claims[1])
    assert [claim.uuid for claim in await worker.claim()] == uuids[3:4]


async def test_two_who_claim_at_once_pass_no_limit(lab: Lab, allow: LimitSetter) -> None:
    """`claim`: Nothing passes a limit, whoever claims."""
    await allow(lab, 5)
    await lab.enqueue_many(60, key="k")
    workers = [await lab.worker(store) for store in (lab.store, await lab.open()) for _ in range(2)]
    running: set[str] = set()
    ended: set[str] = set()

    async def work(worker: Worker) -> None:
        while len(ended) < 60:
            claims = await worker.claim(2)
            running.update(claim.uuid for claim in claims)
            assert len(running) <= 5
            if not claims:
                return
            running.difference_update(claim.uuid for claim in claims)
            await worker.finish_all(claims, Done("success", answer(lab.now)))
            ended.update(claim.uuid for claim in claims)

    async with asyncio.timeout(60):
        while len(ended) < 60:
            await asyncio.gather(*(work(worker) for worker in workers))


async def test_queue_and_lane_hold_at_the_same_time(lab: Lab) -> None:
    """`claim`: `concurrency` of queue and lane."""
    await lab.store.put_queue("default", QueueSettings(concurrency=3, per_key=LaneLimits(concurrency=2)))
    await lab.enqueue_many(4, key="a")
    await lab.enqueue_many(4, key="b")
    worker = await lab.worker()
    claims = await worker.claim()
    assert len(claims) == 3
    assert await worker.claim() == []
    keys = [(await lab.get(claim.uuid)).key for claim in claims]
    assert sorted(keys) in (["a", "a", "b"], ["a", "b", "b"])


async def test_same_seq_gives_what_is_running_again_and_no_more(lab: Lab, allow: LimitSetter) -> None:
    """`claim`: The same `seq` gives those of its claims again: they are counted already."""
    await allow(lab, 2)
    await lab.enqueue_many(4, key="k")
    worker = await lab.worker()
    claims = await worker.claim()
    again = await lab.store.claim(worker.session, worker.seq, 100)
    assert sorted(claim.uuid for claim in again.claims) == sorted(claim.uuid for claim in claims)
    assert await worker.claim() == []


# --- every way out of pending makes room ---


async def _cancel(lab: Lab, worker: Worker, claim: Claim) -> None:
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await (await lab.worker()).claim() == [], "what is being canceled is running still"
    assert await worker.finish(claim, Canceled(), phase="sent") == "canceled"


async def _cancel_done(lab: Lab, worker: Worker, claim: Claim) -> None:
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await worker.succeed(claim) == "canceled"


async def _done(lab: Lab, worker: Worker, claim: Claim) -> None:
    await worker.succeed(claim)


async def _failed(lab: Lab, worker: Worker, claim: Claim) -> None:
    await worker.finish(claim, Done("error", answer(lab.now, code=None)))


async def _timed_out(lab: Lab, worker: Worker, claim: Claim) -> None:
    await worker.finish(claim, Done("timeout", answer(lab.now, code=None)), phase="sent", owes_stop=True)


async def _retried(lab: Lab, worker: Worker, claim: Claim) -> None:
    await worker.finish(claim, Retry(lab.now + 60_000))


async def _released(lab: Lab, worker: Worker, claim: Claim) -> None:
    await worker.finish(claim, Released(), phase="claimed")


async def _interrupted(lab: Lab, worker: Worker, claim: Claim) -> None:
    await worker.finish(claim, Interrupted(), phase="sent")


async def _closed(lab: Lab, worker: Worker, claim: Claim) -> None:
    await lab.store.close_session(worker.session)


async def _died(lab: Lab, worker: Worker, claim: Claim) -> None:
    lab.clock.advance(LEASE + 1)
    await lab.store.reap(10)


async def _died_canceled(lab: Lab, worker: Worker, claim: Claim) -> None:
    await lab.store.cancel([Cancel(claim.uuid)])
    await _died(lab, worker, claim)


async def _retired(lab: Lab, worker: Worker, claim: Claim) -> None:
    await lab.store.cancel([Cancel(claim.uuid)])
    await lab.store.close_session(worker.session)


@pytest.mark.parametrize(
    "leave",
    [
        _done,
        _failed,
        _timed_out,
        _retried,
        _released,
        _interrupted,
        _cancel,
        _cancel_done,
        _closed,
        _died,
        _died_canceled,
        _retired,
    ],
)
async def test_every_way_out_of_pending_makes_room_once(
    lab: Lab, leave: Callable[[Lab, Worker, Claim], Awaitable[None]]
) -> None:
    """`concurrency` is of pending tasks: room is there in the very step in which one ceases to be, and for one."""
    await lab.store.put_queue("default", QueueSettings(concurrency=2, per_key=LaneLimits(concurrency=1)))
    worker, claim = await lab.pending(key="k")
    rest = await lab.enqueue_many(3, key="k")
    other = await lab.worker(lease=LONG)
    assert await other.claim() == []
    await leave(lab, worker, claim)
    heir = await other.claim_one()
    assert heir.uuid in {claim.uuid, rest[0]}
    assert await other.claim() == []
    lane = await lab.store.lane("default", "k")
    assert lane.running == 1


async def test_outcome_that_is_lost_or_repeated_makes_no_room(lab: Lab, allow: LimitSetter) -> None:
    """`finish`: `lost`: nothing changed; a repeat changes nothing either. Neither does a count go down twice."""
    await allow(lab, 1)
    await lab.enqueue_many(3, key="k")
    worker, thief = await lab.worker(), await lab.worker()
    claim = await worker.claim_one()
    assert await thief.succeed(claim) == "lost"
    assert await thief.claim() == []
    assert await worker.succeed(claim) == "applied"
    assert await worker.succeed(claim) == "applied"
    assert len(await worker.claim()) == 1


# --- other settings, from the next claim on ---


async def test_raised_limit_holds_from_the_next_claim_on(lab: Lab, allow: LimitSetter) -> None:
    """`put_queue`: Limits hold from the next claim on: lanes that were full are served at once."""
    await allow(lab, 1)
    uuids = await lab.enqueue_many(6, key="k")
    worker = await lab.worker()
    assert len(await worker.claim()) == 1
    await allow(lab, 3)
    assert [claim.uuid for claim in await worker.claim()] == uuids[1:3]
    await allow(lab, None)
    assert [claim.uuid for claim in await worker.claim()] == uuids[3:]


async def test_lowered_limit_lets_what_runs_run_and_starts_nothing_until_there_is_room(
    lab: Lab, allow: LimitSetter
) -> None:
    """`put_queue`: Limits hold from the next claim on."""
    await lab.enqueue_many(6, key="k")
    worker = await lab.worker()
    claims = await worker.claim(4)
    await allow(lab, 2)
    for claim in claims[:2]:
        assert await worker.claim() == []
        await worker.succeed(claim)
    assert await worker.claim() == []
    await worker.succeed(claims[2])
    assert len(await worker.claim()) == 1


async def test_limit_of_none_at_all_starts_nothing_until_it_is_raised(lab: Lab, allow: LimitSetter) -> None:
    """`concurrency` 0 is a limit as any other."""
    await lab.enqueue_many(2, key="k")
    worker = await lab.worker()
    await allow(lab, 0)
    assert await worker.claim() == []
    await allow(lab, 1)
    assert len(await worker.claim()) == 1


async def test_limit_that_is_set_while_the_lane_is_empty_is_there_when_it_fills(lab: Lab, allow: LimitSetter) -> None:
    """`put_lane`: … whether or not it has tasks; and a lane that has run dry has its limits still."""
    await allow(lab, 1)
    worker = await lab.worker()
    for _ in range(2):
        await lab.enqueue_many(2, key="k")
        for _ in range(2):
            (claim,) = await worker.claim()
            await worker.succeed(claim)


async def test_settings_of_another_store_object_hold(lab: Lab, allow: LimitSetter) -> None:
    """`put_queue`: Durable on return: they hold for whoever claims."""
    other = await lab.worker(await lab.open())
    await lab.enqueue_many(3, key="k")
    assert len(await other.claim(1)) == 1
    await allow(lab, 2)
    assert len(await other.claim()) == 1
    assert await other.claim() == []


async def test_limits_outlive_the_store_object(lab: Lab, allow: LimitSetter) -> None:
    """`put_queue`: Durable on return; and what is running is counted by whoever opens the store next."""
    await allow(lab, 2)
    await lab.enqueue_many(4, key="k")
    worker = await lab.worker()
    assert len(await worker.claim(1)) == 1
    await lab.store.close()
    lab.opened.remove(lab.store)
    heir = await lab.worker(await lab.open())
    assert len(await heir.claim()) == 1
    assert await heir.claim() == []


async def test_lane_says_otherwise_than_its_queue(lab: Lab) -> None:
    """`LaneLimits`: None: what the queue says of each lane holds; else the lane's own word does, field by field."""
    each = LaneLimits(concurrency=2, weight=3)
    await lab.store.put_queue("default", QueueSettings(per_key=each))
    await lab.store.put_lane("default", "wide", LaneLimits(concurrency=4), None)
    await lab.store.put_lane("default", "narrow", LaneLimits(concurrency=1), None)
    await lab.store.put_lane("default", "mute", LaneLimits(weight=1), None)
    for key in ("wide", "narrow", "mute", "other"):
        await lab.enqueue_many(6, key=key)
    worker = await lab.worker()
    await worker.claim()
    running = {key: (await lab.store.lane("default", key)).running for key in ("wide", "narrow", "mute", "other")}
    assert running == {"wide": 4, "narrow": 1, "mute": 2, "other": 2}
    await lab.store.put_lane("default", "narrow", LaneLimits(), None)
    assert [(await lab.get(claim.uuid)).key for claim in await worker.claim()] == ["narrow"]


async def test_deleted_queue_leaves_its_tasks_without_limits(lab: Lab) -> None:
    """`delete_queue`: Forget a queue's settings and those of its lanes. Its tasks stay, without limits."""
    await lab.store.put_queue("q", QueueSettings(concurrency=1, paused_until=FOREVER))
    await lab.store.put_queue("other", QueueSettings(concurrency=1))
    await lab.store.put_lane("q", "k", LaneLimits(concurrency=1, weight=4), None)
    uuids = await lab.enqueue_many(5, queue="q", key="k")
    await lab.enqueue_many(3, queue="other")
    worker = await lab.worker()
    assert len(await worker.claim()) == 1
    assert await lab.store.delete_queue("q") is True
    assert await lab.store.delete_queue("q") is False
    assert [claim.uuid for claim in await worker.claim()] == uuids
    assert set(await lab.store.queues()) == {"other"}
    assert (await lab.store.lane("q", "k")).limits == LaneLimits()


async def test_delete_of_a_queue_that_has_lanes_with_settings_only(lab: Lab) -> None:
    """`delete_queue`: … and those of its lanes. False: there were none."""
    assert await lab.store.delete_queue("q") is False
    await lab.store.put_queue("q", QueueSettings())
    assert await lab.store.delete_queue("q") is True
    assert await lab.store.queues() == {}


# --- pauses ---


async def test_paused_queue_starts_nothing_and_ends_what_runs(lab: Lab) -> None:
    """`paused_until`: Nothing of the queue starts before; `pause_queue`: None: go on."""
    worker, claim = await lab.pending()
    uuid = await lab.enqueue()
    await lab.store.pause_queue("default", FOREVER)
    claims, again_at = await worker.look()
    assert claims == []
    assert again_at in (None, FOREVER)
    assert await worker.succeed(claim) == "applied"
    assert await worker.claim() == []
    await lab.store.pause_queue("default", None)
    assert [claim.uuid for claim in await worker.claim()] == [uuid]


async def test_pause_with_an_end_ends_to_the_millisecond(lab: Lab) -> None:
    """`Claims.again_at`: when the first lane that waits for nothing but a time (…, a pause) will be ready."""
    until = lab.now + 90_000
    await lab.store.pause_queue("default", until)
    await lab.enqueue_many(3)
    worker = await lab.worker(lease=LONG)
    claims, again_at = await worker.look()
    assert (claims, again_at) == ([], until)
    lab.clock.advance(89.999)
    assert await worker.look() == ([], until)
    wait(lab, again_at)
    assert len(await worker.claim()) == 3


async def test_pause_leaves_the_other_settings(lab: Lab) -> None:
    """`pause_queue`: Set `paused_until` alone."""
    settings = QueueSettings(concurrency=2, per_key=LaneLimits(weight=3))
    await lab.store.put_queue("default", settings)
    await lab.store.pause_queue("default", lab.now + 1000)
    paused = QueueSettings(concurrency=2, per_key=LaneLimits(weight=3), paused_until=lab.now + 1000)
    assert await lab.store.queues() == {"default": paused}
    await lab.store.pause_queue("default", None)
    assert await lab.store.queues() == {"default": settings}
    await lab.enqueue_many(5)
    assert len(await (await lab.worker()).claim()) == 2


async def test_queue_is_paused_by_its_settings_too(lab: Lab) -> None:
    """`QueueSettings.paused_until`: the last one wins."""
    await lab.enqueue()
    worker = await lab.worker()
    await lab.store.put_queue("default", QueueSettings(paused_until=lab.now + 1000))
    assert await worker.claim() == []
    await lab.store.put_queue("default", QueueSettings())
    assert len(await worker.claim()) == 1


async def test_pause_that_is_over_is_none(lab: Lab) -> None:
    """`paused_until`: Nothing of the queue starts before, and all of it from then on."""
    await lab.store.pause_queue("default", lab.now - 1)
    await lab.enqueue()
    assert len(await (await lab.worker()).claim()) == 1


async def test_other_queues_go_on(lab: Lab) -> None:
    """A pause is one queue's."""
    await lab.store.pause_queue("a", lab.now + 5000)
    await lab.enqueue_many(2, queue="a")
    b = await lab.enqueue_many(2, queue="b")
    worker = await lab.worker()
    claims, again_at = await worker.look()
    assert [claim.uuid for claim in claims] == b
    assert again_at == lab.now + 5000


# --- who hears of it ---


async def _finish(lab: Lab, worker: Worker, claim: Claim) -> None:
    await worker.succeed(claim)


async def _raise(lab: Lab, worker: Worker, claim: Claim) -> None:
    await lab.store.put_queue("default", QueueSettings(concurrency=2))


async def _delete(lab: Lab, worker: Worker, claim: Claim) -> None:
    await lab.store.delete_queue("default")


async def _heard(lab: Lab, act: Callable[[], Awaitable[None]]) -> None:
    """Act, and wait until another store object has heard that there is something to claim."""
    other = await lab.open()
    heard = asyncio.Event()

    def hear(signal: Signal) -> None:
        if isinstance(signal, TasksAvailable):
            heard.set()

    other.subscribe(hear)
    await act()
    async with asyncio.timeout(HEARD_WITHIN):
        await heard.wait()


class TestWithSignals:
    """With signals on."""

    @pytest.fixture
    def signals(self) -> bool:
        return True

    @pytest.mark.parametrize("make_room", [_finish, _raise, _delete])
    async def test_room_is_signaled(self, lab: Lab, make_room: Callable[[Lab, Worker, Claim], Awaitable[None]]) -> None:
        """`Claims`: what happens meanwhile (a finish, another setting) is signaled: to others too."""
        await lab.store.put_queue("default", QueueSettings(concurrency=1))
        worker, claim = await lab.pending()
        await lab.enqueue()
        await _heard(lab, lambda: make_room(lab, worker, claim))

    async def test_end_of_a_pause_by_hand_is_signaled(self, lab: Lab) -> None:
        """`Claims`: what happens meanwhile is signaled."""
        await lab.store.pause_queue("default", FOREVER)
        await lab.enqueue()
        await _heard(lab, lambda: lab.store.pause_queue("default", None))

    async def test_release_of_a_lane_is_signaled(self, lab: Lab) -> None:
        """`Claims`: what happens meanwhile is signaled."""
        await lab.store.put_lane("default", "k", LaneLimits(concurrency=0), None)
        await lab.enqueue(key="k")
        await _heard(lab, lambda: lab.store.put_lane("default", "k", LaneLimits(), None))
