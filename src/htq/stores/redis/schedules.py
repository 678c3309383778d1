"""Schedules: kept, found when their slot has come, and fired."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from htq.stores.base import DueSchedules, Enqueued, Firing
from htq.stores.redis.batches import weighed_parts
from htq.stores.redis.functions import Functions
from htq.stores.redis.intake import enqueued, places
from htq.stores.redis.records import read_schedule
from htq.stores.redis.wire import Arrival, arrival, tenant_id, tenants_id
from htq.words.errors import StoreUnavailable
from htq.words.schedule import Schedule

__all__ = ["delete_schedule", "due_schedules", "fire", "put_schedule", "schedules"]

_encode: Final = msgspec.msgpack.Encoder().encode

_Fired = tuple[str, int, int, int, int | bool, Arrival | bool]


async def put_schedule(functions: Functions, schedule: Schedule) -> Schedule:
    header = (
        tenants_id(schedule.tenant, schedule.name),
        tenant_id(schedule.tenant),
        schedule.created_at,
        False if schedule.next_at is None else schedule.next_at,
        False if schedule.last_at is None else schedule.last_at,
        schedule.last_uuid or False,
        schedule.paused,
    )
    _, row = await functions.step("put_schedule", header, (_encode(schedule),))
    kept = _schedule(row)
    if kept is None:
        raise StoreUnavailable("The Redis server has lost a schedule that it was just given.")
    return kept


async def schedules(functions: Functions, tenant: str) -> list[Schedule]:
    rows = await functions.read("schedules", (tenant_id(tenant),))
    found = (_schedule(row) for row in rows)
    return sorted((schedule for schedule in found if schedule is not None), key=lambda schedule: schedule.name)


async def delete_schedule(functions: Functions, tenant: str, name: str) -> bool:
    there: bool
    there, _ = await functions.step("delete_schedule", (tenants_id(tenant, name), tenant_id(tenant)))
    return there


async def due_schedules(functions: Functions, limit: int) -> DueSchedules:
    now, rows, next_at = await functions.read("due_schedules", (limit,))
    found = (_schedule(row) for row in rows)
    due = [schedule for schedule in found if schedule is not None]
    return DueSchedules(due, None if next_at is None else int(next_at), int(now))


async def fire(functions: Functions, firings: Sequence[Firing]) -> list[Enqueued | None]:
    names, keys = places([firing.task for firing in firings if firing.task is not None])
    answers: list[Enqueued | None] = []
    for items, blobs in weighed_parts([_fired(firing) for firing in firings]):
        told, _ = await functions.step("fire", (items, names, keys), blobs)
        for (*_, item), answer in zip(items, told, strict=True):
            answers.append(enqueued(item.uuid, answer) if isinstance(item, Arrival) and answer is not True else None)
    return answers


def _fired(firing: Firing) -> tuple[_Fired, list[bytes]]:
    item, blobs = (False, []) if firing.task is None else arrival(firing.task)
    next_at = False if firing.next_at is None else firing.next_at
    found = tenants_id(firing.tenant, firing.name)
    return (found, firing.revision, firing.slot, firing.last_at, next_at, item), blobs


def _schedule(row: Any) -> Schedule | None:
    packed, created_at, revision, next_at, last_at, last_uuid = row
    read = read_schedule("schedule", packed)
    if read is None:
        return None
    return msgspec.structs.replace(
        read,
        created_at=int(created_at),
        revision=int(revision),
        next_at=None if next_at is None else int(next_at),
        last_at=None if last_at is None else int(last_at),
        last_uuid=None if last_uuid is None else last_uuid.decode(),
    )
