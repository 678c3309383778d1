"""`expire`: what is past its `start_by` or `deadline` ends, here or where a claim comes upon it."""

from htq.stores.base import Expired
from htq.stores.sqlite.cancels import cancel_one
from htq.stores.sqlite.codec import PENDING
from htq.stores.sqlite.leave import to_expired
from htq.stores.sqlite.rows import find
from htq.stores.sqlite.step import Step

__all__ = ["expire", "expire_one"]

_ENDING = "SELECT uuid FROM tasks WHERE ends_at IS NOT NULL AND ends_at <= ? ORDER BY ends_at LIMIT +?"


def expire(step: Step, limit: int) -> Expired:
    overdue = step.rows(_ENDING, (step.now, limit))
    for (key,) in overdue:
        expire_one(step, key)
    return Expired(len(overdue), step.db.execute("SELECT min(ends_at) FROM tasks WHERE ends_at IS NOT NULL").get)


def expire_one(step: Step, key: bytes) -> None:
    """End a task whose `ends_at` has come. It is read here: the end of another one may have moved it a moment ago."""
    row = find(step, key)
    assert row is not None
    is_late = row.start_by is not None and row.start_by <= step.now
    if is_late and row.state != PENDING and not row.attempt:
        to_expired(step, row)
    else:
        cancel_one(step, row, "deadline")
