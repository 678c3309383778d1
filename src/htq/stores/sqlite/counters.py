"""The counters of lanes, queues and groups: verbs say what moved, and each is written once."""

from collections.abc import Iterable
from typing import Any

import apsw

from htq.stores.sqlite.codec import FINAL_FROM
from htq.stores.sqlite.news import News
from htq.stores.sqlite.schema import PARKED
from htq.words.states import STATES

__all__ = ["Counters", "look_at_queue"]

# A lane that fills comes in at its queue's door. One that waits for the cost of its first task is looked at again, since
# another one may be the first now.
_COUNT_LANE = """
UPDATE lanes SET
    next_at = CASE WHEN stuck AND ?1 <> 0 THEN (SELECT door FROM queues WHERE id = lanes.queue)
        WHEN queued = 0 AND ?1 > 0 THEN max(next_at, (SELECT door FROM queues WHERE id = lanes.queue))
        ELSE next_at END,
    queued = queued + ?1, running = running + ?2, tasks = tasks + ?3
WHERE id = ?4
"""
# When there may be something to take from a queue: its own limits, its turn, and the first of its lanes that waits for no
# more than a time. With none such it is out of reach until a lane of it has moved.
_LOOK = f"""
max(opens_at, (SELECT door FROM turns), coalesce((
    SELECT iif(l.next_at <= max(?1, queues.tick), 0, l.next_at) FROM lanes l
    WHERE l.queue = queues.id AND l.queued > 0 AND l.running < l.cap ORDER BY l.next_at LIMIT 1), {PARKED}))
"""  # noqa: S608
_LOOK_AT_QUEUE = f"UPDATE queues SET next_at = {_LOOK} WHERE id = ?2"  # noqa: S608
_COUNT_QUEUE = f"""
UPDATE queues SET
    next_at = CASE WHEN next_at > max(?1, (SELECT tick FROM turns)) THEN {_LOOK}
        WHEN queued = 0 AND ?3 > 0 THEN max(next_at, (SELECT door FROM turns)) ELSE next_at END,
    scheduled = scheduled + ?2, queued = queued + ?3, running = running + ?4
WHERE id = ?5
"""  # noqa: S608
_IS_SHUT = """
SELECT 1 FROM queues WHERE id = ?2 AND queued > 0 AND (running >= cap OR next_at > max(?1, (SELECT tick FROM turns)))
"""
# Another task may be the next one now, and cost less.
_UNSTICK = "UPDATE queues SET stuck = 0, opens_at = paused_until * 1000 WHERE id = ? AND stuck"
_COUNT_GROUP = f"""
UPDATE groups SET {", ".join(f"{state} = {state} + ?" for state in STATES)}, tasks = tasks + ? WHERE id = ?
"""  # noqa: S608
_COMPLETE = """
UPDATE groups SET completed_at = ?
WHERE id = ? AND closed_at IS NOT NULL AND completed_at IS NULL AND scheduled + queued + pending = 0
RETURNING name, callback IS NOT NULL
"""


def look_at_queue(db: apsw.Connection, now: int, queue: int) -> None:
    """Place a queue anew, after something else than its counters has changed."""
    db.execute(_LOOK_AT_QUEUE, (now * 1000, queue))


class Counters:
    """What has moved in one step and is not written yet."""

    __slots__ = ("_groups", "_lanes")

    def __init__(self) -> None:
        self._lanes: dict[int, list[int]] = {}
        self._groups: dict[int, list[int]] = {}

    def move(self, queue: int, lane: int, source: int | None, target: int | None) -> None:
        """A task of `lane` went from state `source` to `target`; None: it did not exist, or is gone."""
        moves = self._lanes.get(lane)
        if moves is None:
            moves = self._lanes[lane] = [0, 0, 0, 0, queue]
        if source is None:
            moves[3] += 1
        elif source < FINAL_FROM:
            moves[source] -= 1
        if target is None:
            moves[3] -= 1
        elif target < FINAL_FROM:
            moves[target] += 1

    def move_in_group(self, group: int, source: int | None, target: int | None) -> None:
        moves = self._groups.get(group)
        if moves is None:
            moves = self._groups[group] = [0] * (len(STATES) + 1)
        if source is None:
            moves[-1] += 1
        else:
            moves[source] -= 1
        if target is None:
            moves[-1] -= 1
        else:
            moves[target] += 1

    def look_at_group(self, group: int) -> None:
        """It may be complete, though none of its tasks has moved."""
        self._groups.setdefault(group, [0] * (len(STATES) + 1))

    def flush(self, db: apsw.Connection, now: int, news: News) -> None:
        """Write them, and complete the groups of which the last task has ended."""
        if self._lanes:
            self._write_lanes(db, now, news)
        if self._groups:
            groups, self._groups = self._groups, {}
            db.executemany(_COUNT_GROUP, [(*moves, group) for group, moves in groups.items()])
            _complete(db, now, news, groups)

    def _write_lanes(self, db: apsw.Connection, now: int, news: News) -> None:
        lanes: list[tuple[int, int, int, int]] = []
        queues: dict[int, list[int]] = {}
        for lane, (scheduled, queued, running, tasks, queue) in self._lanes.items():
            if queued or running or tasks:
                lanes.append((queued, running, tasks, lane))
            total = queues.get(queue)
            if total is None:
                total = queues[queue] = [now * 1000, 0, 0, 0, queue]
            total[1] += scheduled
            total[2] += queued
            total[3] += running
        self._lanes.clear()
        shut = [queue for queue, total in queues.items() if total[3] < 0 and _is_shut(db, now, queue)]
        db.executemany(_COUNT_LANE, lanes)
        db.executemany(_UNSTICK, [(total[4],) for total in queues.values() if total[2]])
        db.executemany(_COUNT_QUEUE, queues.values())
        if shut and not all(_is_shut(db, now, queue) for queue in shut):
            news.available = True


def _is_shut(db: apsw.Connection, now: int, queue: int) -> bool:
    """Whether what is queued there waits: for a place that is free, or for a time."""
    return db.execute(_IS_SHUT, (now * 1000, queue)).get is not None


def _complete(db: apsw.Connection, now: int, news: News, groups: Iterable[int]) -> None:
    for group in groups:
        complete: list[Any] = db.execute(_COMPLETE, (now, group)).fetchall()
        for name, has_callback in complete:
            news.groups.append(name)
            if has_callback:
                db.execute("INSERT INTO callbacks (grp, number, at) VALUES (?, 0, ?)", (group, now))
                news.to_do = True
