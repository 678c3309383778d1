"""Taking a task in: what the caller said, completed by what the operator and the defaults say.

Everything is resolved here and stored with the task, so that a later change of a setting changes no task that was accepted.
"""

import binascii
from typing import Final

import msgspec

from htq.policy.fields import check_method, request_headers
from htq.policy.target import parse_target, with_uuid
from htq.stores.base import QueueSettings
from htq.usecases.callbacks import callback_of
from htq.usecases.costs import check_cost_from
from htq.usecases.defaults import QueueDefaults, defaults_of, with_defaults
from htq.usecases.retries import retry_policy
from htq.usecases.settings import ServiceSettings
from htq.usecases.stops import stop_policy
from htq.usecases.submission import Submission
from htq.usecases.times import Times, due_at, seconds, times
from htq.usecases.wishes import TimeoutWish
from htq.words.errors import InvalidField
from htq.words.task import BodyKind, Idempotency, NewTask, Request, Timeouts

__all__ = ["new_task", "resolved_timeouts"]

_text = msgspec.json.Decoder(str).decode
_NO_DEFAULTS: Final = QueueDefaults()
_AT_ONCE: Final = Times(None, None, None)
_UNSAID: Final = (None,) * 5


def new_task(
    submission: Submission,
    settings: ServiceSettings,
    uuid: str,
    now_ms: int,
    queue: QueueSettings | None = None,
    *,
    base: str = "",
    idempotency: Idempotency | None = None,
) -> NewTask:
    """The task that `submission` asks for, in a queue with these settings. Raises `InvalidField`.

    `base` is this server's own base URL, for a callback.
    """
    url = submission.url
    if "{" in url:
        url = with_uuid(url, uuid)
    target = parse_target(url)
    kind, body = _body(submission)
    method = _method(submission.method, kind)
    if submission.id is None and not (submission.on_conflict is submission.debounce is None):
        raise _nameless("debounce" if submission.on_conflict is None else "on_conflict")
    defaults = _NO_DEFAULTS
    own_retry = submission.retry
    if queue is not None and queue.defaults:
        defaults = defaults_of(queue)
        submission = with_defaults(submission, defaults)
    when = _AT_ONCE
    said = (submission.delay, submission.run_at, submission.debounce, submission.start_by, submission.deadline)
    if said != _UNSAID or defaults is not _NO_DEFAULTS:
        when = _times(submission, defaults, now_ms)
    if submission.cost_from is not None:
        check_cost_from(submission.cost_from)
    return NewTask(
        uuid=uuid,
        request=Request(
            url=url,
            method=method,
            headers=request_headers(submission.headers) if submission.headers else (),
            body_kind=kind,
            timeouts=resolved_timeouts(submission.timeout, settings),
            timeout_given=isinstance(submission.timeout, TimeoutWish),
            redirects=submission.redirects or 0,
            max_response=submission.max_response or settings.max_response,
            stop=stop_policy(submission.cancel, queue, settings.cancel_delete, method=method, url=url),
            retry=None if submission.retry is None else retry_policy(own_retry, defaults.retry),
            cost_from=submission.cost_from or {},
            callback=None if submission.callback is None else callback_of(submission.callback, base),
        ),
        body=body,
        name=submission.id,
        queue=submission.queue or "default",
        key=submission.key or target.origin,
        host=target.host,
        priority=5 if submission.priority is None else submission.priority,
        labels=submission.labels or {},
        run_at=when.run_at,
        start_by=when.start_by,
        deadline=when.deadline,
        delivery=submission.delivery or "at_least_once",
        result_ttl=settings.retention if submission.result_ttl is None else submission.result_ttl,
        cost=submission.cost or {},
        group=submission.group,
        on_conflict=submission.on_conflict or "cancel_previous",
        idempotency=idempotency,
    )


def resolved_timeouts(wish: float | TimeoutWish | None, settings: ServiceSettings) -> Timeouts:
    """The bounds of each exchange of a task, with the server's where it says nothing."""
    if wish is None:
        return Timeouts(total=settings.timeout)
    if isinstance(wish, TimeoutWish):
        return Timeouts(
            total=wish.total or settings.timeout, connect=wish.connect, first_byte=wish.first_byte, idle=wish.idle
        )
    return Timeouts(total=wish)


def _nameless(name: str) -> InvalidField:
    return InvalidField(f"{name} is about live requests with the same id: give an id besides.", f"/{name}")


def _times(submission: Submission, defaults: QueueDefaults, now_ms: int) -> Times:
    if submission.debounce is not None:
        run_at = _debounced(submission, now_ms)
    else:
        run_at = due_at(submission.delay, submission.run_at, now_ms)
    return times(
        run_at,
        submission.start_by,
        submission.deadline,
        now_ms,
        start_within=None if defaults.start_by is None else seconds(defaults.start_by, "/start_by"),
        end_within=None if defaults.deadline is None else seconds(defaults.deadline, "/deadline"),
    )


def _debounced(submission: Submission, now_ms: int) -> int | None:
    assert submission.debounce is not None
    for name in ("delay", "run_at"):
        if getattr(submission, name) is not None:
            raise InvalidField(f"Give debounce or {name}, not both.", "/debounce")
    if submission.on_conflict not in (None, "cancel_previous"):
        raise InvalidField(
            "debounce takes the place of an earlier request: on_conflict can't say otherwise.", "/debounce"
        )
    wait = seconds(submission.debounce, "/debounce")
    return now_ms + round(wait * 1000) if wait else None


def _body(submission: Submission) -> tuple[BodyKind, bytes]:
    raw = bytes(submission.data)
    first = raw[:1]
    if submission.data_base64 is not None:
        if raw != b"null":
            raise InvalidField("Give data or data_base64, not both.", "/data_base64")
        try:
            return "bytes", binascii.a2b_base64(submission.data_base64, strict_mode=True)
        except ValueError:
            raise InvalidField(
                "data_base64 is not base64: use the alphabet with + and /, padding, and no line breaks.", "/data_base64"
            ) from None
    if first == b'"':
        return "text", _text(raw).encode()
    if first in (b"{", b"["):
        return "json", raw
    if raw == b"null":
        return "none", b""
    raise InvalidField("data is a string, an object, an array or null: put a number or boolean into a string.", "/data")


def _method(given: str | None, kind: BodyKind) -> str:
    """In the seed's lower case; the wire has it in upper case."""
    if given is None:
        return "get" if kind == "none" else "post"
    return check_method(given).lower()
