"""Parts of what a caller may say, shared by a new task, its queue's defaults and a change of it: shapes that validate.

Each description is shown to whoever gets the field wrong, so it says what to write. None says nothing.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from htq.words.callback import CallbackOn
from htq.words.task import Delivery, OnConflict

__all__ = [
    "GROUP_PATTERN",
    "LABEL_PATTERN",
    "MAX_DELAYS",
    "MAX_LABELS",
    "MAX_RETRIES",
    "MAX_TOTAL_TIMEOUT",
    "NAME_PATTERN",
    "QUEUE_PATTERN",
    "BackoffWish",
    "CallbackChange",
    "CallbackField",
    "CallbackWish",
    "CancelChange",
    "CancelField",
    "CancelWish",
    "CostField",
    "CostFromField",
    "DeadlineField",
    "DelayField",
    "DeliveryField",
    "Duration",
    "GroupName",
    "HeadersField",
    "LabelsField",
    "MaxResponseField",
    "OnConflictField",
    "PriorityField",
    "QueueName",
    "RedirectsField",
    "ResultTtlField",
    "RetryField",
    "RetryWish",
    "RunAtField",
    "StartByField",
    "TimeoutField",
    "TimeoutWish",
    "Unit",
]

MAX_TOTAL_TIMEOUT: Final = 7 * 86400.0
MAX_RETRIES: Final = 1000
MAX_DELAYS: Final = 100
MAX_LABELS: Final = 32
NAME_PATTERN: Final = r"^[^\x00-\x1f\x7f]*\Z"
QUEUE_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z"
LABEL_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._/-]*\Z"
GROUP_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._:-]*\Z"

Bound = Annotated[float, Meta(gt=0, le=MAX_TOTAL_TIMEOUT)]
Duration = float | str
"""Seconds, or text that `htq.usecases.times` reads."""
QueueName = Annotated[str, Meta(min_length=1, max_length=64, pattern=QUEUE_PATTERN)]
GroupName = Annotated[str, Meta(min_length=1, max_length=128, pattern=GROUP_PATTERN)]
Unit = Annotated[str, Meta(min_length=1, max_length=63, pattern=LABEL_PATTERN)]
"""What a cost is counted in."""


class TimeoutWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Bounds of one exchange, in seconds."""

    connect: Annotated[Bound | None, Meta(description="Seconds until the connection stands, its name resolved.")] = None
    first_byte: Annotated[Bound | None, Meta(description="Seconds from the request to the answer's first byte.")] = None
    idle: Annotated[Bound | None, Meta(description="Seconds for which the answer may stand still.")] = None
    total: Annotated[Bound | None, Meta(description="Seconds for the whole exchange.")] = None


class _CancelParts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    delete: Annotated[
        bool | None,
        Meta(description="true or false: whether the target is told at all; left out it is what --cancel-delete says."),
    ] = None
    method: Annotated[
        Annotated[str, Meta(min_length=1, max_length=32)] | None,
        Meta(description='An HTTP method such as "post"; left out it is delete.'),
    ] = None
    url: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="Where the target is told, an absolute http or https URL that may hold {uuid} and {attempt} in path "
            'and query, or begin with {url} as in "{url}/cancel"; left out it is the URL of the task.'
        ),
    ] = None
    grace: Annotated[
        Annotated[float, Meta(ge=0, le=5)] | None,
        Meta(
            description="Seconds in which the request may end by itself once the target was told: 0 to 5, 2 is usual."
        ),
    ] = None
    on_timeout: Annotated[
        bool | None,
        Meta(description="true or false (usual): whether the target is told too when a request has timed out."),
    ] = None
    between: Annotated[
        bool | None,
        Meta(
            description="true or false (usual): whether a cancel that comes between two attempts is told for the one that "
            "failed last."
        ),
    ] = None


class CancelWish(_CancelParts, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the target is told that a task was canceled. What is left out is as the queue says, else as usual."""

    headers: Annotated[
        dict[str, str] | None,
        Meta(
            description="An object of header names with their values: besides the task's, and in place of the same names."
        ),
    ] = None


class CancelChange(_CancelParts, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to be changed of that."""

    headers: Annotated[
        dict[str, str | None] | None,
        Meta(description="An object of header names with their values; null takes one away."),
    ] = None


class BackoffWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the wait grows: the n-th is a random part of `base * factor ** (n - 1)`, `max` at most."""

    base: Annotated[
        Duration | None,
        Meta(description='The longest first wait: seconds up to a day, or text such as "500ms"; 1 is usual.'),
    ] = None
    factor: Annotated[
        Annotated[float, Meta(ge=1, le=100)] | None,
        Meta(description="What each wait is multiplied by for the next one: 1 to 100; 2 is usual."),
    ] = None
    max: Annotated[
        Duration | None,
        Meta(description='The longest wait of all: seconds up to seven days, or text such as "10m"; 300 is usual.'),
    ] = None
    jitter: Annotated[
        bool | None,
        Meta(description="true (usual): anything from nothing to the wait; false: the wait itself."),
    ] = None


class RetryWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which failures lead to another attempt, how often and how soon. What is left out is as the queue says, else as usual."""

    max: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_RETRIES)] | None,
        Meta(
            description="Attempts after the first, an integer from 0 to 1000; left out there are as many as delays in backoff, "
            "else 3."
        ),
    ] = None
    backoff: Annotated[
        BackoffWish | Annotated[list[Duration], Meta(min_length=1, max_length=MAX_DELAYS)] | None,
        Meta(
            description="An object with base, factor, max and jitter; or an array of 1 to 100 delays, each in seconds or text "
            'such as "5m": the last of them stands for all that follow.'
        ),
    ] = None
    on: Annotated[
        Annotated[list[int | str], Meta(max_length=100)] | None,
        Meta(
            description='What is a failure, an array: codes such as 503, classes such as "5xx", and words of which "connect" '
            'and "timeout" stand for several; left out it is 408, 425, 429, 500, 502, 503, 504, connect and timeout.'
        ),
    ] = None
    max_elapsed: Annotated[
        Duration | None,
        Meta(
            description="No attempt begins when so much time has passed since the first one began: seconds up to 30 days, or "
            'text such as "1h".'
        ),
    ] = None


