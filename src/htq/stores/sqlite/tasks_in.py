"""`enqueue`: tasks come in, and a name's newer task takes the place of the older."""

from collections.abc import Sequence

import msgspec

from htq.stores.base import BLOCKED_FOR, BODY_INLINE, REFUSED, Enqueued
from htq.stores.sqlite.bodies import write_body
from htq.stores.sqlite.codec import QUEUED, SCHEDULED, encode, key_of, uuid_of
from htq.stores.sqlite.derived import callback_bits, first_end, order_of, stop_ms_of
from htq.stores.sqlite.groups import is_closed, open_group
from htq.stores.sqlite.keys import keep_key, known_by_key
from htq.stores.sqlite.lanes import lane_of
from htq.stores.sqlite.names import Naming, name_task
from htq.stores.sqlite.step import Step
from htq.stores.sqlite.windows import encode_cost
from htq.words.task import NewTask

__all__ = ["enqueue"]

_KNOWN = "SELECT uuid, (SELECT superseded FROM requests WHERE id = tasks.id) FROM tasks WHERE uuid IN"
_PLAIN = "tasks (id, uuid, state, queue, lane, ord, run_at, ttl_ms, stop_ms, once, due_at, tenant)"
_TASKS = """
tasks (id, uuid, state, queue, lane, ord, run_at, ttl_ms, stop_ms, once, due_at, tenant, blocked_by, blocked_until, name, rank,
    start_by, deadline, ends_at, grp, callback)
"""
_UNNAMED = Naming()
_REQUESTS = "requests (id, created_at, owner, host, priority, labels, superseded, body_size, request, body, cost)"


def enqueue(step: Step, tasks: Sequence[NewTask], *, atomic: bool = False) -> list[Enqueued]:
    if not atomic:
        return _Intake(step, tasks).take()
    # All or none, without undoing what others do in the same transaction.
    step.db.execute("SAVEPOINT atomic")
    inner = step.fork()
    intake = _Intake(inner, tasks)
    answers = intake.take()
    if REFUSED.isdisjoint(answer.outcome for answer in answers):
        inner.flush()
        step.news.add(inner.news)
    else:
        step.db.execute("ROLLBACK TO atomic")
        made = set(intake.made)
        answers = [
            Enqueued(task.uuid, outcome="untaken") if answer.uuid in made and answer.outcome not in REFUSED else answer
            for task, answer in zip(tasks, answers, strict=True)
        ]
    step.db.execute("RELEASE atomic")
    return answers


class _Intake:
    """One batch on its way in. Rows are gathered, and written together where nothing has to find them before."""

    def __init__(self, step: Step, tasks: Sequence[NewTask]) -> None:
        self._step = step
        self._tasks = tasks
        self._lanes: dict[tuple[str, str], tuple[int, int]] = {}
        self._plain: list[tuple[object, ...]] = []
        self._rows: list[tuple[object, ...]] = []
        self._requests: list[tuple[object, ...]] = []
        self.made: list[str] = []
        """The uuids of those that were not known before."""

    def take(self) -> list[Enqueued]:
        step = self._step
        keys = [key_of(task.uuid) for task in self._tasks]
        known = _known(step, keys)
        new_id: int = step.db.execute("SELECT coalesce(max(id), 0) FROM tasks").get
        answers: list[Enqueued] = []
        for task, key in zip(self._tasks, keys, strict=True):
            superseded = known.get(key)
            if superseded is not None:
                answers.append(Enqueued(task.uuid, superseded))
                continue
            if _is_plain(task):
                # Most are: few columns, and nothing to ask for.
                answer = Enqueued(task.uuid)
                self._plain.append(_task(step, new_id + 1, key, task, self._place(task)))
                self._requests.append(_request(step, new_id + 1, task, ()))
            else:
                answer = self._judge(new_id + 1, key, task)
            if answer.outcome == "created":
                new_id += 1
                known[key] = answer.superseded
                self.made.append(task.uuid)
            answers.append(answer)
        self._insert()
        return answers

    def _judge(self, new_id: int, key: bytes, task: NewTask) -> Enqueued:
        """A task that others may stand in the way of."""
        step = self._step
        given = task.idempotency
        if given is not None:
            known = known_by_key(step, task.tenant, given)
            if known is not None:
                return Enqueued(known[1], outcome=known[0])
        if task.group is not None and is_closed(step, task.tenant, task.group):
            return Enqueued(task.uuid, outcome="closed")
        naming = _UNNAMED
        if task.name is not None:
            # An older task must be in the table before it can be found there: what was gathered goes first.
            self._insert()
            naming = name_task(step, task.tenant, task.name, task.on_conflict)
        if naming.outcome == "rejected":
            return Enqueued(uuid_of(naming.key), outcome="rejected")
        if given is not None:
            keep_key(step, task.tenant, given, naming.key or key)
        if naming.outcome == "existing":
            return Enqueued(uuid_of(naming.key), outcome="existing")
        group = None if task.group is None else open_group(step, task.tenant, task.group)
        self._make(new_id, key, task, naming, group)
        return Enqueued(task.uuid, naming.superseded)

    def _make(self, new_id: int, key: bytes, task: NewTask, naming: Naming, group: int | None) -> None:
        step = self._step
        place = self._place(task)
        self._rows.append(_full_task(step, new_id, key, task, place, naming, group))
        self._requests.append(_request(step, new_id, task, naming.superseded))

    def _place(self, task: NewTask) -> tuple[int, int]:
        place = (task.queue, task.key)
        found = self._lanes.get(place)
        if found is None:
            found = self._lanes[place] = lane_of(self._step, *place)
        return found

    def _insert(self) -> None:
        for into, rows in ((_PLAIN, self._plain), (_TASKS, self._rows), (_REQUESTS, self._requests)):
            self._step.insert(into, rows)
            rows.clear()


