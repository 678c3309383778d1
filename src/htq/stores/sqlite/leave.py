"""The ways out of `pending`, and to an end, with what hangs on them: shared by `finish`, `reap`, `cancel` and `expire`.

Each takes the row as it was read in the same step, and leaves the counters and the news right.
"""

from htq.stores.base import BLOCKED_FOR, MAX_CRASHES
from htq.stores.sqlite.bodies import drop_bodies, drop_body
from htq.stores.sqlite.codec import CANCELED, ERROR, FINAL_FROM, PENDING, QUEUED, SCHEDULED, TIMEOUT, encode, uuid_of
from htq.stores.sqlite.rows import Row
from htq.stores.sqlite.step import Step
from htq.words.attempt import AttemptRecord
from htq.words.reasons import Reason

__all__ = [
    "adopt_stops",
    "forget_loose",
    "has_owed_stop",
    "owe_callback",
    "owe_stop",
    "owe_stops_of_loose",
    "reap_one",
    "release_waiters",
    "to_canceled",
    "to_error",
    "to_expired",
    "to_retry",
    "to_waiting",
]

_WAIT = """
UPDATE tasks SET state = ?1, due_at = ?2, blocked_by = ?3, blocked_until = ?2, crashes = crashes + ?4, session = NULL,
    seq = NULL, claimed_at = NULL, spooled = 0, version = version + 1
WHERE id = ?5
"""
_RETRY = """
UPDATE tasks SET state = 0, failures = failures + 1, retrying = ?1, ord = ord + ?2 - run_at, run_at = ?2, due_at = ?3,
    blocked_by = ?4, blocked_until = ?5, session = NULL, seq = NULL, claimed_at = NULL, spooled = 0, version = version + 1
WHERE id = ?6
"""
_END = """
UPDATE tasks SET state = ?, reason = ?, finished_at = ?, expires_at = ?, crashes = crashes + ?, session = NULL,
    seq = NULL, due_at = NULL, ends_at = NULL, spooled = 0, version = version + 1
WHERE id = ?
"""
_CANCELED = """
UPDATE tasks SET state = ?, crashes = ?,
    reason = (SELECT iif(reason IN ('superseded', 'deadline'), reason, 'canceled') FROM cancels WHERE id = tasks.id),
    cancel_at = coalesce(cancel_at, ?), finished_at = coalesce(finished_at, ?), expires_at = ?, session = NULL, seq = NULL,
    due_at = NULL, ends_at = NULL, blocked_by = nullif(blocked_by, id), loose = 0, spooled = 0, has_response = 0,
    version = version + 1
WHERE id = ?
"""


def to_waiting(step: Step, row: Row, *, blocked: bool = False, crash: bool = False) -> None:
    """Back into the line, or behind its own stop."""
    if row.spooled:
        drop_body(step, row.id, row.attempt)
    due_at = step.now + round(BLOCKED_FOR * 1000) if blocked else None
    state = SCHEDULED if blocked else QUEUED
    step.db.execute(_WAIT, (state, due_at, row.id if blocked else None, crash, row.id))
    _move(step, row, state)
    if due_at is None:
        step.news.available = True
    else:
        step.news.due(due_at)


def to_retry(step: Step, row: Row, due_at: int, *, blocked: bool, between: int) -> None:
    """Out until its time, and behind its own stop if that is owed. `between` is the column."""
    if row.spooled:
        drop_body(step, row.id, row.attempt)
    blocked_until = step.now + round(BLOCKED_FOR * 1000)
    until = max(due_at, blocked_until) if blocked else due_at
    step.db.execute(_RETRY, (between, due_at, until, row.id if blocked else None, blocked_until, row.id))
    _move(step, row, SCHEDULED)
    step.news.due(until)


def to_error(step: Step, row: Row, reason: Reason = "interrupted", *, crash: bool = False) -> None:
    """The end of a task that may not be tried again."""
    _end(step, row, ERROR, reason, crash=crash)


def to_expired(step: Step, row: Row) -> None:
    """The end of a task that was not begun in time."""
    _end(step, row, TIMEOUT, "expired")


def _end(step: Step, row: Row, state: int, reason: Reason, *, crash: bool = False) -> None:
    if row.spooled:
        drop_body(step, row.id, row.attempt)
    step.db.execute(_END, (state, reason, step.now, step.now + row.ttl_ms, crash, row.id))
    _ended(step, row, state)


def to_canceled(step: Step, row: Row) -> None:
    """The end of a task whose cancel is in `cancels`. Its response and bodies go; its waiters may too."""
    step.db.execute(_CANCELED, (CANCELED, row.crashes, step.now, step.now, step.now + row.ttl_ms, row.id))
    if row.spooled or row.has_response:
        drop_bodies(step, row.id)
    if row.has_response:
        step.db.execute("UPDATE results SET response = NULL WHERE id = ?", (row.id,))
    _ended(step, row, CANCELED)


def _move(step: Step, row: Row, target: int) -> None:
    step.move(row.queue, row.lane, row.state, target)
    step.move_in_group(row.group, row.state, target)


def _ended(step: Step, row: Row, state: int) -> None:
    """Count and tell it, and see to who waits for this end. The table has it already."""
    _move(step, row, state)
    step.news.finished.append(uuid_of(row.key))
    if row.state >= FINAL_FROM:
        return
    owe_callback(step, row.id, row.callback, row.attempt, state)
    if row.state == SCHEDULED and row.blocked_by not in (None, row.id):
        # It never had its turn: who waited for its end waits on for the one that it was waiting for.
        sql = "UPDATE tasks SET blocked_by = ? WHERE blocked_by = ?"
        step.db.execute(sql, (row.blocked_by, row.id))
    elif row.name is not None or row.state == PENDING:
        release_waiters(step, row.id)


def owe_callback(step: Step, task: int, callback: int | None, attempt: int, state: int) -> None:
    """A task has ended: its callback, if it tells this end, is owed from now on."""
    if callback is not None and callback >> state & 1:
        sql = "INSERT INTO callbacks (task, number, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        step.db.execute(sql, (task, attempt, step.now))
        step.news.to_do = True


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


def has_owed_stop(step: Step, task: int) -> bool:
    found: int | None = step.db.execute("SELECT 1 FROM stops WHERE task = ? AND state = 'owed'", (task,)).get
    return found is not None


def release_waiters(step: Step, task: int) -> None:
    """Let go on what waits behind `task`, if that has left `pending` and its last stop is settled.

    What waits for its end, however long that takes (it has no `due_at`), goes on only if it has ended.
    """
    db = step.db
    state = db.execute("SELECT state FROM tasks WHERE id = ?", (task,)).get
    if state == PENDING or has_owed_stop(step, task):
        return
    sql = "SELECT id, queue, lane, run_at, grp FROM tasks WHERE blocked_by = ? AND state = 0 AND (due_at IS NOT NULL OR ?)"
    for waiter, queue, lane, run_at, group in step.rows(sql, (task, state >= FINAL_FROM)):
        due = run_at <= step.now
        db.execute(
            "UPDATE tasks SET state = ?, due_at = ?, blocked_by = NULL, version = version + 1 WHERE id = ?",
            (QUEUED if due else SCHEDULED, None if due else run_at, waiter),
        )
        if due:
            step.move(queue, lane, SCHEDULED, QUEUED)
            step.move_in_group(group, SCHEDULED, QUEUED)
            step.news.available = True
        else:
            step.news.due(run_at)
    # Those that were canceled while they waited: nobody inherits it from them any more.
    db.execute("UPDATE tasks SET blocked_by = NULL WHERE blocked_by = ? AND state > 2", (task,))
