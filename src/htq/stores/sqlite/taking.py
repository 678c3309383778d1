"""What a claim takes from one queue: lanes in their turn, as far as their limits and the queue's reach."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from htq.stores.sqlite.expiry import expire_one
from htq.stores.sqlite.step import Step
from htq.stores.sqlite.turns import LaneTurn, Share, deal
from htq.stores.sqlite.windows import FREE, Windows, decode_cost

__all__ = ["ReadyQueue", "Taken", "take"]

_READY_LANES = """
SELECT id, weight, turns_left, min(queued, cap - running), rates, spent, held_until FROM lanes
WHERE queue = ? AND queued > 0 AND running < cap AND next_at <= ? ORDER BY next_at LIMIT +?
"""
# `+?`, here and wherever there is a LIMIT or a join: for each value of a bare `?` SQLite prepares the statement anew, so that it
# can plan by it (11 µs in place of 3).
_FIRST_TASKS = """
SELECT t.id, t.uuid, t.attempt + 1, t.once, r.request, r.body, r.body_size, t.failures, t.begun_at, t.grp, t.ends_at, t.lane, r.cost
FROM tasks t CROSS JOIN requests r ON r.id = t.id
WHERE t.state = 1 AND t.lane = +? ORDER BY t.ord, t.uuid LIMIT +?
"""
_CLAIM = """
UPDATE tasks SET state = 2, attempt = attempt + 1, session = ?1, seq = ?2, claimed_at = ?3, begun_at = coalesce(begun_at, ?3),
    ends_at = deadline, retrying = NULL, version = version + 1
WHERE id IN
"""
_TURN = """
UPDATE lanes SET queued = queued - ?2, running = running + ?2, turns_left = ?3, next_at = coalesce(?4, next_at) WHERE id = ?1
"""
_TURNED = "UPDATE queues SET queued = queued - ?1, running = running + ?1, door = tick, tick = ?2 WHERE id = ?3"
_LATER = "UPDATE lanes SET next_at = ? WHERE id = ?"
_STICK = "UPDATE lanes SET next_at = ?, stuck = 1 WHERE id = ?"
_SPEND = (
    "UPDATE lanes SET spent = ?, stuck = 0, next_at = max(next_at, ?), keep_until = max(keep_until, ?) WHERE id = ?"
)
_LANES_AT_ONCE = 256
"""Lanes read in one go once some have turned out to be shut: all of them may be, after a setting has changed."""


class ReadyQueue:
    """A queue that a claim looks at, as it stands in the midst of it."""

    __slots__ = ("_free", "_now", "id", "lane_rates", "opens_at", "queued", "reach", "stuck", "tick", "windows")

    def __init__(
        self,
        now: int,
        queue: int,
        queued: int,
        free: int,
        tick: int,
        paused_until: int,
        rates: bytes | None,
        spent: bytes | None,
        lane_rates: bytes | None,
    ) -> None:
        self._now = now
        self.id = queue
        self.queued = queued
        self._free = free
        self.tick = tick
        self.lane_rates = lane_rates
        self.windows = None if rates is None else Windows(rates, spent, now)
        self.opens_at = paused_until * 1000
        self.reach = 0
        """Lanes to read at once, more than there are slots: some were shut."""
        self.stuck = False
        """Whether what is next waits for the queue's windows, and all the others with it."""

    def room(self) -> int:
        """How many of its tasks may run now, as far as the queue itself is concerned."""
        if self._free <= 0 or self.stuck or self.opens_at > self._now:
            return 0
        return self._free if self.windows is None else self.windows.room(self._free)

    def took(self, count: int) -> None:
        self.queued -= count
        self._free -= count

    def write(self, step: Step) -> None:
        """Put on record where its windows stand, and when they let something go again."""
        opens_at, spent = self.opens_at, None
        if self.windows is not None:
            opens_at, spent = max(opens_at, self.windows.opens_at()), self.windows.spent()
        step.db.execute(
            "UPDATE queues SET spent = coalesce(?, spent), opens_at = ?, stuck = ? WHERE id = ?",
            (spent, opens_at, self.stuck, self.id),
        )


class Taken(NamedTuple):
    """The rows of `_FIRST_TASKS` that are pending now, and whether it is worth looking again."""

    rows: list[Any]
    more: bool


