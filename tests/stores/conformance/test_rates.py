"""How many in a time: windows of queues and lanes, exact to the task and to the millisecond."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from htq.stores.base import Done, QueueSettings, Released
from htq.words.limits import LaneLimits, Rate
from stores.conformance.ends import LONG, per_minute, per_second, times, wait
from stores.conformance.lab import Lab, answer

RateSetter = Callable[[Lab, tuple[Rate, ...]], Awaitable[None]]


async def _queue(lab: Lab, rates: tuple[Rate, ...]) -> None:
    await lab.store.put_queue("default", QueueSettings(rate=rates))


async def _each_lane(lab: Lab, rates: tuple[Rate, ...]) -> None:
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(rate=rates)))


async def _one_lane(lab: Lab, rates: tuple[Rate, ...]) -> None:
    await lab.store.put_lane("default", "k", LaneLimits(rate=rates), None)


@pytest.fixture(params=[_queue, _each_lane, _one_lane], ids=["queue", "each-lane", "one-lane"])
def allow(request: pytest.FixtureRequest) -> RateSetter:
    """Sets the windows, in each of the places where they may be said, for tasks of the lane `k` of the default queue."""
    setter: RateSetter = request.param
    return setter


async def test_usual_burst_spreads_starts_evenly(lab: Lab, allow: RateSetter) -> None:
    """`Rate`: the usual `burst` is 1, which spreads them evenly: 4 a second are one each quarter of it."""
    await allow(lab, (per_second(4),))
    await lab.enqueue_many(9, key="k")
    worker = await lab.worker(lease=LONG)
    assert await times(lab, worker, 12) == [(at * 250, 1) for at in range(9)]


async def test_burst_goes_at_once_when_nothing_went_before(lab: Lab, allow: RateSetter) -> None:
    """`Rate`: … of which `burst` may go at once when nothing went before, and then as many as come back."""
    await allow(lab, (per_second(4, burst=3),))
    await lab.enqueue_many(11, key="k")
    worker = await lab.worker(lease=LONG)
    assert await times(lab, worker, 5) == [(0, 3), (250, 1), (500, 1), (750, 1), (1000, 1)]
    lab.clock.advance(10)
    assert len(await worker.claim()) == 3


async def test_a_thousandth_of_a_second_before_its_time_nothing_starts(lab: Lab, allow: RateSetter) -> None:
    """`again_at` is exact: a claim at it gives a task, one a millisecond before gives none. At 7 a second few times are round."""
    await allow(lab, (per_second(7),))
    await lab.enqueue_many(9, key="k")
    worker = await lab.worker(lease=LONG)
    claims, again_at = await worker.look()
    assert len(claims) == 1
    began = lab.now
    for nth in range(1, 8):
        expected = began + 1000 * nth // 7
        assert again_at == expected
        lab.clock.advance((expected - 1 - lab.now) / 1000)
        assert await worker.look() == ([], expected)
        lab.clock.advance(0.001)
        claims, again_at = await worker.look()
        assert len(claims) == 1
    assert lab.now == began + 1000


async def test_several_windows_hold_at_once(lab: Lab, allow: RateSetter) -> None:
    """3 a second and 100 a minute: here with bursts, so that each of them is seen to bind."""
    await allow(lab, (per_second(3, burst=3), per_minute(6, burst=4)))
    await lab.enqueue_many(8, key="k")
    worker = await lab.worker(lease=LONG)
    assert await times(lab, worker, 5) == [(0, 3), (333, 1), (10_000, 1), (20_000, 1), (30_000, 1)]


async def test_windows_of_queue_and_lane_hold_together(lab: Lab) -> None:
    """`claim`: each `Rate` of both."""
    await lab.store.put_queue(
        "default", QueueSettings(rate=(per_second(2),), per_key=LaneLimits(rate=(per_second(1),)))
    )
    a = await lab.enqueue_many(3, key="a")
    b = await lab.enqueue_many(3, key="b")
    worker = await lab.worker(lease=LONG)
    began = lab.now
    starts: dict[str, int] = {}
    for _ in range(9):
        claims, again_at = await worker.look()
        starts |= {claim.uuid: lab.now - began for claim in claims}
        if len(starts) == 6:
            break
        wait(lab, again_at)
    assert sorted(starts.values()) == [0, 500, 1000, 1500, 2000, 2500]
    for lane in (a, b):
        first, second, third = (starts[uuid] for uuid in lane)
        assert second - first >= 1000
        assert third - second >= 1000


async def test_ended_task_gives_nothing_back(lab: Lab, allow: RateSetter) -> None:
    """A rate counts starts: whether they have ended, or were handed back unsent, is nothing to it."""
    await allow(lab, (per_minute(2, burst=2),))
    await lab.enqueue_many(4, key="k")
    worker = await lab.worker(lease=LONG)
    first, second = await worker.claim()
    await worker.succeed(first)
    await worker.finish(second, Released(), phase="claimed")
    claims, again_at = await worker.look()
    assert claims == []
    assert again_at == lab.now + 30_000


async def test_each_attempt_is_charged_once(lab: Lab, allow: RateSetter) -> None:
    """`claim`: Each attempt is charged once: a repeat with the same `seq` charges nothing."""
    await allow(lab, (per_minute(6, burst=3),))
    await lab.enqueue_many(4, key="k")
    worker = await lab.worker(lease=LONG)
    claim = await worker.claim_one()
    for _ in range(3):
        again = await lab.store.claim(worker.session, worker.seq, 1)
        assert again.claims == [claim]
    assert len(await worker.claim()) == 2
    assert await worker.claim() == []


async def test_two_who_claim_at_once_pass_no_window(lab: Lab, allow: RateSetter) -> None:
    """`claim`: Nothing passes a limit, whoever claims: four at once share what there is to the task."""
    await allow(lab, (per_second(10, burst=10),))
    await lab.enqueue_many(40, key="k")
    workers = [await lab.worker(store, LONG) for store in (lab.store, await lab.open()) for _ in range(2)]
    for expected in (10, 5, 10):
        async with asyncio.timeout(30):
            shares = await asyncio.gather(*(worker.claim(8) for worker in workers))
        assert sum(len(share) for share in shares) == expected
        lab.clock.advance(0.5 if expected == 10 else 60)


async def test_lane_that_empties_is_remembered(lab: Lab, allow: RateSetter) -> None:
    """A window outlives the tasks: a lane that runs dry, and whose tasks are forgotten, starts no sooner when it fills again."""
    await allow(lab, (per_minute(1),))
    worker = await lab.worker(lease=LONG)
    await lab.enqueue(key="k", result_ttl=1.0)
    await worker.succeed(await worker.claim_one())
    lab.clock.advance(20)
    await lab.store.forget(10)
    await lab.enqueue(key="k")
    assert await worker.look() == ([], lab.now + 40_000)
    lab.clock.advance(40)
    assert len(await worker.claim()) == 1


async def test_new_task_in_a_waiting_lane_does_not_wake_it(lab: Lab, allow: RateSetter) -> None:
    """Nothing passes a limit: neither does one that comes while the lane waits, whatever its priority."""
    await allow(lab, (per_minute(1),))
    await lab.enqueue_many(2, key="k")
    worker = await lab.worker(lease=LONG)
    assert len(await worker.claim()) == 1
    urgent = await lab.enqueue(key="k", priority=9)
    assert await worker.look() == ([], lab.now + 60_000)
    lab.clock.advance(60)
    assert [claim.uuid for claim in await worker.claim()] == [urgent]


async def test_same_settings_again_change_nothing(lab: Lab, allow: RateSetter) -> None:
    """`put_queue`: What its windows have spent stays spent: the same settings again change nothing."""
    await allow(lab, (per_minute(1),))
    await lab.enqueue_many(3, key="k")
    worker = await lab.worker(lease=LONG)
    assert len(await worker.claim()) == 1
    await allow(lab, (per_minute(1),))
    assert await worker.look() == ([], lab.now + 60_000)


async def test_faster_rate_holds_from_the_next_claim_on(lab: Lab, allow: RateSetter) -> None:
    """`put_queue`: Limits hold from the next claim on: an hour that a slow rate made is none of the fast one's."""
    await allow(lab, (Rate(limit=1, per=3600.0),))
    await lab.enqueue_many(4, key="k")
    worker = await lab.worker(lease=LONG)
    assert len(await worker.claim()) == 1
    assert await worker.look() == ([], lab.now + 3_600_000)
    await allow(lab, (per_second(10),))
    began = lab.now
    assert len(await worker.claim()) == 1
    claims, again_at = await worker.look()
    assert (claims, again_at) == ([], began + 100)
    await allow(lab, ())
    assert len(await worker.claim()) == 2