def _is_plain(task: NewTask) -> bool:
    return (
        task.name is None
        and task.group is None
        and task.idempotency is None
        and task.start_by is None
        and task.deadline is None
        and task.request.callback is None
    )


def _task(step: Step, new_id: int, key: bytes, task: NewTask, place: tuple[int, int]) -> tuple[object, ...]:
    """The row of `_PLAIN`, for a task that nothing but its time decides about; counted, and told of."""
    queue, lane = place
    run_at = step.now
    due_at = None
    if task.run_at is not None:
        run_at = task.run_at
        if run_at > step.now:
            due_at = run_at
    if due_at is None:
        state = QUEUED
        step.news.available = True
    else:
        state = SCHEDULED
        step.news.due(due_at)
    step.move(queue, lane, None, state)
    return (
        new_id,
        key,
        state,
        queue,
        lane,
        order_of(run_at, task.priority),
        run_at,
        round(task.result_ttl * 1000),
        stop_ms_of(task.request),
        task.delivery == "at_most_once",
        due_at,
        task.tenant,
    )


def _full_task(
    step: Step, new_id: int, key: bytes, task: NewTask, place: tuple[int, int], naming: Naming, group: int | None
) -> tuple[object, ...]:
    """The row of `_TASKS`; counted, and told of."""
    queue, lane = place
    run_at = step.now if task.run_at is None else task.run_at
    due_at = run_at if run_at > step.now else None
    blocked_until = None
    state = QUEUED if due_at is None else SCHEDULED
    if naming.blocked_by is not None:
        blocked_until = None if naming.to_its_end else step.now + round(BLOCKED_FOR * 1000)
        due_at = None if blocked_until is None else max(run_at, blocked_until)
        state = SCHEDULED
    if state == QUEUED:
        step.news.available = True
    elif due_at is not None:
        step.news.due(due_at)
    step.move(queue, lane, None, state)
    step.move_in_group(group, None, state)
    ends_at = first_end(task.start_by, task.deadline)
    if ends_at is not None:
        step.news.do_at(ends_at)
    return (
        new_id,
        key,
        state,
        queue,
        lane,
        order_of(run_at, task.priority),
        run_at,
        round(task.result_ttl * 1000),
        stop_ms_of(task.request),
        task.delivery == "at_most_once",
        due_at,
        task.tenant,
        naming.blocked_by,
        blocked_until,
        task.name,
        naming.rank,
        task.start_by,
        task.deadline,
        ends_at,
        group,
        callback_bits(task.request),
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
    cost = encode_cost(task.cost)
    request = encode(task.request)
    return new_id, step.now, task.owner, task.host, task.priority, labels, packed, size, request, body, cost


def _known(step: Step, keys: Sequence[bytes]) -> dict[bytes, tuple[str, ...]]:
    """Which of these are in the store, with what they superseded."""
    known: dict[bytes, tuple[str, ...]] = {}
    for key, packed in step.among(_KNOWN, keys):
        known[key] = tuple(uuid_of(packed[at : at + 16]) for at in range(0, len(packed), 16)) if packed else ()
    return known
