"""The verbs."""

from collections.abc import Callable, Sequence
from typing import Protocol

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
    Cancel,
    Claims,
    Enqueued,
    Finished,
    Heartbeat,
    Outcome,
    SessionInfo,
    Stop,
    StopSettled,
)
from htq.stores.base.signals import Signal
from htq.stores.base.views import BodyRef, Filter, Page, QueueStats, Selection, StoreInfo
from htq.words.attempt import AttemptRecord
from htq.words.callback import Callback
from htq.words.group import Group
from htq.words.limits import Hold, LaneLimits
from htq.words.schedule import Schedule
from htq.words.states import State
from htq.words.task import NewTask, Response, Task

__all__ = ["Store"]


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

    async def enqueue(self, tasks: Sequence[NewTask], *, atomic: bool = False) -> list[Enqueued]:
        """Take tasks. Durable on return, as `StoreInfo.durability` says. What may stand in a task's way is looked at in this order:

        - A uuid that is known is known again: nothing changes, and the answer is as it was. So it is looked for first.
        - With `idempotency`: a key that the tenant has used, `keep_for` not over since, is `replayed`, or a `mismatch`. What is
          refused leaves no key behind; `existing` leaves one to the task that is there.
        - With a `group`: it is made where it is missing; one that is closed takes nothing more.
        - `scheduled` if `run_at` is in the future, else `queued`.
        - With a `name`, and live tasks of the tenant that have it (their cancel not yet requested): `return_existing` and `reject`
          take nothing; `queue_after` waits behind the latest of them; with `cancel_previous` each of them is canceled in the same
          step (reason `superseded`), and the new one is blocked behind the exchange of the tenant's latest task with that name,
          live or not, if it is `pending` or one of its stops is unsettled; else behind what that one itself was blocked by, if
          that is still so. In one batch the later one wins. Any number of parallel calls leave exactly one alive.
        - `atomic`: all of the call's or none. With one refused, the answers of those that would have been taken are `untaken`.
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

    async def claim(self, session: str, seq: int, limit: int) -> Claims:
        """At most `limit` queued tasks become `pending`, `attempt` + 1, held by `session`.

        - The same `seq` as in the session's last call gives those of its claims again that are still pending at that attempt.
          `seq` starts at 1 and grows by one for each new claim.
        - Raises `SessionLost` in the same step if the lease is over.
        - Fair: queues with work take turns; inside a queue its lanes (by `key`) take turns by weight; inside a lane the order
          is by `run_at + (9 - priority) * 60 s`, then by uuid. See `docs/design/lanes.md`.
        - Nothing passes a limit, whoever claims: `concurrency` of queue and lane (of pending tasks, those that are being
          canceled too), each `Rate` of both as `htq.policy.limits` reckons it, a pause, a hold; a lane that the breaker has
          held takes one task at a time until an attempt of it was `good`. Nothing that may run is left out; but what is next is
          waited for: where its cost does not fit yet nothing behind it in its lane goes first, and nothing of its queue, if it is
          the queue's window (else dear ones would starve).
        - Each attempt is charged once: a repeat with the same `seq` charges nothing.
        - A task past its `start_by` or `deadline` is never claimed: it ends here as by `expire`.
        - No two sessions ever get the same attempt, and the cost does not grow with what is queued.
        """
        ...

    async def finish(self, session: str, outcomes: Sequence[Outcome]) -> list[Finished]:
        """End attempts. See `Outcome` for the fence and for what a cancel changes.

        A final task gets `finished_at` and is forgotten `result_ttl` later. Whatever makes a task final, here or in another
        verb, owes its callback in the same step (if `Request.callback` names that end), and completes its group. What was final
        before, and is canceled, owes no other one.
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

        After it returns no new attempt of the task can start. The first request counts: `requested_at` and `reason` are set once.

        - `scheduled`, `queued`: `canceled`, phase `waiting`, or `between_attempts` with what `Retry.between` owes; and a stop held
          by nobody for a loose attempt.
        - `pending`: stays so until its session finishes it, is shown `canceled` from now on; a stop held by its session, and one
          held by nobody for a loose attempt.
        - Final: `canceled`, phase `finished`, the response is deleted, no stop.

        A stop that is owed already (after an interruption or a timeout) becomes the cancel's own. Where the task's policy says
        that no DELETE is sent, no stop is written, and the cancel's record says `none`. A canceled final task is kept for its
        `result_ttl` from now on. A task's own `reason` is `superseded`, `deadline` or `canceled` once it is `canceled`.
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

    async def retry(self, uuids: Sequence[str]) -> list[Retried | None]:
        """Run ended tasks again, by hand: `queued`, due now, `failures` 0, the response gone; `attempt` goes on counting.

        Where a stop of it is unsettled it is blocked behind that. From now on it is the latest of its name, and has no
        `start_by`. None for an unknown uuid. A repeat finds the task alive.
        """
        ...

    async def run_now(self, uuids: Sequence[str]) -> list[State | None]:
        """`scheduled` tasks that wait for nothing but a time are due now, and queued. Answers the state after it."""
        ...

    async def patch(self, uuid: str, patch: Patch, version: int) -> Patched | None:
        """Change a task that is waiting, if its `version` is this one. A `run_at` in the future leaves it `scheduled`, one in the
        past `queued`, unless it is blocked. `started` whatever its version. None for an unknown uuid. A repeat finds the version
        another one.
        """
        ...

    async def expire(self, limit: int) -> Expired:
        """End at most `limit` tasks that are past a time of theirs, which they are from its very millisecond on.

        `start_by`, and neither pending nor begun before (`attempt` 0): `timeout`, reason `expired`. `deadline`, not final: as by
        `cancel`, with the reason `deadline` in the cancel's record and of the task.
        """
        ...

    async def put_queue(self, name: str, settings: QueueSettings) -> None:
        """Keep a queue's settings. Durable on return; the last one wins. Limits hold from the next claim on.

        What its windows and those of its lanes have spent stays spent: the same settings again change nothing.
        """
        ...

    async def pause_queue(self, name: str, until: int | None) -> None:
        """Set `paused_until` alone; None: go on."""
        ...

    async def delete_queue(self, name: str) -> bool:
        """Forget a queue's settings and those of its lanes, and let go of what is held. Its tasks stay, without limits.

        False: there were none.
        """
        ...

    async def queues(self) -> dict[str, QueueSettings]:
        """The settings of every queue that has any."""
        ...

    async def put_lane(self, queue: str, key: str, limits: LaneLimits, hold: Hold | None) -> None:
        """Set what holds for one lane, whether or not it has tasks. `hold` None lets go of what is held (the breaker too).

        One that is given takes the place of what is there, even to end it sooner.
        """
        ...

    async def lane(self, queue: str, key: str) -> Lane:
        """A lane as it stands; one that has neither tasks nor settings stands empty."""
        ...

    async def lanes(self, queue: str, held: bool, cursor: str | None, limit: int) -> LanePage:
        """A page of the lanes that have queued or running tasks, limits of their own or a hold; with `held` those that are held.

        A store looks at a bounded number of lanes a call, so a page may be short, even empty, with more behind it.
        """
        ...

    async def put_group(self, tenant: str, name: str, callback: Callback | None, *, close: bool) -> Group:
        """Make a group or change it. `callback` None leaves that as it is. `close`: no task is taken into it any more."""
        ...

    async def group(self, tenant: str, name: str) -> Group | None:
        """A group with its counts."""
        ...

    async def owed_callbacks(self, limit: int) -> list[OwedCallback]:
        """Callbacks that are to be queued, oldest first. They are owed until they are settled, to everybody who asks."""
        ...

    async def settle_callbacks(self, owed: Sequence[OwedCallback]) -> None:
        """These were queued, or can't be."""
        ...

    async def put_schedule(self, schedule: Schedule) -> Schedule:
        """Make a schedule, or put it in the place of the one with its name; as it is now, with its `revision`.

        `created_at`, `last_at` and `last_uuid` of one that is there are kept.
        """
        ...

    async def schedules(self, tenant: str) -> list[Schedule]:
        """All of them, by name."""
        ...

    async def delete_schedule(self, tenant: str, name: str) -> bool:
        """Forget a schedule; its tasks stay. False: there is none."""
        ...

    async def due_schedules(self, limit: int) -> DueSchedules:
        """Schedules that are not paused and whose `next_at` has come."""
        ...

    async def fire(self, firings: Sequence[Firing]) -> list[Enqueued | None]:
        """Take slots: the schedule goes on to `next_at`, and its task is enqueued in the same step.

        None: it does not apply any more, or no task was given. A repeat that had applied answers None.
        """
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

        A task with an unsettled stop, or whose callback is owed, is kept until that is settled. Idempotency keys go when their time
        is over; a group goes with its last task if it is closed, and no callback of its own is owed.
        """
        ...
