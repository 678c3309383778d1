"""One verb's step inside a write transaction: what the time is, what it counts, and what is to be told afterwards."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any, TypeVar

import apsw
import msgspec

from htq.stores.base import CancelRequested, RunningCancel, Signal, TaskFinished, TasksAvailable
from htq.stores.sqlite.codec import FINAL_FROM

__all__ = ["News", "Step"]

_COUNT_LANE = """
UPDATE lanes SET
    next_at = CASE WHEN queued = 0 AND ?1 > 0
        THEN max(next_at, (SELECT door FROM queues WHERE id = lanes.queue)) ELSE next_at END,
    queued = queued + ?1, running = running + ?2, tasks = tasks + ?3
WHERE id = ?4
"""
_COUNT_QUEUE = """
UPDATE queues SET
    next_at = CASE WHEN queued = 0 AND ?2 > 0 THEN max(next_at, (SELECT door FROM turns)) ELSE next_at END,
    scheduled = scheduled + ?1, queued = queued + ?2, running = running + ?3
WHERE id = ?4
"""


class News(msgspec.Struct, array_like=True):
    """What the steps of one commit have to tell. It becomes a handful of signals here, and one datagram for others."""

    available: bool = False
    due_at: int | None = None
    cancels: dict[str, list[RunningCancel]] = {}
    """By session."""
    finished: list[str] = []

    def __bool__(self) -> bool:
        return self.available or self.due_at is not None or bool(self.cancels) or bool(self.finished)

    def due(self, at: int) -> None:
        """Something is scheduled for `at`."""
        if self.due_at is None or at < self.due_at:
            self.due_at = at

    def add(self, other: "News") -> None:
        """Take in what another step has to tell."""
        self.available |= other.available
        if other.due_at is not None:
            self.due(other.due_at)
        for session, cancels in other.cancels.items():
            self.cancels.setdefault(session, []).extend(cancels)
        self.finished += other.finished

    def signals(self) -> list[Signal]:
        signals: list[Signal] = [CancelRequested(session, tuple(found)) for session, found in self.cancels.items()]
        if self.finished:
            signals.append(TaskFinished(tuple(self.finished)))
        if self.available:
            signals.append(TasksAvailable())
        if self.due_at is not None:
            signals.append(TasksAvailable(self.due_at))
        return signals


class Step:
    """What a verb works with. Made for one call, by the writer, in its thread.

    Verbs never touch the counters of lanes and queues themselves (`claims` excepted): they say what moved, and `flush`
    writes each lane and queue once.
    """

    __slots__ = ("_moves", "boot", "db", "news", "now", "steady")

    def __init__(self, db: apsw.Connection, now: int, steady: float, boot: str) -> None:
        self.db = db
        self.now = now
        self.steady = steady
        self.boot = boot
        self.news = News()
        self._moves: dict[int, list[int]] = {}

    def move(self, queue: int, lane: int, source: int | None, target: int | None) -> None:
        """A task of `lane` went from state `source` to `target`; None: it did not exist, or is gone."""
        moves = self._moves.get(lane)
        if moves is None:
            moves = self._moves[lane] = [0, 0, 0, 0, queue]
        if source is None:
            moves[3] += 1
        elif source < FINAL_FROM:
            moves[source] -= 1
        if target is None:
            moves[3] -= 1
        elif target < FINAL_FROM:
            moves[target] += 1

    def flush(self) -> None:
        """Write the counters."""
        if not self._moves:
            return
        lanes: list[tuple[int, int, int, int]] = []
        queues: dict[int, list[int]] = {}
        for lane, (scheduled, queued, running, tasks, queue) in self._moves.items():
            if queued or running or tasks:
                lanes.append((queued, running, tasks, lane))
            total = queues.setdefault(queue, [0, 0, 0, queue])
            total[0] += scheduled
            total[1] += queued
            total[2] += running
        self._moves.clear()
        self.many(_COUNT_LANE, lanes)
        self.many(_COUNT_QUEUE, [total for total in queues.values() if any(total[:3])])

    def rows(self, sql: str, values: tuple[object, ...]) -> list[Any]:
        """All rows at once: what the caller then writes can't change what it walks over."""
        return self.db.execute(sql, values).fetchall()

    def many(self, sql: str, rows: Iterable[tuple[object, ...] | list[int]]) -> None:
        """Run one statement over many rows, one by one."""
        self.db.executemany(sql, rows)

    def insert(self, into: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Insert rows; `into` is a table with its columns in parentheses. The fewer the statements, the better (see `_PIECES`)."""
        for piece in _pieces(rows):
            self.db.execute(_insert(into, len(piece[0]), len(piece)), tuple(chain.from_iterable(piece)))

    def among(self, sql: str, keys: Sequence[object]) -> Iterator[Any]:
        """The rows of a query that ends in `IN`, over `keys`."""
        for piece in _pieces(keys):
            yield from self.db.execute(_among(sql, len(piece)), tuple(piece))

    def update(self, sql: str, values: tuple[object, ...], keys: Sequence[object]) -> None:
        """An update to the same `values` that ends in `IN`, over `keys`."""
        for piece in _pieces(keys):
            self.db.execute(_among(sql, len(piece)), (*values, *piece))


_PIECES = (64, 16, 4, 1)
"""Rows a statement. Each step of a statement gives the interpreter's lock away and has to wait until the event loop lets go of
it again: under load that costs more than the work itself. And only a statement whose text is known need not be prepared."""

_Item = TypeVar("_Item")


def _pieces(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    at = 0
    for size in _PIECES:
        while len(items) - at >= size:
            yield items[at : at + size]
            at += size


@cache
def _insert(into: str, width: int, count: int) -> str:
    row = f"({','.join('?' * width)})"
    return f"INSERT INTO {into} VALUES {','.join([row] * count)}"  # noqa: S608


@cache
def _among(sql: str, count: int) -> str:
    return f"{sql} ({','.join('?' * count)})"
