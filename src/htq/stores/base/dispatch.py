"""What decides when a task goes out: settings of queues and lanes, changes by hand, times, schedules, callbacks."""

from typing import Literal, NamedTuple

import msgspec

from htq.words.limits import Breaker, HoldReason, LaneLimits, Rate
from htq.words.schedule import Schedule
from htq.words.task import NewTask, Request, StopPolicy

__all__ = [
    "DueSchedules",
    "Expired",
    "Firing",
    "Lane",
    "LanePage",
    "OwedCallback",
    "Patch",
    "Patched",
    "Promoted",
    "QueueSettings",
    "Retried",
]


class Promoted(NamedTuple):
    """How many scheduled tasks were queued, and when the next one is due (None: none is scheduled, but for such as wait for
    another one's end however long it takes)."""

    promoted: int
    next_due_at: int | None


class QueueSettings(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What an operator says of a queue. A store looks at the limits, and keeps the rest."""

    stop: StopPolicy | None = None
    """How the targets of its tasks are told to stop, where a task does not say; None: as the server does by default."""
    stop_delete_given: bool = True
    """Whether `stop.delete` was said of the queue; where it was not, the server's default decides over it."""
    defaults: bytes = b""
    """JSON: the other fields of tasks that it says, as its operator gave them."""
    concurrency: int | None = None
    """Tasks of the queue that are pending, at most."""
    rate: tuple[Rate, ...] = ()
    per_key: LaneLimits = LaneLimits()
    """For each lane of the queue that says nothing else."""
    breaker: Breaker | None = None
    """For each of its lanes; None: failures hold nothing."""
    paused_until: int | None = None
    """Nothing of the queue starts before; None: it is not paused."""


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """A lane as it stands."""

    queue: str
    key: str
    queued: int
    running: int
    limits: LaneLimits
    """Its own, in place of what the queue says of each."""
    held_until: int | None
    """None: it is not held (any more)."""
    hold_reason: HoldReason | None
    failures: int
    """In a row, as the breaker counts them."""


class LanePage(NamedTuple):
    """Lanes, in an order of the store's own, and where to go on; `cursor` None: the end."""

    lanes: list[Lane]
    cursor: str | None


class Patch(msgspec.Struct, frozen=True, kw_only=True):
    """What takes the place of these parts of a task. Its lane, its body and its name stay."""

    request: Request
    priority: int
    labels: dict[str, str]
    run_at: int
    start_by: int | None
    deadline: int | None
    result_ttl: float


Patched = Literal["patched", "stale", "started"]
"""`stale`: its version is another one by now. `started`: it is not `scheduled` or `queued`. Nothing changed in either."""

Retried = Literal["queued", "live", "canceled", "named"]
"""`queued`: it will run again. Else nothing changed: it is alive, or was canceled (is being canceled too), or a live task has its
name (one that is being canceled too: its exchange is not over)."""


class Expired(NamedTuple):
    """How many tasks were past their `start_by` or `deadline`, and when the next one will be (None: none will)."""

    expired: int
    next_at: int | None


class OwedCallback(NamedTuple):
    """A task or a group has ended, and its callback is to be queued."""

    kind: Literal["task", "group"]
    tenant: str
    subject: str
    """The task's uuid, or the group's name."""
    number: int
    """The attempt at which the task ended; 0 for a group."""
    at: int
    """When it ended."""


class DueSchedules(NamedTuple):
    """Schedules whose slot has come, and when the next one of the others comes (None: none does)."""

    due: list[Schedule]
    next_at: int | None
    now: int
    """The store's time: how late they are is reckoned by it, and not by the clock of whoever asks."""


class Firing(NamedTuple):
    """A slot of a schedule is carried out: applies only if the schedule has this revision and its `next_at` is `slot`."""

    tenant: str
    name: str
    revision: int
    slot: int
    last_at: int
    """The last slot that this one stands for: `slot` itself, or a later one where several were missed."""
    next_at: int | None
    task: NewTask | None
    """None: the slot is passed over."""