def take(step: Step, queue: ReadyQueue, slots: int, session: bytes, seq: int) -> Taken:
    """Take up to `slots` tasks. Writes tasks, lanes and queue, so that it may be called again."""
    lanes = _ready_lanes(step, queue, slots)
    windows = lanes.windows
    # Where costs decide, they are met in the order of the turns: one turn at a time.
    counts_units = queue.windows is not None and queue.windows.counts_units
    shares = deal(lanes.turns, slots, everything=lanes.are_all and not counts_units)
    first = step.db.executemany(_FIRST_TASKS, [(share.lane, share.take) for share in shares]).fetchall()
    rows = _without_overdue(step, first)
    more = lanes.some_were_shut or len(rows) < len(first) or (counts_units and bool(rows))
    stuck: list[tuple[int, int]] = []
    if counts_units or any(limits.counts_units for limits in windows.values()):
        rows = _affordable(queue, windows, rows, stuck)
    elif queue.windows is not None:
        queue.windows.charge(FREE, len(rows))
    if len(rows) < len(first):
        taken = Counter(row[11] for row in rows)
        shares = [share._replace(take=taken[share.lane]) for share in shares if taken[share.lane]]
    if rows:
        step.update(_CLAIM, (session, seq, step.now), [row[0] for row in rows])
        _turn_lanes(step, queue, shares)
        if windows:
            _spend(step, windows, shares)
        queue.took(len(rows))
    step.many(_STICK, stuck)
    if queue.windows is not None:
        queue.write(step)
    return Taken(rows, more=len(rows) == slots or more or bool(stuck))


class _Lanes(NamedTuple):
    """The lanes whose turn it is, and the windows of those that have any."""

    turns: list[LaneTurn]
    windows: dict[int, Windows]
    are_all: bool
    """Whether no other one is ready."""
    some_were_shut: bool
    """Whether some turned out to have no room (a limit was lowered, a hold was put on them). They are placed at their time."""


def _ready_lanes(step: Step, queue: ReadyQueue, slots: int) -> _Lanes:
    bound = max(step.now_us, queue.tick)
    at_once = max(slots, queue.reach)
    windows: dict[int, Windows] = {}
    turns: list[LaneTurn] = []
    later: list[tuple[int, int]] = []
    found = step.rows(_READY_LANES, (queue.id, bound, at_once))
    for lane, weight, turns_left, room, rates, spent, held_until in found:
        rates = queue.lane_rates if rates is None else rates
        opens_at = 0 if held_until is None else held_until * 1000
        if rates is not None:
            limits = windows[lane] = Windows(rates, spent, step.now_us)
            room = limits.room(room)
            opens_at = max(opens_at, limits.opens_at())
        if room and opens_at <= step.now_us:
            turns.append(LaneTurn(lane, weight, turns_left, room))
        else:
            later.append((max(opens_at, bound + 1), lane))
    if later:
        step.many(_LATER, later)
        queue.reach = _LANES_AT_ONCE
    are_all = len(found) < at_once and len(turns) <= slots
    return _Lanes(turns[:slots], windows, are_all, bool(later))


def _without_overdue(step: Step, rows: list[Any]) -> list[Any]:
    """End those that are past a time of theirs."""
    overdue = [row for row in rows if row[10] is not None and row[10] <= step.now]
    if not overdue:
        return rows
    for row in overdue:
        expire_one(step, row[1])
    step.flush()
    gone = {row[0] for row in overdue}
    return [row for row in rows if row[0] not in gone]


def _affordable(
    queue: ReadyQueue, windows: dict[int, Windows], rows: list[Any], stuck: list[tuple[int, int]]
) -> list[Any]:
    """Those whose costs the windows let through; they are charged. What is next is waited for: by the others of its lane
    where it is the lane's window, by the whole queue where it is the queue's."""
    taken: list[Any] = []
    waiting: set[int] = set()
    for row in rows:
        lane, cost = row[11], decode_cost(row[12])
        limits = windows.get(lane)
        if lane in waiting:
            continue
        if limits is not None and limits.opens_at(cost) > limits.now:
            waiting.add(lane)
            stuck.append((limits.opens_at(cost), lane))
            continue
        if queue.windows is not None:
            if queue.windows.opens_at(cost) > queue.windows.now:
                queue.stuck = True
                queue.opens_at = queue.windows.opens_at(cost)
                break
            queue.windows.charge(cost, 1)
        if limits is not None:
            limits.charge(cost, 1)
        taken.append(row)
    return taken


def _turn_lanes(step: Step, queue: ReadyQueue, shares: Sequence[Share]) -> None:
    tick = max(step.now_us, queue.tick + 1)
    placed = [
        (share.lane, share.take, share.turns_left, None if share.place is None else tick + share.place)
        for share in shares
    ]
    step.many(_TURN, placed)
    served = max((share.place + 1 for share in shares if share.place is not None), default=0)
    queue.tick = tick + served
    step.db.execute(_TURNED, (sum(share.take for share in shares), queue.tick, queue.id))


def _spend(step: Step, windows: dict[int, Windows], shares: Sequence[Share]) -> None:
    """Write where the lanes' windows stand; those that count tasks are charged here, if costs did not do it already."""
    for share in shares:
        limits = windows.get(share.lane)
        if limits is None:
            continue
        if not limits.charged:
            limits.charge(FREE, share.take)
        values = (limits.spent(), limits.opens_at(), limits.paid_at() // 1000 + 1, share.lane)
        step.db.execute(_SPEND, values)
