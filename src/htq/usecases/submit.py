"""Taking a task in: what the caller said, completed by what the operator and the defaults say.

Everything is resolved here and stored with the task, so that a later change of a setting changes no task that was accepted.
"""

import binascii
import re
from typing import Final

import msgspec

from htq.policy.fields import check_method, request_headers
from htq.policy.target import parse_target
from htq.stores.base import QueueSettings
from htq.usecases.settings import ServiceSettings
from htq.usecases.stops import stop_policy
from htq.usecases.submission import Submission, TimeoutWish
from htq.usecases.times import due_at
from htq.words.errors import InvalidField
from htq.words.task import BodyKind, NewTask, Request, Timeouts

__all__ = ["new_task"]

_PATH_OR_QUERY: Final = re.compile("[/?]")

_text = msgspec.json.Decoder(str).decode


def new_task(
    submission: Submission, settings: ServiceSettings, uuid: str, now_ms: int, queue: QueueSettings | None = None
) -> NewTask:
    """The task that `submission` asks for, in a queue with these settings. Raises `InvalidField`."""
    url = submission.url
    if "{" in url:
        url = _with_uuid(url, uuid)
    target = parse_target(url)
    kind, body = _body(submission)
    method = _method(submission.method, kind)
    return NewTask(
        uuid=uuid,
        request=Request(
            url=url,
            method=method,
            headers=request_headers(submission.headers) if submission.headers else (),
            body_kind=kind,
            timeouts=_timeouts(submission.timeout, settings),
            timeout_given=isinstance(submission.timeout, TimeoutWish),
            redirects=submission.redirects or 0,
            max_response=submission.max_response or settings.max_response,
            stop=stop_policy(submission.cancel, queue, settings.cancel_delete, method=method, url=url),
        ),
        body=body,
        name=submission.id,
        queue=submission.queue or "default",
        key=submission.key or target.origin,
        host=target.host,
        priority=5 if submission.priority is None else submission.priority,
        labels=submission.labels or {},
        run_at=due_at(submission.delay, submission.run_at, now_ms),
        delivery=submission.delivery or "at_least_once",
        result_ttl=settings.retention if submission.result_ttl is None else submission.result_ttl,
    )


def _with_uuid(url: str, uuid: str) -> str:
    """`{uuid}` filled in where it stands in path or query: the caller can't know it beforehand. Other braces are his own."""
    scheme, separator, rest = url.partition("://")
    found = _PATH_OR_QUERY.search(rest)
    at = found.start() if found is not None else len(rest)
    return scheme + separator + rest[:at] + rest[at:].replace("{uuid}", uuid)


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


def _timeouts(wish: float | TimeoutWish | None, settings: ServiceSettings) -> Timeouts:
    if wish is None:
        return Timeouts(total=settings.timeout)
    if isinstance(wish, TimeoutWish):
        return Timeouts(
            total=wish.total or settings.timeout, connect=wish.connect, first_byte=wish.first_byte, idle=wish.idle
        )
    return Timeouts(total=wish)
