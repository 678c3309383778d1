"""Every end is told, whoever dies between the end and the telling."""

import asyncio
import json
import socket
from collections import defaultdict
from typing import Any

from standardwebhooks.webhooks import Webhook

from e2e.system import System
from htq.client import AsyncClient
from htq.words.states import STATES
from support.ports import closed_port
from support.target import FakeTarget, answer, hold, late

SECRET = "whsec_aHRxLWEtc2VjcmV0LWZvci1lbmQtdG8tZW5kLXRlc3Rz"
WORKER = ("--lease", "4", "--heartbeat", "0.3", "--webhook-secrets", SECRET)

GOOD = 24
OF_THE_REST = 4


async def test_each_end_is_told_under_one_id_though_workers_die_and_nobody_listens_at_first(
    system: System, target: FakeTarget
) -> None:
    target.on("/work", late(0.05), "GET")
    target.on("/never", hold(), "GET")
    (_, client), first, second = await asyncio.gather(system.server(), system.worker(*WORKER), system.worker(*WORKER))
    with socket.socket() as bound, closed_port() as closed:
        bound.bind(("127.0.0.1", 0))
        callback = {"url": f"http://127.0.0.1:{bound.getsockname()[1]}/hook", "queue": "hooks"}
        await client.groups.put("all", callback=callback)
        wanted: list[dict[str, Any]] = [{"url": target.url("/work")}] * GOOD
        wanted += [{"url": f"http://127.0.0.1:{closed}/"}] * OF_THE_REST
        wanted += [{"url": target.url("/never"), "timeout": 0.3}] * OF_THE_REST
        wanted += [{"url": target.url("/"), "delay": "1h"}] * OF_THE_REST
        tasks = await client.send_many([{**task, "callback": callback} for task in wanted], group="all")
        for task in tasks[-OF_THE_REST:]:
            await client.cancel(task["uuid"])
        await target.arrived("/work", "GET", count=10, within=20)
        await first.kill()
        await system.worker(*WORKER)
        await _refused(client, GOOD // 2)

        async with FakeTarget(bound=bound) as receiver:
            receiver.on("/hook", hold())
            for told in await client.requests(queue="hooks", status="scheduled"):
                await client.run_now(told["uuid"])
            await receiver.arrived("/hook", count=GOOD // 2, within=20)
            await second.kill()
            receiver.on("/hook", answer(204))
            for received in receiver.received():
                received.release()
            group = await client.groups.wait("all", 30)
            callbacks = await _callbacks(client, len(tasks) + 1)
            for told in callbacks:
                assert (await client.wait(told["uuid"], timeout=30))["status"] == "success"

            ends = {"success": GOOD, "error": OF_THE_REST, "timeout": OF_THE_REST, "canceled": OF_THE_REST}
            assert {state: count for state, count in group["counts"].items() if count} == ends
            expected = {task["uuid"]: f"htq.task.{await client.status(task['uuid'])}" for task in tasks}
            ids = _told(receiver, {**expected, "all": "htq.group.completed"})
            assert sorted(ids) == sorted(told["uuid"] for told in callbacks)


def _told(receiver: FakeTarget, expected: dict[str, str]) -> list[str]:
    """The webhook-ids of what was told. It must be what is `expected`, the type of the event by its subject."""
    types, ids = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    verify = Webhook(SECRET).verify
    for received in receiver.received("/hook", "POST"):
        headers = {name.lower(): value for name, value in received.headers}
        verify(received.body, headers)
        event = json.loads(received.body)
        types[event["subject"]].add(event["type"])
        ids[event["subject"]].add(headers["webhook-id"])
    assert types == {subject: {kind} for subject, kind in expected.items()}
    assert {subject: len(several) for subject, several in ids.items() if len(several) > 1} == {}
    return [webhook_id for several in ids.values() for webhook_id in several]


async def _refused(client: AsyncClient, count: int) -> None:
    """Wait until so many callbacks have met nobody, and wait for their next attempt."""
    async with asyncio.timeout(20):
        while len(await client.requests(queue="hooks", status="scheduled")) < count:
            pass


async def _callbacks(client: AsyncClient, count: int) -> list[dict[str, Any]]:
    """The requests that tell, once there are so many."""
    async with asyncio.timeout(20):
        while len(found := await client.requests(queue="hooks", status=STATES)) < count:
            pass
    assert len(found) == count, f"{len(found)} callbacks for {count} ends"
    return found