_CALLBACK_URL: Final = "An absolute http or https URL: a POST goes there when it has ended."


class _CallbackParts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    on: Annotated[
        Annotated[list[CallbackOn], Meta(min_length=1, max_length=4)] | None,
        Meta(description="Which ends are told, an array of success, error, timeout and canceled; left out it is all."),
    ] = None
    include: Annotated[
        Literal["body", "link"] | None,
        Meta(description="body: the response goes along; link (usual): only where it is."),
    ] = None
    queue: Annotated[
        QueueName | None,
        Meta(description="The queue that it is sent from; left out it is default."),
    ] = None


class CallbackWish(_CallbackParts, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where htq says that the task has ended."""

    url: Annotated[str, Meta(description=_CALLBACK_URL)]


class CallbackChange(_CallbackParts, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to be changed of a callback."""

    url: Annotated[str | None, Meta(description=_CALLBACK_URL)] = None


# --- fields that stand in several shapes ----------------------------------------------------------

HeadersField = Annotated[
    dict[str, str] | None,
    Meta(description="An object of header names with their values, each value one string."),
]
TimeoutField = Annotated[
    Bound | TimeoutWish | None,
    Meta(
        description="Seconds for the whole exchange, a number above 0 and up to 604800; or an object with connect, "
        "first_byte, idle and total."
    ),
]
PriorityField = Annotated[
    Annotated[int, Meta(ge=0, le=9)] | None,
    Meta(description="An integer from 0 to 9; 9 goes first, 5 is usual."),
]
LabelsField = Annotated[
    Annotated[
        dict[
            Annotated[str, Meta(min_length=1, max_length=63, pattern=LABEL_PATTERN)],
            Annotated[str, Meta(max_length=255, pattern=NAME_PATTERN)],
        ],
        Meta(max_length=MAX_LABELS),
    ]
    | None,
    Meta(
        description="An object of at most 32 strings up to 255 characters; names are 1 to 63 of A-Z a-z 0-9 . _ / -, "
        "beginning with a letter or digit."
    ),
]
DelayField = Annotated[
    Duration | None,
    Meta(description='Seconds to wait before it is sent: a number, or text such as "90s" or "PT90S".'),
]
RunAtField = Annotated[
    int | str | None,
    Meta(description='When to send it: epoch milliseconds, or an RFC 3339 time such as "2030-01-31T12:00:00Z".'),
]
StartByField = Annotated[
    int | str | None,
    Meta(
        description="Until when it may begin; past it, it ends in timeout and is never sent: epoch milliseconds, an RFC 3339 "
        'time, or text such as "10m" for so long from now.'
    ),
]
DeadlineField = Annotated[
    int | str | None,
    Meta(
        description="Until when it must have ended, retries and all; past it, it is canceled: epoch milliseconds, an RFC 3339 "
        'time, or text such as "1h" for so long from now.'
    ),
]
ResultTtlField = Annotated[
    Annotated[float, Meta(ge=1, le=10 * 365 * 86400)] | None,
    Meta(description="Seconds for which the finished request is kept: a number from 1 up to ten years."),
]
DeliveryField = Annotated[Delivery | None, Meta(description="at_least_once (usual) or at_most_once.")]
MaxResponseField = Annotated[
    Annotated[int, Meta(ge=1, le=1024 * 1024 * 1024)] | None,
    Meta(description="The largest response body that is taken, in bytes: an integer from 1 to 1073741824."),
]
RedirectsField = Annotated[
    Annotated[int, Meta(ge=0, le=5)] | None,
    Meta(description="How many redirects to follow: an integer from 0 (usual) to 5."),
]
CancelField = Annotated[
    CancelWish | None,
    Meta(
        description='An object such as {"delete": false}: how the target is told when this is canceled, with delete, '
        "method, url, headers, grace, on_timeout and between."
    ),
]
RetryField = Annotated[
    Annotated[int, Meta(ge=0, le=MAX_RETRIES)] | RetryWish | None,
    Meta(
        description="How often it is tried again, an integer from 0 to 1000; or an object with max, backoff, on and "
        "max_elapsed. Left out any answer is a success."
    ),
]
CallbackField = Annotated[
    Annotated[str, Meta(min_length=1)] | CallbackWish | None,
    Meta(description="Where to say that it has ended: a URL, or an object with url, on, include and queue."),
]
CostField = Annotated[
    Annotated[dict[Unit, Annotated[float, Meta(gt=0, le=1e12)]], Meta(max_length=16)] | None,
    Meta(
        description='An object of at most 16 numbers above 0, such as {"tokens": 1200}: what it costs, for rates that count '
        "units. Names are 1 to 63 of A-Z a-z 0-9 . _ / -."
    ),
]
CostFromField = Annotated[
    Annotated[dict[Unit, Annotated[str, Meta(min_length=1, max_length=255)]], Meta(max_length=16)] | None,
    Meta(
        description='Where the answer says what it has really cost, such as {"tokens": "/usage/total_tokens"}: for each unit a '
        "JSON pointer or a header's name."
    ),
]
OnConflictField = Annotated[
    OnConflict | None,
    Meta(
        description="What becomes of it where a live request has its id: cancel_previous (usual), return_existing, reject or "
        "queue_after."
    ),
]
