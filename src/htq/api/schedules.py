"""Handlers of schedules: requests that come again and again."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from htq.api.decoding import read_wish
from htq.api.http import EMPTY, Call, Reply, json_reply
from htq.api.links import schedule_url
from htq.api.views import refuse_redacted, view_new
from htq.usecases.schedules import ScheduleWish, Upcoming
from htq.usecases.times import plain
from htq.words.schedule import CatchUp, Overlap, Schedule

__all__ = [
    "ScheduleView",
    "delete_schedule",
    "get_schedule",
    "list_schedules",
    "pause_schedule",
    "put_schedule",
    "resume_schedule",
]

_wish: Final = msgspec.json.Decoder(ScheduleWish)

_NO_UUID: Final = "00000000-0000-7000-8000-000000000000"
_OF_ONE_TASK: Final = ("uuid", "time", "status")
"""What a template doesn't have."""


class LastRun(msgspec.Struct, frozen=True, kw_only=True):
    """The last slot that came."""

    at: Annotated[int, Meta(description="The slot, in epoch milliseconds.")]
    uuid: Annotated[str | UnsetType, Meta(description="The last request that was made.")] = UNSET
    url: Annotated[str | UnsetType, Meta(description="Where that one is, as long as it is kept.")] = UNSET


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule. Times are epoch milliseconds, durations seconds."""

    name: str
    cron: str | UnsetType = UNSET
    zone: str | UnsetType = UNSET
    every: float | UnsetType = UNSET
    overlap: Overlap
    catch_up: CatchUp
    paused: bool
    task: Annotated[
        dict[str, Any], Meta(description="The request that is made, with the fields of one that is queued.")
    ]
    created_at: int
    next: Annotated[list[int], Meta(description="The next times, five at most; none while it is paused.")]
    last: LastRun | UnsetType = UNSET
    links: dict[str, str]


async def list_schedules(call: Call) -> Reply:
    return json_reply(200, [_view(each, call.base) for each in await call.service.schedules.all()])


async def get_schedule(call: Call) -> Reply:
    return _reply(call, await call.service.schedules.one(call.name))


async def put_schedule(call: Call) -> Reply:
    wish = await read_wish(call, _wish)
    refuse_redacted(wish.task.headers, "/task/headers")
    if wish.task.cancel is not None:
        refuse_redacted(wish.task.cancel.headers, "/task/cancel/headers")
    return _reply(call, await call.service.schedules.put(call.name, wish, call.base))


async def pause_schedule(call: Call) -> Reply:
    return _reply(call, await call.service.schedules.pause(call.name))


async def resume_schedule(call: Call) -> Reply:
    return _reply(call, await call.service.schedules.resume(call.name))


async def delete_schedule(call: Call) -> Reply:
    await call.service.schedules.delete(call.name)
    return EMPTY


def _reply(call: Call, found: Upcoming) -> Reply:
    return json_reply(200, _view(found, call.base))


def _view(found: Upcoming, base: str) -> ScheduleView:
    schedule = found.schedule
    url = schedule_url(base, schedule.name)
    return ScheduleView(
        name=schedule.name,
        cron=UNSET if schedule.cron is None else schedule.cron,
        zone=UNSET if schedule.cron is None else schedule.zone,
        every=UNSET if schedule.every is None else plain(schedule.every),
        overlap=schedule.overlap,
        catch_up=schedule.catch_up,
        paused=schedule.paused,
        task=_template(schedule),
        created_at=schedule.created_at,
        next=found.slots,
        last=_last(schedule, base),
        links={"self": url, "pause": f"{url}pause/", "resume": f"{url}resume/"},
    )


def _template(schedule: Schedule) -> dict[str, Any]:
    """What could be put back in, but for what is redacted."""
    shown = msgspec.structs.asdict(view_new(msgspec.structs.replace(schedule.task, uuid=_NO_UUID)))
    shown["cancel"] = shown.pop("cancel_policy")
    if schedule.task.on_conflict != "cancel_previous":
        shown["on_conflict"] = schedule.task.on_conflict
    if schedule.overlap != "allow":
        for name in ("id", "on_conflict"):
            shown.pop(name, None)
    return {name: value for name, value in shown.items() if value is not UNSET and name not in _OF_ONE_TASK}


def _last(schedule: Schedule, base: str) -> LastRun | UnsetType:
    if schedule.last_at is None:
        return UNSET
    uuid = schedule.last_uuid
    if uuid is None:
        return LastRun(at=schedule.last_at)
    return LastRun(at=schedule.last_at, uuid=uuid, url=f"{base}/{uuid}/")
