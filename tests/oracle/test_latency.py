"""How soon the service hears of a cancel: from the 204 in the caller's hand to the DELETE's arrival, real processes all of them."""

import asyncio
import os
import statistics
from pathlib import Path
from typing import Literal

import pytest

from e2e.system import System
from htq.client import AsyncClient
from oracle.crowd import Crowd

CANCELS = int(os.environ.get("HTQ_TEST_LATENCIES", "60"))
HEARTBEAT = 1.1
"""Seconds between two heartbeats of a worker, at most."""


async def running(client: AsyncClient, crowd: Crowd, count: int) -> list[str]:
    """That many requests on the wire."""
    uuids = [(await client.send(crowd.url, "post"))["uuid"] for _ in range(count)]
    await crowd.held(count, 20)
    return uuids


async def latency(client: AsyncClient, crowd: Crowd, uuid: str) -> float:
    """Cancel a request, and wait until its DELETE has come; below zero where that was here before the 204."""
    told = len(crowd.deletes) + 1
    await client.cancel(uuid)
    answered = asyncio.get_running_loop().time()
    await crowd.told(told, 20)
    return crowd.arrived_at[uuid] - answered


@pytest.mark.parametrize(("mode", "bound"), [("up", 0.005), ("split", 0.050)], ids=["one process", "two processes"])
async def test_the_service_hears_of_it_at_once(
    store_url: str, crowd: Crowd, tmp_path: Path, mode: Literal["up", "split"], bound: float
) -> None:
    async with System(store_url, tmp_path) as system:
        threads = ("--threads", str(CANCELS))
        if mode == "up":
            _, client = await system.up(*threads)
        else:
            _, client = await system.server()
            await system.worker(*threads)
        took = sorted([await latency(client, crowd, uuid) for uuid in await running(client, crowd, CANCELS)])
    say(f"{mode}, {store_url.partition(':')[0]}", took)
    assert statistics.median(took) < bound


async def test_a_lost_hint_costs_one_heartbeat(store_url: str, crowd: Crowd, tmp_path: Path) -> None:
    rounds = max(CANCELS // 30, 1)
    async with System(store_url, tmp_path, signals=False) as system:
        _, client = await system.server()
        await system.worker("--threads", str(CANCELS))
        uuids = await running(client, crowd, rounds)
        # Each cancel comes just after a heartbeat, that brought the one before it: none can wait longer.
        took = sorted([await latency(client, crowd, uuid) for uuid in uuids])
    say(f"split, {store_url.partition(':')[0]}, no signals", took)
    assert took[-1] < HEARTBEAT + 0.4


def say(what: str, took: list[float]) -> None:
    worst = took[min(int(len(took) * 0.99), len(took) - 1)]
    print(  # noqa: T201 - the figures, for whoever asks with -s
        f"\n{what}: p50 {statistics.median(took) * 1000:.2f} ms, p99 {worst * 1000:.2f} ms of {len(took)} cancels"
    )
