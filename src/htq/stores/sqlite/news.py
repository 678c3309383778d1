"""What the steps of one commit have to tell: a handful of signals here, and one datagram for others."""

import msgspec

from htq.stores.base import (
    CancelRequested,
    GroupsCompleted,
    RunningCancel,
    Signal,
    TaskFinished,
    TasksAvailable,
    ToDo,
)

__all__ = ["News"]


class News(msgspec.Struct, array_like=True):
    """Grows while its commit is under way, and is never changed afterwards."""

    available: bool = False
    due_at: int | None = None
    cancels: dict[str, list[RunningCancel]] = {}
    """By session."""
    finished: list[str] = []
    groups: list[str] = []
    """Complete ones, by name."""
    to_do: bool = False
    to_do_at: int | None = None

    def __bool__(self) -> bool:
        return (
            self.available
            or self.due_at is not None
            or bool(self.cancels)
            or bool(self.finished)
            or bool(self.groups)
            or self.to_do
            or self.to_do_at is not None
        )

    def due(self, at: int) -> None:
        """Something is scheduled for `at`."""
        if self.due_at is None or at < self.due_at:
            self.due_at = at

    def do_at(self, at: int) -> None:
        """There is something for the keepers at that time."""
        if self.to_do_at is None or at < self.to_do_at:
            self.to_do_at = at

    def add(self, other: "News") -> None:
        """Take in what another step has to tell."""
        self.available |= other.available
        if other.due_at is not None:
            self.due(other.due_at)
        for session, cancels in other.cancels.items():
            self.cancels.setdefault(session, []).extend(cancels)
        self.finished += other.finished
        self.groups += other.groups
        self.to_do |= other.to_do
        if other.to_do_at is not None:
            self.do_at(other.to_do_at)

    def signals(self) -> list[Signal]:
        signals: list[Signal] = [CancelRequested(session, tuple(found)) for session, found in self.cancels.items()]
        if self.finished:
            signals.append(TaskFinished(tuple(self.finished)))
        if self.groups:
            signals.append(GroupsCompleted(tuple(self.groups)))
        if self.available:
            signals.append(TasksAvailable())
        if self.due_at is not None:
            signals.append(TasksAvailable(self.due_at))
        if self.to_do:
            signals.append(ToDo())
        if self.to_do_at is not None:
            signals.append(ToDo(self.to_do_at))
        return signals
