"""What is read and changes nothing: tasks, responses, attempts, counts. Each call sees one snapshot."""

from collections.abc import Iterable, Sequence
from typing import Any

import apsw
import msgspec

from htq.stores.base import QueueStats
from htq.stores.sqlite.codec import PENDING, decode_attempt, decode_request, decode_response, key_of, uuid_of
from htq.stores.sqlite.windows import decode_cost
from htq.words.attempt import AttemptRecord
from htq.words.states import STATES, State
from htq.words.task import CancelRecord, DeleteRecord, Proof, Response, Task

__all__ = ["attempts", "get", "get_by_keys", "responses", "states", "stats"]

_TASK = """
SELECT t.id, t.uuid, t.tenant, t.name, t.state, t.reason, t.version, t.run_at, t.finished_at, t.attempt, t.failures, t.crashes,
    t.has_response, t.ttl_ms, t.once, t.cancel_at IS NOT NULL, q.name, l.key,
    r.request, r.body, r.body_size, r.created_at, r.owner, r.host, r.priority, r.labels,
    t.start_by, t.deadline, r.cost, (SELECT name FROM groups WHERE id = t.grp)
FROM tasks t CROSS JOIN requests r ON r.id = t.id CROSS JOIN lanes l ON l.id = t.lane CROSS JOIN queues q ON q.id = t.queue
WHERE t.uuid = +?
"""
_STOPS = "SELECT state, code, tries, elapsed_ms, proof FROM stops WHERE task = ? AND canceled ORDER BY attempt"
_ALL_STOPS = "SELECT attempt, state, code, tries, elapsed_ms FROM stops WHERE task = ?"
_ENDED = """
SELECT record FROM (SELECT attempt, record FROM attempts WHERE task = ? ORDER BY attempt)
UNION ALL SELECT record FROM results WHERE id = ?
"""
_NO_PROOF: Proof = "none"
_STATS = """
SELECT q.name, q.scheduled, q.queued, q.running, (
    SELECT r.created_at FROM tasks t CROSS JOIN requests r ON r.id = t.id WHERE t.state = 1 AND t.lane = (
        SELECT coalesce(
            (SELECT id FROM lanes WHERE queue = q.id AND queued > 0 AND running < cap ORDER BY next_at LIMIT 1),
            (SELECT id FROM (SELECT id, queued FROM lanes WHERE queue = q.id LIMIT 100) WHERE queued > 0 LIMIT 1)))
    ORDER BY t.ord, t.uuid LIMIT 1)
FROM queues q WHERE q.scheduled + q.queued + q.running > 0 ORDER BY q.name
"""


def get(db: apsw.Connection, uuids: Sequence[str]) -> list[Task | None]:
    return get_by_keys(db, map(key_of, uuids))


def get_by_keys(db: apsw.Connection, keys: Iterable[bytes]) -> list[Task | None]:
    return [_task(db, row) if (row := db.execute(_TASK, (key,)).fetchone()) else None for key in keys]


def _task(db: apsw.Connection, row: Any) -> Task:
    (id_, key, tenant, name, state, reason, version, run_at, finished_at, attempt, failures, crashes) = row[:12]
    (has_response, ttl_ms, once, canceled, queue, lane_key) = row[12:18]
    (request, body, body_size, created_at, owner, host, priority, labels) = row[18:26]
    start_by, deadline, cost, group = row[26:]
    return Task(
        uuid=uuid_of(key),
        request=decode_request(request),
        body=body,
        body_size=body_size,
        tenant=tenant,
        owner=owner,
        name=name,
        queue=queue,
        key=lane_key,
        host=host,
        priority=priority,
        labels=msgspec.json.decode(labels) if labels else {},
        delivery="at_most_once" if once else "at_least_once",
        result_ttl=ttl_ms / 1000,
        start_by=start_by,
        deadline=deadline,
        cost=dict(decode_cost(cost)),
        group=group,
        state=STATES[state],
        reason=reason,
        version=version,
        created_at=created_at,
        run_at=run_at,
        finished_at=finished_at,
        attempt=attempt,
        failures=failures,
        crashes=crashes,
        has_response=bool(has_response),
        cancel=_cancel(db, id_) if canceled else None,
    )


def _cancel(db: apsw.Connection, task: int) -> CancelRecord:
    sql = "SELECT requested_at, reason, phase, interrupted_at FROM cancels WHERE id = ?"
    found: Any = db.execute(sql, (task,)).fetchone()
    requested_at, reason, phase, interrupted_at = found
    # With several stops (loose attempts have their own) the one that is still owed speaks for all, else the last that was sent.
    delete, proof = DeleteRecord(), _NO_PROOF
    for state, code, tries, elapsed_ms, proved in db.execute(_STOPS, (task,)):
        if delete.state != "owed" and (state != "none" or delete.state == "none"):
            delete, proof = DeleteRecord(state, code, tries, elapsed_ms), proved
    return CancelRecord(
        requested_at=requested_at, reason=reason, phase=phase, interrupted_at=interrupted_at, delete=delete, proof=proof
    )


def states(db: apsw.Connection, uuids: Sequence[str]) -> list[tuple[State, bool] | None]:
    sql = "SELECT state, cancel_at IS NOT NULL FROM tasks WHERE uuid = ?"
    rows = (db.execute(sql, (key_of(uuid),)).fetchone() for uuid in uuids)
    return [(STATES[row[0]], bool(row[1])) if row else None for row in rows]


def responses(db: apsw.Connection, uuids: Sequence[str]) -> list[Response | None]:
    sql = "SELECT response FROM results WHERE id = (SELECT id FROM tasks WHERE uuid = ?)"
    found = (db.execute(sql, (key_of(uuid),)).get for uuid in uuids)
    return [None if data is None else decode_response(data) for data in found]


def attempts(db: apsw.Connection, uuid: str) -> list[AttemptRecord]:
    sql = "SELECT id, state, attempt, session, claimed_at FROM tasks WHERE uuid = ?"
    row = db.execute(sql, (key_of(uuid),)).fetchone()
    if row is None:
        return []
    task, state, attempt, session, claimed_at = row
    ended = db.execute(_ENDED, (task, task))
    records = [decode_attempt(record) for (record,) in ended]
    if state == PENDING:
        records.append(AttemptRecord(attempt=attempt, session=uuid_of(session), claimed_at=claimed_at))
    stops = {stopped: DeleteRecord(*came) for stopped, *came in db.execute(_ALL_STOPS, (task,))}
    return (
        [msgspec.structs.replace(record, delete=stops.get(record.attempt)) for record in records] if stops else records
    )


def stats(db: apsw.Connection) -> list[QueueStats]:
    return [
        QueueStats(name=name, scheduled=scheduled, queued=queued, pending=pending, oldest_queued_at=oldest)
        for name, scheduled, queued, pending, oldest in db.execute(_STATS)
    ]
