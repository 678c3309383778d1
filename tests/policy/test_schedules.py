"""Slots: what a schedule's times mean, also on the nights on which the clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from htq.policy.schedules import (
    ALIASES,
    MAX_CRON,
    MOST_AT_ONCE,
    ON_TIME,
    Step,
    check_times,
    next_slot,
    next_slots,
    slot_task,
    steps,
)
from htq.words.errors import InvalidField
from htq.words.schedule import CatchUp, Schedule
from htq.words.task import NewTask, Request

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
T0 = 1_800_000_000_000
"""15 January 2027, 08:00 in UTC."""


def schedule(
    cron: str | None = None,
    *,
    every: float | None = None,
    zone: str = "UTC",
    catch_up: CatchUp = "one",
    next_at: int | None = None,
    url: str = "http://a/job",
    revision: int = 1,
    secret: str = "",
) -> Schedule:
    return Schedule(
        name="nightly",
        cron=cron,
        every=every,
        zone=zone,
        catch_up=catch_up,
        task=NewTask(uuid=secret, request=Request(url=url, method="get"), key="http://a", host="a"),
        created_at=T0,
        revision=revision,
        next_at=next_at,
    )


def at(text: str, zone: str = "UTC") -> int:
    """Epoch milliseconds of a time on the wall."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def walls(cron: str, zone: str, after: str, count: int) -> list[str]:
    """The next slots as the clock on the wall shows them, with the offset from UTC."""
    slots = next_slots(schedule(cron, zone=zone), at(after, zone), count)
    return [
        datetime.fromtimestamp(slot / 1000, ZoneInfo(zone)).isoformat(timespec="minutes").removeprefix("2026-")
        for slot in slots
    ]


# --- cron -----------------------------------------------------------------------------------------


def test_a_slot_comes_after_the_time_and_never_at_it() -> None:
    half_past = at("2026-05-01T04:30")
    daily = schedule("30 4 * * *")
    assert next_slot(daily, half_past - 1) == half_past
    assert next_slot(daily, half_past) == half_past + 86400_000
    assert next_slot(daily, half_past + 1) == half_past + 86400_000


@pytest.mark.parametrize(
    ("alias", "slots"),
    [
        ("@hourly", ["05-06T10:00+00:00", "05-06T11:00+00:00"]),
        ("@daily", ["05-07T00:00+00:00", "05-08T00:00+00:00"]),
        ("@midnight", ["05-07T00:00+00:00", "05-08T00:00+00:00"]),
        ("@weekly", ["05-10T00:00+00:00", "05-17T00:00+00:00"]),
        ("@monthly", ["06-01T00:00+00:00", "07-01T00:00+00:00"]),
        ("@yearly", ["2027-01-01T00:00+00:00", "2028-01-01T00:00+00:00"]),
        ("@Annually", ["2027-01-01T00:00+00:00", "2028-01-01T00:00+00:00"]),
    ],
)
def test_an_alias_stands_for_its_expression(alias: str, slots: list[str]) -> None:
    check_times(alias, "UTC", None)
    assert walls(alias, "UTC", "2026-05-06T09:30", 2) == slots
    assert walls(ALIASES[alias.lower()], "UTC", "2026-05-06T09:30", 2) == slots


def test_two_days_that_are_named_are_either_and_a_star_makes_them_both() -> None:
    assert walls("0 0 13 * 5", "UTC", "2026-02-01T00:00", 3) == [
        "02-06T00:00+00:00",
        "02-13T00:00+00:00",
        "02-20T00:00+00:00",
    ]
    assert walls("0 0 */13 * 5", "UTC", "2026-02-01T00:00", 2) == ["02-27T00:00+00:00", "03-27T00:00+00:00"]


@pytest.mark.parametrize("cron", ["0 0 30 2 *", "0 0 31 4,6 *"])
def test_a_day_that_never_comes_has_no_slot(cron: str) -> None:
    assert next_slot(schedule(cron), T0) is None
    assert next_slots(schedule(cron), T0, 5) == []


def test_a_leap_day_is_waited_for() -> None:
    assert walls("0 0 29 2 *", "Europe/Berlin", "2026-05-01T00:00", 1) == ["2028-02-29T00:00+01:00"]


# --- the nights on which the clocks change --------------------------------------------------------


