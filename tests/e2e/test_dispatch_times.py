"""Times that are promised: the slots of schedules, `start_by` and `deadline`, with real workers."""

import asyncio
from collections import Counter

from e2e.system import System, ask
from htq.words.states import STATES
from support.target import FakeTarget, hold

SHORT_LEASE = ("--lease", "4", "--heartbeat", "0.3")
SLOTS = 6


async def test_each_slot_of_a_schedule_makes_one_request_whichever_worker_dies(
    system: System, target: FakeTarget
) -> None:
    (_, first), (_, second) = await asyncio.gather(system.server(), system.server())
    worker, *_ = await asyncio.gather(*(system.worker(*SHORT_LEASE) for _ in range(3)))
    tick = {"url": target.url("/tick"), "queue": "ticks"}
    made = await first.schedules.put("ticks", tick, every=1, overlap="allow")
    await _slots_sent(target, 2)
    await worker.kill()
    await _slots_sent(target, 4)
    await system.worker(*SHORT_LEASE)
    await _slots_sent(target, SLOTS)
    last = (await second.schedules.pause("ticks"))["last"]

    tasks = await second.requests(queue="ticks", status=STATES)
    slots = {_slot(task["uuid"]): task["uuid"] for task in tasks}
    assert len(slots) == len(tasks), "a slot has two"
    assert slots[last["at"]] == last["uuid"]
    assert made["created_at"] < min(slots) <= made["next"][0]
    assert sorted(slots) == list(range(min(slots), last["at"] + 1, 1000)), "a slot is missing"
    for uuid in slots.values():
        assert (await first.wait(uuid, timeout=20))["status"] == "success"
    received = target.received("/tick", "GET")
    sent = Counter((request.header("HTQ-Task-Id"), request.header("HTQ-Attempt")) for request in received)
    assert {uuid for uuid, _ in sent} == set(slots.values())
    assert set(sent.values()) == {1}, "an attempt was sent twice"


async def _slots_sent(target: FakeTarget, count: int) -> None:
    """Wait until the requests of so many slots have come; one whose worker died comes again."""
    while len({request.header("HTQ-Task-Id") for request in target.received("/tick", "GET")}) < count:
        await target.arrived("/tick", "GET", count=len(target.received("/tick", "GET")) + 1, within=20)


def _slot(uuid: str) -> int:
    """The time in a UUIDv7 (RFC 9562, 5.7), which is the slot's in those that a schedule makes."""
    return int(uuid[:8] + uuid[9:13], 16)


async def test_start_by_and_deadline_end_what_waits_and_what_is_on_the_wire(system: System, target: FakeTarget) -> None:
    target.on("/slow", hold(), "POST")
    (process, client), *_ = await asyncio.gather(system.server(), system.worker(), system.worker())
    await client.queues.pause("paused")
    waiting = {"url": target.url("/never"), "queue": "paused"}
    (late, dead), running = await asyncio.gather(
        client.send_many([{**waiting, "start_by": "1s"}, {**waiting, "deadline": "1s"}]),
        client.send(target.url("/slow"), "post", deadline="3s", cancel={"grace": 0}),
    )
    received = await target.arrived("/slow", "POST", within=20)
    assert (await client.wait(late["uuid"], timeout=20))["status"] == "timeout"
    for canceled in (dead, running):
        assert await client.wait(canceled["uuid"], timeout=20) == {}
    url = await process.url()
    assert (await client.request(late["uuid"]))["reason"] == "expired"
    assert (await client.request(dead["uuid"]))["reason"] == "deadline"
    record = await ask(url, "GET", f"/{running['uuid']}/cancel/")
    assert record["reason"] == "deadline"
    assert record["requested_at"] >= running["deadline"], record
    await received.disconnected(within=20)
    stop = await target.arrived("/slow", "DELETE", within=20)
    assert stop.header("HTQ-Task-Id") == running["uuid"]

    await client.queues.resume("paused")
    other = await client.send(target.url("/never"), queue="paused")
    assert (await client.wait(other["uuid"], timeout=20))["status"] == "success"
    sent = [request.header("HTQ-Task-Id") for request in target.received("/never")]
    assert sent == [other["uuid"]], "neither of the two was ever sent"
