"""What a caller may say of a new task: the shape that validates it, and that the reference is made from.

Each description is shown to whoever gets the field wrong, so it says what to write.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from htq.usecases.wishes import (
    NAME_PATTERN,
    CallbackField,
    CancelField,
    CostField,
    CostFromField,
    DeadlineField,
    DelayField,
    DeliveryField,
    Duration,
    GroupName,
    HeadersField,
    LabelsField,
    MaxResponseField,
    OnConflictField,
    PriorityField,
    QueueName,
    RedirectsField,
    ResultTtlField,
    RetryField,
    RunAtField,
    StartByField,
    TimeoutField,
)

__all__ = ["NO_DATA", "Submission"]

NO_DATA: Final = msgspec.Raw(b"null")
"""What `data` is where it was not given: this very object."""


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
    headers: HeadersField = None
    timeout: TimeoutField = None
    id: Annotated[
        Annotated[str, Meta(min_length=1, max_length=255, pattern=NAME_PATTERN)] | None,
        Meta(
            description="A name of your choice, 1 to 255 characters without control characters; "
            "a newer request with the same one cancels this one, unless it has ended."
        ),
    ] = None
    on_conflict: OnConflictField = None
    queue: Annotated[
        QueueName | None,
        Meta(description="1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit; left out it is default."),
    ] = None
    key: Annotated[
        Annotated[str, Meta(min_length=1, max_length=255, pattern=NAME_PATTERN)] | None,
        Meta(description="The lane inside the queue, 1 to 255 characters; left out it is the target's origin."),
    ] = None
    group: Annotated[
        GroupName | None,
        Meta(
            description="The group that it is counted, awaited and canceled with: 1 to 128 of A-Z a-z 0-9 . _ : -, beginning "
            "with a letter or digit."
        ),
    ] = None
    priority: PriorityField = None
    labels: LabelsField = None
    cost: CostField = None
    cost_from: CostFromField = None
    delay: DelayField = None
    run_at: RunAtField = None
    debounce: Annotated[
        Duration | None,
        Meta(
            description='Seconds of quiet before it is sent, or text such as "5s": each newer request with its id takes its '
            "place and waits anew. It needs an id."
        ),
    ] = None
    start_by: StartByField = None
    deadline: DeadlineField = None
    retry: RetryField = None
    delivery: DeliveryField = None
    result_ttl: ResultTtlField = None
    max_response: MaxResponseField = None
    redirects: RedirectsField = None
    cancel: CancelField = None
    callback: CallbackField = None
