"""A cancel of a running request, over real processes and a real wire."""

from typing import Any

from e2e.system import System, ask
from support.htq_process import HtqProcess
from support.target import FakeTarget, answer, hold


async def settled(server: HtqProcess, uuid: str) -> Any:
    """The record of a cancel once nothing more will happen to its task: to cancel it again changes nothing, and can wait."""
    return await ask(await server.url(), "DELETE", f"/{uuid}/", headers={"Prefer": "wait=15"})


async def test_a_cancel_sends_the_delete_and_closes_the_connection(system: System, target: FakeTarget) -> None:
    target.on("/work?a=1", hold(), "POST")
    target.on("/work?a=1", answer(404), "DELETE")
    server, client = await system.server()
    await system.worker()
    task = await client.send(
        target.url("/work?a=1"), data={"x": 1}, headers={"Authorization": "Bearer s3cret", "X-Tag": "7"}
    )
    post = await target.arrived("/work?a=1", "POST")
    assert await client.status(task["uuid"]) == "pending"
    await client.cancel(task["uuid"])
    assert await client.status(task["uuid"]) == "canceled"
    assert await client.response(task["uuid"]) == {}
    delete = await target.arrived("/work?a=1", "DELETE")
    await post.disconnected()
    assert post.closed_by == "client"
    assert delete.connection_id != post.connection_id
    assert (delete.header("Authorization"), delete.header("X-Tag")) == ("Bearer s3cret", "7")
    assert delete.header("HTQ-Task-Id") == post.header("HTQ-Task-Id") == task["uuid"]
    assert delete.header("HTQ-Cancel") == "requested"
    assert post.header("Content-Type") == "application/json"
    assert delete.header("Content-Type") is None
    assert delete.header("Content-Length") in (None, "0")
    assert delete.body == b""
    cancel = await settled(server, task["uuid"])
    assert (cancel["phase"], cancel["delete"]["state"], cancel["delete"]["code"]) == ("sent", "gone", 404)
    assert await client.status(task["uuid"]) == "canceled"


async def test_a_cancel_whose_signal_was_lost_comes_with_the_heartbeat(deaf_system: System, target: FakeTarget) -> None:
    target.on("/work", hold(), "GET")
    _, client = await deaf_system.server()
    await deaf_system.worker()
    task = await client.send(target.url("/work"))
    get = await target.arrived("/work", "GET", within=10)
    await client.cancel(task["uuid"])
    await target.arrived("/work", "DELETE", within=10)
    await get.disconnected()


async def test_a_newer_request_with_the_same_id_waits_for_the_end_of_the_older(
    system: System, target: FakeTarget
) -> None:
    target.on("/work", hold(), "GET")
    _, client = await system.server()
    await system.worker()
    older = await client.send(target.url("/work"), id="report")
    first = await target.arrived("/work", "GET")
    newer = await client.send(target.url("/work"), id="report")
    delete = await target.arrived("/work", "DELETE")
    second = await target.arrived("/work", "GET", count=2, within=10)
    assert (first.header("HTQ-Task-Id"), second.header("HTQ-Task-Id")) == (older["uuid"], newer["uuid"])
    assert delete.header("HTQ-Task-Id") == older["uuid"]
    assert first.gone.is_set(), "the older request is over before the newer one starts"
    second.release()
    assert (await client.wait(newer["uuid"], timeout=10))["code"] == 200


async def test_the_delete_of_a_killed_worker_is_sent_by_another(system: System, target: FakeTarget) -> None:
    lease = ("--lease", "4", "--heartbeat", "0.3")
    target.on("/work", hold(), "GET")
    server, client = await system.server()
    worker = await system.worker(*lease)
    task = await client.send(target.url("/work"))
    await target.arrived("/work", "GET")
    await worker.kill()
    await client.cancel(task["uuid"])
    assert await client.status(task["uuid"]) == "canceled"
    await system.worker(*lease)
    delete = await target.arrived("/work", "DELETE", within=30)
    assert (delete.header("HTQ-Task-Id"), delete.header("HTQ-Attempt")) == (task["uuid"], "1")
    cancel = await settled(server, task["uuid"])
    assert (cancel["phase"], cancel["delete"]["state"]) == ("unknown", "confirmed")
    assert len(target.received("/work", "GET")) == 1
