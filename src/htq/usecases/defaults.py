"""What a queue says for those of its tasks that don't say it themselves: fields of a task, kept as they were given.

The task's word goes before its queue's, and that before the server's. Objects (`headers`, `labels`, `cost`, `cost_from`, `retry`,
`cancel`, and `timeout` where both are objects) are put together name by name.
"""

import logging
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, inspect

from htq.policy.fields import request_headers
from htq.stores.base import QueueSettings
from htq.usecases.callbacks import callback_of
from htq.usecases.costs import check_cost_from
from htq.usecases.retries import retry_policy
from htq.usecases.submission import Submission
from htq.usecases.times import seconds
from htq.usecases.wishes import (
    CallbackField,
    CancelField,
    CostField,
    CostFromField,
    DeliveryField,
    Duration,
    HeadersField,
    LabelsField,
    MaxResponseField,
    OnConflictField,
    PriorityField,
    RedirectsField,
    ResultTtlField,
    RetryField,
    TimeoutField,
    TimeoutWish,
)

__all__ = ["QueueDefaults", "check_defaults", "defaults_of", "stored_defaults", "with_defaults"]

log = logging.getLogger(__name__)


class QueueDefaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Fields of a task, for those of its tasks that don't say them."""

    headers: HeadersField = None
    timeout: TimeoutField = None
    on_conflict: OnConflictField = None
    priority: PriorityField = None
    labels: LabelsField = None
    cost: CostField = None
    cost_from: CostFromField = None
    start_by: Annotated[
        Duration | None,
        Meta(description='How long after it is due it may still begin: seconds, or text such as "10m".'),
    ] = None
    deadline: Annotated[
        Duration | None,
        Meta(description='How long after it is due it must have ended: seconds, or text such as "1h".'),
    ] = None
    retry: RetryField = None
    delivery: DeliveryField = None
    result_ttl: ResultTtlField = None
    max_response: MaxResponseField = None
    redirects: RedirectsField = None
    cancel: CancelField = None
    callback: CallbackField = None


_NONE: Final = QueueDefaults()
_SAMPLE: Final = "http://example.com"
"""Stands for the server's address in a callback that is judged before any task has come."""
_PLAIN: Final = (
    "timeout",
    "on_conflict",
    "priority",
    "retry",
    "delivery",
    "result_ttl",
    "max_response",
    "redirects",
    "callback",
)
_MAPS: Final = ("labels", "cost", "cost_from")
_decode: Final = msgspec.json.Decoder(QueueDefaults).decode


def check_defaults(defaults: QueueDefaults) -> None:
    """Judge what no type can, `cancel` excepted. Raises `InvalidField`."""
    if defaults.headers is not None:
        request_headers(defaults.headers, "/defaults/headers")
    if defaults.retry is not None:
        retry_policy(defaults.retry, None, "/defaults/retry")
    if defaults.callback is not None:
        callback_of(defaults.callback, _SAMPLE, "/defaults/callback")
    if defaults.cost_from is not None:
        check_cost_from(defaults.cost_from, "/defaults/cost_from")
    if defaults.start_by is not None:
        seconds(defaults.start_by, "/defaults/start_by", least=0.001)
    if defaults.deadline is not None:
        seconds(defaults.deadline, "/defaults/deadline", least=0.001)


def stored_defaults(defaults: QueueDefaults) -> bytes:
    """For `QueueSettings.defaults`: all but `cancel`, which stands there resolved; empty where nothing is said."""
    plain = msgspec.structs.replace(defaults, cancel=None)
    return b"" if plain == _NONE else msgspec.json.encode(plain)


@lru_cache(maxsize=1024)
def _decoded(stored: bytes) -> QueueDefaults:
    try:
        return _decode(stored)
    except msgspec.ValidationError as error:
        # A newer server put it, which knows more. That is no reason to take no task any more.
        log.warning("a queue's defaults are read as far as they are known here: %s", error)
    fields: dict[str, Any] = {}
    for name, value in _known(msgspec.json.decode(stored), inspect.type_info(QueueDefaults)).items():
        try:
            msgspec.convert({name: value}, QueueDefaults)
        except msgspec.ValidationError:
            continue
        fields[name] = value
    return msgspec.convert(fields, QueueDefaults)


def _known(value: Any, kind: inspect.Type) -> Any:
    """`value` without the fields that `kind` doesn't have, however deep."""
    if isinstance(kind, inspect.Metadata):
        return _known(value, kind.type)
    if isinstance(kind, inspect.UnionType) and isinstance(value, dict):
        for each in kind.types:
            value = _known(value, each)
    if isinstance(kind, inspect.StructType) and isinstance(value, dict):
        types = {field.encode_name: field.type for field in kind.fields}
        return {name: _known(each, types[name]) for name, each in value.items() if name in types}
    return value


def defaults_of(settings: QueueSettings) -> QueueDefaults:
    """What `stored_defaults` was given."""
    return _decoded(settings.defaults) if settings.defaults else _NONE


def with_defaults(submission: Submission, defaults: QueueDefaults) -> Submission:
    """`submission` with its queue's word where it has none of its own; times excepted, which count from when it is due."""
    said: dict[str, Any] = {}
    for name in _PLAIN:
        general = getattr(defaults, name)
        if general is not None and getattr(submission, name) is None:
            said[name] = general
    for name in _MAPS:
        general = getattr(defaults, name)
        if general is not None:
            said[name] = {**general, **(getattr(submission, name) or {})}
    if defaults.headers is not None:
        own = submission.headers or {}
        names = {name.lower() for name in own}
        said["headers"] = {**{k: v for k, v in defaults.headers.items() if k.lower() not in names}, **own}
    if isinstance(defaults.timeout, TimeoutWish) and isinstance(submission.timeout, TimeoutWish):
        own_bounds = msgspec.structs.asdict(submission.timeout)
        said["timeout"] = msgspec.structs.replace(
            defaults.timeout, **{name: bound for name, bound in own_bounds.items() if bound is not None}
        )
    if submission.id is None or submission.debounce is not None:
        said.pop("on_conflict", None)  # it says nothing there, or has said it
    return msgspec.structs.replace(submission, **said) if said else submission
