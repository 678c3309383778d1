"""Which attempts are followed by another, and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htq.policy.retrying import Again, Over, asks_for_no_other, is_failure, next_attempt, wait
from htq.words.reasons import REASONS, Reason
from htq.words.retry import RETRY_CODES, RetryPolicy
from htq.words.task import Delivery, Headers

NOW = 1_800_000_000_000


def after(
    policy: RetryPolicy,
    *,
    failures: int = 0,
    delivery: Delivery = "at_least_once",
    sent: bool = True,
    headers: Headers = (),
    retry_after: float | None = None,
    elapsed: float = 0.0,
    fraction: float = 1.0,
) -> Again | Over:
    return next_attempt(
        policy,
        failures=failures,
        delivery=delivery,
        sent=sent,
        headers=headers,
        retry_after=retry_after,
        begun_at=NOW - round(elapsed * 1000),
        now=NOW,
        fraction=fraction,
    )


def because(decision: Again | Over) -> str:
    assert isinstance(decision, Over), decision
    return decision.because


# --- what is a failure -----------------------------------------------------------------------------------------------


def test_the_usual_policy_takes_these_codes_for_failures_and_no_others() -> None:
    policy = RetryPolicy(max=3)
    assert {code for code in range(100, 600) if is_failure(policy, code, None)} == {int(code) for code in RETRY_CODES}


def test_the_usual_policy_takes_a_lost_connection_and_a_timeout_for_failures() -> None:
    policy = RetryPolicy(max=3)
    assert {reason for reason in REASONS if is_failure(policy, None, reason)} == {
        *("dns", "connect", "tls", "reset", "connection_reused"),
        *("first_byte", "idle", "total"),
    }


@pytest.mark.parametrize(
    ("on", "code", "reason", "failure"),
    [
        (("5xx",), 599, None, True),
        (("5xx",), 499, None, False),
        (("404",), 404, None, True),
        (("404",), 503, None, False),
        (("dns",), None, "dns", True),
        (("dns",), None, "connect", False),
        (("timeout",), None, "idle", True),
        (("timeout",), None, "connect", False),
        (("protocol",), None, "protocol", True),
        ((), 503, None, False),
        ((), None, "total", False),
    ],
)
def test_a_policy_names_codes_classes_and_reasons(
    on: tuple[str, ...], code: int | None, reason: Reason | None, failure: bool
) -> None:
    assert is_failure(RetryPolicy(max=1, on=on), code, reason) is failure


# --- when ------------------------------------------------------------------------------------------------------------


def test_the_delay_grows_and_stops_growing() -> None:
    policy = RetryPolicy(max=9, base=2, factor=3, longest=50, jitter=False)
    assert [wait(policy, failures, 0.0) for failures in range(5)] == [2, 6, 18, 50, 50]


def test_a_delay_beyond_all_numbers_is_the_longest() -> None:
    assert wait(RetryPolicy(max=1000, factor=10, jitter=False), 999, 0.0) == 300


def test_full_jitter_takes_any_part_of_it() -> None:
    policy = RetryPolicy(max=9, base=8)
    assert [wait(policy, 1, fraction) for fraction in (0.0, 0.25, 1.0)] == [0, 4, 16]


def test_a_list_of_delays_is_kept_to_and_its_last_one_goes_on() -> None:
    policy = RetryPolicy(max=9, delays=(1, 60, 5))
    assert [wait(policy, failures, 0.1) for failures in range(5)] == [1, 60, 5, 5, 5]


def test_what_the_target_asks_for_is_a_floor() -> None:
    policy = RetryPolicy(max=1, delays=(10,))
    assert after(policy, retry_after=30) == Again(NOW + 30_000)
    assert after(policy, retry_after=3) == Again(NOW + 10_000)


def test_no_more_retries_than_the_policy_allows() -> None:
    policy = RetryPolicy(max=2, delays=(1,))
    assert after(policy, failures=1) == Again(NOW + 1000)
    assert because(after(policy, failures=2)) == "no retry is left"
    assert because(after(RetryPolicy(max=0))) == "its policy allows no retry"


def test_no_attempt_begins_past_max_elapsed() -> None:
    policy = RetryPolicy(max=9, delays=(10,), max_elapsed=60)
    assert after(policy, elapsed=50) == Again(NOW + 10_000)
    assert "max_elapsed" in because(after(policy, elapsed=50.001))
    assert "max_elapsed" in because(after(policy, retry_after=61))


@pytest.mark.parametrize(
    ("name", "value", "no_other"),
    [("HTQ-Retry", "no", True), ("htq-retry", " No ", True), ("HTQ-Retry", "yes", False), ("X-Retry", "no", False)],
)
def test_the_target_may_want_no_other_attempt(name: str, value: str, no_other: bool) -> None:
    assert asks_for_no_other(((name, value),)) is no_other
    assert isinstance(after(RetryPolicy(max=1), headers=((name, value),)), Over) is no_other


def test_at_most_once_is_tried_again_only_where_no_byte_had_left() -> None:
    policy = RetryPolicy(max=1)
    assert isinstance(after(policy, delivery="at_most_once", sent=False), Again)
    assert because(after(policy, delivery="at_most_once", sent=True)) == "it may be sent once only"


@given(
    policy=st.builds(
        RetryPolicy,
        max=st.integers(0, 1000),
        base=st.floats(0, 1e6),
        factor=st.floats(1, 100),
        longest=st.floats(0, 1e6),
        jitter=st.booleans(),
        delays=st.lists(st.floats(0, 1e6), max_size=5).map(tuple),
        max_elapsed=st.none() | st.floats(0, 1e6),
    ),
    failures=st.integers(0, 1001),
    retry_after=st.none() | st.floats(0, 86400),
    elapsed=st.floats(0, 1e6),
    fraction=st.floats(0, 1),
)
def test_whatever_the_policy_its_bounds_hold(
    policy: RetryPolicy, failures: int, retry_after: float | None, elapsed: float, fraction: float
) -> None:
    decision = after(policy, failures=failures, retry_after=retry_after, elapsed=elapsed, fraction=fraction)
    if isinstance(decision, Again):
        assert failures < policy.max
        assert decision.due_at >= NOW + (retry_after or 0) * 1000
        assert policy.delays or decision.due_at <= NOW + max(policy.longest, retry_after or 0) * 1000 + 1
        if policy.max_elapsed is not None:
            assert decision.due_at <= NOW - round(elapsed * 1000) + policy.max_elapsed * 1000
