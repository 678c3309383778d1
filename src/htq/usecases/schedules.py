"""Schedules: what is said of them, judged and completed once; a keeper makes the tasks from what is stored here."""

import asyncio
import re
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from htq.policy.schedules import MAX_EVERY, MIN_EVERY, check_times, next_slot, next_slots
from htq.stores.base import Store
from htq.usecases.drafting import Drafting
from htq.usecases.submission import Submission
from htq.usecases.times import seconds
from htq.usecases.wishes import Duration
from htq.words.clock import Clock
from htq.words.errors import InvalidField, NotFound
from htq.words.schedule import CatchUp, Overlap, Schedule
from htq.words.task import NewTask, OnConflict

__all__ = ["ScheduleService", "ScheduleWish", "Upcoming"]

_TENANT: Final = ""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_SHOWN: Final = 5
"""Slots that are shown."""

_ON_OVERLAP: Final[dict[Overlap, OnConflict]] = {
    "skip": "reject",
    "queue": "queue_after",
    "cancel_previous": "cancel_previous",
}
"""What a slot's task says to the one before, whose name it has. With `allow` it has none."""

_OF_THE_SLOT: Final = ("delay", "run_at", "start_by", "deadline", "debounce")


class ScheduleWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of a schedule. It takes the place of all that was said before."""

    task: Annotated[
        Submission,
        Meta(description='The request that is made each time, an object such as {"url": "http://example.com/"}.'),
    ]
    cron: Annotated[
        str | None,
        Meta(
            description='Five fields, minute, hour, day of month, month and day of week, as in "30 4 * * 1-5"; or @hourly, @daily, '
            "@weekly, @monthly, @yearly."
        ),
    ] = None
    every: Annotated[
        Duration | None,
        Meta(description='In place of cron: seconds from one to the next, 1 up to ten years, or text such as "90s".'),
    ] = None
    zone: Annotated[
        str | None,
        Meta(description="The time zone of cron, such as Europe/Berlin; left out it is UTC."),
    ] = None
    overlap: Annotated[
        Overlap | None,
        Meta(
            description="What happens while an earlier one has not ended: skip (usual), queue, cancel_previous or allow."
        ),
    ] = None
    catch_up: Annotated[
        CatchUp | None,
        Meta(
            description="What becomes of times that passed with nobody there: none, one for them all (usual), or all."
        ),
    ] = None
    paused: Annotated[bool | None, Meta(description="true: nothing is made until it is resumed.")] = None


class Upcoming(NamedTuple):
    """A schedule, and its next slots; none while it is paused."""

    schedule: Schedule
    slots: list[int]


class ScheduleService:
    """Every method may raise `StoreUnavailable`; one that takes the name of a schedule that is there, `NotFound`.

    A schedule is written whole, so a pause takes the place of what somebody else has put in the moment after it was read.
    """

    def __init__(self, store: Store, *, clock: Clock, draft: Drafting) -> None:
        self._store = store
        self._clock = clock
        self._draft = draft

    async def all(self) -> list[Upcoming]:
        """All of them, by name."""
        found = []
        for schedule in await self._store.schedules(_TENANT):
            found.append(self._upcoming(schedule))
            # A turn for everybody else: the next slots of one take up to some milliseconds.
            await asyncio.sleep(0)  # noqa: TID251
        return found

    async def one(self, name: str) -> Upcoming:
        return self._upcoming(await self._known(name))

    async def put(self, name: str, wish: ScheduleWish, base: str) -> Upcoming:
        """Make a schedule, or put it in the place of the one with its name. Raises `InvalidField`, and `NotFound` for what can't
        be a name.

        Slots count from now on: what the one before has missed is not made up for.
        """
        if _NAME.fullmatch(name) is None:
            raise NotFound(
                "There can't be a schedule of this name: it is 1 to 128 of A-Z a-z 0-9 . _ : -, beginning with a letter or digit."
            )
        every = None if wish.every is None else seconds(wish.every, "/every", least=MIN_EVERY, most=MAX_EVERY)
        zone = wish.zone or "UTC"
        check_times(wish.cron, zone, every)
        if wish.zone is not None and every is not None:
            raise InvalidField(
                "An interval knows no time zone: leave out zone, or give cron in place of every.", "/zone"
            )
        overlap = wish.overlap or "skip"
        task = await self._template(name, wish.task, overlap, base)
        now = self._clock.now_ms()
        before = await self._find(name)
        if before is not None:
            # A slot's task is the same one before and after a change.
            task = msgspec.structs.replace(task, uuid=before.task.uuid)
        return await self._put(
            Schedule(
                name=name,
                cron=wish.cron,
                zone=zone,
                every=every,
                overlap=overlap,
                catch_up=wish.catch_up or "one",
                paused=wish.paused is True,
                task=task,
                created_at=now if before is None else before.created_at,
                next_at=None,
            )
        )

    async def pause(self, name: str) -> Upcoming:
        """Make nothing until it is resumed."""
        return await self._put(msgspec.structs.replace(await self._known(name), paused=True))

    async def resume(self, name: str) -> Upcoming:
        """Go on with the next slot from now: what passed in the meantime was meant to."""
        schedule = await self._known(name)
        return (
            self._upcoming(schedule)
            if not schedule.paused
            else await self._put(msgspec.structs.replace(schedule, paused=False))
        )

    async def delete(self, name: str) -> None:
        """Forget it. The tasks that it made stay."""
        if not await self._store.delete_schedule(_TENANT, name):
            raise _unknown()

    async def _put(self, schedule: Schedule) -> Upcoming:
        slot = next_slot(schedule, self._clock.now_ms())
        return self._upcoming(await self._store.put_schedule(msgspec.structs.replace(schedule, next_at=slot)))

    async def _template(self, name: str, submission: Submission, overlap: Overlap, base: str) -> NewTask:
        """What each slot makes, all defaults resolved. Raises `InvalidField`."""
        for field in _OF_THE_SLOT:
            if getattr(submission, field) is not None:
                raise InvalidField(
                    f"A schedule says itself when its requests go out: leave out {field}.", f"/task/{field}"
                )
        if overlap != "allow":
            for field in ("id", "on_conflict"):
                if getattr(submission, field) is not None:
                    raise InvalidField(
                        f'overlap says what becomes of an earlier one: leave out {field}, or say "overlap": "allow".',
                        f"/task/{field}",
                    )
        try:
            new = await self._draft(submission, base)
        except InvalidField as error:
            raise InvalidField(str(error), f"/task{error.pointer}") from None
        conflict = _ON_OVERLAP.get(overlap)
        return msgspec.structs.replace(
            new,
            # Each slot fills in its own uuid.
            request=msgspec.structs.replace(new.request, url=submission.url),
            # A queue's defaults would have said when, from now.
            run_at=None,
            start_by=None,
            deadline=None,
            name=f"schedule:{name}" if conflict is not None else new.name,
            on_conflict=conflict or new.on_conflict,
        )

    def _upcoming(self, schedule: Schedule) -> Upcoming:
        return Upcoming(schedule, [] if schedule.paused else next_slots(schedule, self._clock.now_ms(), _SHOWN))

    async def _known(self, name: str) -> Schedule:
        schedule = await self._find(name)
        if schedule is None:
            raise _unknown()
        return schedule

    async def _find(self, name: str) -> Schedule | None:
        return next((each for each in await self._store.schedules(_TENANT) if each.name == name), None)


def _unknown() -> NotFound:
    return NotFound("No such schedule: it was never here, or was deleted.")
