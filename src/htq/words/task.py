"""A task: what to do, where it stands, and what came of it.

Records are frozen. A store verb touches only its own fields; nobody ever writes a whole record back.
Points in time end in `_at` and are epoch milliseconds; durations are seconds unless their name says otherwise.
"""

from typing import Literal

import msgspec

from htq.words.attempt import Phase
from htq.words.callback import Callback
from htq.words.reasons import Reason
from htq.words.retry import RetryPolicy
from htq.words.states import State, Status, status_of
from htq.words.stop import DeleteRecord, DeleteState, Proof

__all__ = [
    "BodyKind",
    "CancelRecord",
    "DeleteRecord",
    "DeleteState",
    "Delivery",
    "Headers",
    "Idempotency",
    "NewTask",
    "OnConflict",
    "Proof",
    "Request",
    "Response",
    "StopPolicy",
    "Task",
    "Timeouts",
]

Headers = tuple[tuple[str, str], ...]
"""Header fields in order, with case and duplicates; each value is the field's bytes read as latin-1."""

BodyKind = Literal["none", "text", "json", "bytes"]
"""How the caller gave the body: not at all, as a string, as an object or array, or as `data_base64`."""

Delivery = Literal["at_least_once", "at_most_once"]

OnConflict = Literal["cancel_previous", "return_existing", "reject", "queue_after"]
"""What to do where a live task has the same `id`: cancel that one (the seed's); take that one in its place; refuse; wait until
that one has ended."""


class Timeouts(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bounds of one exchange, in seconds. `total` bounds all of it, name resolution included."""

    total: float = 60.0
    connect: float | None = None
    first_byte: float | None = None
    idle: float | None = None


class StopPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the target is told to stop. Resolved when the task is accepted, and stored with it."""

    delete: bool = True
    """Whether it is told at all."""
    method: str = "DELETE"
    url: str | None = None
    """A template (`htq.policy.stopping`); None: the task's own URL, or what the target named."""
    headers: Headers = ()
    """Besides those of the task, and in place of those with the same names."""
    grace: float = 2.0
    """Seconds from its first byte in which the request may end by itself."""
    on_timeout: bool = False
    """Whether an attempt that timed out is followed by it too."""
    between: bool = False
    """Whether a cancel between two attempts is followed by it, for the attempt that failed last."""


class Request(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The request as its caller gave it. The body travels beside it."""

    url: str
    method: str
    headers: Headers = ()
    body_kind: BodyKind = "none"
    timeouts: Timeouts = Timeouts()
    timeout_given: bool = False
    """Whether `timeouts` came as an object, and is shown as one."""
    redirects: int = 0
    max_response: int = 64 * 1024 * 1024
    """Bytes of the response's body, as it comes over the wire."""
    stop: StopPolicy = StopPolicy()
    retry: RetryPolicy | None = None
    """None: no attempt that reached its end is followed by another, and any answer is a `success` (the seed)."""
    cost_from: dict[str, str] = {}
    """By unit, where the answer says what the task has really cost: a JSON pointer (it begins with `/`) or a header's name."""
    callback: Callback | None = None
    signed: bool = False
    """Whether each attempt is signed as Standard Webhooks say: callbacks are."""


class Idempotency(msgspec.Struct, frozen=True):
    """The caller's `Idempotency-Key`: the same key with the same request is the same task."""

    key: str
    fingerprint: bytes
    """A digest of the request that it came with."""
    keep_for: float
    """Seconds for which the key is known."""


class NewTask(msgspec.Struct, frozen=True, kw_only=True):
    """What `enqueue` takes: a task with all its defaults resolved."""

    uuid: str
    request: Request
    body: bytes = b""
    tenant: str = ""
    owner: str = ""
    name: str | None = None
    """The seed's `id`: a newer task with the same name supersedes this one. Unique among the tenant's live tasks."""
    queue: str = "default"
    key: str
    """The lane inside the queue; by default the target's origin."""
    host: str
    """The target's host, for filters."""
    priority: int = 5
    """0 to 9; 9 goes first."""
    labels: dict[str, str] = {}
    run_at: int | None = None
    """Not before this time; None: at once."""
    delivery: Delivery = "at_least_once"
    result_ttl: float = 7 * 86400.0
    """Seconds for which the final task is kept."""
    start_by: int | None = None
    """Past this time it is not begun any more: it ends in `timeout`, reason `expired`."""
    deadline: int | None = None
    """Past this time it is canceled, reason `deadline`, wherever it stands."""
    cost: dict[str, float] = {}
    """Units by name, for limits that count units."""
    group: str | None = None
    on_conflict: OnConflict = "cancel_previous"
    """What becomes of it where a live task of the tenant has its `name`."""
    idempotency: Idempotency | None = None


class Response(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What came of a task: the target's response, or why there is none (`code` is None then, and `message` says why).

    Where the retry policy takes a response for a failure, `message` says so, and why no other attempt followed.

    `body` holds the body where it is small enough to travel along, and is None where it lies beside (then
    `Store.read_body` gives its `body_size` bytes). A body is what came over the wire, never inflated.
    """

    time: int
    """When it was received, or when the exchange failed."""
    elapsed_ms: float | None = None
    message: str | None = None
    code: int | None = None
    phrase: str = ""
    headers: Headers = ()
    body_size: int = 0
    body: bytes | None = b""


class CancelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a cancel met and what came of it. `phase` and `interrupted_at` are None until the worker has said."""

    requested_at: int
    reason: str | None = None
    phase: Phase | None = None
    interrupted_at: int | None = None
    delete: DeleteRecord = DeleteRecord()
    proof: Proof = "none"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task as a store shows it."""

    uuid: str
    request: Request
    body: bytes | None
    """The request's body where it is small; None: `Store.read_body` has its `body_size` bytes."""
    body_size: int
    tenant: str
    owner: str
    name: str | None
    queue: str
    key: str
    host: str
    priority: int
    labels: dict[str, str]
    delivery: Delivery
    result_ttl: float
    start_by: int | None = None
    deadline: int | None = None
    cost: dict[str, float] = {}
    group: str | None = None
    state: State
    reason: Reason | None
    version: int
    """Grows with every change of the record: the ETag."""
    created_at: int
    run_at: int
    finished_at: int | None
    attempt: int
    """Attempts begun. It only grows, and is the fence of every finish."""
    failures: int
    """Attempts that failed and led to another: what its retry policy counts. A retry by hand begins anew."""
    crashes: int
    has_response: bool
    cancel: CancelRecord | None

    @property
    def status(self) -> Status:
        """The seed's word for where the task stands."""
        return status_of(self.state, self.cancel is not None)

    @property
    def is_settled(self) -> bool:
        """Whether nothing more will happen to the task by itself: it is final, and no DELETE of it is owed."""
        final = self.state in ("success", "error", "timeout", "canceled")
        return final and (self.cancel is None or self.cancel.delete.state != "owed")
