"""Whether one caller's flood holds up another one's request, and how exactly a rate is kept: both over HTTP."""

import asyncio
from itertools import pairwise
from typing import Final

import msgspec

from htq.bench.flow import Unexpected, drive, expect, uuid_of
from htq.bench.jobs import Accuracy, Fairness, Figures
from htq.bench.stats import percentile
from htq.bench.wire import Answer, Connection, connected, request_bytes
from htq.words.clock import Clock

__all__ = ["accuracy", "fairness"]

_FLOOD_CONNECTIONS: Final = 32
_QUEUE: Final = "bench"
_SLOW_MS: Final = 20


async def fairness(job: Fairness, clock: Clock) -> Figures:
    """A floods its lane; B sends one request at a time, before it and during it."""
    async with connected(job.api) as [connection]:
        alone = [await _one(job, connection, clock) for _ in range(job.singles)]
        async with connected(job.api, _FLOOD_CONNECTIONS) as connections:
            flood = [_post(job.api, job.target, "a")] * job.flood
            await drive(clock, connections, flood, _expect_queued)
        beside = [await _one(job, connection, clock) for _ in range(job.singles)]
        expect(await connection.exchange(request_bytes("DELETE", "/?key=a", f"127.0.0.1:{job.api}")), 200)
    return {
        "alone_p50_ms": percentile(alone, 0.5) * 1000,
        "alone_p99_ms": percentile(alone, 0.99) * 1000,
        "beside_p50_ms": percentile(beside, 0.5) * 1000,
        "beside_p99_ms": percentile(beside, 0.99) * 1000,
    }


async def accuracy(job: Accuracy, clock: Clock) -> Figures:
    """Queue all at once what a rate allows in `seconds`, and look at when it arrived at the target."""
    api, tasks = f"127.0.0.1:{job.api}", round(job.rate * job.seconds)
    body = msgspec.json.encode({"rate": [{"limit": job.rate, "per": 1}]})
    async with connected(job.target) as [control], connected(job.api, _FLOOD_CONNECTIONS) as connections:
        expect(await connections[0].exchange(request_bytes("PUT", f"/queues/{_QUEUE}/", api, body)), 200)
        await control.exchange(request_bytes("GET", "/bench/reset", f"127.0.0.1:{job.target}"))
        posts = [_post(job.api, job.target, "a", queue=_QUEUE, path="/note")] * tasks
        await drive(clock, connections, posts, _expect_queued)
        await control.exchange(request_bytes("GET", f"/bench/reached/{tasks}", f"127.0.0.1:{job.target}"))
        answer = await control.exchange(request_bytes("GET", "/bench/notes", f"127.0.0.1:{job.target}"))
        expect(await connections[0].exchange(request_bytes("DELETE", f"/queues/{_QUEUE}/?tasks=keep", api)), 204)
    arrived = sorted(msgspec.json.decode(answer.body, type=list[float]))
    if len(arrived) != tasks:
        raise Unexpected(f"{tasks} requests were queued, and {len(arrived)} arrived")
    return {
        "kept_per_s": (tasks - 1) / (arrived[-1] - arrived[0]),
        "most_per_s": float(_most_within(arrived, 1.0)),
        "apart_p50_ms": percentile([b - a for a, b in pairwise(arrived)], 0.5) * 1000,
    }


def _most_within(arrived: list[float], seconds: float) -> int:
    """The most arrivals in any interval of this length."""
    most = first = 0
    for last, at in enumerate(arrived):
        while arrived[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def _post(api: int, target: int, key: str, *, queue: str = "default", path: str = f"/slow/{_SLOW_MS}") -> bytes:
    body = {"url": f"http://127.0.0.1:{target}{path}", "key": key, "queue": queue}
    return request_bytes("POST", "/", f"127.0.0.1:{api}", msgspec.json.encode(body))


async def _one(job: Fairness, connection: Connection, clock: Clock) -> float:
    """Seconds from B's POST to B's response."""
    begun = clock.steady()
    async with asyncio.timeout(60):
        uuid = uuid_of(await connection.exchange(_post(job.api, job.target, "b")))
        expect(await connection.exchange(request_bytes("GET", f"/{uuid}/response/", f"127.0.0.1:{job.api}")), 200)
    return clock.steady() - begun


def _expect_queued(answer: Answer, _: float) -> None:
    uuid_of(answer)
