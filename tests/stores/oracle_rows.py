"""What the oracle keeps of a task and what surrounds it, what of a task is compared, and how a change is judged by the table."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from htq.stores.base import Finished, StopSettled
from htq.words.states import FINAL, STATES, TRANSITIONS, State
from htq.words.task import DeleteState, NewTask, Task

__all__ = ["GroupRow", "KeyRow", "SessionRow", "StopRow", "TaskRow", "View", "is_row", "leads", "view_of"]

_AGEING_MS = 60_000


class View(NamedTuple):
    """What of a task is compared. `delete` None: several stops with different ends, any of which may speak."""

    state: State
    reason: str | None
    attempt: int
    failures: int
    crashes: int
    run_at: int
    has_response: bool
    cancel_reason: str | None
    phase: str | None
    delete: DeleteState | None
    is_settled: bool


def view_of(task: Task) -> View:
    """The compared part of a task as the store shows it."""
    cancel = task.cancel
    return View(
        task.state,
        task.reason,
        task.attempt,
        task.failures,
        task.crashes,
        task.run_at,
        task.has_response,
        cancel.reason if cancel else None,
        cancel.phase if cancel else None,
        cancel.delete.state if cancel else None,
        task.is_settled,
    )


def is_row(verbs: Iterable[str], source: State | None, target: State | None) -> bool:
    """Whether one of `verbs` may take a task from `source` to `target` (None: it is not there), by the table."""
    return any(
        row.verb in verbs
        and (source in row.sources if source is not None else not row.sources)
        and (target in row.targets or target == row.canceled_to if target is not None else not row.targets)
        for row in TRANSITIONS
    )


def leads(verbs: Iterable[str], source: State, target: State) -> bool:
    """Whether rows of `verbs` may take a task from `source` to `target`, one after the other in a single step of a store."""
    reached: set[State] = set()
    front = {source}
    while front:
        reached |= front
        front = {state for state in STATES if any(is_row(verbs, before, state) for before in front)} - reached
    return target in reached


class StopRow(msgspec.Struct):
    lapses_at: int
    of_cancel: bool
    holder: str | None = None
    seq: int = 0
    state: DeleteState = "owed"
    settled: StopSettled | None = None


class SessionRow(msgspec.Struct):
    expires_at: int
    seq: int = 0
    stops_seq: int = 0


class KeyRow(NamedTuple):
    """An idempotency key that is known."""

    fingerprint: bytes
    uuid: str
    until: int


class GroupRow(msgspec.Struct):
    is_closed: bool = False
    completed_at: int | None = None
    has_callback: bool = False


class TaskRow(msgspec.Struct):
    new: NewTask
    state: State
    run_at: int
    rank: int
    """The latest of its name has the highest."""
    priority: int
    due_at: int = 0
    blocked_until: int = 0
    blocked_by: str | None = None
    waits_for_end: bool = False
    """What it is blocked by has to end, however long it takes."""
    superseded: tuple[str, ...] = ()
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    begun_at: int | None = None
    start_by: int | None = None
    deadline: int | None = None
    between: bool = False
    """Its last attempt ended with `Retry`, and none was claimed since."""
    between_owes: int | None = None
    """The attempt that is owed a stop if it is canceled so."""
    session: str | None = None
    seq: int = 0
    loose: set[int] = set()
    stops: dict[int, StopRow] = {}
    answers: dict[tuple[int, str], Finished] = {}
    reason: str | None = None
    canceled: bool = False
    cancel_reason: str | None = None
    phase: str | None = None
    has_response: bool = False
    expires_at: int = 0

    @property
    def is_to_begin(self) -> bool:
        """Whether its `start_by` means anything."""
        return self.state != "pending" and self.attempt == 0 and self.start_by is not None

    @property
    def owes(self) -> bool:
        return any(stop.state == "owed" for stop in self.stops.values())

    @property
    def order(self) -> tuple[int, str]:
        return self.run_at + (9 - self.priority) * _AGEING_MS, self.new.uuid

    @property
    def view(self) -> View:
        ends = {stop.state for stop in self.stops.values() if stop.of_cancel}
        delete: DeleteState | None = None
        if self.canceled:
            delete = "owed" if "owed" in ends else "none" if not ends else ends.pop() if len(ends) == 1 else None
        return View(
            self.state,
            self.reason,
            self.attempt,
            self.failures,
            self.crashes,
            self.run_at,
            self.has_response,
            self.cancel_reason,
            self.phase,
            delete,
            self.state in FINAL and delete != "owed",
        )
