"""Limits, fairness and pauses hold for all workers together, whoever of them dies."""

import asyncio
from typing import Any

from e2e.gauge import Gauge
from e2e.system import System, ask
from htq.client import AsyncClient
from htq.words.clock import SystemClock
from support.target import FakeTarget, hold, late

SHORT_LEASE = ("--lease", "4", "--heartbeat", "0.3")

AT_ONCE = 3
NARROW = 36
A_SECOND = 20
PACED = 50


async def test_a_queues_limits_hold_across_workers_that_are_killed_and_started_again(
    system: System, target: FakeTarget
) -> None:
    """What a killed worker had in hand counts until its lease is over: only then is it known that nothing of it goes on."""
    gauge = Gauge()
    target.on("/work", gauge.slow(60), "GET")
    process, client = await system.server()
    await client.queues.put("narrow", concurrency=AT_ONCE)
    await client.queues.put("paced", rate=[{"limit": A_SECOND, "per": 1}])
    narrow = await client.send_many([{"url": target.url("/work"), "queue": "narrow"}] * NARROW, group="narrow")
    one = ("--threads", "1", *SHORT_LEASE)
    first, second = await asyncio.gather(system.worker(*one), system.worker(*one))
    await system.worker(*SHORT_LEASE)
    await target.arrived("/work", "GET", count=AT_ONCE, within=20)

    paced = await client.send_many([{"url": target.url("/paced"), "queue": "paced"}] * PACED, group="paced")
    target.on("/work", gauge.slow(0.1), "GET")
    killed_at = SystemClock().now_ms()
    await first.kill()
    for received in target.received("/work", "GET"):
        received.release()
    await target.arrived("/work", "GET", count=AT_ONCE + 6, within=30)
    await second.kill()
    await system.worker(*SHORT_LEASE)
    pending = []
    for count in range(AT_ONCE + 7, NARROW):
        await target.arrived("/work", "GET", count=count, within=30)
        pending.append((await client.queues.get("narrow"))["pending"])
    for group, count in (("narrow", NARROW), ("paced", PACED)):
        assert (await client.groups.wait(group, 30))["counts"]["success"] == count, group

    assert gauge.most == AT_ONCE
    assert max(pending) <= AT_ONCE, pending
    url = await process.url()
    attempts = await _attempts(url, narrow)
    lost = [attempt for attempt in attempts if "ended_at" not in attempt]
    assert len(attempts) == NARROW + len(lost), "only what was lost was begun again"
    assert 1 <= len({attempt["session"] for attempt in lost}) <= 2, "only the two that were killed have lost any"
    _check_at_once(attempts, killed_at + 1000)
    _check_rate([attempt["claimed_at"] for attempt in await _attempts(url, paced)])


async def _attempts(url: str, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [attempt for task in tasks for attempt in await ask(url, "GET", f"/{task['uuid']}/attempts/")]


def _check_at_once(attempts: list[dict[str, Any]], lost_until: int) -> None:
    """By the times on record. Those whose worker died count until `lost_until` at least, when its lease was not over."""
    steps = [(attempt["claimed_at"], 1) for attempt in attempts]
    steps += [(max(attempt["claimed_at"], attempt.get("ended_at") or lost_until), -1) for attempt in attempts]
    count = 0
    for at, step in sorted(steps):
        count += step
        assert count <= AT_ONCE, (at, attempts)


def _check_rate(starts: list[int]) -> None:
    """At most so many in any second, by the store's clock: a millisecond less as it is shown, which is rounded."""
    starts.sort()
    crowds = [pair for pair in zip(starts, starts[A_SECOND:], strict=False) if pair[1] - pair[0] < 999]
    assert not crowds, f"more than {A_SECOND} within less than a second: {crowds}"


async def test_one_that_comes_behind_a_flood_is_next_if_its_lane_or_its_queue_is_another(
    system: System, target: FakeTarget
) -> None:
    threads = 5
    target.on("/flood", hold())
    _, client = await system.server()
    await system.worker("--threads", str(threads))
    await client.send_many([{"url": target.url("/flood"), "key": "flood"}] * 3000)
    await target.arrived("/flood", count=threads, within=20)
    await client.send(target.url("/lane"), key="another")
    await client.send(target.url("/queue"), key="flood", queue="another")
    in_flight = target.received("/flood")
    target.on("/flood", late(0.02))
    for received in in_flight:
        received.release()
    lane = await target.arrived("/lane", within=20)
    queue = await target.arrived("/queue", within=20)
    # Those in flight, and a claim or two of what they leave free.
    assert max(lane.number, queue.number) <= 3 * threads, (lane.number, queue.number)


async def test_a_paused_queue_sends_nothing_until_it_is_resumed_or_its_time_is_over(
    system: System, target: FakeTarget
) -> None:
    (process, client), _ = await asyncio.gather(system.server(), system.worker())
    await client.queues.pause("paused")
    paused = await client.send_many([{"url": target.url("/paused"), "queue": "paused"}] * 20)
    await _flows(client, target)
    assert target.received("/paused") == []
    assert (await client.queues.get("paused"))["queued"] == 20
    await client.queues.resume("paused")
    await _all_succeed(client, paused)

    shown = await client.queues.pause("paused", seconds=1)
    task = await client.send(target.url("/later"), queue="paused")
    await _flows(client, target)
    await client.wait(task["uuid"], timeout=20)
    (attempt,) = await _attempts(await process.url(), [task])
    assert attempt["claimed_at"] >= shown["paused_until"]


async def _flows(client: AsyncClient, target: FakeTarget) -> None:
    """The worker is there and takes what comes in another queue."""
    await _all_succeed(client, await client.send_many([{"url": target.url("/open")}] * 10))


async def _all_succeed(client: AsyncClient, tasks: list[dict[str, Any]]) -> None:
    for task in tasks:
        assert (await client.wait(task["uuid"], timeout=20))["status"] == "success", task["uuid"]
