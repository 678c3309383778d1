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
which the other has left `pending` and its last stop is settled. One that came with `queue_after` waits longer: until the other is
final and its last stop is settled, however long that takes; where that one ends while it waits itself (it is canceled, or too
late), what waited behind it waits behind whatever it was waiting for.

*Between attempts.* A task whose last attempt ended with `Retry` is `scheduled` until its time, then `queued`, until its next claim.
"""

from htq.stores.base.bounds import BLOCKED_FOR, BODY_INLINE, CHUNK, MAX_CRASHES, STOP_LAPSES_AFTER
from htq.stores.base.contract import Store
from htq.stores.base.dispatch import (
    DueSchedules,
    Expired,
    Firing,
    Lane,
    LanePage,
    OwedCallback,
    Patch,
    Patched,
    Promoted,
    QueueSettings,
    Retried,
)
from htq.stores.base.exchange import (
    REFUSED,
    Cancel,
    Canceled,
    Claim,
    Claims,
    Done,
    Enqueued,
    EnqueueOutcome,
    Finished,
    Heartbeat,
    Interrupted,
    Outcome,
    Released,
    Retry,
    RunningCancel,
    SessionInfo,
    Stop,
    StopSettled,
)
from htq.stores.base.signals import CancelRequested, Gap, GroupsCompleted, Signal, TaskFinished, TasksAvailable, ToDo
from htq.stores.base.views import BodyRef, Filter, Page, QueueStats, Selection, StoreInfo

__all__ = [
    "BLOCKED_FOR",
    "BODY_INLINE",
    "CHUNK",
    "MAX_CRASHES",
    "REFUSED",
    "STOP_LAPSES_AFTER",
    "BodyRef",
    "Cancel",
    "CancelRequested",
    "Canceled",
    "Claim",
    "Claims",
    "Done",
    "DueSchedules",
    "EnqueueOutcome",
    "Enqueued",
    "Expired",
    "Filter",
    "Finished",
    "Firing",
    "Gap",
    "GroupsCompleted",
    "Heartbeat",
    "Interrupted",
    "Lane",
    "LanePage",
    "Outcome",
    "OwedCallback",
    "Page",
    "Patch",
    "Patched",
    "Promoted",
    "QueueSettings",
    "QueueStats",
    "Released",
    "Retried",
    "Retry",
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
    "ToDo",
]
