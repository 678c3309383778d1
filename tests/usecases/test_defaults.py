"""A queue's defaults: the task's word before its queue's, and that before the server's."""

from typing import Any

import msgspec
import pytest

from htq.stores.base import QueueSettings
from htq.usecases import CallbackWish, QueueDefaults, ServiceSettings, Submission, TimeoutWish
from htq.usecases.defaults import check_defaults, defaults_of, stored_defaults
from htq.usecases.submit import new_task
from htq.usecases.wishes import BackoffWish, RetryWish
from htq.words.callback import Callback
from htq.words.errors import InvalidField
from htq.words.retry import RetryPolicy
from htq.words.task import NewTask, Timeouts

NOW = 1_800_000_000_000
BASE = "http://htq.example"


def made(defaults: QueueDefaults, **fields: Any) -> NewTask:
    queue = QueueSettings(defaults=stored_defaults(defaults))
    submission = Submission(url="http://example.com/", **fields)
    return new_task(submission, ServiceSettings(), "01890a5d-ac96-774b-bcce-b302099a8057", NOW, queue, base=BASE)


def test_every_default_holds_where_the_task_says_nothing() -> None:
    task = made(
        QueueDefaults(
            headers={"X-A": "1"},
            timeout=5,
            on_conflict="reject",
            priority=9,
            labels={"team": "a"},
            cost={"tokens": 3},
            cost_from={"tokens": "/usage"},
            start_by="10s",
            deadline=60,
            retry=2,
            delivery="at_most_once",
            result_ttl=7,
            max_response=8,
            redirects=1,
            callback="http://hook.example/",
        ),
        id="a",
    )
    request = task.request
    assert request.headers == (("X-A", "1"),)
    assert request.timeouts == Timeouts(total=5.0)
    assert (request.retry, request.max_response, request.redirects) == (RetryPolicy(max=2), 8, 1)
    assert request.callback == Callback(url="http://hook.example/", source=BASE)
    assert request.cost_from == {"tokens": "/usage"}
    assert (task.on_conflict, task.priority, task.labels, task.cost) == ("reject", 9, {"team": "a"}, {"tokens": 3})
    assert (task.start_by, task.deadline) == (NOW + 10_000, NOW + 60_000)
    assert (task.delivery, task.result_ttl) == ("at_most_once", 7)


def test_what_a_newer_server_has_put_is_read_as_far_as_it_is_known(caplog: pytest.LogCaptureFixture) -> None:
    stored = {
        "timeout": {"connect": 5, "dns": 3},
        "retry": {"max": 2, "backoff": {"base": 4, "shape": "flat"}, "budget": 7},
        "priority": 12,
        "delivery": "exactly_once",
        "labels": {"team": "a"},
        "shiny": {"connect": 1},
    }
    found = defaults_of(QueueSettings(defaults=msgspec.json.encode(stored)))
    assert found == QueueDefaults(
        timeout=TimeoutWish(connect=5), retry=RetryWish(max=2, backoff=BackoffWish(base=4)), labels={"team": "a"}
    )
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_the_tasks_word_goes_before() -> None:
    task = made(
        QueueDefaults(
            timeout=5, priority=9, retry=2, result_ttl=7, delivery="at_most_once", callback="http://a.example/"
        ),
        timeout=6,
        priority=0,
        retry=0,
        result_ttl=8,
        delivery="at_least_once",
        callback=CallbackWish(url="http://b.example/", on=["error"]),
    )
    assert (task.request.timeouts.total, task.priority, task.result_ttl, task.delivery) == (6, 0, 8, "at_least_once")
    assert task.request.retry == RetryPolicy(max=0)
    assert task.request.callback == Callback(url="http://b.example/", on=("error",), source=BASE)


def test_objects_are_put_together_name_by_name() -> None:
    task = made(
        QueueDefaults(
            headers={"X-A": "queue", "X-B": "queue"},
            labels={"a": "queue", "b": "queue"},
            cost={"tokens": 1, "calls": 1},
            timeout=TimeoutWish(connect=1, total=9),
            retry=RetryWish(max=4, backoff=[1]),
        ),
        headers={"x-a": "task"},
        labels={"a": "task"},
        cost={"tokens": 2},
        timeout=TimeoutWish(idle=2),
        retry=RetryWish(on=[503]),
    )
    assert task.request.headers == (("X-B", "queue"), ("x-a", "task"))
    assert task.labels == {"a": "task", "b": "queue"}
    assert task.cost == {"tokens": 2, "calls": 1}
    assert task.request.timeouts == Timeouts(total=9.0, connect=1.0, idle=2.0)
    assert task.request.retry == RetryPolicy(max=4, delays=(1.0,), on=("503",))


def test_what_is_said_of_names_touches_no_task_without_one() -> None:
    assert made(QueueDefaults(on_conflict="reject")).on_conflict == "cancel_previous"
    assert made(QueueDefaults(on_conflict="reject"), id="a", debounce=5).on_conflict == "cancel_previous"


def test_a_queues_times_count_from_when_the_task_is_due() -> None:
    task = made(QueueDefaults(start_by=10, deadline="1m"), delay="1h")
    assert (task.run_at, task.start_by, task.deadline) == (NOW + 3_600_000, NOW + 3_610_000, NOW + 3_660_000)
    assert made(QueueDefaults(start_by=10), start_by="1h").start_by == NOW + 3_600_000


def test_what_is_stored_is_what_was_said() -> None:
    said = QueueDefaults(headers={"X": "y"}, timeout=TimeoutWish(idle=1), retry=RetryWish(backoff=["1s"]), start_by=5)
    assert defaults_of(QueueSettings(defaults=stored_defaults(said))) == said
    assert stored_defaults(QueueDefaults()) == b""
    assert defaults_of(QueueSettings()) == QueueDefaults()


def test_every_field_of_a_task_that_a_queue_may_say_is_a_field_of_a_task() -> None:
    for name in QueueDefaults.__struct_fields__:
        assert name in Submission.__struct_fields__


@pytest.mark.parametrize(
    ("defaults", "pointer"),
    [
        (QueueDefaults(headers={"Host": "x"}), "/defaults/headers/Host"),
        (QueueDefaults(retry=RetryWish(on=["x"])), "/defaults/retry/on/0"),
        (QueueDefaults(callback="ftp://x"), "/defaults/callback"),
        (QueueDefaults(callback=CallbackWish(url="x")), "/defaults/callback/url"),
        (QueueDefaults(cost_from={"a/b": "/~"}), "/defaults/cost_from/a~1b"),
        (QueueDefaults(start_by="x"), "/defaults/start_by"),
        (QueueDefaults(start_by=0), "/defaults/start_by"),
        (QueueDefaults(deadline=1e308), "/defaults/deadline"),
    ],
)
def test_a_bad_default_is_pointed_to(defaults: QueueDefaults, pointer: str) -> None:
    with pytest.raises(InvalidField) as found:
        check_defaults(defaults)
    assert found.value.pointer == pointer


def test_defaults_are_small_where_little_is_said() -> None:
    assert msgspec.json.decode(stored_defaults(QueueDefaults(retry=3))) == {"retry": 3}
