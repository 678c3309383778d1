"""A change of a task that has not started: a JSON merge patch (RFC 7396) of what may be changed.

What is given takes the place of what is there, null brings back what is usual, and objects are put together name by name.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from htq.policy.fields import joined, request_headers
from htq.stores.base import Patch
from htq.usecases.callbacks import callback_of, callback_wish
from htq.usecases.retries import retry_policy, retry_wish
from htq.usecases.settings import ServiceSettings
from htq.usecases.stops import cancel_wish, stop_policy
from htq.usecases.submit import resolved_timeouts
from htq.usecases.times import due_at, times
from htq.usecases.wishes import (
    LABEL_PATTERN,
    MAX_LABELS,
    NAME_PATTERN,
    CallbackChange,
    CallbackWish,
    CancelChange,
    CancelWish,
    DeadlineField,
    DelayField,
    MaxResponseField,
    PriorityField,
    RedirectsField,
    ResultTtlField,
    RetryField,
    RetryWish,
    RunAtField,
    StartByField,
    TimeoutField,
    TimeoutWish,
)
from htq.words.errors import InvalidField
from htq.words.task import Request, Task

__all__ = ["Change", "ChangeWish", "patch_of"]


class ChangeWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be changed of a request that has not started. What is left out stays; null brings back what is usual."""

    headers: Annotated[
        dict[str, str | None] | None,
        Meta(description="An object of header names with their values; null takes one away."),
    ] = None
    timeout: TimeoutField = None
    priority: PriorityField = None
    labels: Annotated[
        dict[
            Annotated[str, Meta(min_length=1, max_length=63, pattern=LABEL_PATTERN)],
            Annotated[str, Meta(max_length=255, pattern=NAME_PATTERN)] | None,
        ]
        | None,
        Meta(
            description="An object of strings up to 255 characters; null takes one away. Names are 1 to 63 of A-Z a-z 0-9 . _ / -, "
            "beginning with a letter or digit."
        ),
    ] = None
    delay: DelayField = None
    run_at: RunAtField = None
    start_by: StartByField = None
    deadline: DeadlineField = None
    retry: RetryField = None
    result_ttl: ResultTtlField = None
    max_response: MaxResponseField = None
    redirects: RedirectsField = None
    cancel: Annotated[
        CancelChange | None,
        Meta(
            description="How the target is told when this is canceled: an object with delete, method, url, headers, grace, "
            "on_timeout and between."
        ),
    ] = None
    callback: Annotated[
        Annotated[str, Meta(min_length=1)] | CallbackChange | None,
        Meta(description="Where to say that it has ended: a URL, or an object with url, on, include and queue."),
    ] = None


class Change(NamedTuple):
    """A change as it came, and as it was read: the one tells what was said at all, the other is sound."""

    document: Mapping[str, Any]
    wish: ChangeWish


_TIMES: Final = ("run_at", "delay", "start_by", "deadline")


def patch_of(task: Task, change: Change, settings: ServiceSettings, now_ms: int, base: str) -> Patch:
    """What becomes of `task`. Raises `InvalidField`."""
    given, wish = change
    request = _request(task.request, change, settings, base)
    run_at, start_by, deadline = _times(task, change, now_ms)
    labels = task.labels
    if "labels" in given:
        labels = _merged(labels, given["labels"]) or {}
        if len(labels) > MAX_LABELS:
            raise InvalidField(f"There would be {len(labels)} labels; at most {MAX_LABELS} are kept.", "/labels")
    return Patch(
        request=request,
        priority=_said(wish.priority, 5) if "priority" in given else task.priority,
        labels=labels,
        run_at=run_at,
        start_by=start_by,
        deadline=deadline,
        result_ttl=_said(wish.result_ttl, settings.retention) if "result_ttl" in given else task.result_ttl,
    )


def _request(request: Request, change: Change, settings: ServiceSettings, base: str) -> Request:
    given, wish = change
    said: dict[str, Any] = {}
    if "headers" in given:
        headers = _merged_headers(joined(request.headers), given["headers"])
        said["headers"] = request_headers(headers or {})
    if "timeout" in given:
        said["timeouts"], said["timeout_given"] = _timeouts(request, given["timeout"], settings)
    if "max_response" in given:
        said["max_response"] = _said(wish.max_response, settings.max_response)
    if "redirects" in given:
        said["redirects"] = _said(wish.redirects, 0)
    if "retry" in given:
        said["retry"] = _retry(request, given["retry"])
    if "cancel" in given:
        current = _plain(cancel_wish(request.stop))
        merged = _merged(current, given["cancel"])
        if merged and isinstance(given["cancel"].get("headers"), dict):
            merged["headers"] = _merged_headers(current.get("headers", {}), given["cancel"]["headers"])
        own = msgspec.convert(merged, CancelWish | None)
        said["stop"] = stop_policy(own, None, settings.cancel_delete, method=request.method, url=request.url)
    if "callback" in given:
        said["callback"] = None
        there = {} if request.callback is None else _plain(callback_wish(request.callback))
        merged = _merged(there, given["callback"])
        if isinstance(merged, dict) and "url" not in merged:
            raise InvalidField("url is missing: say where the callback goes.", "/callback/url")
        if merged is not None:
            own_callback = merged if isinstance(merged, str) else msgspec.convert(merged, CallbackWish)
            said["callback"] = callback_of(own_callback, base)
    return msgspec.structs.replace(request, **said) if said else request


def _timeouts(request: Request, given: Any, settings: ServiceSettings) -> tuple[Any, bool]:
    there = {}
    if request.timeout_given:
        there = {name: bound for name, bound in msgspec.to_builtins(request.timeouts).items() if bound is not None}
        there["total"] = request.timeouts.total
    own = msgspec.convert(_merged(there, given), float | TimeoutWish | None)
    return resolved_timeouts(own, settings), isinstance(own, TimeoutWish)


def _retry(request: Request, given: Any) -> Any:
    there = {} if request.retry is None else _plain(retry_wish(request.retry))
    return retry_policy(msgspec.convert(_merged(there, given), int | RetryWish | None))


def _times(task: Task, change: Change, now_ms: int) -> tuple[int, int | None, int | None]:
    given, wish = change
    if not any(name in given for name in _TIMES):
        return task.run_at, task.start_by, task.deadline
    run_at = task.run_at
    if "run_at" in given or "delay" in given:
        run_at = due_at(wish.delay, wish.run_at, now_ms) or now_ms
    try:
        when = times(
            run_at,
            wish.start_by if "start_by" in given else task.start_by,
            wish.deadline if "deadline" in given else task.deadline,
            now_ms,
        )
    except InvalidField as error:
        if error.pointer[1:] in given:
            raise
        # What is there already is good: it is the new time that doesn't fit.
        raise InvalidField(str(error), "/delay" if "delay" in given else "/run_at") from None
    return run_at, when.start_by, when.deadline


def _merged(there: Any, given: Any) -> Any:
    """RFC 7396, 2."""
    if not isinstance(given, dict):
        return given
    merged = dict(there) if isinstance(there, dict) else {}
    for name, value in given.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


def _merged_headers(there: Mapping[str, str], given: Mapping[str, str | None] | None) -> Any:
    """As `_merged`, for names that are the same in whatever case."""
    if given is None:
        return None
    names = {name.lower() for name in given}
    kept = {name: value for name, value in there.items() if name.lower() not in names}
    return {**kept, **{name: value for name, value in given.items() if value is not None}}


def _plain(wish: msgspec.Struct) -> Any:
    return msgspec.to_builtins(wish)


def _said(value: Any, usual: Any) -> Any:
    return usual if value is None else value
