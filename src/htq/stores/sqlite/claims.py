"""`claim`: the next attempts, dealt out by turns. `docs/design/lanes.md` has the model, `turns` its arithmetic."""

from typing import Any

from htq.stores.base import Claim, Claims
from htq.stores.sqlite.codec import PENDING, QUEUED, UNREADABLE, decode_request, uuid_of
from htq.stores.sqlite.leave import to_error
from htq.stores.sqlite.rows import find
from htq.stores.sqlite.schema import PARKED
from htq.stores.sqlite.sessions import require_session
from htq.stores.sqlite.step import Step
from htq.stores.sqlite.taking import ReadyQueue, take
from htq.stores.sqlite.turns import split
from htq.words.limits import FOREVER
from htq.words.task import Delivery

__all__ = ["claim"]

_READY_QUEUES = """
SELECT id, queued, min(queued, cap - running), tick, paused_until, rates, spent, lane_rates FROM queues
WHERE queued > 0 AND running < cap AND next_at <= ? ORDER BY next_at LIMIT +?
"""
_NEXT_QUEUE = """
SELECT next_at FROM queues WHERE queued > 0 AND running < cap AND next_at > ? ORDER BY next_at LIMIT 1
"""
_NEXT_LANE = """
SELECT next_at FROM lanes WHERE queue = ?1 AND queued > 0 AND running < cap
    AND next_at > max(?2, (SELECT tick FROM queues WHERE id = ?1)) ORDER BY next_at LIMIT 1
"""
_AGAIN = """
SELECT t.id, t.uuid, t.attempt, t.once, r.request, r.body, r.body_size, t.failures, t.begun_at, t.claimed_at
FROM tasks t CROSS JOIN requests r ON r.id = t.id
WHERE t.state = 2 AND t.session = +? AND t.seq = +? ORDER BY t.lane, t.ord, t.uuid
"""
_ROUNDS = 64
"""Times that a claim goes round before it leaves the rest to the next: each of them has done something."""


def claim(step: Step, session: bytes, seq: int, limit: int) -> Claims:
    tick: int = step.db.execute("SELECT tick FROM turns").get
    bound = max(step.now_us, tick)
    if seq <= require_session(step, session, "claim_seq"):
        claims = [_claim(row, row[-2], row[-1]) for row in step.db.execute(_AGAIN, (session, seq))]
        return Claims(claims, _again_at(step, bound, []))
    claims = []
    served: list[int] = []
    exhausted: list[ReadyQueue] = []
    queues: list[ReadyQueue] = []
    are_all = False
    rounds = 0
    while len(claims) < limit and rounds < _ROUNDS:
        if not queues:
            if are_all:
                break
            _place(step, exhausted)
            queues, are_all = _ready(step, bound, limit)
        rounds += 1
        takes, order = split([queue.room() for queue in queues], limit - len(claims))
        # A queue may have less within reach than is queued, where its lanes wait: then the others get its share.
        again: list[ReadyQueue] = []
        gave: set[int] = set()
        for queue, slots in zip(queues, takes, strict=True):
            more = True
            if slots:
                taken = take(step, queue, slots, session, seq)
                claims += _claims(step, taken.rows)
                more = taken.more
                if taken.rows:
                    gave.add(queue.id)
            (again if more and queue.room() else exhausted).append(queue)
        last = [queues[at].id for at in order if queues[at].id in gave]
        served = [queue_id for queue_id in served if queue_id not in gave] + last
        queues = again
    if served:
        bound = max(bound, _turn_queues(step, served))
    _place(step, exhausted)
    if claims:
        step.db.execute("UPDATE sessions SET claim_seq = ? WHERE id = ?", (seq, session))
    if rounds == _ROUNDS and len(claims) < limit:
        return Claims(claims, step.now + 1)
    return Claims(claims, _again_at(step, bound, queues))


def _ready(step: Step, bound: int, limit: int) -> tuple[list[ReadyQueue], bool]:
    """The queues whose turn it is, and whether these are all. One that turns out to be shut is placed where it opens."""
    found = [ReadyQueue(step.now_us, *row) for row in step.rows(_READY_QUEUES, (bound, limit))]
    shut = [queue for queue in found if not queue.room()]
    for queue in shut:
        queue.write(step)
        step.look_at_queue(queue.id)
        step.db.execute("UPDATE queues SET next_at = max(next_at, ?) WHERE id = ?", (bound + 1, queue.id))
    return [queue for queue in found if queue not in shut], len(found) < limit


def _place(step: Step, exhausted: list[ReadyQueue]) -> None:
    """Queues that have nothing more to give are out of reach until they do."""
    for queue in exhausted:
        if queue.queued:
            step.look_at_queue(queue.id)


def _turn_queues(step: Step, served: list[int]) -> int:
    """Those that were served go behind the others, in the order in which they were served last."""
    tick: int = max(step.now_us, step.db.execute("SELECT tick FROM turns").get + 1)
    step.many("UPDATE queues SET next_at = ? WHERE id = ?", [(tick + at, queue) for at, queue in enumerate(served)])
    step.db.execute("UPDATE turns SET door = tick, tick = ?", (tick + len(served),))
    return tick + len(served)


def _again_at(step: Step, bound: int, going_on: list[ReadyQueue]) -> int | None:
    """When to look again, in milliseconds: the first queue that waits for a time, or a lane of those that have more to give."""
    times = [step.db.execute(_NEXT_QUEUE, (bound,)).get]
    times += [step.db.execute(_NEXT_LANE, (queue.id, step.now_us)).get for queue in going_on]
    found = min((at for at in times if at is not None), default=PARKED)
    return None if found >= FOREVER * 1000 else max(-(-found // 1000), step.now + 1)


def _claims(step: Step, rows: list[Any]) -> list[Claim]:
    claims: list[Claim] = []
    for row in rows:
        group = row[9]
        if group is not None:
            step.move_in_group(group, QUEUED, PENDING)
        try:
            claims.append(_claim(row, row[8] or step.now, step.now))
        except UNREADABLE:
            # The file was damaged here. The task ends, so that it does not stand in the way of all behind it.
            damaged = find(step, row[1])
            assert damaged is not None
            to_error(step, damaged, "internal")
    return claims


def _claim(row: Any, begun_at: int, claimed_at: int) -> Claim:
    _, key, attempt, once, request, body, body_size, failures = row[:8]
    delivery: Delivery = "at_most_once" if once else "at_least_once"
    return Claim(
        uuid=uuid_of(key),
        attempt=attempt,
        claimed_at=claimed_at,
        request=decode_request(request),
        body=body,
        body_size=body_size,
        delivery=delivery,
        failures=failures,
        begun_at=begun_at,
    )
