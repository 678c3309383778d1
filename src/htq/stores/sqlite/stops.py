"""Stops: who sends which, and what came of them."""

from collections.abc import Sequence

from htq.stores.base import Stop, StopSettled
from htq.stores.sqlite.codec import UNREADABLE, decode_request, key_of, uuid_of
from htq.stores.sqlite.leave import release_waiters
from htq.stores.sqlite.sessions import require_session
from htq.stores.sqlite.step import Step

__all__ = ["claim_stops", "lapse_stops", "settle_none", "settle_stops"]

_FREE = """
SELECT task, attempt FROM stops WHERE state = 'owed' AND holder IS NULL AND lapses_at > ? ORDER BY lapses_at LIMIT +?
"""
_TAKEN = """
SELECT t.uuid, s.attempt, r.request, s.tries, s.lapses_at
FROM stops s CROSS JOIN tasks t ON t.id = s.task CROSS JOIN requests r ON r.id = s.task
WHERE s.state = 'owed' AND s.holder = +? AND s.seq = +? ORDER BY s.lapses_at
"""
_SETTLE = """
UPDATE stops SET state = ?, code = ?, tries = ?, elapsed_ms = ?, proof = ?
WHERE task = ? AND attempt = ? AND state = 'owed' AND holder = ?
"""


def claim_stops(step: Step, session: bytes, seq: int, limit: int) -> list[Stop]:
    if seq > require_session(step, session, "stops_seq"):
        free = step.rows(_FREE, (step.now, limit))
        if not free:
            return []
        step.many(
            "UPDATE stops SET holder = ?, seq = ? WHERE task = ? AND attempt = ?",
            [(session, seq, *stop) for stop in free],
        )
        step.db.execute("UPDATE sessions SET stops_seq = ? WHERE id = ?", (seq, session))
    stops: list[Stop] = []
    for key, attempt, packed, tries, lapses_at in step.rows(_TAKEN, (session, seq)):
        uuid = uuid_of(key)
        try:
            request = decode_request(packed)
        except UNREADABLE:
            # The file was damaged here. Nobody can send it, and nobody shall wait for it.
            _settle(step, session, StopSettled(uuid, attempt, "failed"))
        else:
            stops.append(Stop(uuid=uuid, attempt=attempt, request=request, tries=tries, lapses_at=lapses_at))
    return stops


def settle_stops(step: Step, session: bytes, settled: Sequence[StopSettled]) -> list[bool]:
    return [_settle(step, session, outcome) for outcome in settled]


def _settle(step: Step, session: bytes, outcome: StopSettled) -> bool:
    db = step.db
    task = db.execute("SELECT id FROM tasks WHERE uuid = ?", (key_of(outcome.uuid),)).get
    if task is None:
        return False
    values = (outcome.state, outcome.code, outcome.tries, outcome.elapsed_ms, outcome.proof)
    db.execute(_SETTLE, (*values, task, outcome.attempt, session))
    if db.changes():
        _settled(step, task)
        return True
    sql = "SELECT state, code, tries, elapsed_ms, proof FROM stops WHERE task = ? AND attempt = ? AND holder = ?"
    return db.execute(sql, (task, outcome.attempt, session)).fetchone() == values


def settle_none(step: Step, task: int, attempt: int) -> None:
    """Nothing had left, or the exchange was over: no DELETE is owed any more."""
    step.db.execute(
        "UPDATE stops SET state = 'none' WHERE task = ? AND attempt = ? AND state = 'owed'", (task, attempt)
    )


def lapse_stops(step: Step, limit: int) -> None:
    """Settle those that are too old to be worth sending: a late DELETE hits other work."""
    sql = "SELECT task, attempt FROM stops WHERE state = 'owed' AND lapses_at <= ? ORDER BY lapses_at LIMIT +?"
    for task, attempt in step.rows(sql, (step.now, limit)):
        step.db.execute("UPDATE stops SET state = 'lapsed' WHERE task = ? AND attempt = ?", (task, attempt))
        _settled(step, task)


def _settled(step: Step, task: int) -> None:
    row = step.db.execute("SELECT uuid, cancel_at FROM tasks WHERE id = ?", (task,)).fetchone()
    if row is not None and row[1] is not None:
        step.news.finished.append(uuid_of(row[0]))
    step.db.execute("UPDATE tasks SET version = version + 1 WHERE id = ?", (task,))
    release_waiters(step, task)