def test_a_fixed_time_that_the_clocks_leap_over_comes_at_the_first_moment_after() -> None:
    assert walls("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00", 3) == [
        "03-28T02:30+01:00",
        "03-29T03:00+02:00",
        "03-30T02:30+02:00",
    ]


def test_several_fixed_times_in_the_gap_come_as_one() -> None:
    assert walls("0,15,30 2 * * *", "Europe/Berlin", "2026-03-29T00:00", 2) == [
        "03-29T03:00+02:00",
        "03-30T02:00+02:00",
    ]
    assert walls("30 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00", 2) == ["03-29T03:00+02:00", "03-29T03:30+02:00"]


def test_a_fixed_time_in_the_hour_that_comes_twice_counts_once() -> None:
    assert walls("30 2 * * *", "Europe/Berlin", "2026-10-25T00:00", 2) == ["10-25T02:30+02:00", "10-26T02:30+01:00"]


def test_nothing_is_repeated_for_who_asks_within_the_second_hour() -> None:
    second = round(datetime(2026, 10, 25, 1, 10, tzinfo=UTC).timestamp() * 1000)
    assert next_slot(schedule("30 2 * * *", zone="Europe/Berlin"), second) == at("2026-10-26T02:30", "Europe/Berlin")


def test_an_hourly_job_runs_through_both_nights() -> None:
    assert walls("0 * * * *", "Europe/Berlin", "2026-03-29T00:30", 3) == [
        "03-29T01:00+01:00",
        "03-29T03:00+02:00",
        "03-29T04:00+02:00",
    ]
    assert walls("0 * * * *", "Europe/Berlin", "2026-10-25T01:30", 3) == [
        "10-25T02:00+02:00",
        "10-25T02:00+01:00",
        "10-25T03:00+01:00",
    ]


def test_minutes_with_a_star_inside_one_hour_are_left_out_with_it_and_come_twice_with_it() -> None:
    assert walls("*/30 2 * * *", "Europe/Berlin", "2026-03-29T00:00", 1) == ["03-30T02:00+02:00"]
    assert walls("*/30 2 * * *", "Europe/Berlin", "2026-10-25T00:00", 4) == [
        "10-25T02:00+02:00",
        "10-25T02:30+02:00",
        "10-25T02:00+01:00",
        "10-25T02:30+01:00",
    ]


def test_a_zone_that_moves_by_half_an_hour_loses_no_slot() -> None:
    zone = "Australia/Lord_Howe"
    assert walls("30 * * * *", zone, "2026-10-04T01:00", 3) == [
        "10-04T01:30+10:30",
        "10-04T02:30+11:00",
        "10-04T03:30+11:00",
    ]
    assert walls("*/10 3 * * *", zone, "2026-10-04T01:00", 1) == ["10-04T03:00+11:00"]
    assert walls("15 2 * * *", zone, "2026-10-04T01:00", 2) == ["10-04T02:30+11:00", "10-05T02:15+11:00"]
    assert walls("30 * * * *", zone, "2026-04-05T01:00", 3) == [
        "04-05T01:30+11:00",
        "04-05T01:30+10:30",
        "04-05T02:30+10:30",
    ]
    assert walls("45 1 * * *", zone, "2026-04-05T01:00", 2) == ["04-05T01:45+11:00", "04-06T01:45+10:30"]


def test_a_midnight_that_does_not_exist_is_the_first_moment_of_its_day() -> None:
    assert walls("@daily", "America/Havana", "2026-03-07T12:00", 2) == ["03-08T01:00-04:00", "03-09T00:00-04:00"]


def test_a_day_that_a_zone_left_out_is_left_out() -> None:
    slots = next_slots(schedule("0 */12 * * *", zone="Pacific/Apia"), at("2011-12-29T01:00", "Pacific/Apia"), 3)
    shown = [datetime.fromtimestamp(slot / 1000, ZoneInfo("Pacific/Apia")).strftime("%d %H:%M") for slot in slots]
    assert shown == ["29 12:00", "31 00:00", "31 12:00"]


