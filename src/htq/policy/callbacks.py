"""Callbacks: the request that tells somebody that a task or a group has ended.

Its body is an event of CloudEvents 1.0 in the structured mode of its HTTP binding (`application/cloudevents+json`). Its delivery
follows Standard Webhooks: a 2xx is a success and anything else a failure, retries with jitter go on for days, 30 s are enough for
an answer, no redirect is followed; the worker signs each attempt. Its uuid follows from what it tells, so whoever makes it makes
the same one; it is the event's `id` too, so a receiver knows a repeat by either. A callback has no callback of its own.
"""

import base64
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal
from urllib.parse import quote, urlencode

import msgspec
from msgspec import UNSET, Meta, UnsetType

from htq.policy.fields import is_credential, joined
from htq.policy.target import parse_target, with_uuid
from htq.policy.text import as_text
from htq.words.callback import Callback
from htq.words.clock import derived_uuid
from htq.words.group import Group
from htq.words.reasons import Reason
from htq.words.retry import RetryPolicy
from htq.words.states import FINAL, STATES, State, Status
from htq.words.task import NewTask, Request, Response, StopPolicy, Task, Timeouts

__all__ = [
    "CONTENT_TYPE",
    "MAX_BODY",
    "RETRY",
    "AnswerIn",
    "Event",
    "FailureIn",
    "GroupEnd",
    "TaskEnd",
    "group_callback",
    "is_told",
    "task_callback",
]

CONTENT_TYPE: Final = "application/cloudevents+json"

MAX_BODY: Final = 1024 * 1024
"""Bytes of a response's body that go along, as they came and decompressed; of a larger one only the address does."""

RETRY: Final = RetryPolicy(
    max=9, base=5.0, factor=6.0, longest=86400.0, on=("3xx", "4xx", "5xx", "connect", "timeout", "protocol")
)
"""Soon at first, then daily: for three and a half days at most, half of that on average."""

_TIMEOUTS: Final = Timeouts(total=30.0)
_RESULT_TTL: Final = 86400.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class AnswerIn(msgspec.Struct, frozen=True, kw_only=True):
    """The response of a task, in the words of the seed's envelope."""

    time: Annotated[int, Meta(description="When it was received, in epoch milliseconds.")]
    code: int
    reason: Annotated[str, Meta(description="The phrase of its status line.")]
    error: Annotated[Reason | UnsetType, Meta(description="Why the task is no success.")] = UNSET
    message: Annotated[str | UnsetType, Meta(description="The same, in a sentence.")] = UNSET
    elapsed: Annotated[float | None, Meta(description="Milliseconds.")]
    headers: Annotated[dict[str, str], Meta(description="Those that prove who somebody is are left out.")]
    data: Annotated[str | None, Meta(description="The body where it is text in its charset, decompressed; else null.")]
    data_base64: Annotated[str | UnsetType, Meta(description="The body as it came, where data can't hold it.")] = UNSET
    data_omitted: Annotated[
        int | UnsetType, Meta(description="Bytes of a body that is too large for a callback, or not kept any more.")
    ] = UNSET


class FailureIn(msgspec.Struct, frozen=True, kw_only=True):
    """Why there was no response."""

    message: str
    time: int
    error: Reason | UnsetType = UNSET
    elapsed: float | UnsetType = UNSET


class TaskEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a task ended. Points in time are epoch milliseconds; what is left out says nothing."""

    uuid: str
    id: str | UnsetType = UNSET
    status: Status
    reason: Reason | UnsetType = UNSET
    queue: str
    group: str | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    attempt: Annotated[int, Meta(description="Exchanges begun.")]
    created_at: int
    finished_at: int
    links: dict[str, str]
    response: Annotated[AnswerIn | FailureIn | UnsetType, Meta(description="Where it was asked for.")] = UNSET


class GroupEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How the tasks of a group ended."""

    name: str
    counts: Annotated[dict[State, int], Meta(description="Its requests by their status, those that are kept.")]
    created_at: int
    closed_at: int | None
    completed_at: int
    links: dict[str, str]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope: CloudEvents 1.0, 3.1, and its JSON format, 3."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: Annotated[str, Meta(description="When it ended (RFC 3339).")]
    datacontenttype: Literal["application/json"] = "application/json"
    data: TaskEnd | GroupEnd


