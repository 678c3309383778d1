"""Queues: what an operator says of them, by name, and the columns of `queues` that a claim goes by.

`queue_settings` is what was said. The columns are made from it, in `queues` and its lanes, whenever it changes.
"""

from typing import Any

import apsw
import msgspec

from htq.stores.base import QueueSettings
from htq.stores.sqlite.codec import decode_queue, encode
from htq.stores.sqlite.schema import UNLIMITED
from htq.stores.sqlite.step import Step
from htq.stores.sqlite.windows import encode_rates

__all__ = ["delete_queue", "pause_queue", "put_queue", "queues"]

_KEEP = "INSERT OR REPLACE INTO queue_settings (name, settings) VALUES (?, ?)"
_APPLY = """
UPDATE queues SET cap = ?2, paused_until = ?3, opens_at = ?3 * 1000, stuck = 0, rates = ?4, lane_weight = ?5, lane_cap = ?6,
    lane_rates = ?7, breaker = ?8
WHERE id = ?1
"""
_OF_LANES = "SELECT lane_weight, lane_cap, lane_rates, breaker IS NULL FROM queues WHERE id = ?"
_APPLY_TO_LANES = f"""
UPDATE lanes SET
    weight = coalesce(own_weight, ?2), turns_left = coalesce(own_weight, ?2),
    cap = min(coalesce(own_cap, ?3), iif(trips > 0 AND ?4, 1, {UNLIMITED})), trips = iif(?4, trips, 0)
WHERE queue = ?1 AND (
    weight <> coalesce(own_weight, ?2)
    OR cap <> min(coalesce(own_cap, ?3), iif(trips > 0 AND ?4, 1, {UNLIMITED})))
"""  # noqa: S608
# What waits for a time is looked at again by the claims that follow: the time may have been that of a rate that is no more.
_LOOK_AT_LANES = """
UPDATE lanes SET stuck = 0, next_at = max(coalesce(held_until, 0) * 1000, (SELECT door FROM queues WHERE id = ?1))
WHERE queue = ?1 AND next_at > max(?2, (SELECT tick FROM queues WHERE id = ?1))
"""
_FREE_LANES = """
UPDATE lanes SET own_weight = NULL, own_cap = NULL, rates = NULL, held_until = NULL, hold_reason = NULL, failures = 0, trips = 0,
    keep_until = iif(tasks = 0, 1, 0)
WHERE queue = ? AND (own_weight IS NOT NULL OR own_cap IS NOT NULL OR rates IS NOT NULL OR held_until IS NOT NULL
    OR failures > 0 OR keep_until > 0)
"""
_HAS_OWN = """
SELECT 1 FROM lanes WHERE queue = ? AND (own_weight IS NOT NULL OR own_cap IS NOT NULL OR rates IS NOT NULL) LIMIT 1
"""


def put_queue(step: Step, name: str, settings: QueueSettings) -> None:
    step.db.execute(_KEEP, (name, encode(settings)))
    found = step.db.execute("SELECT id FROM queues WHERE name = ?", (name,)).get
    _apply(step, found or step.db.execute("INSERT INTO queues (name) VALUES (?) RETURNING id", (name,)).get, settings)


def pause_queue(step: Step, name: str, until: int | None) -> None:
    packed = step.db.execute("SELECT settings FROM queue_settings WHERE name = ?", (name,)).get
    if packed is not None or until is not None:
        settings = QueueSettings() if packed is None else decode_queue(packed)
        put_queue(step, name, msgspec.structs.replace(settings, paused_until=until))


def delete_queue(step: Step, name: str) -> bool:
    db = step.db
    db.execute("DELETE FROM queue_settings WHERE name = ?", (name,))
    there = db.changes() > 0
    queue: int | None = db.execute("SELECT id FROM queues WHERE name = ?", (name,)).get
    if queue is None:
        return there
    there = there or db.execute(_HAS_OWN, (queue,)).get is not None
    db.execute(_FREE_LANES, (queue,))
    _apply(step, queue, QueueSettings(), own_too=True)
    db.execute("DELETE FROM queues WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM lanes WHERE queue = ?1)", (queue,))
    return there


def queues(db: apsw.Connection) -> dict[str, QueueSettings]:
    rows = db.execute("SELECT name, settings FROM queue_settings ORDER BY name")
    return {name: decode_queue(packed) for name, packed in rows}


def _apply(step: Step, queue: int, settings: QueueSettings, *, own_too: bool = False) -> None:
    """Let what is said hold from the next claim on. What its windows have spent stays spent.

    `own_too`: what its lanes said themselves has changed besides.
    """
    each = settings.per_key
    weight = 1 if each.weight is None else each.weight
    cap = _cap(each.concurrency)
    breaker = None if settings.breaker is None else encode(settings.breaker)
    values: tuple[Any, ...] = (
        queue,
        _cap(settings.concurrency),
        settings.paused_until or 0,
        encode_rates(settings.rate or None),
        weight,
        cap,
        encode_rates(each.rate or None),
        breaker,
    )
    (before,) = step.rows(_OF_LANES, (queue,))
    step.db.execute(_APPLY, values)
    (after,) = step.rows(_OF_LANES, (queue,))
    # There may be many lanes: a pause, say, leaves them as they are.
    if own_too or before != after:
        step.db.execute(_APPLY_TO_LANES, (queue, weight, cap, breaker is not None))
        step.db.execute(_LOOK_AT_LANES, (queue, step.now_us))
    step.look_at_queue(queue)
    step.news.available = True


def _cap(concurrency: int | None) -> int:
    return UNLIMITED if concurrency is None else concurrency
