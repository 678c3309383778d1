"""`claim`: the next attempts, dealt out by turns. `docs/design/lanes.md` has the model, `turns` its arithmetic."""

from typing import Any, NamedTuple

from htq.stores.base import Claim
from htq.stores.sqlite.codec import UNREADABLE, decode_request, uuid_of
from htq.stores.sqlite.leave import to_error
from htq.stores.sqlite.rows import find
from htq.stores.sqlite.sessions import require_session
from htq.stores.sqlite.step import Step
from htq.stores.sqlite.turns import LaneTurn, deal, split
from htq.words.task import Delivery

__all__ = ["claim"]

_READY_QUEUES = "SELECT id, queued FROM queues WHERE queued > 0 ORDER BY next_at LIMIT ?"
_READY_LANES = """
SELECT id, weight, turns_left, min(queued, cap - running) FROM lanes
WHERE queue = ? AND queued > 0 AND running < cap ORDER BY next_at LIMIT ?
"""
# `= +?`, here and wherever a statement joins: with a bare `?` SQLite prepares it anew for every value (5 µs in place of 0.4).
_FIRST_TASKS = """
SELECT t.id, t.uuid, t.attempt + 1, t.once, r.request, r.body, r.body_size
FROM tasks t CROSS JOIN requests r ON r.id = t.id
WHERE t.state = 1 AND t.lane = +? ORDER BY t.ord, t.uuid LIMIT ?
"""
_CLAIM = """
UPDATE tasks SET state = 2, attempt = attempt + 1, session = ?, seq = ?, claimed_at = ?, version = version + 1 WHERE id IN
"""
_AGAIN = """
SELECT t.id, t.uuid, t.attempt, t.once, r.request, r.body, r.body_size, t.claimed_at
FROM tasks t CROSS JOIN requests r ON r.id = t.id
WHERE t.state = 2 AND t.session = +? AND t.seq = +? ORDER BY t.lane, t.ord, t.uuid
"""
_TURN = """
UPDATE lanes SET queued = queued - ?2, running = running + ?2, turns_left = ?3, next_at = coalesce(?4, next_at) WHERE id = ?1
"""
_TURNED = "UPDATE queues SET queued = queued - ?1, running = running + ?1, door = tick, tick = ?2 WHERE id = ?3"


class _Queue(NamedTuple):
    id: int
    queued: int


def claim(step: Step, session: bytes, seq: int, limit: int) -> list[Claim]:
    if seq <= require_session(step, session, "claim_seq"):
        return [_claim(row, row[-1]) for row in step.db.execute(_AGAIN, (session, seq))]
    claims: list[Claim] = []
    queues = [_Queue._make(row) for row in step.db.execute(_READY_QUEUES, (limit,))]
    served: list[int] = []
    # A queue may have fewer tasks within reach than are queued, where its lanes are full: then the others get its share.
    while queues and len(claims) < limit:
        takes, order = split([queue.queued for queue in queues], limit - len(claims))
        again: list[_Queue] = []
        for queue, take in zip(queues, takes, strict=True):
            rows = _take(step, queue, take, session, seq) if take else []
            claims += _claims(step, rows)
            if len(rows) == take:
                again.append(queue._replace(queued=queue.queued - take))
        last = [queues[at].id for at in order]
        served = [queue_id for queue_id in served if queue_id not in last] + last
        queues = [queue for queue in again if queue.queued]
    if claims:
        _turn_queues(step, served)
        step.db.execute("UPDATE sessions SET claim_seq = ? WHERE id = ?", (seq, session))
    return claims


def _take(step: Step, queue: _Queue, slots: int, session: bytes, seq: int) -> list[Any]:
    """Take up to `slots` tasks of one queue. Writes tasks, lanes and queue, so that it may be called again."""
    db = step.db
    lanes = [LaneTurn._make(row) for row in db.execute(_READY_LANES, (queue.id, slots))]
    shares = deal(lanes, slots, everything=len(lanes) < slots)
    rows = db.executemany(_FIRST_TASKS, [(share.lane, share.take) for share in shares]).fetchall()
    if not rows:
        return []
    step.update(_CLAIM, (session, seq, step.now), [row[0] for row in rows])
    tick = max(step.now * 1000, db.execute("SELECT tick FROM queues WHERE id = ?", (queue.id,)).get + 1)
    placed = [
        (share.lane, share.take, share.turns_left, None if share.place is None else tick + share.place)
        for share in shares
    ]
    step.many(_TURN, placed)
    served = max((share.place + 1 for share in shares if share.place is not None), default=0)
    db.execute(_TURNED, (len(rows), tick + served, queue.id))
    return rows


def _turn_queues(step: Step, served: list[int]) -> None:
    """Those that were served go behind the others, in the order in which they were served last."""
    tick = max(step.now * 1000, step.db.execute("SELECT tick FROM turns").get + 1)
    step.many("UPDATE queues SET next_at = ? WHERE id = ?", [(tick + at, queue) for at, queue in enumerate(served)])
    step.db.execute("UPDATE turns SET door = tick, tick = ?", (tick + len(served),))


def _claims(step: Step, rows: list[Any]) -> list[Claim]:
    claims: list[Claim] = []
    for row in rows:
        try:
            claims.append(_claim(row, step.now))
        except UNREADABLE:
            # The file was damaged here. The task ends, so that it does not stand in the way of all behind it.
            damaged = find(step, row[1])
            assert damaged is not None
            to_error(step, damaged, "internal")
    return claims


def _claim(row: Any, claimed_at: int) -> Claim:
    _, key, attempt, once, request, body, body_size = row[:7]
    delivery: Delivery = "at_most_once" if once else "at_least_once"
    return Claim(
        uuid=uuid_of(key),
        attempt=attempt,
        claimed_at=claimed_at,
        request=decode_request(request),
        body=body,
        body_size=body_size,
        delivery=delivery,
    )
