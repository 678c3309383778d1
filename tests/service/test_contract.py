"""What the headers say, and what is answered."""

import pytest

from htq.service.contract import REPLIES, Answer, Sighting, combine, read_asgi, read_wsgi

TASK = "0196f5c0-1111-7222-8333-444455556666"


def seen(**fields: str) -> Sighting | None:
    """The same headers, read from an ASGI scope and from a WSGI environ; they must agree."""
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    asgi = read_asgi([(name.lower().encode(), value.encode()) for name, value in headers.items()])
    wsgi = read_wsgi({f"HTTP_{name.replace('-', '_').upper()}": value for name, value in headers.items()})
    assert asgi == wsgi
    return asgi


def test_a_request_of_htq_is_seen_with_its_id_and_attempt() -> None:
    sighting = seen(htq_task_id=TASK, htq_attempt="3")
    assert sighting is not None
    assert sighting.ticket is not None
    assert (sighting.ticket.task_id, sighting.ticket.attempt, sighting.is_stop) == (TASK, 3, False)


def test_a_stop_is_seen_by_its_header() -> None:
    sighting = seen(htq_task_id=TASK, htq_attempt="3", htq_cancel="requested")
    assert sighting is not None
    assert sighting.is_stop


@pytest.mark.parametrize(
    "fields", [{}, {"htq_task_id": TASK}, {"htq_attempt": "1"}, {"htq_cancel": "requested", "htq_attempt": "1"}]
)
def test_a_request_without_id_and_attempt_is_none_of_ours(fields: dict[str, str]) -> None:
    assert seen(**fields) is None


@pytest.mark.parametrize("task_id", ["", "a b", "é", "x" * 65, "../..", f"{TASK},{TASK}"])
def test_an_id_that_is_none_gives_no_ticket(task_id: str) -> None:
    sighting = seen(htq_task_id=task_id, htq_attempt="1")
    assert sighting == Sighting(None, is_stop=False)


@pytest.mark.parametrize("attempt", ["", "-1", "1.0", "one", "1" * 10, "²"])
def test_an_attempt_that_is_none_gives_no_ticket(attempt: str) -> None:
    assert seen(htq_task_id=TASK, htq_attempt=attempt) == Sighting(None, is_stop=False)


def test_a_repeated_id_gives_no_ticket() -> None:
    twice = [(b"htq-task-id", TASK.encode()), (b"htq-task-id", TASK.encode()), (b"htq-attempt", b"1")]
    assert read_asgi(twice) == Sighting(None, is_stop=False)


def test_tickets_differ_by_credentials_and_keep_none() -> None:
    digests = set()
    for more in (
        {},
        {"authorization": "Bearer ab"},
        {"authorization": "Bearer a", "cookie": "b"},
        {"cookie": "Bearer ab"},
        {"authorization": "Bearer ab", "cookie": "c=d"},
    ):
        sighting = seen(htq_task_id=TASK, htq_attempt="1", **more)
        assert sighting is not None
        assert sighting.ticket is not None
        digests.add(sighting.ticket.digest)
        assert "Bearer" not in repr(sighting)
    assert len(digests) == 5


def test_a_cookie_in_crumbs_equals_the_whole_one() -> None:
    rest = [(b"htq-task-id", TASK.encode()), (b"htq-attempt", b"1")]
    assert read_asgi([(b"cookie", b"a=1; b=2"), *rest]) == read_asgi([(b"cookie", b"a=1"), (b"cookie", b"b=2"), *rest])


@pytest.mark.parametrize(
    ("answers", "together"),
    [
        ([], "unknown"),
        (["unknown"], "unknown"),
        (["unknown", "stopped"], "stopped"),
        (["stopped", "stopping"], "stopping"),
        (["unknown", "stopping"], "stopping"),
    ],
)
def test_stopped_is_said_only_if_nobody_is_still_at_it(answers: list[Answer], together: Answer) -> None:
    assert combine(answers) == together


def test_only_stopped_claims_to_be_proof() -> None:
    assert {answer for answer, reply in REPLIES.items() if ("HTQ-Cancel", "stopped") in reply.headers} == {"stopped"}
    assert {answer: reply.status for answer, reply in REPLIES.items()} == {
        "stopped": 204,
        "stopping": 202,
        "unknown": 404,
        "away": 503,
    }
