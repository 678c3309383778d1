"""Slots: the times at which a schedule makes its task.

An interval's slots are `created_at` and whole multiples of `every` after it, the first one excepted: they don't drift, whatever
runs late.

A cron expression has five fields (minute, hour, day of month, month, day of week) or is one of `ALIASES`. Lists, ranges, steps
and names are those of Debian's cron, `L` and `#` those of Quartz, as `cronsim` reads them. Where day of month or day of week begins
with a star both must match, else one of them. When the clocks of its zone change, Debian's rules hold (crontab(5), on local time
changes):

- *Fixed times*, where neither minute nor hour begins with a star: a time that the clocks leap over comes at the first moment after
  the leap, and several of them come as one; a time that comes twice counts the first time only.
- *Running through*, where one of them begins with a star (`0 * * * *`, `*/10 2 * * *`): a slot comes at each moment at which the
  clock on the wall shows it: not at all where the clocks leap over it, and twice where they show it twice.

`cronsim` finds the next match on a clock that never changes; the changes are this module's own, since the library loses slots in
zones that move by half an hour (Australia/Lord_Howe). A schedule that has no slot within 50 years has none.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec.structs import replace

from htq.policy.target import with_uuid
from htq.words.clock import derived_uuid
from htq.words.errors import InvalidField
from htq.words.schedule import Schedule
from htq.words.task import NewTask

__all__ = [
    "ALIASES",
    "MAX_CRON",
    "MAX_EVERY",
    "MIN_EVERY",
    "MOST_AT_ONCE",
    "ON_TIME",
    "Step",
    "check_times",
    "next_slot",
    "next_slots",
    "slot_task",
    "steps",
]

ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""What stands for an expression; as in Vixie's cron, `@reboot` excepted."""

MAX_CRON: Final = 255
"""Characters of an expression."""

MIN_EVERY: Final = 1.0
MAX_EVERY: Final = 10 * 365 * 86400.0
"""Seconds between two slots."""

ON_TIME: Final = 10.0
"""Seconds after a slot in which it is late, and not missed."""

MOST_AT_ONCE: Final = 100
"""Slots that are made up for at once, at most: the latest ones."""

_MAX_ZONE: Final = 64
_MINUTE: Final = 60_000
"""Between two slots of an expression, at least."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_WINDOW: Final = timedelta(days=2)
"""In this time a zone changes its clocks at most once, and never by as much."""


class Step(NamedTuple):
    """What is to be done about slots that have come. The first one's `slot` is the schedule's `next_at`."""

    slot: int
    last_at: int
    """The last slot that it stands for."""
    next_at: int | None
    """The slot after that."""
    run_at: int | None
    """The time of the task that is made; None: none is."""


# --- what a caller may ask for --------------------------------------------------------------------


def check_times(cron: str | None, zone: str, every: float | None) -> None:
    """Raise `InvalidField` with the pointer `/cron`, `/zone` or `/every` where a schedule can't have these."""
    if (cron is None) == (every is None):
        raise InvalidField("Give cron or every: one of them, and not both.", "/cron")
    where = _zone_of(zone)
    if every is not None:
        if not MIN_EVERY <= every <= MAX_EVERY:
            raise InvalidField("every must lie between 1 second and ten years.", "/every")
        return
    assert cron is not None
    _check_cron(cron, where)


def _check_cron(cron: str, zone: tzinfo) -> None:
    from cronsim import CronSimError

    if len(cron) > MAX_CRON:
        raise InvalidField(f"The expression has {len(cron)} characters; at most {MAX_CRON} are taken.", "/cron")
    if cron.strip().startswith("@") and _fields(cron) == cron.split():
        raise InvalidField(f"{cron.strip()} is not known: there are {', '.join(ALIASES)}.", "/cron")
    fields = _fields(cron)
    if len(fields) != 5:
        raise InvalidField(
            f"The expression has {len(fields)} fields: write five, minute, hour, day of month, month and day of week, "
            'as in "30 4 * * 1-5".',
            "/cron",
        )
    try:
        slot = _cron_slot(fields, zone, _EPOCH)
    except CronSimError as error:
        if _reads_without_days(fields):
            raise InvalidField("The expression never comes true: no such month has such a day.", "/cron") from None
        field = str(error).removeprefix("Bad ").replace("-", " ")
        raise InvalidField(
            f'The {field} can\'t be read: write *, a number, a range 1-5, a step */15, or a list of these as in "0,30".',
            "/cron",
        ) from None
    if slot is None:
        raise InvalidField("The expression never comes true.", "/cron")


def _reads_without_days(fields: list[str]) -> bool:
    """Whether each field can be read by itself, so that it was day and month together that can't be."""
    from cronsim import CronSim, CronSimError

    minute, hour, day, month, weekday = fields
    try:
        CronSim(f"{minute} {hour} * {month} {weekday}", datetime(2000, 1, 1))  # noqa: DTZ001
        CronSim(f"* * {day} * *", datetime(2000, 1, 1))  # noqa: DTZ001
    except CronSimError:
        return False
    return True


# --- slots ----------------------------------------------------------------------------------------


