"""Holds: until when nothing of a lane starts, whoever said so."""

import pytest

from htq.stores.base import Cancel, Canceled, Done, QueueSettings, Released, Retry
from htq.words.limits import FOREVER, HOLD_REASONS, Hold, HoldReason, LaneLimits
from stores.conformance.ends import LONG, end, ended, per_minute, wait
from stores.conformance.lab import Lab, answer

FREE = LaneLimits()


async def test_hold_of_an_outcome_holds_the_lane_and_no_other(lab: Lab) -> None:
    """`Outcome.hold`: For the task's lane. A lane is a pair of queue and key."""
    worker = await lab.worker(lease=LONG)
    await lab.enqueue_many(3, key="k")
    claim = await worker.claim_one()
    until = lab.now + 30_000
    assert await end(lab, worker, claim, hold=Hold(until, "rate_limited")) == "applied"
    others = {await lab.enqueue(key="other"), await lab.enqueue(queue="another", key="k")}
    claims, again_at = await worker.look()
    assert {claim.uuid for claim in claims} == others
    assert again_at == until
    lane = await lab.store.lane("default", "k")
    assert (lane.held_until, lane.hold_reason, lane.queued, lane.running) == (until, "rate_limited", 2, 0)


async def test_hold_ends_to_the_millisecond(lab: Lab) -> None:
    """`Hold`: Nothing of a lane starts before `until`, and all of it from then on."""
    worker = await lab.worker(lease=LONG)
    await lab.enqueue_many(4, key="k")
    claim = await worker.claim_one()
    until = lab.now + 30_000
    await end(lab, worker, claim, hold=Hold(until, "unavailable"))
    lab.clock.advance(29.999)
    claims, again_at = await worker.look()
    assert (claims, again_at) == ([], until)
    wait(lab, again_at)
    assert len(await worker.claim()) == 3
    lane = await lab.store.lane("default", "k")
    assert (lane.held_until, lane.hold_reason) == (None, None)


@pytest.mark.parametrize("reason", HOLD_REASONS)
async def test_reason_is_shown_as_it_was_said(lab: Lab, reason: HoldReason) -> None:
    """`HoldReason`: Why a lane is held."""
    worker, claim = await lab.pending(key="k")
    hold = Hold(lab.now + 1000, reason)
    await end(lab, worker, claim, hold=hold)
    lane = await lab.store.lane("default", "k")
    assert (lane.held_until, lane.hold_reason) == (hold.until, reason)


async def test_later_hold_never_makes_one_that_is_there_end_sooner(lab: Lab) -> None:
    """`Outcome.hold`: A hold never makes one that is there end sooner; one that ends later takes its place, with its reason."""
    worker = await lab.worker(lease=LONG)
    await lab.enqueue_many(3, key="k")
    claims = await worker.claim()
    began = lab.now
    for claim, seconds, reason in zip(claims, (60, 10, 90), ("quota", "rate_limited", "unavailable"), strict=True):
        await end(lab, worker, claim, hold=Hold(began + seconds * 1000, reason))  # type: ignore[arg-type]
        lane = await lab.store.lane("default", "k")
        expected = (began + 90_000, "unavailable") if seconds == 90 else (began + 60_000, "quota")
        assert (lane.held_until, lane.hold_reason) == expected


async def test_holds_of_one_batch_are_taken_together(lab: Lab) -> None:
    """`finish`: the latest of several holds of a lane stands, in whichever order they come."""
    worker = await lab.worker(lease=LONG)
    await lab.enqueue_many(3, key="k")
    await lab.enqueue(key="other")
    claims = {claim.uuid: claim for claim in await worker.claim()}
    outcomes = []
    for claim, seconds in zip(claims.values(), (20, 40, 30, 5), strict=True):
        outcomes.append(ended(claim, worker.session, lab.now, hold=Hold(lab.now + seconds * 1000, "rate_limited")))
    lasts: dict[str, int] = {}
    for one in outcomes:
        assert one.hold is not None
        key = (await lab.get(one.uuid)).key
        lasts[key] = max(lasts.get(key, 0), one.hold.until)
    assert await lab.store.finish(worker.session, outcomes) == ["applied"] * 4
    for key, until in lasts.items():
        assert (await lab.store.lane("default", key)).held_until == until


