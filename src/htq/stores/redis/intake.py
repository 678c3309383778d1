"""Tasks come in and go out: `enqueue`, `cancel`, `delete_response`, `promote`, `expire`, `forget`."""

from collections.abc import Sequence
from typing import Any

from htq.stores.base import Cancel, Enqueued, Expired, Promoted
from htq.stores.redis.batches import BATCH, parts, weighed_parts
from htq.stores.redis.functions import Functions
from htq.stores.redis.records import known_form
from htq.stores.redis.wire import Arrival, arrival, lane_id
from htq.words.states import State
from htq.words.task import NewTask

__all__ = ["cancel", "delete_response", "enqueue", "enqueued", "expire", "forget", "places", "promote"]


async def enqueue(functions: Functions, tasks: Sequence[NewTask], *, atomic: bool) -> list[Enqueued]:
    names, keys = places(tasks)
    arrivals = [arrival(task) for task in tasks]
    if atomic:
        whole = ([item for item, _ in arrivals], [blob for _, beside in arrivals for blob in beside])
        return await _take(functions, *whole, names, keys, atomic)
    answers: list[Enqueued] = []
    for items, blobs in weighed_parts(arrivals):
        answers += await _take(functions, items, blobs, names, keys, atomic)
    return answers


async def _take(
    functions: Functions,
    items: list[Arrival],
    blobs: list[bytes],
    names: dict[str, str],
    keys: dict[str, str],
    atomic: bool,
) -> list[Enqueued]:
    if len(keys) > len(items):
        lanes = {item.lane for item in items}
        keys = {lane: key for lane, key in keys.items() if lane in lanes}
    told, _ = await functions.step("enqueue", (items, names, keys, atomic), blobs)
    return [enqueued(item.uuid, answer) for item, answer in zip(items, told, strict=True)]


def places(tasks: Sequence[NewTask]) -> tuple[dict[str, str], dict[str, str]]:
    """What the queues and lanes of these tasks are called, by their ids."""
    names: dict[str, str] = {}
    keys: dict[str, str] = {}
    for queue, key in {(task.queue, task.key) for task in tasks}:
        lane = lane_id(queue, key)
        keys[lane] = key
        names[lane[:16]] = queue
    return names, keys


def enqueued(uuid: str, answer: Any) -> Enqueued:
    """An answer of the function, about the task with this uuid."""
    if not answer:
        return Enqueued(uuid)
    outcome, found, superseded = answer
    return Enqueued(found, tuple(superseded.split(",")) if superseded else (), outcome)


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
    return Promoted(*await _in_parts(functions, "promote", limit))


async def expire(functions: Functions, limit: int) -> Expired:
    return Expired(*await _in_parts(functions, "expire", limit))


async def _in_parts(functions: Functions, verb: str, limit: int) -> tuple[int, int | None]:
    """How many there were, at most `limit`, and when the next one is due."""
    done, next_at = 0, 0
    while True:
        wanted = min(limit - done, BATCH)
        (count, next_at), _ = await functions.step(verb, (wanted,))
        done += count
        if count < wanted or done >= limit:
            return done, next_at or None


async def forget(functions: Functions, limit: int) -> int:
    forgotten = 0
    while forgotten < limit:
        wanted = min(limit - forgotten, BATCH)
        count, _ = await functions.step("forget", (wanted,))
        forgotten += count
        if count < wanted:
            break
    return forgotten
