"""What is read and changes nothing: tasks, responses, attempts, bodies, counts. Pages are in `listing`."""

from collections.abc import Sequence

import msgspec

from htq.stores.base import BodyRef, QueueStats
from htq.stores.redis.batches import parts
from htq.stores.redis.functions import Functions
from htq.stores.redis.link import Link
from htq.stores.redis.records import known_form, read_attempt, read_response, stop_of, task_of
from htq.words.attempt import AttemptRecord
from htq.words.states import State
from htq.words.task import Response, Task

__all__ = ["attempts", "get", "read_body", "responses", "states", "stats"]


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
    (state, attempt, session, claimed_at), ended, rows = await functions.read("attempts", (known_form(uuid),))
    read = (read_attempt(uuid, element.partition(b"\n")[2]) for element in ended)
    records = [record for record in read if record is not None]
    if state == b"pending":
        records.append(AttemptRecord(attempt=int(attempt), session=session.decode(), claimed_at=int(claimed_at)))
    stops = {int(rows[i]): stop_of(rows[i + 1]) for i in range(0, len(rows), 2)}
    return (
        [msgspec.structs.replace(record, delete=stops.get(record.attempt)) for record in records] if stops else records
    )


async def read_body(link: Link, prefix: str, ref: BodyRef, index: int, limit: int) -> list[bytes]:
    key = f"{prefix}body:{ref.attempt}:{ref.side}:{known_form(ref.uuid)}"
    if limit < 1:
        return []
    chunks = await link.command("HMGET", key, *map(str, range(index, index + limit)))
    return [chunk for chunk in chunks if chunk is not None]


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
