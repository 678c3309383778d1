"""How the cost of a claim depends on how much is queued, and in how many lanes: the store by itself, without the HTTP around it.

All shapes lie in one store, a queue each, and take turns in short stretches, the others being paused meanwhile: a machine that
slows down slows all of them down, and their ratios stay.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Iterator
from itertools import count, islice
from typing import Final, NamedTuple

from htq import __version__
from htq.bench.jobs import Depth, Figures
from htq.bench.stats import percentile
from htq.compose import make_store
from htq.stores.base import SessionInfo, Store
from htq.words.clock import Chance, Clock
from htq.words.limits import FOREVER, Hold, LaneLimits
from htq.words.task import NewTask, Request

__all__ = ["measure"]

_FILL: Final = 500
"""Tasks in one enqueue while the store is filled."""
_ROUNDS: Final = 40
_STEPS: Final = 25
"""Claims and enqueues that a shape has in each round."""
_BATCH: Final = 10
"""Tasks in each of them."""
_LEASE: Final = 600.0


class _Shape(NamedTuple):
    """So many tasks in so many lanes of a queue of their own, of which so many are held for ever. `like` has the same spread."""

    name: str
    tasks: int
    lanes: int
    held: int = 0
    like: str | None = None


def _shapes(job: Depth) -> tuple[_Shape, ...]:
    lanes = max(job.deep // 10, 1)
    few = min(job.few, lanes)
    return (
        _Shape("few", few, 1),
        _Shape("few_lanes", few, few),
        _Shape("deep", job.deep, 1, like="few"),
        _Shape("deep_lanes", job.deep, lanes, like="few_lanes"),
        _Shape("held_lanes", lanes, lanes, held=lanes - max(lanes // 1000, min(lanes, _BATCH)), like="few_lanes"),
    )


async def measure(job: Depth, clock: Clock) -> Figures:
    """Fill the store that `job` names, then time claims and enqueues in turn, so that as much stays queued."""
    chance = Chance(clock)
    store = make_store(job.store_url, clock=clock, chance=chance)
    await store.open()
    try:
        shapes = [_Bench(shape, store, clock, chance) for shape in _shapes(job)]
        for shape in shapes:
            await shape.fill()
        info = SessionInfo(host=socket.gethostname(), pid=os.getpid(), threads=_BATCH, version=__version__)
        session = await store.open_session(info, _LEASE)
        seqs = count(1)
        for _ in range(_ROUNDS):
            for shape in shapes:
                await shape.step(session, seqs)
                await store.heartbeat(session, _LEASE)
        await store.close_session(session)
        return _figures(shapes)
    finally:
        await store.close()


class _Bench:
    """One shape with its samples. It is paused but for the time of its steps."""

    def __init__(self, shape: _Shape, store: Store, clock: Clock, chance: Chance) -> None:
        self.shape = shape
        self.claims: list[float] = []
        self.enqueues: list[float] = []
        self._store = store
        self._clock = clock
        self._tasks = self._endless(chance)

    async def fill(self) -> None:
        shape = self.shape
        await self._store.pause_queue(shape.name, FOREVER)
        for first in range(0, shape.tasks, _FILL):
            await self._enqueue(min(_FILL, shape.tasks - first))
        holds = (
            self._store.put_lane(shape.name, _key(lane), LaneLimits(), Hold(FOREVER, "operator"))
            for lane in range(shape.lanes - shape.held, shape.lanes)
        )
        while together := list(islice(holds, _FILL)):
            await asyncio.gather(*together)

    async def step(self, session: str, seqs: Iterator[int]) -> None:
        await self._store.pause_queue(self.shape.name, None)
        for seq in islice(seqs, _STEPS):
            self.claims.append(await self._seconds(self._store.claim(session, seq, _BATCH)))
            self.enqueues.append(await self._seconds(self._enqueue(_BATCH)))
        await self._store.pause_queue(self.shape.name, FOREVER)

    async def _seconds(self, step: Awaitable[object]) -> float:
        begun = self._clock.steady()
        await step
        return self._clock.steady() - begun

    async def _enqueue(self, tasks: int) -> None:
        await self._store.enqueue(list(islice(self._tasks, tasks)))

    def _endless(self, chance: Chance) -> Iterator[NewTask]:
        """Tasks for the lanes in turn; those that are held get one each, when the store is filled."""
        shape = self.shape
        for number in count():
            lane = number % (shape.lanes if number < shape.tasks else shape.lanes - shape.held)
            yield NewTask(
                uuid=chance.uuid(),
                request=Request(url=f"{_key(lane)}/", method="post", body_kind="json"),
                body=b'{"bench":true}',
                queue=shape.name,
                key=_key(lane),
                host="127.0.0.1",
            )


def _key(lane: int) -> str:
    return f"http://127.0.0.1:{lane}"


def _figures(shapes: list[_Bench]) -> Figures:
    figures: Figures = {}
    for bench in shapes:
        name = bench.shape.name
        figures[f"{name}_claim_p50_ms"] = percentile(bench.claims, 0.5) * 1000
        figures[f"{name}_claim_p99_ms"] = percentile(bench.claims, 0.99) * 1000
        figures[f"{name}_enqueue_p99_ms"] = percentile(bench.enqueues, 0.99) * 1000
    for bench in shapes:
        if bench.shape.like is not None:
            name, like = bench.shape.name, bench.shape.like
            figures[f"{name}_claim_p99_x"] = figures[f"{name}_claim_p99_ms"] / figures[f"{like}_claim_p99_ms"]
    return figures
