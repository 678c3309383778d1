"""Times and durations: every spelling, and what can't be kept."""

import pytest

from htq.usecases.times import moment, seconds, times
from htq.words.errors import InvalidField
from htq.words.limits import FOREVER

NOW = 1_800_000_000_000
TEN_YEARS = 10 * 365 * 86400 * 1000


@pytest.mark.parametrize(
    ("given", "ahead"),
    [
        (NOW + 60_000, 60_000),
        ("2027-01-15T08:01:00Z", 60_000),
        ("60s", 60_000),
        ("PT1M", 60_000),
        ("60", 60_000),
        ("0s", 0),
    ],
)
def test_a_moment_is_read_in_every_spelling(given: int | str, ahead: int) -> None:
    assert moment(given, NOW, "/start_by") == NOW + ahead


def test_what_may_be_put_off_for_longer_is() -> None:
    assert moment(FOREVER, NOW, "/paused_until", latest=FOREVER) == FOREVER
    for late in (FOREVER + 1, "9999-12-31T23:59:59-23:59", -1):
        with pytest.raises(InvalidField):
            moment(late, NOW, "/paused_until", latest=FOREVER)


@pytest.mark.parametrize(
    "given", [-1, NOW + TEN_YEARS + 1, FOREVER, 10**30, "soon", "", "9" * 60 + "d", "-5s", "2027-01-15"]
)
def test_what_is_no_moment_is_pointed_to(given: int | str) -> None:
    with pytest.raises(InvalidField) as found:
        moment(given, NOW, "/deadline")
    assert found.value.pointer == "/deadline"
    assert str(found.value).startswith("deadline ")


@pytest.mark.parametrize("given", [-1, 0, 11, "11s", "x", "", float("inf"), 1e308])
def test_a_duration_outside_of_its_bounds_is_pointed_to(given: float | str) -> None:
    with pytest.raises(InvalidField) as found:
        seconds(given, "/rate/0/per", least=1, most=10)
    assert found.value.pointer == "/rate/0/per"
    assert str(found.value).startswith("rate.0.per ")


def test_times_count_from_now() -> None:
    assert times(None, "10s", "1m", NOW) == (None, NOW + 10_000, NOW + 60_000)
    assert times(None, None, None, NOW) == (None, None, None)


def test_a_queues_times_count_from_when_a_task_is_due() -> None:
    due = NOW + 3_600_000
    assert times(due, None, None, NOW, start_within=10, end_within=60) == (due, due + 10_000, due + 60_000)
    assert times(None, None, None, NOW, start_within=10) == (None, NOW + 10_000, None)
    assert times(1, None, None, NOW, start_within=10) == (1, NOW + 10_000, None)
    assert times(due, due + 1, None, NOW, start_within=10) == (due, due + 1, None)


@pytest.mark.parametrize("name", ["start_by", "deadline"])
@pytest.mark.parametrize("at", [1, 90, NOW, "2020-01-01T00:00:00Z", "0s", NOW + 3_600_000, "1h"])
def test_a_time_that_is_past_or_before_the_task_is_due_is_refused(name: str, at: int | str) -> None:
    given = {"start_by": None, "deadline": None, name: at}
    with pytest.raises(InvalidField) as found:
        times(NOW + 3_600_000, given["start_by"], given["deadline"], NOW)
    assert found.value.pointer == f"/{name}"