async def test_slower_rate_holds_from_the_next_claim_on(lab: Lab, allow: RateSetter) -> None:
    """`put_queue`: Limits hold from the next claim on."""
    await allow(lab, (per_second(100, burst=10),))
    await lab.enqueue_many(8, key="k")
    worker = await lab.worker(lease=LONG)
    assert len(await worker.claim(3)) == 3
    await allow(lab, (per_minute(2),))
    seen = await times(lab, worker, 4)
    assert [count for _, count in seen] == [1] * len(seen)
    assert [later - earlier for (earlier, _), (later, _) in pairwise(seen)] == [30_000] * (len(seen) - 1)
    assert len(seen) >= 3


async def test_window_that_is_added_holds_beside_those_that_are_there(lab: Lab, allow: RateSetter) -> None:
    """Settings with one more window: what the others have spent stays spent, and the new one begins with its burst."""
    await allow(lab, (per_second(2, burst=2),))
    await lab.enqueue_many(6, key="k")
    worker = await lab.worker(lease=LONG)
    assert len(await worker.claim()) == 2
    await allow(lab, (per_second(2, burst=2), per_minute(2, burst=2)))
    assert await times(lab, worker, 4) == [(500, 1), (1000, 1), (31_000 - 500, 1)]


@pytest.mark.parametrize("limit", [300, 900, 2500])
async def test_fast_rate_loses_nothing_to_the_clock(lab: Lab, limit: int) -> None:
    """`htq.policy.limits`: what the clock cannot tell costs no rate anything: as many as there are in 40 ms, to the task."""
    await lab.store.put_queue("default", QueueSettings(rate=(per_second(limit),)))
    await lab.enqueue_many(limit // 25 + 5)
    worker = await lab.worker()
    started = 0
    for _ in range(40):
        started += len(await worker.claim())
        lab.clock.advance(0.001)
    assert started == limit // 25


async def test_lanes_have_a_window_each(lab: Lab) -> None:
    """`QueueSettings.per_key`: For each lane of the queue that says nothing else."""
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(rate=(per_second(1),))))
    await lab.store.put_lane("default", "fast", LaneLimits(rate=(per_second(10, burst=4),)), None)
    await lab.store.put_lane("default", "free", LaneLimits(rate=()), None)
    await lab.store.put_lane("default", "mute", LaneLimits(weight=2), None)
    for key in ("a", "b", "fast", "free", "mute"):
        await lab.enqueue_many(6, key=key)
    worker = await lab.worker()
    claims = await worker.claim()
    keys = [(await lab.get(claim.uuid)).key for claim in claims]
    assert {key: keys.count(key) for key in keys} == {"a": 1, "b": 1, "fast": 4, "free": 6, "mute": 1}
    assert await worker.claim() == []


