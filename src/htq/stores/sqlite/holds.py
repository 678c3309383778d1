"""What an attempt teaches of its lane: a hold, how its target is, what it has really cost."""

from functools import lru_cache
from typing import Any

import msgspec

from htq.stores.base import Outcome
from htq.stores.sqlite.schema import UNLIMITED
from htq.stores.sqlite.step import Step
from htq.stores.sqlite.windows import Windows, decode_cost
from htq.words.limits import Breaker, Health, Hold

__all__ = ["learn", "recap", "teaches"]

_breakers = lru_cache(64)(msgspec.msgpack.Decoder(Breaker).decode)

_HOLD = """
UPDATE lanes SET held_until = ?1, hold_reason = ?2, next_at = max(next_at, ?1 * 1000), keep_until = max(keep_until, ?1)
WHERE id = ?3 AND coalesce(held_until, 0) < ?1
"""
_WELL = "UPDATE lanes SET failures = 0, trips = 0 WHERE id = ? AND failures > 0 RETURNING queue, trips"
_UNWELL = """
UPDATE lanes SET failures = failures + 1 WHERE id = ?1 AND NOT (trips > 0 AND coalesce(held_until, 0) > ?2)
RETURNING failures, trips
"""
_TRIP = "UPDATE lanes SET trips = trips + 1 WHERE id = ?"
_RECAP = f"""
UPDATE lanes SET cap = min(
    coalesce(own_cap, (SELECT lane_cap FROM queues WHERE id = lanes.queue)), iif(trips > 0, 1, {UNLIMITED}))
WHERE id = ?
"""  # noqa: S608
_WINDOWS = """
SELECT coalesce(l.rates, q.lane_rates), l.spent, q.rates, q.spent, r.cost, t.claimed_at
FROM lanes l CROSS JOIN queues q ON q.id = l.queue CROSS JOIN tasks t ON t.id = +?2 CROSS JOIN requests r ON r.id = t.id
WHERE l.id = +?1
"""


def teaches(step: Step, queue: int, outcome: Outcome) -> bool:
    """Whether `learn` has anything to do. Most outcomes say that the target is well, of a queue that has no breaker."""
    if outcome.hold is not None or outcome.costs is not None:
        return True
    return outcome.health is not None and step.breaker_of(queue) is not None


def learn(step: Step, queue: int, lane: int, task: int, outcome: Outcome) -> None:
    """Take what `outcome` says of the lane."""
    if outcome.health is not None:
        breaker = step.breaker_of(queue)
        if breaker is not None:
            _judge(step, queue, lane, _breakers(breaker), outcome.health)
    if outcome.hold is not None:
        _hold(step, lane, outcome.hold)
    if outcome.costs:
        _correct(step, queue, lane, task, outcome.costs)


def recap(step: Step, lane: int) -> None:
    """Reckon anew how many tasks of a lane may run at once."""
    step.db.execute(_RECAP, (lane,))


def _hold(step: Step, lane: int, hold: Hold) -> None:
    if hold.until > step.now:
        step.db.execute(_HOLD, (hold.until, hold.reason, lane))


def _judge(step: Step, queue: int, lane: int, breaker: Breaker, health: Health) -> None:
    """Count failures in a row. A lane that was held for them lets one task at a time through until one has gone well."""
    if health == "good":
        if step.rows(_WELL, (lane,)):
            recap(step, lane)
            step.look_at_queue(queue)
            step.news.available = True
        return
    found: Any = step.db.execute(_UNWELL, (lane, step.now)).fetchone()
    if found is None:
        return
    failures, trips = found
    # It is remembered for a while after its last task has been forgotten.
    step.db.execute(
        "UPDATE lanes SET keep_until = max(keep_until, ?) WHERE id = ?",
        (step.now + round(breaker.max_hold * 1000), lane),
    )
    if trips or failures >= breaker.failures:
        hold = min(breaker.hold * 2.0 ** min(trips, 64), breaker.max_hold)
        step.db.execute(_TRIP, (lane,))
        _hold(step, lane, Hold(step.now + round(hold * 1000), "breaker"))
        recap(step, lane)


def _correct(step: Step, queue: int, lane: int, task: int, actual: dict[str, float]) -> None:
    """Charge what it cost beyond what was said of it, or give back what it did not cost."""
    found: Any = step.db.execute(_WINDOWS, (lane, task)).fetchone()
    lane_rates, lane_spent, rates, spent, packed, claimed_at = found
    charged = decode_cost(packed)
    if lane_rates is not None:
        windows = Windows(lane_rates, lane_spent, step.now_us)
        if windows.counts_units:
            windows.correct(claimed_at * 1000, charged, actual)
            # Placed anew where the cost of its first task is what it waits for.
            step.db.execute(
                "UPDATE lanes SET spent = ?, stuck = 0, "
                "next_at = iif(stuck, (SELECT door FROM queues WHERE id = lanes.queue), next_at), "
                "keep_until = max(keep_until, ?) "
                "WHERE id = ?",
                (windows.spent(), windows.paid_at() // 1000 + 1, lane),
            )
            step.look_at_queue(queue)
            step.news.available = True
    if rates is not None:
        windows = Windows(rates, spent, step.now_us)
        if windows.counts_units:
            windows.correct(claimed_at * 1000, charged, actual)
            step.db.execute(
                "UPDATE queues SET spent = ?, opens_at = iif(stuck, paused_until * 1000, opens_at), stuck = 0 WHERE id = ?",
                (windows.spent(), queue),
            )
            step.look_at_queue(queue)
            step.news.available = True
