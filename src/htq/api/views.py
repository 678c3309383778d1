"""What a task and a cancel look like from outside: the seed's fields first, ours where they say something."""

import base64
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from htq.policy.fields import is_credential, joined
from htq.policy.target import parse_target
from htq.usecases import CallbackWish, RetryWish, ServiceSettings
from htq.usecases.callbacks import callback_wish
from htq.usecases.retries import retry_wish
from htq.usecases.times import plain
from htq.words.errors import InvalidField
from htq.words.reasons import Reason
from htq.words.states import Status
from htq.words.task import CancelRecord, Delivery, Headers, NewTask, Request, StopPolicy, Task

__all__ = [
    "REDACTED",
    "CancelPolicy",
    "CanceledView",
    "ForgottenTask",
    "Links",
    "ListedTask",
    "MatchingView",
    "RetriedView",
    "StatusView",
    "TaskView",
    "listed",
    "refuse_redacted",
    "shown_headers",
    "view_new",
    "view_policy",
    "view_task",
]

REDACTED: Final = "[redacted]"

_OF_A_CANCEL: Final[dict[str | None, Reason]] = {"superseded": "superseded", "deadline": "deadline"}
"""What a store writes as the reason of a cancel that nobody asked for by hand."""

_USUAL_STOP: Final = StopPolicy()
_USUAL: Final = ServiceSettings()

Data = Annotated[
    Any,
    Meta(
        description="The body, as text or as the JSON that it was given in; null where there is none.",
        extra_json_schema={"type": ["string", "object", "array", "null"]},
    ),
]


class CancelPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How the target is told that a request was canceled. What is left out has its usual value."""

    delete: bool | UnsetType = UNSET
    method: str | UnsetType = UNSET
    url: Annotated[str | UnsetType, Meta(description="A template.")] = UNSET
    headers: Annotated[
        dict[str, str] | UnsetType, Meta(description="Those that prove who is calling are not shown.")
    ] = UNSET
    grace: float | UnsetType = UNSET
    on_timeout: bool | UnsetType = UNSET
    between: bool | UnsetType = UNSET


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
    group: str | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    run_at: Annotated[
        int | UnsetType, Meta(description="When it is due: as it was given, or when it is tried again.")
    ] = UNSET
    start_by: int | UnsetType = UNSET
    deadline: int | UnsetType = UNSET
    cost: dict[str, float] | UnsetType = UNSET
    cost_from: dict[str, str] | UnsetType = UNSET
    retry: Annotated[RetryWish | UnsetType, Meta(description="Which failures lead to another attempt.")] = UNSET
    callback: Annotated[CallbackWish | UnsetType, Meta(description="Where it is told that it has ended.")] = UNSET
    delivery: Delivery | UnsetType = UNSET
    result_ttl: Annotated[float | UnsetType, Meta(description="Seconds for which it is kept once it has ended.")] = (
        UNSET
    )
    max_response: Annotated[int | UnsetType, Meta(description="Bytes of a response's body, at most.")] = UNSET
    redirects: int | UnsetType = UNSET
    cancel_policy: Annotated[
        CancelPolicy | UnsetType, Meta(description="How the target is told of a cancel, as it was resolved.")
    ] = UNSET
    attempt: Annotated[int | UnsetType, Meta(description="Exchanges begun.")] = UNSET
    failures: Annotated[int | UnsetType, Meta(description="Attempts that failed and led to another.")] = UNSET
    reason: Reason | UnsetType = UNSET
    finished_at: int | UnsetType = UNSET
    cancel: Annotated[CancelRecord | UnsetType, Meta(description="What a cancel met and what came of it.")] = UNSET


class ListedTask(TaskView, frozen=True, kw_only=True):
    """A request in a list. Large bodies are left out, and `data_omitted` says so."""

    links: Links


class CanceledView(msgspec.Struct, frozen=True):
    """What came of a cancel in bulk."""

    canceled: Annotated[int, Meta(description="Requests that are canceled by it.")]


class RetriedView(msgspec.Struct, frozen=True):
    """What came of a retry in bulk."""

    retried: Annotated[int, Meta(description="Requests that will run again.")]


class MatchingView(msgspec.Struct, frozen=True):
    """What a cancel or retry in bulk would have taken."""

    matching: Annotated[int, Meta(description="Requests that match.")]


class ForgottenTask(msgspec.Struct, frozen=True):
    """A request whose Idempotency-Key is known for longer than it is kept."""

    uuid: str


def view_task(task: Task) -> TaskView:
    return TaskView(**_fields(task))


def view_new(new: NewTask) -> TaskView:
    """A task that was accepted just now, without asking the store for it."""
    fields = _given(new, new.body, len(new.body), "queued")
    if new.run_at is not None:
        fields["run_at"] = new.run_at
    return TaskView(**fields)


def listed(task: Task, base: str) -> ListedTask:
    url = f"{base}/{task.uuid}/"
    return ListedTask(links=Links(url, f"{url}status/", f"{url}response/"), **_fields(task))


def _time_of(uuid: str) -> int | None:
    """When the task was accepted: the time in its UUIDv7, the same in the first answer as ever after."""
    return int(uuid[:8] + uuid[9:13], 16) if uuid[14] == "7" else None


def _given(task: Task | NewTask, body: bytes | None, size: int, status: Status) -> dict[str, Any]:
    """The fields of a view that say what was asked for."""
    request = task.request
    fields: dict[str, Any] = {
        "timeout": _timeout(request),
        "status": status,
        "data": None,
        "headers": shown_headers(request.headers) if request.headers else {},
        "url": request.url,
        "method": request.method,
        "uuid": task.uuid,
        "time": _time_of(task.uuid),
    }
    if body is None:
        fields["data_omitted"] = size
    elif request.body_kind == "text":
        fields["data"] = body.decode()
    elif request.body_kind == "json":
        fields["data"] = msgspec.Raw(body)
    elif request.body_kind == "bytes":
        fields["data_base64"] = base64.b64encode(body).decode()
    if task.name is not None:
        fields["id"] = task.name
    if task.queue != "default":
        fields["queue"] = task.queue
    if task.key != parse_target(request.url).origin:
        fields["key"] = task.key
    if task.priority != 5:
        fields["priority"] = task.priority
    if task.group is not None:
        fields["group"] = task.group
    if task.labels:
        fields["labels"] = task.labels
    if task.start_by is not None:
        fields["start_by"] = task.start_by
    if task.deadline is not None:
        fields["deadline"] = task.deadline
    if task.cost:
        fields["cost"] = {unit: plain(cost) for unit, cost in task.cost.items()}
    if request.cost_from:
        fields["cost_from"] = request.cost_from
    if request.retry is not None:
        fields["retry"] = retry_wish(request.retry)
    if request.callback is not None:
        fields["callback"] = callback_wish(request.callback)
    if task.delivery != "at_least_once":
        fields["delivery"] = task.delivery
    if task.result_ttl != _USUAL.retention:
        fields["result_ttl"] = plain(task.result_ttl)
    if request.max_response != _USUAL.max_response:
        fields["max_response"] = request.max_response
    if request.redirects:
        fields["redirects"] = request.redirects
    if request.stop != _USUAL_STOP:
        fields["cancel_policy"] = view_policy(request.stop)
    return fields


def _fields(task: Task) -> dict[str, Any]:
    """All fields of a view."""
    fields = _given(task, task.body, task.body_size, task.status)
    if fields["time"] is None:
        fields["time"] = task.created_at
    if task.run_at != task.created_at:
        fields["run_at"] = task.run_at
    if task.attempt:
        fields["attempt"] = task.attempt
    if task.failures:
        fields["failures"] = task.failures
    if task.reason is not None:
        fields["reason"] = task.reason
    elif task.cancel is not None:
        # Its exchange has not ended yet, and it is canceled for good.
        fields["reason"] = _OF_A_CANCEL.get(task.cancel.reason, "canceled")
    if task.finished_at is not None:
        fields["finished_at"] = task.finished_at
    if task.cancel is not None:
        fields["cancel"] = task.cancel
    return fields


def view_policy(stop: StopPolicy) -> CancelPolicy:
    """How a target is told of a cancel, without what is usual."""
    usual = _USUAL_STOP
    return CancelPolicy(
        delete=UNSET if stop.delete == usual.delete else stop.delete,
        method=UNSET if stop.method == usual.method else stop.method.lower(),
        url=UNSET if stop.url is None else stop.url,
        headers=shown_headers(stop.headers) if stop.headers else UNSET,
        grace=UNSET if stop.grace == usual.grace else plain(stop.grace),
        on_timeout=UNSET if stop.on_timeout == usual.on_timeout else stop.on_timeout,
        between=UNSET if stop.between == usual.between else stop.between,
    )


def _timeout(request: Request) -> float | dict[str, float]:
    timeouts = request.timeouts
    if not request.timeout_given:
        return plain(timeouts.total)
    bounds = {
        "connect": timeouts.connect,
        "first_byte": timeouts.first_byte,
        "idle": timeouts.idle,
        "total": timeouts.total,
    }
    return {name: plain(bound) for name, bound in bounds.items() if bound is not None}


def shown_headers(headers: Headers) -> dict[str, str]:
    """Without the values that prove who is calling."""
    return {name: REDACTED if is_credential(name) else value for name, value in joined(headers).items()}


def refuse_redacted(headers: Mapping[str, str | None] | None, pointer: str) -> None:
    """Raise `InvalidField` for what was got and is put back: it lacks the secrets that it had."""
    for name, value in (headers or {}).items():
        if value == REDACTED:
            raise InvalidField(
                f"{name} holds what stands for a secret when it is shown: give the secret itself.",
                f"{pointer}/" + name.replace("~", "~0").replace("/", "~1"),
            )
