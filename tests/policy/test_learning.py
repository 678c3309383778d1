"""What an answer says of its target: until when to leave it alone, and whether it is well."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htq.policy.learning import MAX_RETRY_AFTER, health, hold, retry_after
from htq.words.limits import MAX_HOLD, Health, HoldReason
from htq.words.reasons import REASONS, Reason
from htq.words.task import Headers

NOW = 1_800_000_000_000
"""Fri, 15 Jan 2027 08:00:00 GMT."""

SECOND = NOW // 1000


def held_for(code: int, *headers: tuple[str, str]) -> tuple[float, HoldReason] | None:
    found = hold(code, headers, NOW)
    return None if found is None else ((found.until - NOW) / 1000, found.reason)


# --- Retry-After -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("1.5", 1.5),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60),
        ("Friday, 15-Jan-27 08:01:00 GMT", 60),
        ("Fri Jan 15 08:01:00 2027", 60),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("99999999999", MAX_RETRY_AFTER),
        ("Fri, 15 Jan 2199 08:01:00 GMT", MAX_RETRY_AFTER),
    ],
)
def test_a_time_to_wait_is_read_in_each_of_its_forms(value: str, seconds: float) -> None:
    assert retry_after((("retry-after", value),), NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "-5",
        "+5",
        "1e3",
        "0x10",
        "٣",
        "5, 6",
        "9" * 5000,
        "nan",
        "inf",
        "Fri, 99 Foo 2027",
        "Mon, 23 Nov 2026 99:99:99 GMT",
        "," * 9,
    ],
)
def test_nonsense_says_nothing(value: str) -> None:
    assert retry_after((("Retry-After", value),), NOW) is None
    assert held_for(503, ("Retry-After", value)) is None


def test_a_time_of_day_is_counted_from_the_targets_own_clock() -> None:
    headers: Headers = (("Date", "Fri, 15 Jan 2027 10:00:00 GMT"), ("Retry-After", "Fri, 15 Jan 2027 10:00:30 GMT"))
    assert retry_after(headers, NOW) == 30
    assert retry_after((("Date", "yesterday"), headers[1]), NOW) == 2 * 3600 + 30


def test_429_and_503_hold_their_lane_an_hour_at_most() -> None:
    assert held_for(429, ("Retry-After", "5")) == (5, "rate_limited")
    assert held_for(503, ("Retry-After", "5")) == (5, "unavailable")
    assert held_for(503, ("Retry-After", "86400")) == (MAX_HOLD, "unavailable")


def test_what_asks_for_no_time_or_says_it_of_something_else_holds_nothing() -> None:
    assert held_for(429) is None
    assert held_for(429, ("Retry-After", "0")) is None
    assert held_for(301, ("Retry-After", "5")) is None
    assert held_for(500, ("Retry-After", "5")) is None


# --- RateLimit and its relatives -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([("RateLimit", '"default";r=0;t=30')], 30),
        ([("RateLimit", '"a";r=0;t=30, "b";r=0;t=90, "c";r=1;t=3000')], 90),
        ([("RateLimit", '"odd, name;r=5;t=1";t=40;r=0;pk=:sdfj==:')], 40),
        ([("ratelimit", '"default" ; r=0 ; t=30')], 30),
        ([("RateLimit", "limit=100, remaining=0, reset=12")], 12),
        ([("RateLimit-Limit", "100, 100;w=60"), ("RateLimit-Remaining", "0"), ("RateLimit-Reset", "50")], 50),
        ([("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "50")], 50),
        ([("X-Ratelimit-Remaining", "0.0"), ("X-Ratelimit-Reset", "400.5")], 400.5),
        ([("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", str(SECOND + 20))], 20),
        ([("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", str(NOW + 20_000))], 20),
        ([("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", str(SECOND + 20))], 20),
        ([("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "1m30s")], 90),
        ([("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-requests", "90")], None),
        ([("RateLimit", '"default";r=0;t=999999')], MAX_HOLD),
        ([("RateLimit", '"default";r=1;t=30')], None),
        ([("RateLimit", '"default";r=0')], None),
        ([("RateLimit", '"default";r=0;t=0')], None),
        ([("RateLimit", "limit=100, remaining=0")], None),
        ([("RateLimit-Policy", '"default";q=100;w=60')], None),
        ([("RateLimit-Remaining", "0")], None),
        ([("RateLimit-Remaining", "1"), ("RateLimit-Reset", "50")], None),
        ([("RateLimit-Remaining", "none"), ("RateLimit-Reset", "50")], None),
        ([("RateLimit-Remaining", "0"), ("RateLimit-Reset", "later")], None),
        ([("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", str(SECOND - 20))], None),
        ([("RateLimit", '"' + "\\" * 2000)], None),
        ([("X-Upload-Limit", "0")], None),
    ],
)
def test_a_quota_of_which_nothing_is_left_holds_the_lane(headers: list[tuple[str, str]], seconds: float | None) -> None:
    assert held_for(200, *headers) == (None if seconds is None else (seconds, "quota"))
    assert held_for(429, *headers) == (None if seconds is None else (seconds, "rate_limited"))


def test_a_point_in_time_is_counted_from_the_targets_own_clock() -> None:
    headers = (("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", str(SECOND + 7260)))
    assert held_for(200, *headers, ("Date", "Fri, 15 Jan 2027 10:00:00 GMT")) == (60, "quota")


def test_what_the_target_asks_for_itself_goes_before_its_quota() -> None:
    assert held_for(429, ("RateLimit", '"default";r=0;t=900'), ("Retry-After", "3")) == (3, "rate_limited")


_NAMES = st.sampled_from(
    ["Retry-After", "Date", "RateLimit", "RateLimit-Remaining", "RateLimit-Reset", "X-RateLimit-Remaining"]
)
_VALUES = st.text('0123456789.,;=" rtabGM:-+\\', max_size=40) | st.text(max_size=20)


@given(code=st.sampled_from([200, 429, 503]), headers=st.lists(st.tuples(_NAMES, _VALUES), max_size=6))
def test_whatever_comes_is_bounded(code: int, headers: list[tuple[str, str]]) -> None:
    found = hold(code, tuple(headers), NOW)
    assert found is None or NOW <= found.until <= NOW + MAX_HOLD * 1000
    seconds = retry_after(tuple(headers), NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


# --- health ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"), [(200, "good"), (404, "good"), (429, "good"), (500, "bad"), (503, "bad")]
)
def test_a_target_that_answers_is_well_unless_it_says_otherwise(code: int, expected: Health) -> None:
    assert health(code, None) == expected


def test_no_answer_is_bad_and_our_own_doing_says_nothing() -> None:
    found: dict[Reason, Health | None] = {reason: health(None, reason) for reason in REASONS}
    assert {reason for reason, each in found.items() if each == "bad"} == {
        *("dns", "connect", "tls", "first_byte", "idle", "total", "reset", "protocol")
    }
    assert {reason for reason, each in found.items() if each == "good"} == {"too_large", "redirects"}
