"""Words of dispatch: closed lists, and defaults that are the usual."""

from typing import get_args

import msgspec
import pytest

from htq.words.callback import CALLBACK_ON, Callback
from htq.words.group import Group
from htq.words.limits import FOREVER, HOLD_REASONS, MAX_HOLD, Breaker, LaneLimits, Rate
from htq.words.reasons import REASONS
from htq.words.retry import RETRY_CODES, RETRY_ON, RetryPolicy
from htq.words.states import FINAL, LIVE, STATES, State
from htq.words.task import NewTask, OnConflict, Request


def test_callback_tells_of_every_end_unless_it_names_some() -> None:
    assert set(CALLBACK_ON) == FINAL
    assert Callback(url="http://127.0.0.1/", source="http://127.0.0.1").on == CALLBACK_ON


def test_retry_on_names_codes_and_two_words_for_more() -> None:
    """The codes of the interface's page, and connect errors and timeouts."""
    assert RETRY_CODES == ("408", "425", "429", "500", "502", "503", "504")
    assert (*RETRY_CODES, "connect", "timeout") == RETRY_ON
    assert RetryPolicy(max=1).on == RETRY_ON


def test_task_of_the_seed_has_no_policy() -> None:
    """None: any answer is a `success`. A known `id` cancels the one before."""
    request = Request(url="http://127.0.0.1/", method="get")
    task = NewTask(uuid="u", request=request, key="k", host="h")
    assert (request.retry, request.callback, request.signed, request.stop.between) == (None, None, False, False)
    assert (task.on_conflict, task.group, task.idempotency) == ("cancel_previous", None, None)
    assert (task.start_by, task.deadline, task.cost) == (None, None, {})
    assert task.on_conflict == get_args(OnConflict)[0]


def test_reason_of_an_exhausted_policy_is_one_of_the_list() -> None:
    assert {"status", "expired", "deadline", "superseded", "canceled", "interrupted"} <= set(REASONS)


def test_hold_is_an_hour_at_most_and_forever_is_a_time_that_every_store_can_keep() -> None:
    assert MAX_HOLD == 3600
    assert FOREVER * 1000 > 2**53 > FOREVER, "milliseconds are exact in a double, microseconds of it are not"
    assert len(set(HOLD_REASONS)) == len(HOLD_REASONS) == 5


@pytest.mark.parametrize("record", [Rate(limit=3.0), LaneLimits(), Breaker(), RetryPolicy(max=3)])
def test_record_is_written_without_what_is_usual_and_reads_as_it_was(record: msgspec.Struct) -> None:
    written = msgspec.msgpack.encode(record)
    assert len(msgspec.msgpack.decode(written)) <= 1
    assert msgspec.msgpack.decode(written, type=type(record)) == record


@pytest.mark.parametrize("state", STATES)
def test_group_is_alive_by_those_of_its_tasks_that_are(state: State) -> None:
    group = Group(name="g", created_at=0, closed_at=None, completed_at=None, callback=None, counts={state: 3})
    assert group.live == (3 if state in LIVE else 0)


def test_group_without_tasks_is_not_alive() -> None:
    group = Group(name="g", created_at=0, closed_at=None, completed_at=None, callback=None, counts={})
    assert group.live == 0
