"""What a submission becomes: every default resolved, by the operator's settings."""

import pytest

from htq.usecases import CancelWish, ServiceSettings, Submission, TimeoutWish
from htq.usecases.submit import new_task
from htq.usecases.times import due_at
from htq.words.errors import InvalidField
from htq.words.task import NewTask, Timeouts

NOW = 1_800_000_000_000


def made(submission: Submission, settings: ServiceSettings | None = None) -> NewTask:
    return new_task(submission, settings or ServiceSettings(), "01890a5d-ac96-774b-bcce-b302099a8057", NOW)


def test_everything_is_resolved() -> None:
    task = made(Submission(url="http://Example.com:80/x"), ServiceSettings(retention=5.0, timeout=7.0, max_response=9))
    assert (task.request.url, task.request.method) == ("http://Example.com:80/x", "get")
    assert (task.key, task.host, task.queue, task.priority) == ("http://example.com", "example.com", "default", 5)
    assert (task.request.timeouts, task.request.max_response, task.result_ttl) == (Timeouts(total=7.0), 9, 5.0)
    assert (task.run_at, task.delivery, task.body, task.request.body_kind) == (None, "at_least_once", b"", "none")


@pytest.mark.parametrize(
    ("default", "method", "wish", "delete"),
    [
        ("always", "get", None, True),
        ("post", "get", None, False),
        ("post", "POST", None, True),
        ("never", "post", None, False),
        ("never", "post", True, True),
        ("always", "post", False, False),
    ],
)
def test_the_delete_is_resolved_when_a_task_is_accepted(
    default: str, method: str, wish: bool | None, delete: bool
) -> None:
    submission = Submission(
        url="http://example.com/", method=method, cancel=None if wish is None else CancelWish(delete=wish)
    )
    settings = ServiceSettings(cancel_delete=default)  # type: ignore[arg-type]
    assert made(submission, settings).request.stop.delete is delete


def test_a_timeout_in_parts_keeps_the_usual_total() -> None:
    task = made(Submission(url="http://example.com/", timeout=TimeoutWish(connect=1.5)))
    assert task.request.timeouts == Timeouts(total=60.0, connect=1.5)
    assert task.request.timeout_given


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [(90, 90.0), (0.5, 0.5), ("90", 90.0), ("90s", 90.0), ("1h30m", 5400.0), ("PT90S", 90.0), ("P1DT1M0.5S", 86460.5)],
)
def test_delays_are_read_in_every_spelling(delay: float | str, seconds: float) -> None:
    assert due_at(delay, None, NOW) == NOW + seconds * 1000


@pytest.mark.parametrize(
    "run_at", [1_800_000_060_000, "2027-01-15T08:01:00Z", "2027-01-15t08:01:00z", "2027-01-15 10:01:00.000999999+02:00"]
)
def test_points_in_time_are_read_in_every_spelling(run_at: int | str) -> None:
    assert due_at(None, run_at, NOW) == 1_800_000_060_000


def test_no_delay_is_at_once() -> None:
    assert due_at(None, None, NOW) is None
    assert due_at(0, None, NOW) is None
    assert due_at("0s", None, NOW) is None


@pytest.mark.parametrize("delay", [float("inf"), "P", "PT", "-PT1S", "1 s", "9" * 70 + "s"])
def test_what_is_no_delay_is_refused(delay: float | str) -> None:
    with pytest.raises(InvalidField) as found:
        due_at(delay, None, NOW)
    assert found.value.pointer == "/delay"