def by_the_minute(cron: str, zone: ZoneInfo, begin: datetime, end: datetime) -> list[datetime]:
    """The same by going through every minute: the definition, with nothing clever in it."""
    fields = CronSim(cron, datetime(2000, 1, 1))  # noqa: DTZ001

    def matches(wall: datetime) -> bool:
        return (
            wall.minute in fields.minutes
            and wall.hour in fields.hours
            and wall.month in fields.months
            and fields.match_day(wall.date())
        )

    minute, hour = cron.split()[:2]
    slots: set[datetime] = set()
    moment = begin - timedelta(days=2)
    while moment < end + timedelta(days=2):
        if minute[0] == "*" or hour[0] == "*":
            if matches(moment.astimezone(zone)):
                slots.add(moment)
        elif matches(moment):
            wall = moment.replace(tzinfo=zone)
            while wall.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall.replace(tzinfo=None):
                wall += timedelta(minutes=1)
            slots.add(wall.astimezone(UTC))
        moment += timedelta(minutes=1)
    return sorted(slot for slot in slots if begin < slot < end)


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", "2026-03-29"),
        ("Europe/Berlin", "2026-10-25"),
        ("Australia/Lord_Howe", "2026-10-04"),
        ("Australia/Lord_Howe", "2026-04-05"),
        ("Antarctica/Troll", "2026-10-25"),
        ("America/Havana", "2026-11-01"),
        ("America/Havana", "2026-03-08"),
        ("Pacific/Apia", "2011-12-30"),
        ("Asia/Kathmandu", "2026-06-01"),
    ],
)
def test_slots_are_those_that_going_through_every_minute_finds(zone: str, day: str) -> None:
    begin = datetime.fromisoformat(f"{day}T00:00").replace(tzinfo=UTC) - timedelta(hours=30)
    end = begin + timedelta(hours=72)
    for cron in ("7 * * * *", "*/20 1-3 * * *", "*/30 * * * 0", "0 */2 * * *", "30 0,1,2 * * *", "0,30 0-23 * * *"):
        expected = [
            (slot - EPOCH) // timedelta(milliseconds=1) for slot in by_the_minute(cron, ZoneInfo(zone), begin, end)
        ]
        first = (begin - EPOCH) // timedelta(milliseconds=1)
        found = next_slots(schedule(cron, zone=zone), first, len(expected))
        assert (cron, found) == (cron, expected)


# --- intervals ------------------------------------------------------------------------------------


def test_an_interval_is_counted_from_the_making_of_the_schedule() -> None:
    every = schedule(every=90)
    assert next_slots(every, T0, 3) == [T0 + 90_000, T0 + 180_000, T0 + 270_000]
    assert next_slot(every, T0 + 90_000 * 1_000_000 + 1) == T0 + 90_000 * 1_000_001
    assert next_slot(every, T0 - 500_000) == T0 + 90_000


def test_an_interval_of_a_fraction_does_not_drift() -> None:
    assert next_slot(schedule(every=1.1), T0 + 1100 * 123_457 - 1) == T0 + 1100 * 123_457


# --- slots that have come -------------------------------------------------------------------------


@pytest.mark.parametrize("catch_up", ["none", "one", "all"])
def test_a_slot_that_has_just_come_makes_its_task(catch_up: CatchUp) -> None:
    due = schedule(every=60, catch_up=catch_up, next_at=T0 + 60_000)
    assert steps(due, T0 + 60_003) == [Step(T0 + 60_000, T0 + 60_000, T0 + 120_000, T0 + 60_000)]


@pytest.mark.parametrize("catch_up", ["none", "one", "all"])
def test_slots_that_are_hardly_late_are_not_missed(catch_up: CatchUp) -> None:
    due = schedule(every=4, catch_up=catch_up, next_at=T0 + 4000)
    late = T0 + 4000 + round(ON_TIME * 1000)
    assert [(step.slot, step.run_at) for step in steps(due, late)] == [
        (T0 + 4000, T0 + 4000),
        (T0 + 8000, T0 + 8000),
        (T0 + 12000, T0 + 12000),
    ]


def test_missed_slots_are_passed_over_with_none() -> None:
    due = schedule(every=60, catch_up="none", next_at=T0 + 60_000)
    assert steps(due, T0 + 215_000) == [Step(T0 + 60_000, T0 + 180_000, T0 + 240_000, None)]
    assert steps(due, T0 + 185_000) == [
        Step(T0 + 60_000, T0 + 120_000, T0 + 180_000, None),
        Step(T0 + 180_000, T0 + 180_000, T0 + 240_000, T0 + 180_000),
    ]


def test_missed_slots_make_one_task_with_one() -> None:
    due = schedule(every=60, next_at=T0 + 60_000)
    assert steps(due, T0 + 215_000) == [Step(T0 + 60_000, T0 + 180_000, T0 + 240_000, T0 + 180_000)]


