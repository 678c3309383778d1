"""The store contract: the domain's verbs, each one atomic step, each over a batch.

What holds for every verb:

- It is one atomic step: another process sees all of it or nothing.
- It may be repeated when its outcome is unknown (the reply was lost), and then answers as the first call would have.
- It reads no clock but the store's own.
- Outcomes are per item and in the order of the items; one item's refusal never fails another.
- It answers or raises `StoreUnavailable` within 4 seconds, whatever happens to the store.
- It is correct with signals switched off: a signal is a hint, and may be lost.

The rules of each transition are in `htq.words.states`. Words used below:

*Stop.* The DELETE that is owed to a target: a row (task, attempt). It is written in the step that makes it due, and is
either held by a live session or by nobody. Whoever holds it sends it and settles it. Unsettled past `lapses_at`
(max(total timeout, 5 min) after it was written), it is settled as `lapsed` by `reap`.

*Loose attempt.* An earlier attempt of a task whose end is unknown (its worker died, or handed it back when it had been
sent): the target may still be at work on it. A cancel owes a stop for it too. `finish` with `Done` forgets it.

*Blocked.* A task may wait behind another one's exchange (a successor behind the task that it superseded; an
interrupted task behind its own stop): it is `scheduled`, due 15 s later at the latest, and is queued in the very step in
which the other has left `pending` and its last stop is settled.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from htq.words.attempt import AttemptRecord, Phase
from htq.words.reasons import Reason
from htq.words.states import State
from htq.words.task import DeleteState, Delivery, NewTask, Proof, Request, Response, StopPolicy, Task

__all__ = [
    "BLOCKED_FOR",
    "BODY_INLINE",
    "CHUNK",
    "MAX_CRASHES",
    "STOP_LAPSES_AFTER",
    "BodyRef",
    "Cancel",
    "CancelRequested",
    "Canceled",
    "Claim",
    "Done",
    "Enqueued",
    "Filter",
    "Finished",
    "Gap",
    "Heartbeat",
    "Interrupted",
    "Outcome",
    "Page",
    "Promoted",
    "QueueSettings",
    "QueueStats",
    "Released",
    "RunningCancel",
    "Selection",
    "SessionInfo",
    "Signal",
    "Stop",
    "StopSettled",
    "Store",
    "StoreInfo",
    "TaskFinished",
    "TasksAvailable",
]

BODY_INLINE = 4096
"""Bytes up to which a body lies in the record; above that it lies beside it, in chunks."""

CHUNK = 256 * 1024
"""Bytes of a stored chunk, at most."""

MAX_CRASHES = 3
"""A task that was reaped more often than this ends in `error`, reason `interrupted`."""

STOP_LAPSES_AFTER = 300.0
"""Seconds after which an unsent stop lapses, unless the task's total timeout is longer."""

BLOCKED_FOR = 15.0
"""Seconds for which a task waits behind another's exchange, at most."""


# --- enqueue --------------------------------------------------------------------------------------


class Enqueued(NamedTuple):
    """What became of one new task.

    `superseded` names the tasks that it took the place of. Their sessions hear of it as of any cancel.
    """

    uuid: str
    superseded: tuple[str, ...] = ()


# --- sessions, claims, outcomes -------------------------------------------------------------------


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


class Done(NamedTuple):
    """The task is over. A body above `CHUNK` was appended before, and `response.body` is None then.

    A smaller one travels along, and the store lays it beside the record if it is above `BODY_INLINE`.
    """

    state: Literal["success", "error", "timeout"]
    response: Response
    reason: Reason | None = None


