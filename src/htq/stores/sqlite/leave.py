"""The ways out of `pending` and what hangs on them, shared by `finish`, `reap`, `close_session` and `cancel`.

Each takes the row as it was read in the same step, and leaves the counters and the news right.
"""

from htq.stores.base import BLOCKED_FOR, MAX_CRASHES
from htq.stores.sqlite.bodies import drop_bodies, drop_body
from htq.stores.sqlite.codec import CANCELED, ERROR, PENDING, QUEUED, SCHEDULED, encode, uuid_of
from htq.stores.sqlite.rows import Row
from htq.stores.sqlite.step import Step
from htq.words.attempt import AttemptRecord
from htq.words.reasons import Reason

__all__ = [
    "adopt_stops",
    "forget_loose",
    "owe_stop",
    "owe_stops_of_loose",
    "reap_one",
    "release_waiters",
    "to_canceled",
    "to_error",
    "to_waiting",
]

_WAIT = """
UPDATE tasks SET state = ?, due_at = ?, blocked_by = ?, crashes = crashes + ?, session = NULL, seq = NULL,
    claimed_at = NULL, spooled = 0, version = version + 1
WHERE id = ?
"""
_ERROR = """
UPDATE tasks SET state = ?, reason = ?, finished_at = ?, expires_at = ?, crashes = crashes + ?, session = NULL,
    seq = NULL, spooled = 0, version = version + 1
WHERE id = ?
"""
_CANCELED = """
UPDATE tasks SET state = ?, crashes = ?,
    reason = (SELECT iif(reason = 'superseded', reason, 'canceled') FROM cancels WHERE id = tasks.id),
    cancel_at = coalesce(cancel_at, ?), finished_at = coalesce(finished_at, ?), expires_at = ?, session = NULL, seq = NULL,
    due_at = NULL, blocked_by = nullif(blocked_by, id), loose = 0, spooled = 0, has_response = 0, version = version + 1
WHERE id = ?
"""


def to_waiting(step: Step, row: Row, *, blocked: bool = False, crash: bool = False) -> None:
    """Back into the line, or behind its own stop."""
    if row.spooled:
        drop_body(step, row.id, row.attempt)
    due_at = step.now + round(BLOCKED_FOR * 1000) if blocked else None
    state = SCHEDULED if blocked else QUEUED
    step.db.execute(_WAIT, (state, due_at, row.id if blocked else None, crash, row.id))
    step.move(row.queue, row.lane, row.state, state)
    if due_at is None:
        step.news.available = True
    else:
        step.news.due(due_at)


def to_error(step: Step, row: Row, reason: Reason = "interrupted", *, crash: bool = False) -> None:
    """The end of a task that may not be tried again."""
    if row.spooled:
        drop_body(step, row.id, row.attempt)
    step.db.execute(_ERROR, (ERROR, reason, step.now, step.now + row.ttl_ms, crash, row.id))
    step.move(row.queue, row.lane, row.state, ERROR)
    step.news.finished.append(uuid_of(row.key))


def to_canceled(step: Step, row: Row) -> None:
    """The end of a task whose cancel is in `cancels`. Its response and bodies go; its waiters may too."""
    step.db.execute(_CANCELED, (CANCELED, row.crashes, step.now, step.now, step.now + row.ttl_ms, row.id))
    if row.spooled or row.has_response:
        drop_bodies(step, row.id)
    if row.has_response:
        step.db.execute("UPDATE results SET response = NULL WHERE id = ?", (row.id,))
    step.move(row.queue, row.lane, row.state, CANCELED)
    step.news.finished.append(uuid_of(row.key))
    if row.state == PENDING:
        release_waiters(step, row.id)


def _loosen(step: Step, row: Row) -> None:
    """Put an attempt on record whose worker will not say how it ended: the target may still be at work on it."""
    record = AttemptRecord(
        attempt=row.attempt, session=uuid_of(row.session or bytes(16)), claimed_at=row.claimed_at or 0, phase="unknown"
    )
    step.db.execute(
        "INSERT INTO attempts (task, attempt, session, loose, record) VALUES (?, ?, ?, 1, ?)",
        (row.id, row.attempt, row.session, encode(record)),
    )
    step.db.execute("UPDATE tasks SET loose = 1 WHERE id = ?", (row.id,))


def reap_one(step: Step, row: Row, *, crash: bool) -> None:
    """A pending task whose session is gone."""
    _loosen(step, row)
    if row.cancel_at is not None:
        step.db.execute("UPDATE cancels SET phase = 'unknown' WHERE id = ?", (row.id,))
        to_canceled(step, row._replace(crashes=row.crashes + crash))
    elif row.once or row.crashes + crash > MAX_CRASHES:
        to_error(step, row, crash=crash)
    else:
        to_waiting(step, row, crash=crash)


def owe_stop(step: Step, row: Row, attempt: int, *, holder: bytes | None, canceled: bool) -> bool:
    """Write the stop of an attempt, unless the task's policy says that none is sent. A stop that is there stays."""
    if row.stop_ms is None:
        return False
    step.db.execute(
        "INSERT INTO stops (task, attempt, holder, canceled, lapses_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (row.id, attempt, holder, canceled, step.now + row.stop_ms),
    )
    return True


def adopt_stops(step: Step, row: Row) -> None:
    """What is owed already when a cancel comes (after an interruption or a timeout) is told in the cancel's record."""
    step.db.execute("UPDATE stops SET canceled = 1 WHERE task = ? AND state = 'owed'", (row.id,))


def owe_stops_of_loose(step: Step, row: Row) -> None:
    """A cancel owes a stop for every loose attempt."""
    if not row.loose:
        return
    for (attempt,) in step.rows("SELECT attempt FROM attempts WHERE task = ? AND loose", (row.id,)):
        if owe_stop(step, row, attempt, holder=None, canceled=True):
            step.news.available = True
    forget_loose(step, row)


def forget_loose(step: Step, row: Row) -> None:
    """Its loose attempts have their stops, or matter no more."""
    step.db.execute("UPDATE attempts SET loose = 0 WHERE task = ? AND loose", (row.id,))
    step.db.execute("UPDATE tasks SET loose = 0 WHERE id = ?", (row.id,))


def release_waiters(step: Step, task: int) -> None:
    """Let go on what waits behind `task`, if that has left `pending` and its last stop is settled."""
    db = step.db
    if db.execute("SELECT 1 FROM tasks WHERE id = ? AND state = ?", (task, PENDING)).get:
        return
    if db.execute("SELECT 1 FROM stops WHERE task = ? AND state = 'owed'", (task,)).get:
        return
    sql = "SELECT id, queue, lane, run_at FROM tasks WHERE blocked_by = ? AND state = ?"
    for waiter, queue, lane, run_at in step.rows(sql, (task, SCHEDULED)):
        due = run_at <= step.now
        db.execute(
            "UPDATE tasks SET state = ?, due_at = ?, blocked_by = NULL, version = version + 1 WHERE id = ?",
            (QUEUED if due else SCHEDULED, None if due else run_at, waiter),
        )
        if due:
            step.move(queue, lane, SCHEDULED, QUEUED)
            step.news.available = True
        else:
            step.news.due(run_at)
    # Those that were canceled while they waited: nobody inherits it from them any more.
    db.execute("UPDATE tasks SET blocked_by = NULL WHERE blocked_by = ?", (task,))
