"""Nothing is lost by killing a worker or a server, on any store."""

import asyncio

import pytest

from e2e.system import System
from htq.client import AsyncClient, HtqClientError
from support.target import FakeTarget, hold

SHORT_LEASE = ("--lease", "4", "--heartbeat", "0.3")


async def test_a_killed_workers_requests_are_done_by_another_and_counted(system: System, target: FakeTarget) -> None:
    target.on("/slow", hold())
    _, client = await system.server()
    worker = await system.worker(*SHORT_LEASE)
    sent = [await client.send(target.url("/slow")) for _ in range(5)]
    await target.arrived("/slow", count=5)
    await worker.kill()
    await system.worker(*SHORT_LEASE)
    await target.arrived("/slow", count=10, within=30)
    for received in target.received("/slow"):
        received.release()
    for task in sent:
        response = await client.wait(task["uuid"], timeout=20)
        assert (response["status"], response["code"]) == ("success", 200)
        assert (await client.request(task["uuid"]))["attempt"] == 2
    by_task = {(received.header("HTQ-Task-Id"), received.header("HTQ-Attempt")) for received in target.requests}
    assert by_task == {(task["uuid"], attempt) for task in sent for attempt in ("1", "2")}


async def test_every_303_that_was_answered_is_still_there_when_the_server_is_killed(
    system: System, target: FakeTarget
) -> None:
    server, client = await system.server()
    accepted: list[str] = []
    enough = asyncio.Event()

    async def post_until_it_dies() -> None:
        while True:
            try:
                accepted.append((await client.send(target.url("/"), "post", "x" * 5000))["uuid"])
            except (HtqClientError, TimeoutError):
                return
            if len(accepted) >= 300:
                enough.set()

    posting = [asyncio.create_task(post_until_it_dies()) for _ in range(20)]
    async with asyncio.timeout(30):
        await enough.wait()
        await server.kill()
        await asyncio.wait(posting)
    _, again = await system.server()
    await system.worker("--threads", "100")
    for uuid in accepted:
        assert (await again.wait(uuid, timeout=30))["status"] == "success"
    done = [received.header("HTQ-Task-Id") for received in target.requests]
    assert set(accepted) <= set(done)
    assert len(done) == len(set(done)), "nothing was sent twice"


async def test_a_worker_that_is_terminated_finishes_what_is_on_the_wire(system: System, target: FakeTarget) -> None:
    target.on("/slow", hold())
    _, client = await system.server()
    worker = await system.worker()
    task = await client.send(target.url("/slow"))
    received = await target.arrived("/slow")
    ending = asyncio.create_task(worker.terminate())
    received.release()
    assert await ending == 0
    assert (await client.wait(task["uuid"], timeout=10))["code"] == 200


async def test_a_response_is_waited_for_with_signals_switched_off(deaf_system: System, target: FakeTarget) -> None:
    target.on("/slow", hold())
    _, client = await deaf_system.server()
    await deaf_system.worker()
    task = await client.send(target.url("/slow"))
    received = await target.arrived("/slow", within=10)
    waiting = asyncio.create_task(client.wait(task["uuid"], timeout=20))
    received.release()
    assert (await waiting)["code"] == 200


async def test_two_posts_at_once_with_one_id_leave_one_alive(system: System, target: FakeTarget) -> None:
    _, client = await system.server()
    tasks = await asyncio.gather(*(client.send(target.url("/"), id="nightly") for _ in range(40)))
    statuses = [await client.status(task["uuid"]) for task in tasks]
    assert (statuses.count("queued"), statuses.count("canceled")) == (1, 39)


@pytest.mark.parametrize("threads", [1000])
async def test_a_thousand_slow_requests_are_in_flight_at_once(system: System, target: FakeTarget, threads: int) -> None:
    target.on("/slow", hold())
    _, client = await system.server()
    await system.worker("--threads", str(threads))
    tasks = await asyncio.gather(*(client.send(target.url("/slow")) for _ in range(threads)))
    await target.arrived("/slow", count=threads, within=20)
    assert target.open_connections == threads
    for received in target.received("/slow"):
        received.release()
    await _all_succeed(client, [task["uuid"] for task in tasks])


async def _all_succeed(client: AsyncClient, uuids: list[str]) -> None:
    for uuid in uuids:
        assert (await client.wait(uuid, timeout=30))["status"] == "success"
