"""What a task, a queue and a cancel look like from outside: the seed's fields first, ours where they say something."""

import base64
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from htq.policy.fields import is_credential, joined
from htq.policy.target import parse_target
from htq.stores.base import QueueStats
from htq.words.reasons import Reason
from htq.words.states import Status
from htq.words.task import CancelRecord, Delivery, Headers, Task

__all__ = ["Links", "ListedTask", "QueueView", "StatusView", "TaskView", "listed", "time_of", "view_queue", "view_task"]

REDACTED: Final = "[redacted]"

Data = Annotated[
    Any,
    Meta(
        description="The body, as text or as the JSON that it was given in; null where there is none.",
        extra_json_schema={"type": ["string", "object", "array", "null"]},
    ),
]


class Links(msgspec.Struct, frozen=True):
    """Where to go from a task."""

    self: str
    status: str
    response: str


class StatusView(msgspec.Struct, frozen=True):
    """The light form of a request."""

    status: Status


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A request. Times are epoch milliseconds, durations seconds; what is left out has its usual value."""

    timeout: float | dict[str, float]
    status: Status
    data: Data
    headers: Annotated[
        dict[str, str], Meta(description="As they were given; those that prove who is calling are not shown.")
    ]
    url: str
    method: str
    uuid: str
    time: Annotated[int, Meta(description="When it was accepted.")]
    data_base64: Annotated[str | UnsetType, Meta(description="The body where it was given so.")] = UNSET
    data_omitted: Annotated[int | UnsetType, Meta(description="Bytes of a body that lists leave out.")] = UNSET
    id: str | UnsetType = UNSET
    queue: str | UnsetType = UNSET
    key: str | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    run_at: int | UnsetType = UNSET
    delivery: Delivery | UnsetType = UNSET
    redirects: int | UnsetType = UNSET
    attempt: Annotated[int | UnsetType, Meta(description="Exchanges begun.")] = UNSET
    reason: Reason | UnsetType = UNSET
    finished_at: int | UnsetType = UNSET
    cancel: CancelRecord | UnsetType = UNSET


class ListedTask(TaskView, frozen=True, kw_only=True):
    """A request in a list. Large bodies are left out, and `data_omitted` says so."""

    links: Links


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """A queue's requests that have not ended."""

    name: str
    scheduled: int
    queued: int
    pending: int
    oldest_queued_at: int | None
    links: dict[str, str]


def view_task(task: Task) -> TaskView:
    return TaskView(**_fields(task))


def listed(task: Task, base: str) -> ListedTask:
    url = f"{base}/{task.uuid}/"
    return ListedTask(links=Links(url, f"{url}status/", f"{url}response/"), **_fields(task))


def view_queue(stats: QueueStats, url: str) -> QueueView:
    return QueueView(
        name=stats.name,
        scheduled=stats.scheduled,
        queued=stats.queued,
        pending=stats.pending,
        oldest_queued_at=stats.oldest_queued_at,
        links={"self": url},
    )


def time_of(task: Task) -> int:
    """When the task was accepted: the time in its UUIDv7, the same in the first answer as ever after."""
    uuid = task.uuid
    return int(uuid[:8] + uuid[9:13], 16) if uuid[14] == "7" else task.created_at


def _fields(task: Task) -> dict[str, Any]:
    request = task.request
    fields: dict[str, Any] = {
        "timeout": _timeout(task),
        "status": task.status,
        "data": None,
        "headers": _shown(request.headers) if request.headers else {},
        "url": request.url,
        "method": request.method,
        "uuid": task.uuid,
        "time": time_of(task),
    }
    if task.body is None:
        fields["data_omitted"] = task.body_size
    elif request.body_kind == "text":
        fields["data"] = task.body.decode()
    elif request.body_kind == "json":
        fields["data"] = msgspec.Raw(task.body)
    elif request.body_kind == "bytes":
        fields["data_base64"] = base64.b64encode(task.body).decode()
    if task.name is not None:
        fields["id"] = task.name
    if task.queue != "default":
        fields["queue"] = task.queue
    if task.key != parse_target(request.url).origin:
        fields["key"] = task.key
    if task.priority != 5:
        fields["priority"] = task.priority
    if task.labels:
        fields["labels"] = task.labels
    if task.run_at != task.created_at:
        fields["run_at"] = task.run_at
    if task.delivery != "at_least_once":
        fields["delivery"] = task.delivery
    if request.redirects:
        fields["redirects"] = request.redirects
    if task.attempt:
        fields["attempt"] = task.attempt
    if task.reason is not None:
        fields["reason"] = task.reason
    if task.finished_at is not None:
        fields["finished_at"] = task.finished_at
    if task.cancel is not None:
        fields["cancel"] = task.cancel
    return fields


def _timeout(task: Task) -> float | dict[str, float]:
    timeouts = task.request.timeouts
    if not task.request.timeout_given:
        return _number(timeouts.total)
    bounds = {
        "connect": timeouts.connect,
        "first_byte": timeouts.first_byte,
        "idle": timeouts.idle,
        "total": timeouts.total,
    }
    return {name: _number(bound) for name, bound in bounds.items() if bound is not None}


def _number(seconds: float) -> float:
    """60, not 60.0: as the seed shows it."""
    whole = int(seconds)
    return whole if whole == seconds else seconds


def _shown(headers: Headers) -> dict[str, str]:
    return {name: REDACTED if is_credential(name) else value for name, value in joined(headers).items()}
