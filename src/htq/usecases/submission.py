"""What a caller may say of a new task: the shape that validates it, and that the reference is made from.

Each description is shown to whoever gets the field wrong, so it says what to write.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from htq.words.task import Delivery

__all__ = [
    "MAX_TOTAL_TIMEOUT",
    "NAME_PATTERN",
    "NO_DATA",
    "QUEUE_PATTERN",
    "CancelWish",
    "Submission",
    "TimeoutWish",
]

MAX_TOTAL_TIMEOUT: Final = 7 * 86400.0
NAME_PATTERN: Final = r"^[^\x00-\x1f\x7f]*\Z"
QUEUE_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z"
_LABEL_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._/-]*\Z"

NO_DATA: Final = msgspec.Raw(b"null")
"""What `data` is where it was not given: this very object."""

Bound = Annotated[float, Meta(gt=0, le=MAX_TOTAL_TIMEOUT)]


class TimeoutWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one exchange, in seconds."""

    connect: Annotated[Bound | None, Meta(description="Seconds until the connection stands, its name resolved.")] = None
    first_byte: Annotated[Bound | None, Meta(description="Seconds from the request to the answer's first byte.")] = None
    idle: Annotated[Bound | None, Meta(description="Seconds for which the answer may stand still.")] = None
    total: Annotated[Bound | None, Meta(description="Seconds for the whole exchange.")] = None


class CancelWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the target is told that a task was canceled. What is left out is as the queue says, else as usual."""

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
    headers: Annotated[
        dict[str, str] | None,
        Meta(
            description="An object of header names with their values: besides the task's, and in place of the same names."
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


class Submission(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request to be queued. Only `url` is needed; null says nothing."""

    url: Annotated[
        str,
        Meta(description="An absolute http or https URL, in a string; {uuid} in its path or query becomes the task's."),
    ]
    method: Annotated[
        Annotated[str, Meta(min_length=1, max_length=32)] | None,
        Meta(description='An HTTP method such as "get"; left out it is get, or post where there is data.'),
    ] = None
    data: Annotated[
        msgspec.Raw,
        Meta(
            description="The body: a string is sent as UTF-8, an object or array as JSON, byte for byte as it came.",
            extra_json_schema={"type": ["string", "object", "array", "null"]},
        ),
    ] = msgspec.field(default_factory=lambda: NO_DATA)
    data_base64: Annotated[str | None, Meta(description="The body as base64 (RFC 4648, 4), in place of data.")] = None
    headers: Annotated[
        dict[str, str] | None,
        Meta(description="An object of header names with their values, each value one string."),
    ] = None
    timeout: Annotated[
        Bound | TimeoutWish | None,
        Meta(
            description="Seconds for the whole exchange, a number above 0 and up to 604800; or an object with connect, "
            "first_byte, idle and total."
        ),
    ] = None
    id: Annotated[
        Annotated[str, Meta(min_length=1, max_length=255, pattern=NAME_PATTERN)] | None,
        Meta(
            description="A name of your choice, 1 to 255 characters without control characters; "
            "a newer request with the same one cancels this one, unless it has ended."
        ),
    ] = None
    queue: Annotated[
        Annotated[str, Meta(min_length=1, max_length=64, pattern=QUEUE_PATTERN)] | None,
        Meta(description="1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit; left out it is default."),
    ] = None
    key: Annotated[
        Annotated[str, Meta(min_length=1, max_length=255, pattern=NAME_PATTERN)] | None,
        Meta(description="The lane inside the queue, 1 to 255 characters; left out it is the target's origin."),
    ] = None
    priority: Annotated[
        Annotated[int, Meta(ge=0, le=9)] | None,
        Meta(description="An integer from 0 to 9; 9 goes first, 5 is usual."),
    ] = None
    labels: Annotated[
        Annotated[
            dict[
                Annotated[str, Meta(min_length=1, max_length=63, pattern=_LABEL_PATTERN)],
                Annotated[str, Meta(max_length=255, pattern=NAME_PATTERN)],
            ],
            Meta(max_length=32),
        ]
        | None,
        Meta(
            description="An object of at most 32 strings up to 255 characters; names are 1 to 63 of A-Z a-z 0-9 . _ / -, "
            "beginning with a letter or digit."
        ),
    ] = None
    delay: Annotated[
        float | str | None,
        Meta(description='Seconds to wait before it is sent: a number, or text such as "90s" or "PT90S".'),
    ] = None
    run_at: Annotated[
        int | str | None,
        Meta(description='When to send it: epoch milliseconds, or an RFC 3339 time such as "2030-01-31T12:00:00Z".'),
    ] = None
    result_ttl: Annotated[
        Annotated[float, Meta(ge=1, le=10 * 365 * 86400)] | None,
        Meta(description="Seconds for which the finished request is kept: a number from 1 up to ten years."),
    ] = None
    delivery: Annotated[Delivery | None, Meta(description="at_least_once (usual) or at_most_once.")] = None
    max_response: Annotated[
        Annotated[int, Meta(ge=1, le=1024 * 1024 * 1024)] | None,
        Meta(description="The largest response body that is taken, in bytes: an integer from 1 to 1073741824."),
    ] = None
    redirects: Annotated[
        Annotated[int, Meta(ge=0, le=5)] | None,
        Meta(description="How many redirects to follow: an integer from 0 (usual) to 5."),
    ] = None
    cancel: Annotated[
        CancelWish | None,
        Meta(
            description='An object such as {"delete": false}: how the target is told when this is canceled, with delete, '
            "method, url, headers, grace and on_timeout."
        ),
    ] = None
