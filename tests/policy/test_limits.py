"""Windows against the plain statement of what they promise: every start is kept, and looked at again each time."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from htq.policy.limits import charge, correct, fitted, opens_at, room
from htq.words.limits import Rate

NOW = 1_800_000_000_000_000
"""Microseconds: doubles are as coarse as in real life."""

Log = list[tuple[int, Fraction]]
"""When something was spent, in milliseconds from `NOW`, and how much."""

exactly = settings(max_examples=100, deadline=None, database=None, derandomize=True)

counting = st.builds(
    Rate,
    limit=st.one_of(st.integers(1, 200), st.sampled_from([0.5, 2.5, 1000, 5000])),
    per=st.sampled_from([0.5, 1.0, 60.0, 3600.0]),
    burst=st.sampled_from([1.0, 1.0, 2.0, 5.0, 40.0]),
)
steps = st.lists(st.one_of(st.integers(0, 3), st.integers(0, 2000), st.integers(0, 100_000)), min_size=1, max_size=40)
costs = st.one_of(st.just(0), st.integers(1, 40), st.integers(1, 500))


def _spendable(rate: Rate, log: Log, at: int) -> Fraction:
    """What may be spent at `at`: since every earlier moment no more than the burst, and what has come back since that moment."""
    back = Fraction(rate.limit) / Fraction(rate.per) / 1000
    least = Fraction(rate.burst)
    spent = Fraction(0)
    for since, size in reversed(log):
        spent += size
        least = min(least, Fraction(rate.burst) + (at - since) * back - spent)
    return least


def _in_one(rate: Rate, log: Log) -> Fraction:
    """The most that was ever spent within one `per`."""
    per = round(rate.per * 1000)
    return max(
        (sum((size for at, size in log if since <= at < since + per), Fraction(0)) for since, _ in log),
        default=Fraction(),
    )


def _slack(rate: Rate) -> Fraction:
    """What a millisecond gives back: finer than that no clock can tell."""
    return Fraction(rate.limit) / Fraction(rate.per) / 1000


@given(rate=counting, steps=steps, wants=st.lists(st.integers(1, 70), min_size=40, max_size=40))
@exactly
def test_as_many_start_as_the_window_promises_and_no_fewer(rate: Rate, steps: list[int], wants: list[int]) -> None:
    """In any interval of `per` start at most `limit + burst - 1`; and whoever comes when there is room may start."""
    log: Log = []
    tats = [0.0]
    at = 0
    for step, want in zip(steps, wants, strict=False):
        at += step
        now = NOW + at * 1000
        fits = room([rate], tats, now)
        assert fits is not None
        exact = _spendable(rate, log, at)
        assert math.floor(exact) <= fits <= exact + _slack(rate)
        take = min(fits, want)
        if take:
            log.append((at, Fraction(take)))
            tats = charge([rate], tats, now, {}, take)
    assert _in_one(rate, log) < rate.limit + rate.burst


@given(rate=counting, steps=steps)
@exactly
def test_window_opens_when_it_says_and_not_a_millisecond_before(rate: Rate, steps: list[int]) -> None:
    """`opens_at`, rounded up to a whole millisecond, is the first one with room."""
    tats = [0.0]
    now = NOW
    for step in steps:
        now += step * 1000
        free = room([rate], tats, now)
        assert free is not None
        tats = charge([rate], tats, now, {}, free)
        opens = math.ceil(opens_at([rate], tats, {}) / 1000) * 1000
        assert opens > now or room([rate], tats, now)
        assert room([rate], tats, opens)
        assert opens <= now or not room([rate], tats, opens - 1000)


@given(
    rates=st.lists(
        st.builds(
            Rate,
            limit=st.integers(1, 900),
            per=st.sampled_from([1.0, 60.0]),
            unit=st.just("u"),
            burst=st.integers(1, 900),
        ),
        min_size=1,
        max_size=3,
    ),
    steps=steps,
    sizes=st.lists(costs, min_size=40, max_size=40),
)
@exactly
def test_costs_are_counted_as_they_are_and_a_dearer_one_as_the_whole_burst(
    rates: list[Rate], steps: list[int], sizes: list[int]
) -> None:
    """Several windows at once: a task starts if there is room for it in each, and then is charged in each."""
    logs: list[Log] = [[] for _ in rates]
    tats = [0.0] * len(rates)
    at = 0
    for step, size in zip(steps, sizes, strict=False):
        at += step
        now = NOW + at * 1000
        cost = {"u": float(size), "another": 1e9}
        starts = opens_at(rates, tats, cost) <= now
        counted = [min(Fraction(size), Fraction(rate.burst)) for rate in rates]
        lacks = [bite - _spendable(rate, log, at) for rate, log, bite in zip(rates, logs, counted, strict=True) if bite]
        slack = max(_slack(rate) for rate in rates)
        assert starts or max(lacks) > -Fraction(1, 10**6)
        assert not starts or max(lacks, default=Fraction(0)) <= slack
        if starts:
            tats = charge(rates, tats, now, cost)
            for log, bite in zip(logs, counted, strict=True):
                log.append((at, bite))
    for rate, log in zip(rates, logs, strict=True):
        assert _in_one(rate, log) < rate.limit + rate.burst + _slack(rate)


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([0, 0, 10_000, 30_000, 60_000]), st.sampled_from([20, 50, 100]), st.sampled_from([0, 100])
        ),
        min_size=1,
        max_size=20,
    ),
    lasts=st.sampled_from([1000, 7000, 59_000, 61_000, 95_000]),
)
@example(steps=[(0, 100, 0), (60_000, 100, 100), (30_000, 50, 100), (10_000, 100, 100)], lasts=95_000)
@exactly
def test_correction_down_gives_no_more_than_was_taken(steps: list[tuple[int, int, int]], lasts: int) -> None:
    """However long tasks run, and whatever they turn out to have cost less: no `per` sees more than limit and burst."""
    rate = Rate(limit=100, per=60.0, burst=100, unit="u")
    tats = [0.0]
    log: Log = []
    running: list[tuple[int, float, float]] = []
    at = 0
    for step, size, actual in steps:
        at += step
        now = NOW + at * 1000
        while running and running[0][0] + lasts <= at:
            began, charged, real = running.pop(0)
            over = NOW + (began + lasts) * 1000
            tats = correct([rate], tats, over, NOW + began * 1000, {"u": charged}, {"u": real})
        cost = {"u": float(size)}
        if opens_at([rate], tats, cost) <= now:
            tats = charge([rate], tats, now, cost)
            running.append((at, size, min(actual, size)))
            log.append((at, Fraction(min(actual, size))))
    assert _in_one(rate, log) <= 200


@pytest.mark.parametrize(
    ("rates", "tats", "expected"),
    [
        ([], [], None),
        ([Rate(limit=3)], [0.0], 1),
        ([Rate(limit=3, burst=3)], [0.0], 3),
        ([Rate(limit=3, burst=3)], [NOW + 1_000_000], 0),
        ([Rate(limit=3, burst=3), Rate(limit=100, per=60.0, burst=2)], [0.0, 0.0], 2),
        ([Rate(limit=10, burst=10, unit="u")], [NOW + 9_000_000.0], None),
    ],
)
def test_room_is_the_least_of_all_windows_that_count_tasks(
    rates: Sequence[Rate], tats: Sequence[float], expected: int | None
) -> None:
    """`room`: None: as many as there are; windows of units say nothing about tasks that cost nothing."""
    assert room(rates, tats, NOW) == expected


@pytest.mark.parametrize(
    ("cost", "expected"), [({}, 0.0), ({"other": 5.0}, 0.0), ({"u": 1.0}, NOW + 500_000.0), ({"u": 50.0}, NOW + 5e6)]
)
def test_task_without_a_cost_passes_a_window_of_units(cost: Mapping[str, float], expected: float) -> None:
    """`Rate.unit`: A task without such a cost passes it freely; one that is dearer than the burst counts as the burst."""
    rate = Rate(limit=2, burst=10, unit="u")
    opens = opens_at([rate], [NOW + 5e6], cost)
    assert opens == pytest.approx(expected, abs=100.0)
    charged = charge([rate], [NOW + 5e6], NOW, cost)
    assert charged == pytest.approx([NOW + 5e6 + min(cost.get("u", 0.0), 10.0) * 500_000])


UNITS = Rate(limit=60, per=60.0, burst=60, unit="u")
SECOND = 1_000_000


def _corrected(tat: float, charged: float, actual: float, *, ago: float = 1.0, rate: Rate = UNITS) -> float:
    (after,) = correct([rate], [tat], NOW, round(NOW - ago * SECOND), {"u": charged}, {"u": actual})
    return after


def test_what_a_task_cost_beyond_is_owed_from_now_on() -> None:
    """`correct`: from `tat`, or from now where all is paid."""
    assert _corrected(NOW + 10 * SECOND, 10, 15) == NOW + 15 * SECOND
    assert _corrected(NOW - 10 * SECOND, 10, 15) == NOW + 5 * SECOND
    assert _corrected(0.0, 0, 15) == NOW + 15 * SECOND


def test_what_it_cost_less_is_given_back() -> None:
    """`correct`: a window that is full again holds no more than that."""
    assert _corrected(NOW + 50 * SECOND, 30, 10) == NOW + 30 * SECOND
    refunded = _corrected(NOW + 5 * SECOND, 30, 10)
    assert opens_at([UNITS], [refunded], {"u": 60.0}) <= NOW
    assert opens_at([UNITS], charge([UNITS], [refunded], NOW, {"u": 60.0}), {"u": 1.0}) > NOW + 0.99 * SECOND


def test_what_was_charged_longer_ago_than_the_window_remembers_is_not_given_back() -> None:
    """`correct`: unless its start lies so far back that the window has forgotten it."""
    assert _corrected(NOW + 50 * SECOND, 30, 10, ago=59.9) == NOW + 30 * SECOND
    assert _corrected(NOW + 50 * SECOND, 30, 10, ago=60.0) == NOW + 50 * SECOND


def test_what_several_answers_bring_to_light_is_owed_in_full() -> None:
    """`correct`: an estimate that is always too low keeps the rate all the same."""
    tat = NOW + 50.0 * SECOND
    for _ in range(10):
        tat = _corrected(tat, 30, 100)
    assert tat == NOW + (50 + 10 * 70) * SECOND


@pytest.mark.parametrize("absurd", [1e6, 1e300, math.inf])
def test_no_answer_holds_a_window_for_longer_than_an_hour(absurd: float) -> None:
    """`correct`: as a `Retry-After` does."""
    assert _corrected(NOW + 50 * SECOND, 30, absurd) == NOW + 3600 * SECOND


@pytest.mark.parametrize("absurd", [math.nan, -1.0, -math.inf])
def test_no_answer_breaks_a_window(absurd: float) -> None:
    """What is no cost gives back what was charged at most."""
    after = _corrected(NOW + 50 * SECOND, 30, absurd)
    assert NOW + 20 * SECOND <= after <= NOW + 50 * SECOND


def test_dear_task_was_charged_the_burst_and_is_corrected_from_there() -> None:
    """A task of 100 units was charged 60, so one that turns out to have cost 100 owes 40 more."""
    assert _corrected(NOW + 60 * SECOND, 100, 60) == NOW + 60 * SECOND
    assert _corrected(NOW + 20 * SECOND, 100, 80) == NOW + 40 * SECOND


def test_units_that_the_answer_does_not_name_stay_as_they_were() -> None:
    """`correct`: of the units in `actual`; windows that count tasks know no correction."""
    rates = [Rate(limit=1), UNITS, Rate(limit=60, per=60.0, burst=60, unit="v")]
    tats = [float(NOW + SECOND)] * 3
    after = correct(rates, tats, NOW, NOW, {"u": 1.0, "v": 1.0}, {"v": 2.0})
    assert after == [NOW + SECOND, NOW + SECOND, NOW + 2 * SECOND]


def test_what_was_kept_fits_other_settings() -> None:
    """`fitted`: by place; what is missing or further ahead than these rates ever lead is as good as long ago."""
    slow, fast = Rate(limit=1, per=3600.0), Rate(limit=10)
    spent = charge([slow], [0.0], NOW, {})
    assert fitted([slow], spent, NOW) == spent
    assert fitted([fast], spent, NOW) == [0.0]
    assert fitted([slow, fast], spent, NOW) == [*spent, 0.0]
    assert fitted([], spent, NOW) == []
    assert fitted([UNITS], [NOW + 60.0 * SECOND], NOW) == [NOW + 60.0 * SECOND]


@given(rate=counting, steps=steps)
@exactly
def test_what_a_window_says_itself_always_fits(rate: Rate, steps: list[int]) -> None:
    """`fitted` changes nothing that the same settings have led to, however often it is asked."""
    tats = [0.0]
    now = NOW
    for step in steps:
        now += step * 1000
        assert fitted([rate], tats, now) == tats
        tats = charge([rate], tats, now, {}, room([rate], tats, now) or 0)


@pytest.mark.parametrize("rates", [[Rate(limit=3), Rate(limit=100, per=60.0)]])
def test_three_a_second_and_a_hundred_a_minute_make_100_in_the_first_minute_of_an_hour_and_6000_in_all(
    rates: list[Rate],
) -> None:
    """Several windows at once, over a simulated hour of somebody who takes whatever he gets as soon as he gets it."""
    tats = [0.0, 0.0]
    starts: list[int] = []
    now = NOW
    while now < NOW + 3600 * SECOND:
        assert room(rates, tats, now) == 1
        starts.append((now - NOW) // SECOND)
        tats = charge(rates, tats, now, {})
        now = math.ceil(opens_at(rates, tats, {}) / 1000) * 1000
    assert len(starts) == 6000
    assert sum(second < 60 for second in starts) == 100
