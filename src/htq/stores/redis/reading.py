"""What is read and changes nothing: tasks, responses, attempts, bodies, pages, counts."""

from collections.abc import Sequence

from htq.stores.base import BodyRef, Filter, Page, QueueStats
from htq.stores.redis.batches import parts
from htq.stores.redis.functions import Functions
from htq.stores.redis.link import Link
from htq.stores.redis.records import known_form, read_attempt, read_response, task_of
from htq.words.attempt import AttemptRecord
from htq.words.errors import Malformed
from htq.words.states import State
from htq.words.task import Response, Task

__all__ = ["attempts", "get", "list_tasks", "read_body", "responses", "states", "stats"]

_LOOK_AT = 1000
"""Records that a call of `list_tasks` looks at, or its limit if that is more: a page that takes few of them comes short."""

_STEP = 250
"""Records that one function looks at."""


async def get(functions: Functions, uuids: Sequence[str]) -> list[Task | None]:
    tasks: list[Task | None] = []
    for part in parts(uuids):
        rows = await functions.read("get", [known_form(uuid) for uuid in part])
        tasks += [task_of(uuid, flat, spec) for uuid, (flat, spec) in zip(part, rows, strict=True)]
    return tasks


async def states(functions: Functions, uuids: Sequence[str]) -> list[tuple[State, bool] | None]:
    found: list[tuple[State, bool] | None] = []
    for part in parts(uuids):
        for state, cancel_at in await functions.read("states", [known_form(uuid) for uuid in part]):
            found.append(None if state is None else (state.decode(), cancel_at is not None))
    return found


async def responses(functions: Functions, uuids: Sequence[str]) -> list[Response | None]:
    found: list[Response | None] = []
    for part in parts(uuids):
        packed = await functions.read("responses", [known_form(uuid) for uuid in part])
        found += [read_response(uuid, response) for uuid, response in zip(part, packed, strict=True)]
    return found


async def attempts(functions: Functions, uuid: str) -> list[AttemptRecord]:
    (state, attempt, session, claimed_at), ended = await functions.read("attempts", (known_form(uuid),))
    read = (read_attempt(uuid, element.partition(b"\n")[2]) for element in ended)
    records = [record for record in read if record is not None]
    if state == b"pending":
        records.append(AttemptRecord(attempt=int(attempt), session=session.decode(), claimed_at=int(claimed_at)))
    return records


async def read_body(link: Link, prefix: str, ref: BodyRef, index: int, limit: int) -> list[bytes]:
    key = f"{prefix}body:{ref.attempt}:{ref.side}:{known_form(ref.uuid)}"
    if limit < 1:
        return []
    chunks = await link.command("HMGET", key, *map(str, range(index, index + limit)))
    return [chunk for chunk in chunks if chunk is not None]


async def list_tasks(functions: Functions, where: Filter, cursor: str | None, limit: int) -> Page:
    if cursor is not None and not known_form(cursor):
        raise Malformed("The cursor is none that a page has given.")
    after = cursor or ""
    tasks: list[Task] = []
    look_at = max(_LOOK_AT, limit)
    while look_at > 0:
        wanted = min(_STEP, look_at)
        uuids, rows = await functions.read("list_tasks", (where.statuses, after, wanted))
        for name, (flat, spec) in zip(uuids, rows, strict=True):
            if len(tasks) == limit:
                return Page(tasks, after)
            after = name.decode()
            task = task_of(after, flat, spec)
            if task is not None and _matches(task, where):
                tasks.append(task)
        if len(uuids) < wanted:
            return Page(tasks, None)
        look_at -= wanted
    return Page(tasks, after)


def _matches(task: Task, where: Filter) -> bool:
    """All but the status, by which the function has chosen."""
    return (
        task.tenant == where.tenant
        and (where.queue is None or task.queue == where.queue)
        and (where.key is None or task.key == where.key)
        and (where.host is None or task.host == where.host)
        and (where.name is None or task.name == where.name)
        and (where.since is None or task.created_at >= where.since)
        and (where.until is None or task.created_at < where.until)
        and all(task.labels.get(label) == value for label, value in where.labels.items())
    )


async def stats(functions: Functions) -> list[QueueStats]:
    rows = await functions.read("stats", ())
    found = [
        QueueStats(
            name=name.decode(),
            scheduled=int(scheduled or 0),
            queued=int(queued or 0),
            pending=int(pending or 0),
            oldest_queued_at=None if oldest is None else int(oldest),
        )
        for name, scheduled, queued, pending, oldest in rows
        if name is not None
    ]
    return sorted(found, key=lambda queue: queue.name)
