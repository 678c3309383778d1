"""What has to be done now and then, by anybody: `promote`, `reap` (and `close_session`, its friendly form), `forget`."""

from typing import Any

from htq.stores.base import Promoted
from htq.stores.sqlite.codec import FINAL_FROM, PENDING, QUEUED, SCHEDULED
from htq.stores.sqlite.groups import drop_groups
from htq.stores.sqlite.keys import drop_keys
from htq.stores.sqlite.lanes import drop_lanes
from htq.stores.sqlite.leave import reap_one
from htq.stores.sqlite.rows import COLUMNS, Row
from htq.stores.sqlite.step import Step
from htq.stores.sqlite.stops import lapse_stops

__all__ = ["close_session", "forget", "promote", "reap"]

_HELD = f"SELECT {COLUMNS} FROM tasks WHERE state = 2 AND session = ? LIMIT +?"  # noqa: S608
_DUE = "SELECT id, queue, lane, grp FROM tasks WHERE state = 0 AND due_at <= ? ORDER BY due_at LIMIT +?"
_PROMOTE = "UPDATE tasks SET state = 1, due_at = NULL, blocked_by = NULL, version = version + 1 WHERE id = ?"
_EXPIRED = """
SELECT id, queue, lane, state, grp FROM tasks WHERE expires_at <= ?
    AND NOT EXISTS (SELECT 1 FROM stops WHERE task = tasks.id AND state = 'owed')
    AND (callback IS NULL OR NOT EXISTS (SELECT 1 FROM callbacks WHERE task = tasks.id AND task IS NOT NULL))
ORDER BY expires_at LIMIT +?
"""
_SIDES = (
    ("requests", "id"),
    ("results", "id"),
    ("cancels", "id"),
    ("attempts", "task"),
    ("stops", "task"),
    ("chunks", "task"),
)


_WEIGHT_AT_ONCE = 16 * 1024 * 1024
"""Bytes of bodies that one `forget` removes, unless a single task has more: well below what would keep others waiting."""
_SHRINK_BY = 1024
"""Pages (4 KiB) that one `forget` cuts off the file."""


def promote(step: Step, limit: int) -> Promoted:
    due = step.rows(_DUE, (step.now, limit))
    step.many(_PROMOTE, [(task,) for task, _, _, _ in due])
    for _, queue, lane, group in due:
        step.move(queue, lane, SCHEDULED, QUEUED)
        step.move_in_group(group, SCHEDULED, QUEUED)
    if due:
        step.news.available = True
    return Promoted(len(due), step.db.execute("SELECT min(due_at) FROM tasks WHERE state = 0").get)


def close_session(step: Step, session: bytes) -> None:
    _end(step, session, -1, crash=False)


def reap(step: Step, limit: int) -> int:
    lapsed = step.rows("SELECT id FROM sessions WHERE boot <> ? OR expires <= ?", (step.boot, step.steady))
    reaped = 0
    for (session,) in lapsed:
        reaped += _end(step, session, limit - reaped, crash=True)
    lapse_stops(step, limit)
    return reaped


def _end(step: Step, session: bytes, limit: int, *, crash: bool) -> int:
    """Take at most `limit` tasks (-1: all) from a session; once it holds none, it is gone and its stops are free."""
    held = step.rows(_HELD, (session, limit))
    for row in held:
        reap_one(step, Row._make(row), crash=crash)
    if not step.db.execute("SELECT 1 FROM tasks WHERE state = ? AND session = ?", (PENDING, session)).get:
        step.db.execute("UPDATE stops SET holder = NULL, seq = NULL WHERE state = 'owed' AND holder = ?", (session,))
        if step.db.changes():
            step.news.available = True
        step.db.execute("DELETE FROM sessions WHERE id = ?", (session,))
    return len(held)


def forget(step: Step, limit: int) -> int:
    expired = _light_enough(step, step.rows(_EXPIRED, (step.now, limit)))
    ids = [(task,) for task, _, _, _, _ in expired]
    for table, column in _SIDES:
        step.many(f"DELETE FROM {table} WHERE {column} = ?", ids)  # noqa: S608
    step.many("DELETE FROM tasks WHERE id = ?", ids)
    for _, queue, lane, state, group in expired:
        step.move(queue, lane, FINAL_FROM, None)
        step.move_in_group(group, state, None)
    step.flush()
    drop_lanes(step, {lane for _, _, lane, _, _ in expired}, limit)
    drop_groups(step, limit)
    drop_keys(step, limit)
    _shrink(step)
    return len(expired)


def _light_enough(step: Step, expired: list[Any]) -> list[Any]:
    """As many of these as one step can remove with their bodies; the rest has time until the next call."""
    weight = 0
    for place, (task, *_) in enumerate(expired):
        weight += step.db.execute("SELECT coalesce(sum(length(data)), 0) FROM chunks WHERE task = ?", (task,)).get
        if weight > _WEIGHT_AT_ONCE and place:
            return expired[:place]
    return expired


def _shrink(step: Step) -> None:
    """Give a part of the file back to the disk, where most of it is empty."""
    free, pages = step.db.pragma("freelist_count"), step.db.pragma("page_count")
    if free > _SHRINK_BY and 2 * free > pages:
        step.db.execute(f"PRAGMA incremental_vacuum({_SHRINK_BY})").fetchall()
