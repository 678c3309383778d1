"""Tasks come in and go out: `enqueue`, `cancel`, `delete_response`, `promote`, `forget`; and what is set for their queues."""

from collections.abc import Sequence

import msgspec

from htq.stores.base import Cancel, Enqueued, Promoted, QueueSettings
from htq.stores.redis.batches import BATCH, parts, weighed_parts
from htq.stores.redis.functions import Functions
from htq.stores.redis.link import Link
from htq.stores.redis.records import known_form
from htq.stores.redis.wire import arrival
from htq.words.states import State
from htq.words.task import NewTask

__all__ = ["cancel", "delete_response", "enqueue", "forget", "promote", "put_queue"]


async def enqueue(functions: Functions, tasks: Sequence[NewTask]) -> list[Enqueued]:
    answers: list[Enqueued] = []
    for items, blobs in weighed_parts([arrival(task) for task in tasks]):
        superseded, _ = await functions.step("enqueue", items, blobs)
        for item, old in zip(items, superseded, strict=True):
            answers.append(Enqueued(item.uuid, (old,) if old else ()))
    return answers


async def cancel(functions: Functions, cancels: Sequence[Cancel]) -> list[State | None]:
    answers: list[State | None] = []
    for part in parts(cancels):
        header = [(known_form(uuid), False if reason is None else reason) for uuid, reason in part]
        states, _ = await functions.step("cancel", header)
        answers += [state or None for state in states]
    return answers


async def delete_response(functions: Functions, uuids: Sequence[str]) -> list[bool]:
    answers: list[bool] = []
    for part in parts(uuids):
        deleted, _ = await functions.step("delete_response", [known_form(uuid) for uuid in part])
        answers += deleted
    return answers


async def promote(functions: Functions, limit: int) -> Promoted:
    promoted, next_due_at = 0, 0
    while promoted < limit:
        wanted = min(limit - promoted, BATCH)
        (count, next_due_at), _ = await functions.step("promote", (wanted,))
        promoted += count
        if count < wanted:
            break
    return Promoted(promoted, next_due_at or None)


async def forget(functions: Functions, limit: int) -> int:
    forgotten = 0
    while forgotten < limit:
        wanted = min(limit - forgotten, BATCH)
        count, _ = await functions.step("forget", (wanted,))
        forgotten += count
        if count < wanted:
            break
    return forgotten


async def put_queue(link: Link, prefix: str, name: str, settings: QueueSettings) -> None:
    await link.command("HSET", f"{prefix}settings", name, msgspec.msgpack.encode(settings))
