"""What a callback says: an event of CloudEvents 1.0, in a task of its own."""

import base64
import gzip
import json
from typing import Any, Literal

import msgspec
import pytest

from htq.policy.callbacks import CONTENT_TYPE, MAX_BODY, RETRY, group_callback, is_told, task_callback
from htq.policy.retrying import is_failure
from htq.words.callback import Callback, CallbackOn
from htq.words.errors import InvalidField
from htq.words.group import Group
from htq.words.states import State
from htq.words.task import CancelRecord, NewTask, Request, Response, Task

AT = 1_800_000_000_123
UUID = "01a3185c-5000-7000-8000-000000000001"


def task(
    state: State = "success",
    *,
    on: tuple[CallbackOn, ...] = ("success", "error", "timeout", "canceled"),
    include: Literal["body", "link"] = "body",
    url: str = "https://hooks.example/htq?x=1",
    **fields: Any,
) -> Task:
    callback = Callback(url=url, on=on, include=include, source="https://q.example/base", queue="hooks")
    usual: dict[str, Any] = {
        "uuid": UUID,
        "request": Request(url="http://a/", method="get", callback=callback),
        "body": b"",
        "body_size": 0,
        "tenant": "t",
        "owner": "o",
        "name": None,
        "queue": "default",
        "key": "http://a",
        "host": "a",
        "priority": 5,
        "labels": {},
        "delivery": "at_least_once",
        "result_ttl": 60.0,
        "state": state,
        "reason": None,
        "version": 3,
        "created_at": AT - 1000,
        "run_at": AT - 1000,
        "finished_at": AT,
        "attempt": 2,
        "failures": 1,
        "crashes": 0,
        "has_response": True,
        "cancel": None,
    }
    return Task(**(usual | fields))


def answer(body: bytes = b"", *headers: tuple[str, str], code: int = 200) -> Response:
    return Response(
        time=AT - 1, elapsed_ms=12.5, code=code, phrase="OK", headers=headers, body=body, body_size=len(body)
    )


def event(made: NewTask | None) -> dict[str, Any]:
    assert made is not None
    found: dict[str, Any] = json.loads(made.body)
    return found


def test_an_event_has_what_cloudevents_ask_for() -> None:
    made = task_callback(task(), 2, AT, None, None)
    assert event(made) == {
        "specversion": "1.0",
        "id": made.uuid,
        "source": "https://q.example/base",
        "type": "htq.task.success",
        "subject": UUID,
        "time": "2027-01-15T08:00:00.123Z",
        "datacontenttype": "application/json",
        "data": {
            "uuid": UUID,
            "status": "success",
            "queue": "default",
            "attempt": 2,
            "created_at": AT - 1000,
            "finished_at": AT,
            "links": {
                "self": f"https://q.example/base/{UUID}/",
                "status": f"https://q.example/base/{UUID}/status/",
                "response": f"https://q.example/base/{UUID}/response/",
            },
        },
    }


def test_what_the_caller_said_of_the_task_comes_back_to_him() -> None:
    told = task("timeout", name="mine", labels={"order": "7"}, group="g", reason="expired")
    data = event(task_callback(told, 2, AT, None, None))["data"]
    assert (data["id"], data["labels"], data["group"], data["reason"]) == ("mine", {"order": "7"}, "g", "expired")


@pytest.mark.parametrize("state", ["success", "error", "timeout", "canceled"])
def test_each_end_has_its_type(state: State) -> None:
    assert event(task_callback(task(state), 2, AT, None, None))["type"] == f"htq.task.{state}"


def test_it_is_sent_as_standard_webhooks_advise() -> None:
    made = task_callback(task(), 2, AT, None, None)
    request = made.request
    assert (request.method, request.url, request.redirects) == ("post", "https://hooks.example/htq?x=1", 0)
    assert dict(request.headers) == {"Content-Type": CONTENT_TYPE}
    assert request.signed
    assert request.timeouts.total == 30
    assert request.callback is None
    assert not request.stop.delete
    assert (made.queue, made.key, made.host) == ("hooks", "https://hooks.example", "hooks.example")
    assert (made.tenant, made.owner, made.name, made.group) == ("t", "o", None, None)


@pytest.mark.parametrize(
    ("code", "fails"), [(200, False), (204, False), (301, True), (404, True), (410, True), (503, True)]
)
def test_all_but_a_2xx_is_a_failure(code: int, fails: bool) -> None:
    assert is_failure(RETRY, code, None) is fails


def test_retries_span_days() -> None:
    waits = [min(RETRY.base * RETRY.factor**n, RETRY.longest) for n in range(RETRY.max)]
    assert waits[0] <= 5
    assert 3 * 86400 <= sum(waits) <= 5 * 86400


def test_the_same_end_has_the_same_callback_and_another_one_has_its_own() -> None:
    first = task_callback(task(), 2, AT, None, None)
    assert task_callback(task(), 2, AT, None, None) == first
    others = [task_callback(task(), 3, AT, None, None), task_callback(task(), 2, AT + 1, None, None)]
    others.append(task_callback(task(tenant="u"), 2, AT, None, None))
    assert len({first.uuid, *(other.uuid for other in others)}) == 4


