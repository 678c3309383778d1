"""One verb's step inside a write transaction: what the time is, what it counts, and what is to be told afterwards."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any, TypeVar

import apsw

from htq.stores.sqlite.counters import Counters, look_at_queue
from htq.stores.sqlite.news import News

__all__ = ["Step"]


class Step:
    """What a verb works with. Made for one call, by the writer, in its thread.

    Verbs never touch the counters of lanes, queues and groups themselves (`claims` excepted): they say what moved, and `flush`
    writes each of them once.
    """

    __slots__ = ("_breakers", "_counters", "boot", "db", "move", "news", "now", "steady")

    def __init__(self, db: apsw.Connection, now: int, steady: float, boot: str) -> None:
        self.db = db
        self.now = now
        self.steady = steady
        self.boot = boot
        self.news = News()
        self._counters = Counters()
        self.move = self._counters.move
        self._breakers: dict[int, bytes | None] = {}

    @property
    def now_us(self) -> int:
        return self.now * 1000

    def move_in_group(self, group: int | None, source: int | None, target: int | None) -> None:
        """As `move`, for the group of a task that has one."""
        if group is not None:
            self._counters.move_in_group(group, source, target)

    def look_at_group(self, group: int) -> None:
        """A group was closed: it may be complete."""
        self._counters.look_at_group(group)

    def look_at_queue(self, queue: int) -> None:
        """A lane of it, or what it says itself, has changed by something else than a task that moved."""
        self.flush()
        look_at_queue(self.db, self.now, queue)

    def look_at_line(self, queue: int, lane: int) -> None:
        """The order of a lane's tasks has changed: where it is the cost of the first that is waited for, look again."""
        sql = "UPDATE lanes SET stuck = 0, next_at = (SELECT door FROM queues WHERE id = lanes.queue) WHERE id = ? AND stuck"
        self.db.execute(sql, (lane,))
        self.db.execute("UPDATE queues SET stuck = 0, opens_at = paused_until * 1000 WHERE id = ? AND stuck", (queue,))
        self.look_at_queue(queue)

    def breaker_of(self, queue: int) -> bytes | None:
        """What is said of a queue's breaker; asked for once, since every attempt that ends wants to know."""
        if queue not in self._breakers:
            self._breakers[queue] = self.db.execute("SELECT breaker FROM queues WHERE id = ?", (queue,)).get
        return self._breakers[queue]

    def flush(self) -> None:
        """Write the counters."""
        self._counters.flush(self.db, self.now, self.news)

    def fork(self) -> "Step":
        """A step of the same moment, with counters and news of its own."""
        return Step(self.db, self.now, self.steady, self.boot)

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
