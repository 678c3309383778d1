"""What a task costs: windows that count units, and what the answer says that it has really cost."""

from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from htq.stores.base import Cancel, Canceled, QueueSettings, Released
from htq.words.limits import LaneLimits, Rate
from stores.conformance.ends import LONG, end, ended, per_second, units, wait
from stores.conformance.lab import Lab

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


async def test_claim_takes_what_the_budget_pays_for(lab: Lab, allow: RateSetter) -> None:
    """`Rate.unit`: With a `unit` it is units of cost that are counted, and the usual `burst` is the whole `limit`."""
    await allow(lab, (units(600),))
    uuids = [await lab.enqueue(key="k", cost={"tokens": tokens}) for tokens in (300, 200, 100, 50)]
    worker = await lab.worker(lease=LONG)
    claims, again_at = await worker.look()
    assert [claim.uuid for claim in claims] == uuids[:3]
    assert again_at == lab.now + 5000
    lab.clock.advance(4.999)
    assert await worker.look() == ([], again_at)
    lab.clock.advance(0.001)
    assert [claim.uuid for claim in await worker.claim()] == uuids[3:]


async def test_task_without_such_a_cost_passes_freely(lab: Lab, allow: RateSetter) -> None:
    """`Rate.unit`: A task without such a cost passes it freely."""
    await allow(lab, (units(600),))
    await lab.enqueue(key="k", cost={"tokens": 600.0})
    free = await lab.enqueue_many(2, key="k")
    other = await lab.enqueue(key="k", cost={"images": 1e9})
    worker = await lab.worker()
    assert len(await worker.claim(1)) == 1
    assert [claim.uuid for claim in await worker.claim()] == [*free, other]


async def test_dearer_than_the_whole_budget_counts_as_the_whole(lab: Lab, allow: RateSetter) -> None:
    """`htq.policy.limits`: A task that is larger than `burst` counts as `burst`, or it would never start."""
    await allow(lab, (units(600),))
    uuids = [await lab.enqueue(key="k", cost={"tokens": tokens}) for tokens in (1e6, 1.0, 1e6)]
    worker = await lab.worker(lease=LONG)
    claims, again_at = await worker.look()
    assert [claim.uuid for claim in claims] == uuids[:1]
    assert again_at == lab.now + 100
    wait(lab, again_at)
    claims, again_at = await worker.look()
    assert [claim.uuid for claim in claims] == uuids[1:2]
    assert again_at == lab.now + 60_000
    wait(lab, again_at)
    assert [claim.uuid for claim in await worker.claim()] == uuids[2:]


async def test_what_is_next_is_waited_for(lab: Lab, allow: RateSetter) -> None:
    """`claim`: where its cost does not fit yet nothing behind it in its lane goes first (else dear ones would starve)."""
    await allow(lab, (units(600),))
    first, dear, cheap = [await lab.enqueue(key="k", cost={"tokens": tokens}) for tokens in (300.0, 400.0, 10.0)]
    worker = await lab.worker(lease=LONG)
    claims, again_at = await worker.look()
    assert [claim.uuid for claim in claims] == [first]
    assert again_at == lab.now + 10_000
    wait(lab, again_at)
    claims, again_at = await worker.look()
    assert [claim.uuid for claim in claims] == [dear]
    wait(lab, again_at)
    assert [claim.uuid for claim in await worker.claim()] == [cheap]


async def test_queue_waits_for_what_is_next_in_it(lab: Lab) -> None:
    """`claim`: … and nothing of its queue, if it is the queue's window: cheap ones of other lanes don't starve a dear one."""
    await lab.store.put_queue("default", QueueSettings(rate=(units(600),)))
    worker = await lab.worker(lease=LONG)
    await lab.enqueue(key="a", cost={"tokens": 500.0})
    await worker.claim_one()
    dear = await lab.enqueue(key="dear", cost={"tokens": 400.0})
    started: list[str] = []
    for _ in range(40):
        await lab.enqueue(key="cheap", cost={"tokens": 10.0})
        started += (claim.uuid for claim in await worker.claim())
        lab.clock.advance(1)
    assert dear in started


async def test_dear_one_that_goes_away_holds_up_nobody(lab: Lab, allow: RateSetter) -> None:
    """`claim`: Nothing that may run is left out: when what was waited for is canceled, the next one is what is next."""
    await allow(lab, (units(600),))
    first, dear, cheap = [await lab.enqueue(key="k", cost={"tokens": tokens}) for tokens in (300.0, 600.0, 10.0)]
    worker = await lab.worker()
    assert [claim.uuid for claim in await worker.claim()] == [first]
    await lab.store.cancel([Cancel(dear)])
    assert [claim.uuid for claim in await worker.claim()] == [cheap]


