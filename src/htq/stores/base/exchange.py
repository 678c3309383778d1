"""What goes in and out of the verbs of a task's way: taken, claimed, finished, canceled, stopped."""

from typing import Literal, NamedTuple

import msgspec

from htq.words.attempt import AttemptRecord, Phase
from htq.words.limits import Health, Hold
from htq.words.reasons import Reason
from htq.words.task import DeleteState, Delivery, Proof, Request, Response

__all__ = [
    "REFUSED",
    "Cancel",
    "Canceled",
    "Claim",
    "Claims",
    "Done",
    "EnqueueOutcome",
    "Enqueued",
    "Finished",
    "Heartbeat",
    "Interrupted",
    "Outcome",
    "Released",
    "Retry",
    "RunningCancel",
    "SessionInfo",
    "Stop",
    "StopSettled",
]

EnqueueOutcome = Literal["created", "existing", "replayed", "mismatch", "rejected", "closed", "untaken"]
"""`created`: it is there. `existing`: a live task has its name, and it was to be taken in its place. `replayed`: its idempotency
key is known with this fingerprint. Refused are: `mismatch`, the key is known with another one; `rejected`, a live task has its
name; `closed`, its group is. `untaken`: another one of an atomic call was refused."""

REFUSED: frozenset[EnqueueOutcome] = frozenset({"mismatch", "rejected", "closed", "untaken"})


class Enqueued(NamedTuple):
    """What became of one new task.

    `superseded` names the tasks that it took the place of. Their sessions hear of it as of any cancel.
    """

    uuid: str
    """Its own; that of the task in its place where it is `existing`, `replayed`, `mismatch` or `rejected`: of the latest one, where
    several live tasks have its name."""
    superseded: tuple[str, ...] = ()
    outcome: EnqueueOutcome = "created"


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who a worker is: for people to look at."""

    host: str
    pid: int
    threads: int
    version: str


class RunningCancel(NamedTuple):
    """A cancel of an attempt that a session has on the wire. `stop` tells whether a stop was written for it."""

    uuid: str
    attempt: int
    reason: str | None
    stop: bool


class Heartbeat(NamedTuple):
    """What the store tells a session that renewed its lease: every cancel that it has not finished yet."""

    cancels: list[RunningCancel]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The right to make one attempt. `body` is None where `Store.read_body` must be asked for its `body_size` bytes."""

    uuid: str
    attempt: int
    claimed_at: int
    request: Request
    body: bytes | None
    body_size: int
    delivery: Delivery
    failures: int = 0
    """Attempts that ended with `Retry` before this one."""
    begun_at: int = 0
    """When the first attempt began, or the first one after a retry by hand."""


class Claims(NamedTuple):
    """What a claim gave, and when to look again.

    `again_at`: when the first lane that has queued tasks, and waits for nothing but a time (a rate, a hold, a pause), will be
    ready. None: none waits so. It may be early, and lies in the future; what happens meanwhile (a finish, a new task, another
    setting) is signaled.
    """

    claims: list[Claim]
    again_at: int | None = None


class Done(NamedTuple):
    """The task is over. A body above `CHUNK` was appended before, and `response.body` is None then.

    A smaller one travels along, and the store lays it beside the record if it is above `BODY_INLINE`.
    """

    state: Literal["success", "error", "timeout"]
    response: Response
    reason: Reason | None = None


class Released(NamedTuple):
    """Handed back: no byte had been sent, or what was sent may be sent again. Not counted as a failure."""


class Retry(NamedTuple):
    """The attempt failed, and the task's policy allows another one, at `due_at`: `failures` + 1.

    With `owes_stop` the task is blocked behind its own stop besides. With `between` a cancel that comes before the next claim owes
    a stop for this attempt, held by nobody (none in a phase in which nothing had left).
    """

    due_at: int
    between: bool = False


class Interrupted(NamedTuple):
    """Handed back in a graceful stop: the request had been sent.

    A stop is owed (unless the task's policy says none is), held by the finishing session; the next attempt waits behind it.
    An at-most-once task ends in `error`, reason `interrupted`.
    """


class Canceled(NamedTuple):
    """The attempt of a task whose cancel was requested, ended because of it. Where no cancel is on record: as `Released`."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended: applies only to `pending` at this very attempt and session (the fence).

    If a cancel is on record the task goes to `canceled`, whatever `result` says, and its response is not kept; `phase` and
    `interrupted_at` go into the cancel's record. Then a phase in which nothing had left, or `finished` (the exchange was
    over before the cancel was heard), settles the attempt's stop as `none`.

    `owes_stop`: the target may go on with what nobody waits for any more (it timed out), and is to be told: with `Done` or
    `Retry`, and no cancel on record, a stop is written that the finishing session holds (none in a phase in which nothing had
    left, or where the task's policy says that no DELETE is sent).
    """

    uuid: str
    attempt: int
    result: Done | Retry | Released | Interrupted | Canceled
    record: AttemptRecord
    phase: Phase
    """Where the exchange stood when it ended or was interrupted; `finished` if it ran to its end."""
    interrupted_at: int | None = None
    owes_stop: bool = False
    hold: Hold | None = None
    """For the task's lane, cancel or not, unless this outcome is lost. A hold never makes one that is there end sooner."""
    health: Health | None = None
    """For the breaker of the task's lane, under the same condition; None says nothing."""
    costs: dict[str, float] | None = None
    """What the attempt has really cost, by unit, finite and not negative: for the windows of queue and lane that count these
    units, under the same condition (`htq.policy.limits.correct`)."""


Finished = Literal["applied", "canceled", "lost"]
"""`applied`, or `canceled` where the cancel won, or `lost`: someone else has the task, and nothing changed.
A repeated finish that had been applied answers as it did then."""


class Cancel(NamedTuple):
    """One wish to cancel. `reason` is the caller's own text."""

    uuid: str
    reason: str | None = None


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """A DELETE to be sent by whoever holds it."""

    uuid: str
    attempt: int
    request: Request
    tries: int
    lapses_at: int


class StopSettled(NamedTuple):
    """What came of a stop."""

    uuid: str
    attempt: int
    state: DeleteState
    code: int | None = None
    tries: int = 0
    elapsed_ms: float | None = None
    proof: Proof = "none"
