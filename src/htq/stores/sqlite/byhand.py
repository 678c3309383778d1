"""What somebody changes by hand: `retry`, `run_now`, `patch`."""

from collections.abc import Sequence

import msgspec

from htq.stores.base import BLOCKED_FOR, Patch, Patched, Retried
from htq.stores.sqlite.bodies import drop_bodies
from htq.stores.sqlite.codec import FINAL_FROM, PENDING, QUEUED, SCHEDULED, encode, key_of
from htq.stores.sqlite.derived import callback_bits, first_end, order_of, stop_ms_of
from htq.stores.sqlite.leave import has_owed_stop
from htq.stores.sqlite.names import is_taken, next_rank
from htq.stores.sqlite.rows import Row, find
from htq.stores.sqlite.step import Step
from htq.words.states import STATES, State

__all__ = ["patch", "retry", "run_now"]

_KEEP_RECORD = """
INSERT OR IGNORE INTO attempts (task, attempt, session, answer, loose, record)
SELECT id, ?2, session, answer, 0, record FROM results WHERE id = ?1
"""
_RETRY = """
UPDATE tasks SET state = ?1, due_at = ?2, blocked_by = ?3, blocked_until = ?2, rank = ?4, ord = ord + ?5 - run_at, run_at = ?5,
    start_by = NULL, ends_at = deadline, failures = 0, retrying = NULL, begun_at = NULL, claimed_at = NULL, reason = NULL,
    finished_at = NULL, expires_at = NULL, has_response = 0, version = version + 1
WHERE id = ?6
"""
_RUN_NOW = """
UPDATE tasks SET state = 1, due_at = NULL, ord = ord + ?1 - run_at, run_at = ?1, version = version + 1 WHERE id = ?2
"""
_PATCH = """
UPDATE tasks SET state = ?, due_at = ?, ord = ?, run_at = ?, start_by = ?, deadline = ?, ends_at = ?, ttl_ms = ?, stop_ms = ?,
    callback = ?, version = version + 1
WHERE id = ?
"""


def retry(step: Step, uuids: Sequence[str]) -> list[Retried | None]:
    answers: list[Retried | None] = []
    for uuid in uuids:
        row = find(step, key_of(uuid))
        answers.append(None if row is None else _retry(step, row))
    return answers


def _retry(step: Step, row: Row) -> Retried:
    if row.cancel_at is not None:
        return "canceled"
    if row.state < FINAL_FROM:
        return "live"
    rank = None
    if row.name is not None:
        if is_taken(step, row.tenant, row.name):
            return "named"
        rank = next_rank(step, row.tenant, row.name)
    step.db.execute(_KEEP_RECORD, (row.id, row.attempt))
    step.db.execute("DELETE FROM results WHERE id = ?", (row.id,))
    drop_bodies(step, row.id)
    blocked = has_owed_stop(step, row.id)
    state = SCHEDULED if blocked else QUEUED
    due_at = step.now + round(BLOCKED_FOR * 1000) if blocked else None
    step.db.execute(_RETRY, (state, due_at, row.id if blocked else None, rank, step.now, row.id))
    _move(step, row, state)
    if due_at is None:
        step.news.available = True
    else:
        step.news.due(due_at)
    if row.deadline is not None:
        step.news.do_at(row.deadline)
    return "queued"


def run_now(step: Step, uuids: Sequence[str]) -> list[State | None]:
    answers: list[State | None] = []
    for uuid in uuids:
        row = find(step, key_of(uuid))
        if row is None:
            answers.append(None)
        elif row.state == SCHEDULED and row.blocked_by is None:
            step.db.execute(_RUN_NOW, (step.now, row.id))
            _move(step, row, QUEUED)
            step.news.available = True
            answers.append("queued")
        else:
            answers.append(STATES[row.state])
    return answers


def patch(step: Step, uuid: str, change: Patch, version: int) -> Patched | None:
    row = find(step, key_of(uuid))
    if row is None:
        return None
    if row.state >= PENDING:
        return "started"
    ((found, blocked_until),) = step.rows("SELECT version, blocked_until FROM tasks WHERE id = ?", (row.id,))
    if found != version:
        return "stale"
    is_due = change.run_at <= step.now
    if row.blocked_by is None:
        state, due_at = (QUEUED, None) if is_due else (SCHEDULED, change.run_at)
    else:
        state = SCHEDULED
        due_at = None if blocked_until is None else max(change.run_at, blocked_until)
    ends_at = change.deadline if row.attempt else first_end(change.start_by, change.deadline)
    request = change.request
    step.db.execute(
        _PATCH,
        (
            state,
            due_at,
            order_of(change.run_at, change.priority),
            change.run_at,
            change.start_by,
            change.deadline,
            ends_at,
            round(change.result_ttl * 1000),
            stop_ms_of(request),
            callback_bits(request),
            row.id,
        ),
    )
    labels = msgspec.json.encode(change.labels).decode() if change.labels else None
    step.db.execute(
        "UPDATE requests SET request = ?, priority = ?, labels = ? WHERE id = ?",
        (encode(request), change.priority, labels, row.id),
    )
    if state != row.state:
        _move(step, row, state)
    elif state == QUEUED:
        step.look_at_line(row.queue, row.lane)
    if state == QUEUED:
        step.news.available = True
    elif due_at is not None:
        step.news.due(due_at)
    if ends_at is not None:
        step.news.do_at(ends_at)
    return "patched"


def _move(step: Step, row: Row, state: int) -> None:
    step.move(row.queue, row.lane, row.state, state)
    step.move_in_group(row.group, row.state, state)