# --- the response ---------------------------------------------------------------------------------


def test_a_text_goes_along_as_text() -> None:
    response = answer("grüß".encode(), ("Content-Type", "text/plain; charset=utf-8"), ("X-A", "1"), ("x-a", "2"))
    data = event(task_callback(task(), 2, AT, response, response.body))["data"]["response"]
    assert data == {
        "time": AT - 1,
        "code": 200,
        "reason": "OK",
        "elapsed": 12.5,
        "headers": {"Content-Type": "text/plain; charset=utf-8", "X-A": "1, 2"},
        "data": "grüß",
    }


def test_bytes_go_along_as_base64() -> None:
    response = answer(b"\xff\x00")
    data = event(task_callback(task(), 2, AT, response, response.body))["data"]["response"]
    assert (data["data"], base64.b64decode(data["data_base64"])) == (None, b"\xff\x00")


def test_a_body_that_is_too_large_says_how_large_it_is() -> None:
    response = msgspec.structs.replace(answer(), body=None, body_size=MAX_BODY + 1)
    data = event(task_callback(task(), 2, AT, response, None))["data"]["response"]
    assert (data["data"], data["data_omitted"]) == (None, MAX_BODY + 1)
    assert "data_base64" not in data


def test_a_compressed_body_does_not_grow_past_the_bound() -> None:
    packed = gzip.compress(b"0123456789abcdef" * (MAX_BODY // 16 + 1))
    response = answer(packed, ("Content-Encoding", "gzip"))
    data = event(task_callback(task(), 2, AT, response, packed))["data"]["response"]
    assert data["data"] is None
    assert base64.b64decode(data["data_base64"]) == packed


def test_what_proves_who_somebody_is_stays_here() -> None:
    secret = [("Set-Cookie", "session=1"), ("Authorization", "x"), ("X-Api-Key", "y"), ("set-cookie2", "z")]
    response = answer(b"", *secret, ("Date", "now"))
    data = event(task_callback(task(), 2, AT, response, b""))["data"]["response"]
    assert data["headers"] == {"Date": "now"}


def test_a_failure_says_why_there_is_no_response() -> None:
    response = Response(time=AT, message="It was refused.")
    data = event(task_callback(task("error", reason="connect"), 2, AT, response, b""))["data"]["response"]
    assert data == {"message": "It was refused.", "time": AT, "error": "connect"}


# --- what is told ---------------------------------------------------------------------------------


def test_only_the_ends_that_were_asked_for_are_told() -> None:
    assert is_told(task("error", on=("error",)))
    assert not is_told(task("success", on=("error",)))


def test_a_task_that_is_alive_again_is_not_told() -> None:
    assert not is_told(task("queued"))
    assert not is_told(task("pending", cancel=CancelRecord(requested_at=AT)))


def test_a_task_without_a_callback_is_not_told() -> None:
    assert not is_told(task(request=Request(url="http://a/", method="get")))


def test_a_url_that_can_not_be_sent_is_refused() -> None:
    with pytest.raises(InvalidField):
        task_callback(task(url="ftp://nowhere"), 2, AT, None, None)


# --- groups ---------------------------------------------------------------------------------------


def group(**fields: Any) -> Group:
    usual: dict[str, Any] = {
        "tenant": "t",
        "name": "night run/7",
        "created_at": AT - 5000,
        "closed_at": AT - 100,
        "completed_at": AT,
        "callback": Callback(url="http://hooks.example/g", source="http://q.example"),
        "counts": {"success": 8, "error": 2, "queued": 0},
    }
    return Group(**(usual | fields))


def test_a_group_tells_its_counts() -> None:
    made = group_callback(group(), AT)
    told = event(made)
    assert (told["type"], told["subject"], told["source"]) == (
        "htq.group.completed",
        "night run/7",
        "http://q.example",
    )
    assert told["data"] == {
        "name": "night run/7",
        "counts": {"success": 8, "error": 2},
        "created_at": AT - 5000,
        "closed_at": AT - 100,
        "completed_at": AT,
        "links": {
            "self": "http://q.example/groups/night%20run%2F7/",
            "tasks": "http://q.example/?status=scheduled%2Cqueued%2Cpending%2Csuccess%2Cerror%2Ctimeout%2Ccanceled"
            "&group=night+run%2F7",
        },
    }
    assert group_callback(group(), AT) == made


def test_a_group_without_a_callback_tells_nothing() -> None:
    assert group_callback(group(callback=None), AT) is None


def test_a_callback_url_may_hold_the_uuid_of_its_own_task() -> None:
    made = task_callback(task(url="https://hooks.example/{uuid}?x={uuid}"), 2, AT, None, None)
    assert made.request.url == f"https://hooks.example/{made.uuid}?x={made.uuid}"


def test_a_response_after_the_last_retry_says_why_it_is_no_success() -> None:
    response = msgspec.structs.replace(answer(b"", code=503), message="the target answered 503, and no retry is left")
    data = event(task_callback(task("error", reason="status"), 2, AT, response, b""))["data"]["response"]
    assert (data["code"], data["error"], data["message"]) == (503, "status", response.message)
