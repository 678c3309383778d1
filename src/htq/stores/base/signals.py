"""Hints from a store to whoever listens. Each may be lost."""

from typing import NamedTuple

from htq.stores.base.exchange import RunningCancel

__all__ = ["CancelRequested", "Gap", "GroupsCompleted", "Signal", "TaskFinished", "TasksAvailable", "ToDo"]


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


class GroupsCompleted(NamedTuple):
    """These groups are complete, by name."""

    names: tuple[str, ...]


class ToDo(NamedTuple):
    """There is something for the keepers: a callback is owed, or a time of theirs (of a schedule, a `start_by`, a `deadline`)
    may have come nearer; `at` None: at once."""

    at: int | None = None


class Gap(NamedTuple):
    """Signals may have been lost: look for yourself."""


Signal = TasksAvailable | CancelRequested | TaskFinished | GroupsCompleted | ToDo | Gap