async def test_hold_that_is_over_already_holds_nothing(lab: Lab) -> None:
    """`Hold`: Nothing starts before `until`: a time that has passed holds nothing."""
    worker, claim = await lab.pending(key="k")
    await lab.enqueue(key="k")
    await end(lab, worker, claim, hold=Hold(lab.now, "rate_limited"))
    assert len(await worker.claim()) == 1
    assert (await lab.store.lane("default", "k")).held_until is None


async def test_hold_burns_no_attempt_and_touches_nothing_that_runs(lab: Lab) -> None:
    """A held lane: what is queued stays as it is, what runs goes on, and what is new waits with the others."""
    worker = await lab.worker(lease=LONG)
    await lab.enqueue_many(4, key="k")
    first, second = await worker.claim(2)
    await end(lab, worker, first, Retry(lab.now + 1000), hold=Hold(lab.now + 60_000, "rate_limited"))
    waiting = [task for task in await lab.everything() if task.state == "queued"]
    new = await lab.enqueue(key="k", priority=9)
    lab.clock.advance(30)
    await lab.store.promote(10)
    assert await worker.claim() == []
    assert await worker.succeed(second) == "applied"
    for task in waiting:
        assert await lab.get(task.uuid) == task
    lab.clock.advance(30)
    claims = await worker.claim()
    assert {claim.uuid for claim in claims} == {first.uuid, new, *(task.uuid for task in waiting)}
    assert {claim.uuid: claim.attempt for claim in claims} == {
        first.uuid: 2,
        new: 1,
        **dict.fromkeys((task.uuid for task in waiting), 1),
    }


async def test_hold_counts_whether_the_task_was_canceled_or_not(lab: Lab) -> None:
    """`Outcome.hold`: cancel or not."""
    worker, claim = await lab.pending(key="k")
    await lab.store.cancel([Cancel(claim.uuid)])
    hold = Hold(lab.now + 5000, "rate_limited")
    assert await end(lab, worker, claim, Canceled(), phase="sent", hold=hold) == "canceled"
    assert (await lab.store.lane("default", "k")).held_until == hold.until


async def test_hold_of_an_outcome_that_is_lost_is_lost_with_it(lab: Lab) -> None:
    """`Outcome.hold`: unless this outcome is lost."""
    _, claim = await lab.pending(key="k")
    thief = await lab.worker()
    assert await end(lab, thief, claim, hold=Hold(lab.now + 5000, "rate_limited")) == "lost"
    assert (await lab.store.lane("default", "k")).held_until is None


async def test_repeat_of_an_outcome_does_not_hold_anew(lab: Lab) -> None:
    """`finish`: A repeated finish that had been applied answers as it did then: what was let go of meanwhile is free."""
    worker, claim = await lab.pending(key="k")
    outcome = ended(claim, worker.session, lab.now, hold=Hold(lab.now + 5000, "rate_limited"))
    assert await lab.store.finish(worker.session, [outcome]) == ["applied"]
    await lab.store.put_lane("default", "k", FREE, None)
    assert await lab.store.finish(worker.session, [outcome]) == ["applied"]
    assert (await lab.store.lane("default", "k")).held_until is None


async def test_released_attempt_may_hold_its_lane(lab: Lab) -> None:
    """`Outcome.hold` with any result: the task goes back into the lane that is held."""
    worker, claim = await lab.pending(key="k")
    hold = Hold(lab.now + 5000, "unavailable")
    await end(lab, worker, claim, Released(), phase="claimed", hold=hold)
    assert await worker.look() == ([], hold.until)


async def test_lane_that_runs_dry_is_held_still(lab: Lab) -> None:
    """A hold outlives the tasks of its lane: what comes to it anew waits."""
    worker, claim = await lab.pending(key="k", result_ttl=1.0)
    until = lab.now + 10_000
    await end(lab, worker, claim, hold=Hold(until, "rate_limited"))
    lab.clock.advance(5)
    assert await lab.store.forget(10) == 1
    assert await worker.look() == ([], None)
    await lab.enqueue(key="k")
    assert await worker.look() == ([], until)
    lab.clock.advance(5)
    assert len(await worker.claim()) == 1


