"""Schedules: kept, and fired by compare-and-set, so that a slot makes one task whatever runs twice."""

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from htq.stores.base import DueSchedules, Enqueued, Firing
from htq.stores.sqlite.codec import decode_schedule, encode
from htq.stores.sqlite.step import Step
from htq.stores.sqlite.tasks_in import enqueue
from htq.words.schedule import Schedule

__all__ = ["delete_schedule", "due_schedules", "fire", "put_schedule", "schedules"]

_COLUMNS = "schedule, revision, created_at, next_at, last_at, last_uuid"
_PUT = """
INSERT OR REPLACE INTO schedules (tenant, name, paused, created_at, next_at, last_at, last_uuid, schedule)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING revision
"""
_DUE = f"""
SELECT {_COLUMNS} FROM schedules WHERE NOT paused AND next_at IS NOT NULL AND next_at <= ? ORDER BY next_at LIMIT +?
"""  # noqa: S608
_NEXT = "SELECT min(next_at) FROM schedules WHERE NOT paused AND next_at IS NOT NULL AND next_at > ?"
_FIRE = """
UPDATE schedules SET next_at = ?, last_at = ? WHERE tenant = ? AND name = ? AND revision = ? AND next_at = ?
"""


def put_schedule(step: Step, schedule: Schedule) -> Schedule:
    sql = "SELECT created_at, last_at, last_uuid FROM schedules WHERE tenant = ? AND name = ?"
    old: Any = step.db.execute(sql, (schedule.tenant, schedule.name)).fetchone()
    if old is not None:
        created_at, last_at, last_uuid = old
        schedule = msgspec.structs.replace(schedule, created_at=created_at, last_at=last_at, last_uuid=last_uuid)
    values = (
        schedule.tenant,
        schedule.name,
        schedule.paused,
        schedule.created_at,
        schedule.next_at,
        schedule.last_at,
        schedule.last_uuid,
        encode(schedule),
    )
    revision = step.db.execute(_PUT, values).get
    if schedule.next_at is not None and not schedule.paused:
        step.news.do_at(schedule.next_at)
    return msgspec.structs.replace(schedule, revision=revision)


def schedules(db: apsw.Connection, tenant: str) -> list[Schedule]:
    sql = f"SELECT {_COLUMNS} FROM schedules WHERE tenant = ? ORDER BY name"  # noqa: S608
    return [_schedule(row) for row in db.execute(sql, (tenant,))]


def delete_schedule(step: Step, tenant: str, name: str) -> bool:
    step.db.execute("DELETE FROM schedules WHERE tenant = ? AND name = ?", (tenant, name))
    return step.db.changes() > 0


def due_schedules(db: apsw.Connection, now: int, limit: int) -> DueSchedules:
    due = [_schedule(row) for row in db.execute(_DUE, (now, limit))]
    return DueSchedules(due, db.execute(_NEXT, (now,)).get, now)


def fire(step: Step, firings: Sequence[Firing]) -> list[Enqueued | None]:
    return [_fire(step, firing) for firing in firings]


def _fire(step: Step, firing: Firing) -> Enqueued | None:
    db = step.db
    place = (firing.tenant, firing.name)
    db.execute(_FIRE, (firing.next_at, firing.last_at, *place, firing.revision, firing.slot))
    if not db.changes():
        return None
    if firing.next_at is not None:
        step.news.do_at(firing.next_at)
    if firing.task is None:
        return None
    (enqueued,) = enqueue(step, [firing.task])
    if enqueued.outcome == "created":
        db.execute("UPDATE schedules SET last_uuid = ? WHERE tenant = ? AND name = ?", (enqueued.uuid, *place))
    return enqueued


def _schedule(row: Any) -> Schedule:
    packed, revision, created_at, next_at, last_at, last_uuid = row
    return msgspec.structs.replace(
        decode_schedule(packed),
        revision=revision,
        created_at=created_at,
        next_at=next_at,
        last_at=last_at,
        last_uuid=last_uuid,
    )
