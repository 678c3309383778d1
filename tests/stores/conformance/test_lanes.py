"""Lanes as they are shown: one by one, and in pages."""

import pytest

from htq.stores.base import Cancel, Lane, QueueSettings
from htq.words.limits import FOREVER, Hold, LaneLimits, Rate
from stores.conformance.ends import LONG, end, per_second
from stores.conformance.lab import Lab

NAMES = ["", "a b", "ü\U0001f600", "a:b", "'; --", "x" * 1000, "a\x00b", "{htq:x}", "http://127.0.0.1:9"]


async def _all(lab: Lab, queue: str, held: bool, limit: int = 100) -> dict[str, Lane]:
    """Every page, put together: no lane may be on two of them."""
    found: dict[str, Lane] = {}
    cursor: str | None = None
    for _ in range(100):
        page = await lab.store.lanes(queue, held, cursor, limit)
        assert len(page.lanes) <= limit
        for lane in page.lanes:
            assert lane.key not in found
            found[lane.key] = lane
        cursor = page.cursor
        if cursor is None:
            return found
    raise AssertionError("the pages don't end")


async def test_lane_that_is_nowhere_stands_empty(lab: Lab) -> None:
    """`lane`: one that has neither tasks nor settings stands empty; to look at it does not make it."""
    empty = Lane(
        queue="q", key="k", queued=0, running=0, limits=LaneLimits(), held_until=None, hold_reason=None, failures=0
    )
    assert await lab.store.lane("q", "k") == empty
    assert await _all(lab, "q", False) == {}


async def test_lane_counts_its_tasks(lab: Lab) -> None:
    """`Lane`: queued and running, in every step of theirs."""
    worker = await lab.worker()
    uuids = await lab.enqueue_many(4, key="k")
    await lab.enqueue_many(2, key="other")
    await lab.enqueue_many(2, queue="another", key="k")
    await lab.enqueue(key="k", run_at=lab.now + 1000)

    async def counts() -> tuple[int, int]:
        lane = await lab.store.lane("default", "k")
        assert (lane.queue, lane.key) == ("default", "k")
        return lane.queued, lane.running

    assert await counts() == (4, 0)
    await lab.store.cancel([Cancel(uuids[3])])
    assert await counts() == (3, 0)
    claims = await worker.claim()
    assert await counts() == (0, 3)
    lab.clock.advance(1)
    await lab.store.promote(10)
    assert await counts() == (1, 3)
    await lab.store.cancel([Cancel(uuids[0])])
    assert await counts() == (1, 3)
    for claim in claims:
        if claim.uuid in uuids:
            await worker.succeed(claim)
    assert await counts() == (1, 0)


@pytest.mark.parametrize("name", NAMES)
async def test_any_name_comes_back_as_it_was_given(lab: Lab, name: str) -> None:
    """A queue's name and a key are the caller's text."""
    limits = LaneLimits(
        weight=3, concurrency=7, rate=(Rate(limit=2.5, per=60.0, burst=4.0, unit="tokens"), Rate(limit=1))
    )
    await lab.store.put_lane(name, name, limits, Hold(FOREVER, "operator"))
    await lab.enqueue(queue=name, key=name)
    await lab.enqueue(queue=name, key="other")
    lane = Lane(
        queue=name,
        key=name,
        queued=1,
        running=0,
        limits=limits,
        held_until=FOREVER,
        hold_reason="operator",
        failures=0,
    )
    assert await lab.store.lane(name, name) == lane
    assert (await _all(lab, name, False))[name] == lane
    assert await _all(lab, name, True) == {name: lane}