def test_each_missed_slot_makes_its_task_with_all() -> None:
    due = schedule(every=60, catch_up="all", next_at=T0 + 60_000)
    assert steps(due, T0 + 215_000) == [
        Step(slot, slot, slot + 60_000, slot) for slot in (T0 + 60_000, T0 + 120_000, T0 + 180_000)
    ]


def test_of_too_many_missed_slots_the_latest_are_made_up_for() -> None:
    due = schedule(every=60, catch_up="all", next_at=T0 + 60_000)
    found = steps(due, T0 + 60_000 * 150)
    first = T0 + 60_000 * 51
    assert found[0] == Step(T0 + 60_000, first - 60_000, first, None)
    assert [step.slot for step in found[1:]] == [first + 60_000 * n for n in range(MOST_AT_ONCE)]
    assert found[-1].next_at == T0 + 60_000 * 151


def test_years_of_missed_minutes_are_found_in_a_few_looks() -> None:
    begin = at("2023-01-01T00:00", "Europe/Berlin")
    due = schedule("* * * 1 *", zone="Europe/Berlin", catch_up="all", next_at=begin)
    found = steps(due, at("2026-06-01T00:00", "Europe/Berlin"))
    assert len(found) == MOST_AT_ONCE + 1
    assert found[-1].slot == at("2026-01-31T23:59", "Europe/Berlin")
    assert found[1].slot == at("2026-01-31T23:59", "Europe/Berlin") - 99 * 60_000
    assert found[-1].next_at == at("2027-01-01T00:00", "Europe/Berlin")


def test_the_slot_of_next_at_has_come_even_for_a_clock_that_is_behind() -> None:
    due = schedule(every=60, next_at=T0 + 60_000)
    assert steps(due, T0 + 59_000) == [Step(T0 + 60_000, T0 + 60_000, T0 + 120_000, T0 + 60_000)]


def test_a_schedule_without_a_next_slot_makes_nothing() -> None:
    assert steps(schedule("0 0 30 2 *"), T0) == []


@settings(deadline=None)
@given(
    every=st.integers(1, 500),
    first=st.integers(1, 50),
    late=st.integers(0, 100_000),
    catch_up=st.sampled_from(["none", "one", "all"]),
)
def test_steps_follow_each_other_from_the_first_slot_to_the_one_after_now(
    every: int, first: int, late: int, catch_up: CatchUp
) -> None:
    next_at = T0 + every * 1000 * first
    now = next_at + late * 1000
    found = steps(schedule(every=every, catch_up=catch_up, next_at=next_at), now)
    assert found[0].slot == next_at
    assert [step.next_at for step in found[:-1]] == [step.slot for step in found[1:]]
    assert all(step.slot <= step.last_at <= now for step in found)
    after = found[-1].next_at
    assert after is not None
    assert found[-1].last_at <= now < after == found[-1].last_at + every * 1000
    assert all(step.run_at in (None, step.last_at) for step in found)


# --- tasks ----------------------------------------------------------------------------------------


def test_a_slot_has_the_same_task_whoever_makes_it() -> None:
    due = schedule(every=60, next_at=T0 + 60_000, url="http://a/{uuid}/x?y={uuid}")
    (step,) = steps(due, T0 + 60_000)
    one, other = slot_task(due, step), slot_task(due, step)
    assert one is not None
    assert one == other
    assert one.run_at == T0 + 60_000
    assert one.request.url == f"http://a/{one.uuid}/x?y={one.uuid}"


def test_each_slot_has_a_task_of_its_own() -> None:
    due = schedule(every=60, catch_up="all", next_at=T0 + 60_000)
    tasks = [slot_task(due, step) for step in steps(due, T0 + 180_000)]
    assert len({task.uuid for task in tasks if task is not None}) == 3
    assert len({task.uuid[18:] for task in tasks if task is not None}) == 3


def test_to_know_one_slots_task_is_not_to_know_the_next_ones() -> None:
    (step,) = steps(schedule(every=60, next_at=T0 + 60_000), T0 + 60_000)
    made = {
        task.uuid
        for secret in ("", "01a20ab0-7a63-7eb4-b53a-e6ea8516bcf8", "01a20ab0-7a63-7eb4-b53a-e6ea8516bcf9")
        if (task := slot_task(schedule(every=60, secret=secret), step)) is not None
    }
    assert len(made) == 3