async def test_again_at_is_the_first_of_several(lab: Lab) -> None:
    """`Claims.again_at`: when the first lane … will be ready."""
    for key, seconds in (("slow", 60.0), ("fast", 2.0), ("middle", 30.0)):
        await lab.store.put_lane("default", key, LaneLimits(rate=(Rate(limit=1, per=seconds),)), None)
        await lab.enqueue_many(2, key=key)
    worker = await lab.worker(lease=LONG)
    began = lab.now
    claims, again_at = await worker.look()
    assert len(claims) == 3
    for seconds in (2, 30, 60):
        assert again_at == began + seconds * 1000
        wait(lab, again_at)
        claims, again_at = await worker.look()
        assert len(claims) == 1
    assert again_at is None


async def test_lane_that_is_full_besides_does_not_wait_for_a_time(lab: Lab) -> None:
    """`Claims.again_at`: … and waits for nothing but a time."""
    limits = LaneLimits(concurrency=1, rate=(per_second(1),))
    await lab.store.put_lane("default", "k", limits, None)
    await lab.enqueue_many(2, key="k")
    worker = await lab.worker(lease=LONG)
    claim = await worker.claim_one()
    assert await worker.look() == ([], None)
    await worker.succeed(claim)
    assert await worker.look() == ([], lab.now + 1000)


async def test_full_queue_does_not_wait_for_a_time(lab: Lab) -> None:
    """`Claims.again_at`: None: none waits so."""
    settings = QueueSettings(concurrency=1, per_key=LaneLimits(rate=(per_second(1),)))
    await lab.store.put_queue("default", settings)
    await lab.enqueue_many(2, key="a")
    await lab.enqueue_many(2, key="b")
    worker = await lab.worker(lease=LONG)
    claim = await worker.claim_one()
    assert await worker.look() == ([], None)
    await worker.succeed(claim)
    assert len(await worker.claim()) == 1


async def test_empty_lane_has_no_time(lab: Lab, allow: RateSetter) -> None:
    """`Claims.again_at`: when the first lane that has queued tasks …"""
    await allow(lab, (per_minute(1),))
    await lab.enqueue(key="k")
    worker = await lab.worker()
    claims, again_at = await worker.look()
    assert (len(claims), again_at) == (1, None)
    assert await worker.look() == ([], None)


async def test_rate_is_kept_to_the_task_over_an_hour(lab: Lab) -> None:
    """30 a minute by somebody who comes when he is told to: 30 in every minute of an hour of which three are looked at."""
    await lab.store.put_queue("default", QueueSettings(rate=(per_minute(30),)))
    await lab.enqueue_many(100, key="k")
    worker = await lab.worker(lease=LONG)
    for _ in range(3):
        began = lab.now
        counted = 0
        while True:
            claims, again_at = await worker.look()
            counted += len(claims)
            await worker.finish_all(claims, Done("success", answer(lab.now)))
            assert again_at is not None
            if again_at >= began + 60_000:
                break
            wait(lab, again_at)
        assert counted == 30
        assert again_at == began + 60_000
        lab.clock.advance((began + 20 * 60_000 - lab.now) / 1000)


async def test_three_a_second_and_a_hundred_a_minute(lab: Lab) -> None:
    """The two windows of many an API, in batches: no second sees more than 3, no minute more than 100, and 100 it is."""
    rates = (per_second(3, burst=1), per_minute(100, burst=1))
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(rate=rates)))
    await lab.enqueue_many(130, key="k")
    worker = await lab.worker(lease=LONG)
    seen = await times(lab, worker, 121, limit=64)
    starts = [at for at, _ in seen]
    assert [count for _, count in seen] == [1] * 121
    for at in starts:
        assert sum(at <= start < at + 1000 for start in starts) <= 3
        assert sum(at <= start < at + 60_000 for start in starts) <= 100
    assert sum(start < 60_000 for start in starts) == 100
