"""`enqueue`: tasks come in, and a name's newer task takes the place of the older."""

from collections.abc import Sequence

import msgspec

from htq.stores.base import BLOCKED_FOR, BODY_INLINE, STOP_LAPSES_AFTER, Enqueued
from htq.stores.sqlite.bodies import write_body
from htq.stores.sqlite.cancels import cancel_one
from htq.stores.sqlite.codec import PENDING, QUEUED, SCHEDULED, encode, key_of, uuid_of
from htq.stores.sqlite.rows import find
from htq.stores.sqlite.step import Step
from htq.words.task import NewTask

__all__ = ["enqueue"]

_AGEING_MS = 60_000
"""A step of priority is worth a minute of waiting."""

_KNOWN = "SELECT uuid, (SELECT superseded FROM requests WHERE id = tasks.id) FROM tasks WHERE uuid IN"
_ALIVE = "SELECT uuid FROM tasks WHERE tenant = ? AND name = ? AND state < 3 AND cancel_at IS NULL"
_LATEST = "SELECT id FROM tasks WHERE tenant = ? AND name = ? AND name IS NOT NULL ORDER BY uuid DESC LIMIT 1"
_TASKS = """
tasks (id, uuid, state, queue, lane, ord, run_at, ttl_ms, stop_ms, once, due_at, blocked_by, tenant, name)
"""
_REQUESTS = "requests (id, created_at, owner, host, priority, labels, superseded, body_size, request, body)"


def enqueue(step: Step, tasks: Sequence[NewTask]) -> list[Enqueued]:
    keys = [key_of(task.uuid) for task in tasks]
    known = _known(step, keys)
    lanes: dict[tuple[str, str], tuple[int, int]] = {}
    new_id: int = step.db.execute("SELECT coalesce(max(id), 0) FROM tasks").get
    rows: list[tuple[object, ...]] = []
    requests: list[tuple[object, ...]] = []
    answers: list[Enqueued] = []
    for task, key in zip(tasks, keys, strict=True):
        superseded = known.get(key)
        if superseded is None:
            new_id += 1
            place = (task.queue, task.key)
            if place not in lanes:
                lanes[place] = _lane(step, *place)
            superseded, blocked_by = (), None
            if task.name is not None:
                # The older task must be in the table before it can be found there: what was gathered goes first.
                _insert(step, rows, requests)
                superseded, blocked_by = _supersede(step, task.tenant, task.name)
            rows.append(_task(step, new_id, key, task, lanes[place], blocked_by))
            requests.append(_request(step, new_id, task, superseded))
            known[key] = superseded
        answers.append(Enqueued(task.uuid, superseded))
    _insert(step, rows, requests)
    return answers


def _task(
    step: Step, new_id: int, key: bytes, task: NewTask, place: tuple[int, int], blocked_by: int | None
) -> tuple[object, ...]:
    """The row of `_TASKS`; counted, and told of."""
    queue, lane = place
    run_at = step.now if task.run_at is None else task.run_at
    due_at = run_at if run_at > step.now else None
    if blocked_by is not None:
        due_at = max(run_at, step.now + round(BLOCKED_FOR * 1000))
    if due_at is None:
        step.news.available = True
    else:
        step.news.due(due_at)
    state = QUEUED if due_at is None else SCHEDULED
    step.move(queue, lane, None, state)
    request = task.request
    stop_ms = round(max(request.timeouts.total, STOP_LAPSES_AFTER) * 1000) if request.stop.delete else None
    ord_ = run_at + (9 - task.priority) * _AGEING_MS
    ttl_ms = round(task.result_ttl * 1000)
    once = task.delivery == "at_most_once"
    return (
        new_id,
        key,
        state,
        queue,
        lane,
        ord_,
        run_at,
        ttl_ms,
        stop_ms,
        once,
        due_at,
        blocked_by,
        task.tenant,
        task.name,
    )


def _request(step: Step, new_id: int, task: NewTask, superseded: tuple[str, ...]) -> tuple[object, ...]:
    """The row of `_REQUESTS`. A large body is written at once, beside it."""
    labels = msgspec.json.encode(task.labels).decode() if task.labels else None
    packed = b"".join(map(key_of, superseded)) or None
    size = len(task.body)
    body: bytes | None = task.body
    if size > BODY_INLINE:
        write_body(step, new_id, 0, task.body)
        body = None
    return new_id, step.now, task.owner, task.host, task.priority, labels, packed, size, encode(task.request), body


def _insert(step: Step, rows: list[tuple[object, ...]], requests: list[tuple[object, ...]]) -> None:
    step.insert(_TASKS, rows)
    step.insert(_REQUESTS, requests)
    rows.clear()
    requests.clear()


def _known(step: Step, keys: Sequence[bytes]) -> dict[bytes, tuple[str, ...]]:
    """Which of these are in the store, with what they superseded."""
    known: dict[bytes, tuple[str, ...]] = {}
    for key, packed in step.among(_KNOWN, keys):
        known[key] = tuple(uuid_of(packed[at : at + 16]) for at in range(0, len(packed), 16)) if packed else ()
    return known


def _lane(step: Step, queue: str, key: str) -> tuple[int, int]:
    """The ids of the queue and the lane, made where they are missing."""
    db = step.db
    found = db.execute("SELECT id FROM queues WHERE name = ?", (queue,)).get
    queue_id = found or db.execute("INSERT INTO queues (name) VALUES (?) RETURNING id", (queue,)).get
    found = db.execute("SELECT id FROM lanes WHERE queue = ? AND key = ?", (queue_id, key)).get
    return queue_id, found or db.execute(
        "INSERT INTO lanes (queue, key) VALUES (?, ?) RETURNING id", (queue_id, key)
    ).get


def _supersede(step: Step, tenant: str, name: str) -> tuple[tuple[str, ...], int | None]:
    """Cancel the live task of that name. Returns its uuid, and the id of the task that the new one waits behind."""
    key = step.db.execute(_ALIVE, (tenant, name)).get
    if key is None:
        latest = step.db.execute(_LATEST, (tenant, name)).get
        return (), None if latest is None else _behind(step, latest)
    old = find(step, key)
    assert old is not None
    cancel_one(step, old, "superseded")
    return (uuid_of(key),), _behind(step, old.id)


def _behind(step: Step, latest: int) -> int | None:
    """Whose exchange the successor of `latest` waits behind. One that was canceled while it waited hands that on."""
    sql = """
    SELECT iif(state = ? OR EXISTS (SELECT 1 FROM stops WHERE task = tasks.id AND state = 'owed'), id, blocked_by)
    FROM tasks WHERE id = ?
    """
    behind: int | None = step.db.execute(sql, (PENDING, latest)).get
    return behind