def test_a_slot_has_the_same_task_before_and_after_a_change_of_its_schedule() -> None:
    before, after = (schedule(every=60, next_at=T0 + 60_000, revision=revision) for revision in (1, 2))
    (step,) = steps(before, T0 + 60_000)
    one, other = slot_task(before, step), slot_task(after, step)
    assert one is not None
    assert other is not None
    assert one.uuid == other.uuid


def test_a_slot_that_is_passed_over_has_no_task() -> None:
    assert slot_task(schedule(every=60), Step(T0, T0, T0 + 1, None)) is None


# --- what a caller may ask for --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "zone", "every", "pointer", "says"),
    [
        (None, "UTC", None, "/cron", "one of them"),
        ("* * * * *", "UTC", 60.0, "/cron", "not both"),
        ("* * * *", "UTC", None, "/cron", "4 fields"),
        ("", "UTC", None, "/cron", "0 fields"),
        ("0 0 * * * *", "UTC", None, "/cron", "6 fields"),
        ("60 * * * *", "UTC", None, "/cron", "minute"),
        ("0 24 * * *", "UTC", None, "/cron", "hour"),
        ("0 0 32 * *", "UTC", None, "/cron", "day of month"),
        ("0 0 * 13 *", "UTC", None, "/cron", "month"),
        ("0 0 * * FRIDAY", "UTC", None, "/cron", "day of week"),
        ("*/0 * * * *", "UTC", None, "/cron", "minute"),
        ("5-1 * * * *", "UTC", None, "/cron", "minute"),
        ("@reboot", "UTC", None, "/cron", "@hourly"),
        ("0 0 30 2 *", "UTC", None, "/cron", "never"),
        ("* * */20 * 1L", "UTC", None, "/cron", "never"),
        ("0," * MAX_CRON + "0 * * * *", "UTC", None, "/cron", "characters"),
        ("* * * * *", "Mars/Olympus", None, "/zone", "Europe/Berlin"),
        ("* * * * *", "", None, "/zone", "IANA"),
        ("* * * * *", "../etc/passwd", None, "/zone", "IANA"),
        ("* * * * *", "/etc/localtime", None, "/zone", "IANA"),
        ("* * * * *", "localtime", None, "/zone", "IANA"),
        ("* * * * *", "right/UTC", None, "/zone", "IANA"),
        ("* * * * *", "America", None, "/zone", "IANA"),
        ("* * * * *", "a\0b", None, "/zone", "IANA"),
        ("* * * * *", "x" * 5000, None, "/zone", "IANA"),
        (None, "UTC", 0.5, "/every", "1 second"),
        (None, "UTC", 1e12, "/every", "ten years"),
        (None, "UTC", float("nan"), "/every", "1 second"),
    ],
)
def test_what_can_not_be_is_refused(cron: str | None, zone: str, every: float | None, pointer: str, says: str) -> None:
    with pytest.raises(InvalidField, match=says) as refused:
        check_times(cron, zone, every)
    assert refused.value.pointer == pointer
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "cron", ["* * * * *", "0 0 * * 7", "30 4 1,15 * mon-fri", "0 12 L * *", "0 0 * 2 MON#5", " 5  4 * * * "]
)
def test_what_can_be_is_taken(cron: str) -> None:
    check_times(cron, "Europe/Berlin", None)
    assert next_slot(schedule(cron, zone="Europe/Berlin"), T0) is not None


@settings(deadline=None)
@given(cron=st.text(alphabet="0123456789*/-,# LWMONJANß@\t٣", max_size=40))
def test_no_text_breaks_it(cron: str) -> None:
    try:
        check_times(cron, "Europe/Berlin", None)
    except InvalidField as refused:
        assert refused.pointer == "/cron"  # noqa: PT017
    else:
        assert next_slot(schedule(cron, zone="Europe/Berlin"), T0) is not None


@settings(deadline=None)
@given(fields=st.lists(st.from_regex(r"[*0-9]{1,2}([-/,#][0-9L]{1,2}){0,3}L?", fullmatch=True), min_size=5, max_size=5))
def test_no_five_fields_break_it(fields: list[str]) -> None:
    test_cron = " ".join(fields)
    try:
        check_times(test_cron, "UTC", None)
    except InvalidField as refused:
        assert refused.pointer == "/cron"  # noqa: PT017
