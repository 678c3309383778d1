"""Retry policies: what a task says over what its queue says over what is usual, and back again."""

import pytest

from htq.usecases.retries import RETRY_WORDS, retry_policy, retry_wish
from htq.usecases.wishes import BackoffWish, RetryWish
from htq.words.errors import InvalidField
from htq.words.reasons import REASONS
from htq.words.retry import RETRY_ON, RetryPolicy


def test_nothing_said_is_no_policy() -> None:
    assert retry_policy(None) is None
    assert retry_policy(None, None) is None


def test_a_number_alone_is_how_often() -> None:
    assert retry_policy(5) == RetryPolicy(max=5)
    assert retry_policy(0) == RetryPolicy(max=0)


def test_an_empty_policy_retries_three_times() -> None:
    assert retry_policy(RetryWish()) == RetryPolicy(max=3)


def test_a_list_of_delays_is_retried_as_often_as_it_has_delays() -> None:
    assert retry_policy(RetryWish(backoff=[1, "5s", "PT1M"])) == RetryPolicy(max=3, delays=(1.0, 5.0, 60.0))
    assert retry_policy(RetryWish(backoff=[1], max=9)) == RetryPolicy(max=9, delays=(1.0,))


def test_every_part_is_taken() -> None:
    wish = RetryWish(
        max=4,
        backoff=BackoffWish(base="500ms", factor=3, max="1m", jitter=False),
        on=[503, "5xx", "connect", 503],
        max_elapsed="1h",
    )
    assert retry_policy(wish) == RetryPolicy(
        max=4, base=0.5, factor=3, longest=60.0, jitter=False, on=("503", "5xx", "connect"), max_elapsed=3600.0
    )


def test_the_tasks_word_goes_before_its_queues_part_by_part() -> None:
    queue = RetryWish(max=3, backoff=[1], on=["connect"], max_elapsed=60)
    assert retry_policy(7, queue) == RetryPolicy(max=7, delays=(1.0,), on=("connect",), max_elapsed=60.0)
    assert retry_policy(RetryWish(on=[], backoff=BackoffWish(base=2)), queue) == RetryPolicy(
        max=3, base=2.0, on=(), max_elapsed=60.0
    )
    assert retry_policy(None, queue) == retry_policy(queue)
    assert retry_policy(RetryWish(on=[503]), 2) == RetryPolicy(max=2, on=("503",))
    assert retry_policy(None, 2) == RetryPolicy(max=2)


@pytest.mark.parametrize(
    "policy",
    [
        RetryPolicy(max=0),
        RetryPolicy(max=3, on=RETRY_ON, max_elapsed=5.0),
        RetryPolicy(max=3, on=("404", "5xx", "timeout")),
        RetryPolicy(max=3, on=()),
        RetryPolicy(max=2, delays=(0.0, 5.0)),
        RetryPolicy(max=1000, base=0.5, factor=1.5, longest=9.0, jitter=False),
    ],
)
def test_a_policy_is_said_in_words_that_mean_the_same(policy: RetryPolicy) -> None:
    assert retry_policy(retry_wish(policy)) == policy


@pytest.mark.parametrize(
    ("wish", "pointer"),
    [
        (RetryWish(backoff=[1, -1]), "/retry/backoff/1"),
        (RetryWish(backoff=["soon"]), "/retry/backoff/0"),
        (RetryWish(backoff=[1e308]), "/retry/backoff/0"),
        (RetryWish(backoff=BackoffWish(base=0)), "/retry/backoff/base"),
        (RetryWish(backoff=BackoffWish(base="2d")), "/retry/backoff/base"),
        (RetryWish(backoff=BackoffWish(max="8d")), "/retry/backoff/max"),
        (RetryWish(max_elapsed="31d"), "/retry/max_elapsed"),
        (RetryWish(max_elapsed=0), "/retry/max_elapsed"),
        *(
            (RetryWish(on=[503, what]), "/retry/on/1")
            for what in (99, 600, -1, 10**30, "6xx", "50x", "", "CONNECT", "x")
        ),
    ],
)
def test_a_bad_part_is_pointed_to(wish: RetryWish, pointer: str) -> None:
    with pytest.raises(InvalidField) as found:
        retry_policy(wish)
    assert found.value.pointer == pointer


def test_the_words_are_reasons_that_an_exchange_can_end_for_and_two_that_stand_for_several() -> None:
    ended_by_us = {
        "expired",
        "interrupted",
        "deadline",
        "superseded",
        "canceled",
        "internal",
        "egress_denied",
        "status",
    }
    assert set(RETRY_WORDS) == (set(REASONS) - ended_by_us) | {"connect", "timeout"}