def is_told(task: Task) -> bool:
    """Whether the task has a callback for how it stands by now: it may be alive again, or have been canceled since it ended."""
    callback = task.request.callback
    return callback is not None and task.state in FINAL and task.state in callback.on


def task_callback(task: Task, number: int, at: int, response: Response | None, body: bytes | None) -> NewTask:
    """The callback of a task that ended at its attempt `number` and the time `at`. `is_told` is asked before.

    `response` is given where the callback includes it, with its `body`: None where that is too large or gone. Raises
    `InvalidField` where the callback's URL can't be sent.
    """
    callback = task.request.callback
    assert callback is not None
    uuid = derived_uuid(at, "callback", "task", task.tenant, task.uuid, str(number))
    url = f"{callback.source}/{task.uuid}/"
    end = TaskEnd(
        uuid=task.uuid,
        id=task.name or UNSET,
        status=task.status,
        reason=task.reason or UNSET,
        queue=task.queue,
        group=task.group or UNSET,
        labels=task.labels or UNSET,
        attempt=task.attempt,
        created_at=task.created_at,
        finished_at=at if task.finished_at is None else task.finished_at,
        links={"self": url, "status": f"{url}status/", "response": f"{url}response/"},
        response=UNSET if response is None else _response(task, response, body),
    )
    event = Event(
        id=uuid, source=callback.source, type=f"htq.task.{task.status}", subject=task.uuid, time=_rfc3339(at), data=end
    )
    return _new_task(callback, event, task.tenant, task.owner)


def group_callback(group: Group, at: int) -> NewTask | None:
    """The callback of a group that was completed at the time `at`; None: it has none. Raises `InvalidField` as `task_callback`."""
    callback = group.callback
    if callback is None:
        return None
    uuid = derived_uuid(at, "callback", "group", group.tenant, group.name, str(group.created_at))
    end = GroupEnd(
        name=group.name,
        counts={state: count for state, count in group.counts.items() if count},
        created_at=group.created_at,
        closed_at=group.closed_at,
        completed_at=at,
        links={
            "self": f"{callback.source}/groups/{quote(group.name, safe='')}/",
            "tasks": f"{callback.source}/?{urlencode({'status': ','.join(STATES), 'group': group.name})}",
        },
    )
    event = Event(
        id=uuid,
        source=callback.source,
        type="htq.group.completed",
        subject=group.name,
        time=_rfc3339(at),
        data=end,
    )
    return _new_task(callback, event, group.tenant, "")


def _new_task(callback: Callback, event: Event, tenant: str, owner: str) -> NewTask:
    target = parse_target(callback.url)
    return NewTask(
        uuid=event.id,
        request=Request(
            url=with_uuid(callback.url, event.id),
            method="post",
            headers=(("Content-Type", CONTENT_TYPE),),
            body_kind="json",
            timeouts=_TIMEOUTS,
            stop=StopPolicy(delete=False),
            retry=RETRY,
            signed=True,
        ),
        body=msgspec.json.encode(event),
        tenant=tenant,
        owner=owner,
        queue=callback.queue,
        key=target.origin,
        host=target.host,
        result_ttl=_RESULT_TTL,
    )


def _response(task: Task, response: Response, body: bytes | None) -> AnswerIn | FailureIn:
    elapsed = response.elapsed_ms
    if response.code is None:
        return FailureIn(
            message=response.message or "No response was received.",
            time=response.time,
            error=task.reason or UNSET,
            elapsed=UNSET if elapsed is None else elapsed,
        )
    data = None if body is None else as_text(body, response.headers, MAX_BODY)
    return AnswerIn(
        time=response.time,
        code=response.code,
        reason=response.phrase,
        error=task.reason or UNSET,
        message=response.message or UNSET,
        elapsed=elapsed,
        headers=joined(tuple((name, value) for name, value in response.headers if not _is_secret(name))),
        data=data,
        data_base64=UNSET if body is None or data is not None else base64.b64encode(body).decode(),
        data_omitted=response.body_size if body is None else UNSET,
    )


def _is_secret(name: str) -> bool:
    """A receiver is not the one whom the target's session is meant for."""
    return is_credential(name) or name.lower() in ("set-cookie", "set-cookie2")


def _rfc3339(at: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=at)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
