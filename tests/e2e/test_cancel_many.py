"""Canceling by filter and by a queue's defaults, over real processes on each store."""

import asyncio
from typing import Any

from e2e.system import System, ask
from htq.client import AsyncClient
from support.target import FakeTarget, answer, hold

MANY = 300


async def test_a_filter_cancels_what_runs_and_what_waits_and_every_service_is_told_once(
    system: System, target: FakeTarget
) -> None:
    target.on("/slow", hold(), "POST")
    target.on("/slow", answer(204), "DELETE")
    _, client = await system.server()
    await system.worker("--threads", "5")
    sent = await asyncio.gather(
        *[client.send(target.url("/slow"), method="post", queue="reports") for _ in range(MANY)],
    )
    other = await client.send(target.url("/other"), delay=600)
    for _ in range(5):
        await target.arrived("/slow", "POST")
    assert await client.cancel_all(queue="reports", dry_run=True) == MANY
    assert await client.cancel_all(queue="reports", reason="not needed") == MANY
    assert await client.cancel_all(queue="reports") == 0
    assert {await client.status(task["uuid"]) for task in sent} == {"canceled"}
    assert await client.status(other["uuid"]) == "queued"
    for _ in range(5):
        await target.arrived("/slow", "DELETE")
    told = [request.header("HTQ-Task-Id") for request in target.received("/slow", "DELETE")]
    begun = [request.header("HTQ-Task-Id") for request in target.received("/slow", "POST")]
    assert (len(told), set(told)) == (5, set(begun))


async def test_a_queues_defaults_reach_every_server_and_the_wire(system: System, target: FakeTarget) -> None:
    target.on("/slow", hold(), "POST")
    process, first = await system.server()
    _, second = await system.server()
    await system.worker()
    await _policy(second, target)  # it knows now that there are none
    cancel = {"method": "put", "url": "{url}/stop?task={uuid}", "headers": {"X-Key": "secret"}}
    shown = await ask(await process.url(), "PUT", "/queues/reports/", {"defaults": {"cancel": cancel}})
    assert shown["defaults"]["cancel"] == {**cancel, "headers": {"X-Key": "[redacted]"}}
    assert await _policy(first, target) == shown["defaults"]["cancel"]

    async with asyncio.timeout(5):  # a second, and some for a busy machine
        while await _policy(second, target) is None:
            pass

    task = await second.send(target.url("/slow"), method="post", queue="reports")
    await target.arrived("/slow", "POST")
    await second.cancel(task["uuid"])
    stop = await target.arrived(f"/slow/stop?task={task['uuid']}", "PUT")
    assert (stop.header("X-Key"), stop.header("HTQ-Task-Id")) == ("secret", task["uuid"])
    assert target.received("/slow", "DELETE") == []


async def _policy(client: AsyncClient, target: FakeTarget) -> Any:
    """What is resolved for a new request of the queue, which is not sent."""
    return (await client.send(target.url("/never"), queue="reports", delay=600)).get("cancel_policy")
