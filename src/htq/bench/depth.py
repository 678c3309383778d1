"""How the cost of a claim and of an enqueue depends on how much is queued: the store by itself, without the HTTP around it."""

import os
import socket
from collections.abc import Awaitable, Sequence
from typing import Final

from htq import __version__
from htq.bench.jobs import Depth, Figures
from htq.bench.stats import percentile
from htq.compose import make_store
from htq.stores.base import SessionInfo, Store
from htq.words.clock import Chance, Clock
from htq.words.task import NewTask, Request

__all__ = ["measure"]

_LANES: Final = 100
_FILL: Final = 500
"""Tasks in one enqueue while the store is filled."""
_STEPS: Final = 200
"""How many claims and enqueues are timed."""
_BATCH: Final = 10
"""Tasks in each of them."""
_LEASE: Final = 600.0


async def measure(job: Depth, clock: Clock) -> Figures:
    """Fill the store that `job` names, then time claims and enqueues in turn, so that as much stays queued."""
    chance = Chance(clock)
    store = make_store(job.store_url, clock=clock, chance=chance)
    await store.open()
    try:
        return await _measure(job, store, clock, chance)
    finally:
        await store.close()


async def _measure(job: Depth, store: Store, clock: Clock, chance: Chance) -> Figures:
    async def seconds(step: Awaitable[Sequence[object]]) -> float:
        begun = clock.steady()
        await step
        return clock.steady() - begun

    for first in range(0, job.queued, _FILL):
        await store.enqueue(_tasks(chance, min(_FILL, job.queued - first)))
    info = SessionInfo(host=socket.gethostname(), pid=os.getpid(), threads=_BATCH, version=__version__)
    session = await store.open_session(info, _LEASE)
    claims, enqueues = [], []
    for seq in range(1, _STEPS + 1):
        claims.append(await seconds(store.claim(session, seq, _BATCH)))
        enqueues.append(await seconds(store.enqueue(_tasks(chance, _BATCH))))
    await store.close_session(session)
    return {
        "claim_p50_ms": percentile(claims, 0.5) * 1000,
        "claim_p99_ms": percentile(claims, 0.99) * 1000,
        "enqueue_p50_ms": percentile(enqueues, 0.5) * 1000,
        "enqueue_p99_ms": percentile(enqueues, 0.99) * 1000,
    }


def _tasks(chance: Chance, count: int) -> list[NewTask]:
    return [
        NewTask(
            uuid=chance.uuid(),
            request=Request(url=f"http://127.0.0.1:{number % _LANES + 1}/", method="post", body_kind="json"),
            body=b'{"bench":true}',
            key=f"http://127.0.0.1:{number % _LANES + 1}",
            host="127.0.0.1",
        )
        for number in range(count)
    ]