async def test_lanes_are_those_with_tasks_limits_or_a_hold(lab: Lab) -> None:
    """`lanes`: The lanes that have queued or running tasks, limits of their own or a hold."""
    worker, _ = await lab.pending(key="running")
    await lab.enqueue(key="queued")
    await lab.store.put_lane("default", "limited", LaneLimits(weight=2), None)
    await lab.store.put_lane("default", "held", LaneLimits(), Hold(lab.now + 5000, "operator"))
    _, claim = await lab.pending(worker, key="taught")
    await end(lab, worker, claim, hold=Hold(lab.now + 9000, "quota"))
    await lab.enqueue(queue="another", key="elsewhere")
    lanes = await _all(lab, "default", False)
    assert set(lanes) == {"running", "queued", "limited", "held", "taught"}
    for key, lane in lanes.items():
        assert lane == await lab.store.lane("default", key)
    assert set(await _all(lab, "default", True)) == {"held", "taught"}
    lab.clock.advance(5)
    assert set(await _all(lab, "default", True)) == {"taught"}
    assert set(await _all(lab, "default", False)) >= {"running", "queued", "limited", "taught"}
    assert await _all(lab, "nowhere", False) == {}


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
async def test_pages_show_every_lane_once(lab: Lab, limit: int) -> None:
    """`LanePage`: in an order of the store's own, and where to go on; `cursor` None: the end."""
    keys = [f"k{number}" for number in range(12)]
    await lab.store.enqueue([lab.task(key=key) for key in keys])
    for key in keys[::3]:
        await lab.store.put_lane("default", key, LaneLimits(), Hold(FOREVER, "operator"))
    assert set(await _all(lab, "default", False, limit)) == set(keys)
    assert set(await _all(lab, "default", True, limit)) == set(keys[::3])


async def test_pages_go_on_while_lanes_come_and_go(lab: Lab) -> None:
    """A lane that is there all the time is on one of the pages, whatever the others do meanwhile."""
    keys = [f"k{number}" for number in range(10)]
    uuids = {key: await lab.enqueue(key=key) for key in keys}
    seen: list[str] = []
    cursor: str | None = None
    for turn in range(50):
        page = await lab.store.lanes("default", False, cursor, 2)
        seen += (lane.key for lane in page.lanes)
        cursor = page.cursor
        if cursor is None:
            break
        gone = [key for key in keys[::2] if key in uuids]
        if gone:
            await lab.store.cancel([Cancel(uuids.pop(gone[0]))])
        await lab.enqueue(key=f"new{turn}")
    assert cursor is None
    assert len(seen) == len(set(seen))
    assert set(seen) >= set(keys[1::2])


async def test_limits_are_seen_by_others_and_outlive_the_store_object(lab: Lab) -> None:
    """`put_lane`: Durable on return; the last one wins, whole, not field by field."""
    other = await lab.open()
    hold = Hold(lab.now + 60_000, "operator")
    for limits in (LaneLimits(weight=2, concurrency=5), LaneLimits(rate=(per_second(3),)), LaneLimits(rate=())):
        await lab.store.put_lane("q", "k", limits, hold)
        assert (await other.lane("q", "k")).limits == limits
    await lab.store.close()
    lab.opened.remove(lab.store)
    again = await lab.open()
    lane = await again.lane("q", "k")
    assert (lane.limits, lane.held_until, lane.hold_reason) == (LaneLimits(rate=()), hold.until, "operator")


async def test_lane_with_nothing_left_is_not_listed(lab: Lab) -> None:
    """`lanes`: what has no tasks, no limits and no hold any more is gone."""
    await lab.store.put_lane("default", "k", LaneLimits(weight=2), Hold(FOREVER, "operator"))
    await lab.store.put_lane("default", "k", LaneLimits(), None)
    assert await _all(lab, "default", False) == {}
    worker, claim = await lab.pending(key="k")
    await worker.succeed(claim)
    assert await _all(lab, "default", False) == {}


async def test_lane_shows_its_own_limits_not_those_of_its_queue(lab: Lab) -> None:
    """`Lane.limits`: Its own, in place of what the queue says of each."""
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(concurrency=2, weight=5)))
    await lab.enqueue(key="k")
    assert (await lab.store.lane("default", "k")).limits == LaneLimits()
    await lab.store.put_lane("default", "k", LaneLimits(weight=1), None)
    assert (await lab.store.lane("default", "k")).limits == LaneLimits(weight=1)


async def test_held_lanes_among_many_are_found(lab: Lab) -> None:
    """`lanes` with `held`: however many others there are, and in how many pages they come."""
    await lab.store.enqueue([lab.task(key=f"k{number}") for number in range(400)])
    worker = await lab.worker(lease=LONG)
    held: set[str] = set()
    for claim in await worker.claim(3):
        held.add((await lab.get(claim.uuid)).key)
        await end(lab, worker, claim, hold=Hold(lab.now + 1000, "rate_limited"))
    assert set(await _all(lab, "default", True, 5)) == held