class Released(NamedTuple):
    """Handed back: no byte had been sent, or what was sent may be sent again. Not counted as a failure."""


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

    `owes_stop`: the target may go on with what nobody waits for any more (it timed out), and is to be told: with `Done`, and
    no cancel on record, a stop is written that the finishing session holds (none in a phase in which nothing had left, or
    where the task's policy says that no DELETE is sent).
    """

    uuid: str
    attempt: int
    result: Done | Released | Interrupted | Canceled
    record: AttemptRecord
    phase: Phase
    """Where the exchange stood when it ended or was interrupted; `finished` if it ran to its end."""
    interrupted_at: int | None = None
    owes_stop: bool = False


Finished = Literal["applied", "canceled", "lost"]
"""`applied`, or `canceled` where the cancel won, or `lost`: someone else has the task, and nothing changed.
A repeated finish that had been applied answers as it did then."""


# --- cancels and stops ----------------------------------------------------------------------------


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


# --- bodies and pages -----------------------------------------------------------------------------


class BodyRef(NamedTuple):
    """A body that lies beside its record. Attempt 0 is the task itself, with side `request`."""

    uuid: str
    attempt: int
    side: Literal["request", "response"]


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks a list takes: those that match every field that is given.

    With no `statuses`: what is queued and due (the seed's `GET /`). `scheduled` is a status word here only.
    `canceled` includes a pending task whose cancel was requested; `pending` excludes it.
    """

    tenant: str = ""
    statuses: tuple[State, ...] = ()
    queue: str | None = None
    key: str | None = None
    host: str | None = None
    name: str | None = None
    labels: dict[str, str] = {}
    since: int | None = None
    """Created at or after."""
    until: int | None = None
    """Created before."""


class Page(NamedTuple):
    """Tasks, oldest first (by uuid, which is made in the order of time), and where to go on; `cursor` None: the end.

    A store looks at a bounded number of records a call, so a page may be short, even empty, with more behind it.
    """

    tasks: list[Task]
    cursor: str | None


class Selection(NamedTuple):
    """As `Page`, with the uuids alone."""

    uuids: list[str]
    cursor: str | None


class QueueSettings(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What an operator says of a queue. A store keeps it and does not look inside."""

    stop: StopPolicy | None = None
    """How the targets of its tasks are told to stop, where a task does not say; None: as the server does by default."""
    stop_delete_given: bool = True
    """Whether `stop.delete` was said of the queue; where it was not, the server's default decides over it."""


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of a queue's live tasks. They are kept, not counted."""

    name: str
    scheduled: int
    queued: int
    pending: int
    oldest_queued_at: int | None
    """When the task at the front of the line was created, as far as it is cheap to know; None if none is queued."""


class StoreInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a store is, and what its 303 means, in words for a person."""

    kind: Literal["sqlite", "redis", "postgres"]
    location: str
    """Without any password."""
    durability: str
    """A sentence: what has happened to a task when `enqueue` returns."""
    warnings: tuple[str, ...] = ()


class Promoted(NamedTuple):
    """How many scheduled tasks were queued, and when the next one is due (None: none is scheduled)."""

    promoted: int
    next_due_at: int | None


# --- signals --------------------------------------------------------------------------------------


class TasksAvailable(NamedTuple):
    """There is something to claim, at once (`due_at` None) or when it is due."""

    due_at: int | None = None


class CancelRequested(NamedTuple):
    """Cancels for the attempts of one session."""

    session: str
    cancels: tuple[RunningCancel, ...]


class TaskFinished(NamedTuple):
    """These tasks became final, or the stop of a canceled one was settled."""

    uuids: tuple[str, ...]


class Gap(NamedTuple):
    """Signals may have been lost: look for yourself."""


Signal = TasksAvailable | CancelRequested | TaskFinished | Gap


# --- the contract ---------------------------------------------------------------------------------


class Store(Protocol):
    """Where tasks live. See the module's docstring for what holds for every verb."""

    async def open(self) -> StoreInfo:
        """Connect, bring the schema up, say what this is. Raises `StoreRefused` or `StoreUnavailable`."""
        ...

    async def close(self) -> None:
        """Let go of everything: threads, descriptors, connections. May be called twice."""
        ...

    def subscribe(self, listener: Callable[[Signal], None]) -> Callable[[], None]:
        """Call `listener` on the event loop with every signal that is heard from now on; returns what ends that.

        What this very store object does is signaled to its own listeners too, without a way over the network. A listener
        returns at once and raises nothing. With signals switched off none is ever heard, not even the store object's own.
        """
        ...

    async def enqueue(self, tasks: Sequence[NewTask]) -> list[Enqueued]:
        """Take tasks. Durable on return, as `StoreInfo.durability` says.

        - A uuid that is known is known again: nothing changes, and the answer is as it was.
        - `scheduled` if `run_at` is in the future, else `queued`.
        - With a `name`: a live task of the tenant with that name, its cancel not yet requested, is canceled in the same step
          (reason `superseded`). The new one is blocked behind the exchange of the tenant's latest task with that name, live or
          not, if it is `pending` or one of its stops is unsettled; else behind what that one itself was blocked by, if that is
          still so. In one batch the later one wins. Any number of parallel
          calls leave exactly one alive.
        """
        ...

    async def open_session(self, info: SessionInfo, lease_for: float) -> str:
        """A fresh session id, leased for `lease_for` seconds. A name is never used again."""
        ...

    async def close_session(self, session: str) -> None:
        """End a session: what it still holds is treated as by `reap`, but is no crash; its stops are held by nobody."""
        ...

    async def heartbeat(self, session: str, lease_for: float) -> Heartbeat:
        """Renew the lease. Raises `SessionLost` if it is over, reaped or not."""
        ...

    async def claim(self, session: str, seq: int, limit: int) -> list[Claim]:
        """At most `limit` queued tasks become `pending`, `attempt` + 1, held by `session`.

        - The same `seq` as in the session's last call gives those of its claims again that are still pending at that attempt.
          `seq` starts at 1 and grows by one for each new claim.
        - Raises `SessionLost` in the same step if the lease is over.
        - Fair: queues with work take turns; inside a queue its lanes (by `key`) take turns; inside a lane the order is by
          `run_at + (9 - priority) * 60 s`, then by uuid. See `docs/design/lanes.md`.
        - No two sessions ever get the same attempt, and the cost does not grow with what is queued.
        """
        ...

    async def finish(self, session: str, outcomes: Sequence[Outcome]) -> list[Finished]:
        """End attempts. See `Outcome` for the fence and for what a cancel changes.

        A final task gets `finished_at` and is forgotten `result_ttl` later.
        """
        ...

    async def append_body(self, ref: BodyRef, index: int, chunks: Sequence[bytes]) -> bool:
        """Lay chunks beside a pending task: chunk numbers `index`, `index + 1`, ….

        Each is at most `CHUNK` bytes. False, and nothing is written, if the task is not pending at that attempt any more.
        """
        ...

    async def read_body(self, ref: BodyRef, index: int, limit: int) -> list[bytes]:
        """At most `limit` chunks from number `index` on. Empty at the end, and where there is no such body."""
        ...

    async def cancel(self, cancels: Sequence[Cancel]) -> list[State | None]:
        """Cancel tasks; answers the state after it, None for an unknown uuid.

        After it returns no new attempt of the task can start. The first request counts: `requested_at` and `reason` are set
        once. `scheduled`, `queued`: `canceled`, phase `waiting`, and a stop held by nobody for a loose attempt. `pending`: stays
        so until its session finishes it, is shown `canceled` from now on; a stop held by its session, and one held by
        nobody for a loose attempt. Final: `canceled`, phase `finished`, the response is deleted, no stop. One that is owed
        already (after an interruption or a timeout) becomes the cancel's own. Where the task's
        policy says that no DELETE is sent, no stop is written, and the cancel's record says `none`.
        A canceled final task is kept for its `result_ttl` from now on. A task's own `reason` is `superseded` or `canceled` once
        it is `canceled`.
        """
        ...

    async def claim_stops(self, session: str, seq: int, limit: int) -> list[Stop]:
        """At most `limit` stops that nobody holds are held by `session` from now on. `seq` works as in `claim`, apart from it."""
        ...

    async def settle_stops(self, session: str, settled: Sequence[StopSettled]) -> list[bool]:
        """Put what came of stops on record. False: it is settled already or `session` does not hold it; nothing changed.

        A repeated settling that had been applied answers True again.
        """
        ...

    async def get(self, uuids: Sequence[str]) -> list[Task | None]:
        """Tasks as they stand."""
        ...

    async def states(self, uuids: Sequence[str]) -> list[tuple[State, bool] | None]:
        """The light form of `get`: (state, cancel requested)."""
        ...

    async def responses(self, uuids: Sequence[str]) -> list[Response | None]:
        """Responses of final tasks; None where there is none (yet, or any more)."""
        ...

    async def attempts(self, uuid: str) -> list[AttemptRecord]:
        """All attempts of a task, first to last, with one that is under way and those whose worker died.

        Each with what came of its stop, if one was written for it.
        """
        ...

    async def list_tasks(self, where: Filter, cursor: str | None, limit: int) -> Page:
        """A page of tasks after `cursor`. With large bodies left beside."""
        ...

    async def select(self, where: Filter, cursor: str | None, limit: int) -> Selection:
        """The uuids that `list_tasks` would give, without reading the tasks: for what is done to many of them."""
        ...

    async def put_queue(self, name: str, settings: QueueSettings) -> None:
        """Keep a queue's settings. Durable on return; the last one wins."""
        ...

    async def queues(self) -> dict[str, QueueSettings]:
        """The settings of every queue that has any."""
        ...

    async def stats(self) -> list[QueueStats]:
        """Every queue that has live tasks, by name."""
        ...

    async def delete_response(self, uuids: Sequence[str]) -> list[bool]:
        """Delete responses with their bodies. False where there is none. The task stays as it is.

        The one verb whose repeat answers otherwise: what the first call deleted is not there any more.
        """
        ...

    async def promote(self, limit: int) -> Promoted:
        """Queue at most `limit` scheduled tasks that are due. Any process may do it at any time."""
        ...

    async def reap(self, limit: int) -> int:
        """End sessions whose lease is over, and what they hold by the table, at most `limit` tasks; how many there were.

        Their stops are held by nobody from now on. Stops past `lapses_at` are settled as `lapsed`, at most `limit`.
        """
        ...

    async def forget(self, limit: int) -> int:
        """Remove at most `limit` final tasks past their retention, with everything of theirs; how many there were.

        A task with an unsettled stop is kept until that is settled.
        """
        ...
