"""What is owed is queued once, whoever sees to it, how often, and whatever is lost."""

import asyncio
import base64
import json
import logging
from typing import Any, Literal

import pytest

from htq.policy.callbacks import MAX_BODY, task_callback
from htq.stores.base import BODY_INLINE, CHUNK, BodyRef
from htq.words.callback import Callback
from htq.words.errors import StoreUnavailable
from htq.words.states import LIVE
from htq.words.task import NewTask, Task
from keeper.world import World


def callback(include: Literal["body", "link"] = "link", **fields: Any) -> Callback:
    return Callback(**({"url": "http://hooks.example/", "source": "http://q", "include": include} | fields))


async def ended(world: World, count: int = 1, body: bytes = b"done", **fields: Any) -> None:
    """Tasks that have ended, each with a callback."""
    given = callback(**fields)
    await world.store.enqueue([world.task(callback=given) for _ in range(count)])
    await world.end(body)


async def queued(world: World) -> list[Task]:
    """The callbacks that wait to be sent."""
    return [task for task in await world.tasks() if task.state in LIVE]


async def event(world: World, task: Task) -> dict[str, Any]:
    body = task.body
    if body is None:
        body = b"".join(await world.store.read_body(BodyRef(task.uuid, 0, "request"), 0, 100))
    found: dict[str, Any] = json.loads(body)
    return found


async def told(world: World) -> dict[str, Any]:
    """The event of the one callback that waits."""
    (task,) = await queued(world)
    return await event(world, task)


async def test_what_is_owed_is_queued_and_settled(world: World) -> None:
    await ended(world)
    assert not await world.callbacks().look()
    (task,) = await queued(world)
    assert (task.request.url, task.request.signed, task.request.callback) == ("http://hooks.example/", True, None)
    assert (await event(world, task))["type"] == "htq.task.success"
    assert await world.store.owed_callbacks(10) == []


async def test_a_callback_owes_none_of_its_own(world: World) -> None:
    await ended(world)
    await world.callbacks().look()
    await world.end()
    assert await world.store.owed_callbacks(10) == []
    await world.callbacks().look()
    assert await queued(world) == []


async def test_two_keepers_queue_each_once(world: World) -> None:
    await ended(world, 30)
    other = await world.open()
    await asyncio.gather(world.callbacks().look(), world.callbacks(other).look(), world.callbacks().look())
    subjects = [(await event(world, task))["subject"] for task in await queued(world)]
    assert len(subjects) == len(set(subjects)) == 30
    assert await world.store.owed_callbacks(10) == []


@pytest.mark.parametrize("verb", ["owed_callbacks", "enqueue", "settle_callbacks"])
async def test_a_lost_reply_makes_no_second_callback(world: World, verb: str) -> None:
    await ended(world, 3)
    callbacks = world.callbacks(world.losing(verb))
    with pytest.raises(StoreUnavailable):
        await callbacks.look()
    await callbacks.look()
    assert len(await queued(world)) == 3
    assert await world.store.owed_callbacks(10) == []


async def test_one_that_was_sent_before_it_was_settled_is_not_sent_again(world: World) -> None:
    await ended(world)
    (owed,) = await world.store.owed_callbacks(10)
    first = world.callbacks(world.losing("enqueue"))
    with pytest.raises(StoreUnavailable):
        await first.look()
    await world.end()
    assert await world.store.owed_callbacks(10) == [owed]
    await world.callbacks().look()
    assert await queued(world) == []


async def test_a_crowd_is_seen_to_step_by_step(world: World) -> None:
    await ended(world, 150)
    callbacks = world.callbacks()
    assert await callbacks.look()
    assert not await callbacks.look()
    assert len(await queued(world)) == 150


@pytest.mark.parametrize("size", [0, 10, BODY_INLINE + 1, CHUNK])
async def test_the_response_goes_along_where_it_was_asked_for(world: World, size: int) -> None:
    await ended(world, body=b"x" * size, include="body")
    await world.callbacks().look()
    response = (await told(world))["data"]["response"]
    assert (response["code"], response["data"]) == (200, "x" * size)


async def test_a_body_of_many_chunks_goes_along_up_to_the_bound(world: World) -> None:
    for size in (MAX_BODY, MAX_BODY + 1):
        await world.store.enqueue([world.task(callback=callback("body"))])
        await _end_in_chunks(world, b"\xff" * size)
        await world.callbacks().look()
        response = (await told(world))["data"]["response"]
        if size == MAX_BODY:
            assert base64.b64decode(response["data_base64"]) == b"\xff" * size
        else:
            assert (response["data"], response["data_omitted"]) == (None, size)
        await world.end()


async def _end_in_chunks(world: World, body: bytes) -> None:
    (claim,) = await world.claim()
    chunks = [body[at : at + CHUNK] for at in range(0, len(body), CHUNK)]
    assert await world.store.append_body(BodyRef(claim.uuid, claim.attempt, "response"), 0, chunks)
    await world.finish(claim, body=None, body_size=len(body))


async def test_only_the_address_goes_along_where_nothing_else_was_asked_for(world: World) -> None:
    await ended(world)
    await world.callbacks().look()
    data = (await told(world))["data"]
    assert "response" not in data
    assert data["links"]["response"] == f"http://q/{data['uuid']}/response/"


async def test_a_task_that_runs_again_by_hand_is_told_of_when_it_has_ended_again(world: World) -> None:
    await ended(world)
    (task,) = await world.tasks()
    await world.store.retry([task.uuid])
    await world.callbacks().look()
    assert [each.uuid for each in await queued(world)] == [task.uuid]
    await world.end()
    await world.callbacks().look()
    assert (await told(world))["data"]["attempt"] == 2


async def test_one_that_can_not_be_sent_is_told_to_the_log_and_settled(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await ended(world, url="gopher://hooks.example/")
    with caplog.at_level(logging.WARNING, "htq.keeper"):
        await world.callbacks().look()
    assert await queued(world) == []
    assert await world.store.owed_callbacks(10) == []
    (record,) = caplog.records
    assert "http" in record.getMessage()


async def test_a_defect_costs_one_callback_and_holds_up_no_other(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ended(world, 2)
    poison = (await world.store.owed_callbacks(10))[0].subject

    def broken(task: Task, *rest: Any) -> NewTask:
        if task.uuid == poison:
            raise ZeroDivisionError("a defect")
        return task_callback(task, *rest)

    monkeypatch.setattr("htq.keeper.callbacks.task_callback", broken)
    await world.callbacks().look()
    assert len(await queued(world)) == 1
    assert await world.store.owed_callbacks(10) == []
    assert poison in caplog.text


async def test_a_complete_group_is_told_of_once(world: World) -> None:
    await world.store.put_group("", "night", callback(), close=False)
    await world.store.enqueue([world.task(group="night") for _ in range(3)])
    await world.end()
    await world.callbacks().look()
    assert await queued(world) == []
    await world.store.put_group("", "night", None, close=True)
    other = await world.open()
    await asyncio.gather(world.callbacks().look(), world.callbacks(other).look())
    found = await told(world)
    assert (found["type"], found["subject"], found["data"]["counts"]) == (
        "htq.group.completed",
        "night",
        {"success": 3},
    )
    assert await world.store.owed_callbacks(10) == []