def next_slot(schedule: Schedule, after_ms: int) -> int | None:
    """The first slot after a point in time; None: there is none. Raises `InvalidField` for what `check_times` would refuse."""
    if schedule.every is not None:
        step = _step(schedule.every)
        passed = max(after_ms - schedule.created_at, 0) // step
        return schedule.created_at + (passed + 1) * step
    if schedule.cron is None:
        return None
    from cronsim import CronSimError

    zone = _zone_of(schedule.zone)
    try:
        found = _cron_slot(_fields(schedule.cron), zone, _EPOCH + timedelta(seconds=after_ms // 1000))
    except CronSimError:
        return None
    return None if found is None else (found - _EPOCH) // timedelta(milliseconds=1)


def next_slots(schedule: Schedule, after_ms: int, count: int) -> list[int]:
    """The first `count` slots after a point in time, or as many as there are."""
    slots: list[int] = []
    slot = next_slot(schedule, after_ms)
    while slot is not None and len(slots) < count:
        slots.append(slot)
        slot = next_slot(schedule, slot)
    return slots


def steps(schedule: Schedule, now_ms: int) -> list[Step]:
    """What is to be done about the slots of a schedule from `next_at` to now, in their order, each once.

    The slot of `next_at` has come, whatever `now_ms` says. Slots that are late by no more than `ON_TIME` are made up for one by
    one. Those before were missed, and `catch_up` says what becomes of them.
    """
    first = schedule.next_at
    if first is None:
        return []
    until = max(now_ms, first) + 1
    not_missed = 0 if schedule.catch_up == "all" else now_ms - round(ON_TIME * 1000)
    made: list[int] = []
    missed: int | None = None
    while not made or made[-1] > first:
        slot = _slot_before(schedule, made[-1] if made else until, first)
        if slot < not_missed or len(made) == MOST_AT_ONCE:
            missed = slot
            break
        made.append(slot)
    made.reverse()
    following = [*made, next_slot(schedule, until - 1)]
    found: list[Step] = []
    if missed is not None:
        found.append(Step(first, missed, following[0], missed if schedule.catch_up == "one" else None))
    for slot, after in zip(made, following[1:], strict=True):
        found.append(Step(slot, slot, after, slot))
    return found


def slot_task(schedule: Schedule, step: Step) -> NewTask | None:
    """The task of a slot: the same one whoever makes it, and whatever was changed about the schedule meanwhile."""
    if step.run_at is None:
        return None
    task = schedule.task
    # The prototype's uuid is the part that nobody can guess: to know one task's is not to know the next one's.
    parts = (schedule.tenant, schedule.name, str(schedule.created_at), task.uuid, str(step.run_at))
    uuid = derived_uuid(step.run_at, "schedule", *parts)
    request = task.request
    if "{" in request.url:
        request = replace(request, url=with_uuid(request.url, uuid))
    return replace(task, uuid=uuid, request=request, run_at=step.run_at)


def _slot_before(schedule: Schedule, before_ms: int, first: int) -> int:
    """The last slot before a point in time; `first`, which is one before it, at the earliest.

    In a few looks, however many lie between: backwards in growing steps until there is one, then halving.
    """
    slot, back = first, _MINUTE
    while before_ms - back > first:
        found = next_slot(schedule, before_ms - back)
        if found is not None and found < before_ms:
            slot = found
            break
        back *= 2
    grain = _MINUTE if schedule.every is None else _step(schedule.every)
    high = before_ms - 1
    while slot + grain <= high:
        middle = (slot + high) // 2
        found = next_slot(schedule, middle)
        if found is not None and found < before_ms:
            slot = found
        else:
            high = middle
    return slot


def _step(every: float) -> int:
    return max(round(every * 1000), 1)


def _fields(cron: str) -> list[str]:
    return ALIASES.get(cron.strip().lower(), cron).split()


@lru_cache(maxsize=256)
def _zone_of(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    try:
        # What lies beside the zones on some machines only, or counts leap seconds, is no name of the database.
        if len(name) > _MAX_ZONE or name.startswith(("posix", "right/")) or name in ("localtime", "Factory"):
            raise ValueError
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        raise InvalidField(
            f"There is no time zone {name[:_MAX_ZONE]!r}: give a name of the IANA database, such as Europe/Berlin or UTC.",
            "/zone",
        ) from None


# --- cron on a wall whose clock changes -----------------------------------------------------------


def _cron_slot(fields: list[str], zone: tzinfo, after: datetime) -> datetime | None:
    """The first match after a whole second of UTC."""
    runs_through = fields[0].startswith("*") or fields[1].startswith("*")
    try:
        return (_running_through if runs_through else _fixed)(" ".join(fields), zone, after)
    except (StopIteration, OverflowError):
        return None


def _fixed(cron: str, zone: tzinfo, after: datetime) -> datetime:
    from cronsim import CronSim

    matches = CronSim(cron, after.astimezone(zone).replace(tzinfo=None))
    while True:
        wall = next(matches).replace(tzinfo=zone)
        moment = wall.astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) != wall.replace(tzinfo=None):
            # The clocks leap over it: by the new time it lies before the leap, by the old one after it.
            moment = _change(zone, wall.replace(fold=1).astimezone(UTC), moment)
        # In an hour that comes twice, what is to come on the wall may have been before.
        if moment > after:
            return moment


def _running_through(cron: str, zone: tzinfo, after: datetime) -> datetime:
    from cronsim import CronSim

    while True:
        # As long as the clocks don't change, the time on the wall is a number that is added.
        begin = after + _SECOND
        offset = _offset(zone, begin)
        wall = (after + offset).replace(tzinfo=None)
        found = next(CronSim(cron, wall)).replace(tzinfo=UTC) - offset
        until = after + _WINDOW
        change = _change(zone, begin, until) if _offset(zone, until) != offset else None
        if found < (change or until):
            return found
        # No match is lost in between: whatever the clocks do, they never move by a whole window.
        after = change - _SECOND if change is not None else max(until, found - _WINDOW)


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def _change(zone: tzinfo, low: datetime, high: datetime) -> datetime:
    """The first second at which the clocks show another time, between two moments with a change between them."""
    before = _offset(zone, low)
    while high - low > _SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if _offset(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high