async def test_operator_holds_a_lane_and_lets_go_of_it(lab: Lab) -> None:
    """`put_lane`: whether or not it has tasks. `hold` None lets go of what is held."""
    await lab.store.put_lane("default", "k", FREE, Hold(FOREVER, "operator"))
    uuids = await lab.enqueue_many(3, key="k")
    worker = await lab.worker()
    claims, again_at = await worker.look()
    assert claims == []
    assert again_at in (None, FOREVER)
    lane = await lab.store.lane("default", "k")
    assert (lane.held_until, lane.hold_reason) == (FOREVER, "operator")
    await lab.store.put_lane("default", "k", FREE, None)
    assert [claim.uuid for claim in await worker.claim()] == uuids


async def test_operator_lets_go_of_what_a_target_said(lab: Lab) -> None:
    """`put_lane`: `hold` None lets go of what is held. One that is given takes the place of what is there."""
    worker, claim = await lab.pending(key="k")
    await lab.enqueue(key="k")
    await end(lab, worker, claim, hold=Hold(lab.now + 60_000, "rate_limited"))
    await lab.store.put_lane("default", "k", FREE, Hold(lab.now + 1000, "operator"))
    assert await worker.look() == ([], lab.now + 1000)
    await lab.store.put_lane("default", "k", FREE, None)
    assert len(await worker.claim()) == 1


async def test_target_does_not_shorten_what_an_operator_said(lab: Lab) -> None:
    """`Outcome.hold`: A hold never makes one that is there end sooner."""
    worker, claim = await lab.pending(key="k")
    await lab.store.put_lane("default", "k", FREE, Hold(FOREVER, "operator"))
    await end(lab, worker, claim, hold=Hold(lab.now + 60_000, "rate_limited"))
    lane = await lab.store.lane("default", "k")
    assert (lane.held_until, lane.hold_reason) == (FOREVER, "operator")


async def test_hold_and_window_end_when_the_later_one_does(lab: Lab) -> None:
    """A lane that waits for a rate and is held waits for both, and one that is let go of for the rate alone."""
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(rate=(per_minute(1),))))
    worker = await lab.worker(lease=LONG)
    await lab.enqueue_many(3, key="k")
    began = lab.now
    claim = await worker.claim_one()
    await end(lab, worker, claim, hold=Hold(began + 30_000, "rate_limited"))
    assert await worker.look() == ([], began + 60_000)
    await lab.store.put_lane("default", "k", FREE, Hold(began + 90_000, "operator"))
    assert await worker.look() == ([], began + 90_000)
    await lab.store.put_lane("default", "k", FREE, None)
    assert await worker.look() == ([], began + 60_000)
    lab.clock.advance(60)
    assert len(await worker.claim()) == 1


async def test_full_lane_that_is_held_is_both(lab: Lab) -> None:
    """A finish makes room in a held lane, and the hold stands; it ends while the lane is full, and the limit stands."""
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(concurrency=2)))
    worker = await lab.worker(lease=LONG)
    await lab.enqueue_many(5, key="k")
    first, second = await worker.claim()
    await lab.store.put_lane("default", "k", FREE, Hold(lab.now + 1000, "operator"))
    await worker.finish(first, Done("success", answer(lab.now)))
    claims, again_at = await worker.look()
    assert (claims, again_at) == ([], lab.now + 1000)
    wait(lab, again_at)
    assert len(await worker.claim()) == 1
    assert await worker.look() == ([], None)
    await worker.succeed(second)
    assert len(await worker.claim()) == 1


async def test_deleted_queue_lets_go_of_its_lanes(lab: Lab) -> None:
    """`delete_queue`: … and let go of what is held."""
    worker, claim = await lab.pending(queue="q", key="k")
    await lab.store.put_queue("q", QueueSettings(concurrency=5))
    await end(lab, worker, claim, hold=Hold(lab.now + 60_000, "rate_limited"))
    await lab.store.put_lane("q", "other", FREE, Hold(FOREVER, "operator"))
    uuids = {await lab.enqueue(queue="q", key=key) for key in ("k", "other")}
    assert await worker.claim() == []
    assert await lab.store.delete_queue("q") is True
    assert {claim.uuid for claim in await worker.claim()} == uuids