async def test_cheap_one_that_is_more_urgent_goes_first(lab: Lab, allow: RateSetter) -> None:
    """`claim`: Nothing that may run is left out: one that comes in front of what is waited for is next."""
    await allow(lab, (units(600),))
    await lab.enqueue(key="k", cost={"tokens": 300.0})
    dear = await lab.enqueue(key="k", cost={"tokens": 600.0})
    worker = await lab.worker()
    assert len(await worker.claim()) == 1
    urgent = await lab.enqueue(key="k", priority=9, cost={"tokens": 10.0})
    assert [claim.uuid for claim in await worker.claim()] == [urgent]
    assert await lab.state(dear) == "queued"


async def test_several_units_and_a_count_hold_at_once(lab: Lab, allow: RateSetter) -> None:
    """Several windows: the least room, the latest time."""
    await allow(lab, (units(600), units(6, unit="images"), per_second(10, burst=5)))
    costs = [{"tokens": 100.0, "images": 1.0}, {"tokens": 100.0}, {"images": 4.0}, {"images": 2.0}, {"tokens": 1.0}]
    uuids = [await lab.enqueue(key="k", cost=cost) for cost in costs]
    worker = await lab.worker(lease=LONG)
    claims, again_at = await worker.look()
    assert [claim.uuid for claim in claims] == uuids[:3]
    assert again_at == lab.now + 10_000
    wait(lab, again_at)
    assert [claim.uuid for claim in await worker.claim()] == uuids[3:]


async def test_windows_of_queue_and_lane_are_both_charged(lab: Lab) -> None:
    """`claim`: each `Rate` of both."""
    settings = QueueSettings(rate=(units(1000),), per_key=LaneLimits(rate=(units(600),)))
    await lab.store.put_queue("default", settings)
    for key in ("a", "b"):
        await lab.enqueue(key=key, cost={"tokens": 500.0})
        await lab.enqueue(key=key, cost={"tokens": 100.0})
    worker = await lab.worker(lease=LONG)
    claims, again_at = await worker.look()
    assert len(claims) in (2, 3)
    assert again_at is not None
    lab.clock.advance(6)
    claims += await worker.claim()
    lab.clock.advance(6)
    claims += await worker.claim()
    assert len(claims) == 4


# --- what it has really cost ---


async def test_cheaper_than_thought_makes_room_at_once(lab: Lab, allow: RateSetter) -> None:
    """`Outcome.costs`: What the attempt has really cost: the difference may be spent by the next claim."""
    await allow(lab, (units(600),))
    await lab.enqueue(key="k", cost={"tokens": 600.0})
    second = await lab.enqueue(key="k", cost={"tokens": 400.0})
    worker = await lab.worker(lease=LONG)
    claim = await worker.claim_one()
    assert await worker.look() == ([], lab.now + 40_000)
    lab.clock.advance(1)
    assert await end(lab, worker, claim, costs={"tokens": 210.0}) == "applied"
    assert [claim.uuid for claim in await worker.claim()] == [second]


async def test_dearer_than_thought_is_owed(lab: Lab, allow: RateSetter) -> None:
    """`Outcome.costs`: … and the lane waits for longer."""
    await allow(lab, (units(600),))
    await lab.enqueue(key="k", cost={"tokens": 100.0})
    await lab.enqueue(key="k", cost={"tokens": 200.0})
    worker = await lab.worker(lease=LONG)
    claim = (await worker.claim(1))[0]
    assert await end(lab, worker, claim, costs={"tokens": 500.0}) == "applied"
    assert await worker.look() == ([], lab.now + 10_000)
    lab.clock.advance(10)
    assert len(await worker.claim()) == 1


async def test_estimates_that_are_too_low_keep_the_rate_all_the_same(lab: Lab, allow: RateSetter) -> None:
    """`htq.policy.limits.correct`: what it cost beyond is owed in full."""
    await allow(lab, (units(600),))
    for _ in range(30):
        await lab.enqueue(key="k", cost={"tokens": 60.0})
    worker = await lab.worker(lease=LONG)
    started: list[int] = []
    while len(started) < 30:
        claims, again_at = await worker.look()
        started += [lab.now] * len(claims)
        for claim in claims:
            assert await end(lab, worker, claim, costs={"tokens": 540.0}) == "applied"
        if again_at is not None:
            lab.clock.advance((again_at - lab.now) / 1000)
    # The first ten went before anybody knew better. From then on 540 of 600 a minute is one in 54 s.
    assert started[9] == started[0]
    assert [b - a for a, b in pairwise(started[10:])] == [54_000] * 19


async def test_no_answer_holds_a_window_for_longer_than_an_hour(lab: Lab, allow: RateSetter) -> None:
    """`htq.policy.limits.correct`: whatever answers say."""
    await allow(lab, (units(600),))
    await lab.enqueue(key="k", cost={"tokens": 1.0})
    worker = await lab.worker(lease=LONG)
    claim = await worker.claim_one()
    assert await end(lab, worker, claim, costs={"tokens": 1e12}) == "applied"
    await lab.enqueue(key="k", cost={"tokens": 600.0})
    assert await worker.look() == ([], lab.now + 3_600_000)


