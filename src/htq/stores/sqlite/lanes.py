"""Lanes: made with their first task or setting, shown, and what an operator says of one."""

from typing import Any

import apsw

from htq.stores.base import Lane, LanePage
from htq.stores.sqlite.holds import recap
from htq.stores.sqlite.step import Step
from htq.stores.sqlite.windows import Windows, decode_rates, encode_rates
from htq.words.limits import Hold, LaneLimits

__all__ = ["drop_lanes", "lane", "lane_of", "lanes", "put_lane"]

_MAKE = """
INSERT INTO lanes (queue, key, weight, turns_left, cap)
SELECT id, ?2, lane_weight, lane_weight, lane_cap FROM queues WHERE id = ?1 RETURNING id
"""
# Placed where one that fills comes in: the next claim looks at it, and sends it back to its time if that has not come.
_PUT = """
UPDATE lanes SET own_weight = ?2, own_cap = ?3, rates = ?4, held_until = ?5, hold_reason = ?6, stuck = 0,
    weight = coalesce(?2, (SELECT lane_weight FROM queues WHERE id = lanes.queue)),
    turns_left = coalesce(?2, (SELECT lane_weight FROM queues WHERE id = lanes.queue)),
    failures = iif(?5 IS NULL, 0, failures), trips = iif(?5 IS NULL, 0, trips),
    next_at = max(coalesce(?5, 0) * 1000, min(next_at, (SELECT door FROM queues WHERE id = lanes.queue))),
    keep_until = max(coalesce(?5, 0), ?7, ?8)
WHERE id = ?1
"""
_COLUMNS = """
SELECT l.key, l.queued, l.running, l.own_weight, l.own_cap, l.rates, l.held_until, l.hold_reason, l.failures
FROM lanes l WHERE l.queue = (SELECT id FROM queues WHERE name = ?)
"""
_SHOWN = (
    "queued > 0 OR running > 0 OR own_weight IS NOT NULL OR own_cap IS NOT NULL OR rates IS NOT NULL OR held_until > ?1"
)
# The empty key is the first of all, and comes after no cursor: so it is not enough to look beyond the cursor.
_PAGE = "FROM lanes l WHERE l.queue = (SELECT id FROM queues WHERE name = ?2) AND l.key >= coalesce(?3, '') AND l.key IS NOT ?3"
_LANES = f"""
SELECT l.key, l.queued, l.running, l.own_weight, l.own_cap, l.rates, l.held_until, l.hold_reason, l.failures, {_SHOWN}
{_PAGE} ORDER BY l.key LIMIT +?4
"""
_HELD = f"""
SELECT l.key, l.queued, l.running, l.own_weight, l.own_cap, l.rates, l.held_until, l.hold_reason, l.failures, l.held_until > ?1
{_PAGE} AND l.held_until IS NOT NULL ORDER BY l.key LIMIT +?4
"""
_DROP = """
DELETE FROM lanes
WHERE id = ? AND tasks = 0 AND keep_until = 0 AND own_weight IS NULL AND own_cap IS NULL AND rates IS NULL RETURNING queue
"""
_DROP_QUEUE = """
DELETE FROM queues WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM lanes WHERE queue = ?1)
    AND NOT EXISTS (SELECT 1 FROM queue_settings WHERE name = queues.name)
"""
_LEAST_LOOKED_AT = 1000
"""Lanes that a call looks at, or ten times its limit if that is more."""


def lane_of(step: Step, queue: str, key: str) -> tuple[int, int]:
    """The ids of the queue and the lane, made where they are missing."""
    db = step.db
    found = db.execute("SELECT id FROM queues WHERE name = ?", (queue,)).get
    queue_id = found or db.execute("INSERT INTO queues (name) VALUES (?) RETURNING id", (queue,)).get
    found = db.execute("SELECT id FROM lanes WHERE queue = ? AND key = ?", (queue_id, key)).get
    return queue_id, found or db.execute(_MAKE, (queue_id, key)).get


def put_lane(step: Step, queue: str, key: str, limits: LaneLimits, hold: Hold | None) -> None:
    queue_id, lane_id = lane_of(step, queue, key)
    held = (None, None) if hold is None else (hold.until, hold.reason)
    rates = encode_rates(limits.rate)
    step.db.execute(_PUT, (lane_id, limits.weight, limits.concurrency, rates, *held, _paid_at(step, lane_id), step.now))
    recap(step, lane_id)
    step.look_at_queue(queue_id)
    step.news.available = True


def _paid_at(step: Step, lane_id: int) -> int:
    """Until when what its windows have spent is to be remembered, in milliseconds."""
    sql = "SELECT coalesce(l.rates, q.lane_rates), l.spent FROM lanes l JOIN queues q ON q.id = l.queue WHERE l.id = ?"
    ((rates, spent),) = step.rows(sql, (lane_id,))
    return 0 if rates is None else Windows(rates, spent, step.now_us).paid_at() // 1000 + 1


def lane(db: apsw.Connection, now: int, queue: str, key: str) -> Lane:
    row: Any = db.execute(f"{_COLUMNS} AND l.key = ?", (queue, key)).fetchone()
    return _lane(queue, now, row or (key, 0, 0, None, None, None, None, None, 0))


def lanes(db: apsw.Connection, now: int, queue: str, held: bool, cursor: str | None, limit: int) -> LanePage:
    look_at = max(_LEAST_LOOKED_AT, 10 * limit)
    found: list[Lane] = []
    last = cursor
    rows = db.execute(_HELD if held else _LANES, (now, queue, cursor, look_at + 1))
    for looked_at, (*row, is_shown) in enumerate(rows):
        if len(found) == limit or looked_at == look_at:
            return LanePage(found, last)
        last = row[0]
        if is_shown:
            found.append(_lane(queue, now, row))
    return LanePage(found, None)


def drop_lanes(step: Step, left: set[int], limit: int) -> None:
    """Remove lanes that no task names and that have nothing to remember, and queues of which the last one has gone.

    `left` are those that a task has just left; of the others, at most `limit` that had something to remember until now.
    """
    over = step.rows(
        "SELECT id FROM lanes WHERE keep_until > 0 AND keep_until <= ? ORDER BY keep_until LIMIT +?", (step.now, limit)
    )
    step.many("UPDATE lanes SET keep_until = 0 WHERE id = ?", over)
    queues: set[int] = set()
    for lane_id in left.union(each for (each,) in over):
        queues.update(queue for (queue,) in step.rows(_DROP, (lane_id,)))
    step.many(_DROP_QUEUE, [(queue,) for queue in queues])


def _lane(queue: str, now: int, row: Any) -> Lane:
    key, queued, running, weight, cap, rates, held_until, hold_reason, failures = row
    is_held = held_until is not None and held_until > now
    return Lane(
        queue=queue,
        key=key,
        queued=queued,
        running=running,
        limits=LaneLimits(weight=weight, concurrency=cap, rate=None if rates is None else decode_rates(rates)),
        held_until=held_until if is_held else None,
        hold_reason=hold_reason if is_held else None,
        failures=failures,
    )