async def test_cost_that_nobody_told_is_known_from_the_answer(lab: Lab, allow: RateSetter) -> None:
    """`Outcome.costs` of a unit that the task itself did not name."""
    await allow(lab, (units(600),))
    await lab.enqueue(key="k")
    worker = await lab.worker(lease=LONG)
    claim = await worker.claim_one()
    assert await end(lab, worker, claim, costs={"tokens": 600.0, "unknown": 5.0}) == "applied"
    await lab.enqueue(key="k", cost={"tokens": 60.0})
    assert await worker.look() == ([], lab.now + 6000)


async def test_correction_is_made_once(lab: Lab, allow: RateSetter) -> None:
    """`finish`: A repeated finish that had been applied answers as it did then, and changes nothing."""
    await allow(lab, (units(600),))
    await lab.enqueue(key="k", cost={"tokens": 100.0})
    worker = await lab.worker(lease=LONG)
    claim = await worker.claim_one()
    outcome = ended(claim, worker.session, lab.now, costs={"tokens": 300.0})
    for _ in range(2):
        assert await lab.store.finish(worker.session, [outcome]) == ["applied"]
    await lab.enqueue(key="k", cost={"tokens": 300.0})
    assert len(await worker.claim()) == 1


async def test_correction_that_is_lost_changes_nothing(lab: Lab, allow: RateSetter) -> None:
    """`Outcome.costs`: under the same condition: unless this outcome is lost."""
    await allow(lab, (units(600),))
    await lab.enqueue(key="k", cost={"tokens": 600.0})
    worker, thief = await lab.worker(lease=LONG), await lab.worker(lease=LONG)
    claim = await worker.claim_one()
    assert await end(lab, thief, claim, costs={"tokens": 0.0}) == "lost"
    await lab.enqueue(key="k", cost={"tokens": 1.0})
    assert await worker.claim() == []


async def test_canceled_attempt_is_corrected_too(lab: Lab, allow: RateSetter) -> None:
    """`Outcome.costs`: cancel or not."""
    await allow(lab, (units(600),))
    await lab.enqueue(key="k", cost={"tokens": 600.0})
    worker = await lab.worker(lease=LONG)
    claim = await worker.claim_one()
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await end(lab, worker, claim, Canceled(), phase="sent", costs={"tokens": 0.0}) == "canceled"
    await lab.enqueue(key="k", cost={"tokens": 600.0})
    assert len(await worker.claim()) == 1


async def test_attempt_that_was_handed_back_is_charged_and_charged_anew(lab: Lab, allow: RateSetter) -> None:
    """Each attempt is charged."""
    await allow(lab, (units(600),))
    await lab.enqueue(key="k", cost={"tokens": 400.0})
    worker = await lab.worker(lease=LONG)
    claim = await worker.claim_one()
    assert await end(lab, worker, claim, Released(), phase="claimed") == "applied"
    assert await worker.look() == ([], lab.now + 20_000)
    lab.clock.advance(20)
    assert len(await worker.claim()) == 1


async def test_attempt_that_was_handed_back_with_its_cost_gives_it_back(lab: Lab, allow: RateSetter) -> None:
    """`Outcome.costs` of a released one: nothing was sent, so it cost nothing."""
    await allow(lab, (units(600),))
    await lab.enqueue(key="k", cost={"tokens": 400.0})
    worker = await lab.worker(lease=LONG)
    claim = await worker.claim_one()
    assert await end(lab, worker, claim, Released(), phase="claimed", costs={"tokens": 0.0}) == "applied"
    assert len(await worker.claim()) == 1


async def test_correction_reaches_windows_of_queue_and_lane(lab: Lab) -> None:
    """`Outcome.costs`: for the windows of queue and lane that count these units."""
    settings = QueueSettings(rate=(units(600),), per_key=LaneLimits(rate=(units(300, burst=300),)))
    await lab.store.put_queue("default", settings)
    worker = await lab.worker(lease=LONG)
    await lab.enqueue(key="a", cost={"tokens": 300.0})
    claim = await worker.claim_one()
    assert await end(lab, worker, claim, costs={"tokens": 0.0}) == "applied"
    for key in ("a", "b"):
        await lab.enqueue(key=key, cost={"tokens": 300.0})
    assert len(await worker.claim()) == 2


async def test_lane_that_is_gone_is_corrected_all_the_same(lab: Lab, allow: RateSetter) -> None:
    """The last task of a lane ends with a correction: the next one that comes finds it made."""
    await allow(lab, (units(600),))
    await lab.enqueue(key="k", cost={"tokens": 10.0})
    worker = await lab.worker(lease=LONG)
    claim = await worker.claim_one()
    assert await end(lab, worker, claim, costs={"tokens": 600.0}) == "applied"
    await lab.enqueue(key="k", cost={"tokens": 600.0})
    assert await worker.look() == ([], lab.now + 60_000)
