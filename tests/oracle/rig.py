"""What the cells of one store run on: the store twice, as two processes would have it, a service of tasks, a worker."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from htq.policy.egress import Egress
from htq.sender import Exchange, HttpSender, Message, Reply, Sink
from htq.sender.pool import Pool
from htq.stores.base import Store
from htq.stores.redis import RedisStore
from htq.stores.sqlite import SqliteStore
from htq.usecases import ServiceSettings, TaskService
from htq.words.clock import Chance, SystemClock
from htq.worker import Worker, WorkerSettings
from oracle.cells import StoreKind
from support.target import FakeTarget

__all__ = ["Rig", "Watch", "running_rig"]

HEARTBEAT = 0.3
_KEPT_FOR = 60.0


class _PatientPool(Pool):
    """Keeps connections for longer than any cell takes."""

    def __init__(self) -> None:
        super().__init__(idle_for=_KEPT_FOR)


class Watch:
    """What went through the sender for one task: its requests, or its DELETEs."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.over = asyncio.Event()
        self.over_at: float | None = None
        self.count = 0


class _WatchedSender:
    """The real sender, watched. What goes to `claimed.test` is held before the sender has heard of it."""

    def __init__(self, inner: HttpSender) -> None:
        self._inner = inner
        self.requests: defaultdict[str, Watch] = defaultdict(Watch)
        self.stops: defaultdict[str, Watch] = defaultdict(Watch)

    async def send(self, message: Message, exchange: Exchange, sink: Sink | None = None, inline: int = 0) -> Reply:
        fields = {name.lower(): value for name, value in message.headers}
        watch = (self.stops if "htq-cancel" in fields else self.requests)[fields["htq-task-id"]]
        watch.count += 1
        watch.begun.set()
        try:
            if "//claimed.test" in message.url:
                await asyncio.Event().wait()
            return await self._inner.send(message, exchange, sink, inline)
        finally:
            watch.over_at = asyncio.get_running_loop().time()
            watch.over.set()

    async def close(self) -> None:
        await self._inner.close()


class _NeverResolves:
    """A resolver that has no answer and goes on looking."""

    def known(self, host: str) -> tuple[str, ...] | None:
        return None

    async def resolve(self, host: str) -> tuple[str, ...]:
        await asyncio.Event().wait()
        return ()

    def close(self) -> None:
        pass


class Rig:
    """See the module."""

    def __init__(self, callers: Store, workers: Store, elsewhere: FakeTarget) -> None:
        clock = SystemClock()
        settings = ServiceSettings(poll_every=HEARTBEAT)
        self.elsewhere = elsewhere
        self.store = workers
        self.service = TaskService(callers, clock=clock, chance=Chance(clock), settings=settings)
        self.other_client = TaskService(workers, clock=clock, chance=Chance(clock), settings=settings)
        self.sender = _WatchedSender(
            HttpSender(clock=clock, egress=Egress(), resolver=_NeverResolves(), pool=_PatientPool())
        )
        self._clock = clock
        self._stop = asyncio.Event()
        self._working: asyncio.Task[None] | None = None

    def start_worker(self) -> None:
        settings = WorkerSettings(
            threads=4000,
            lease=60.0,
            lease_margin=0.5,
            heartbeat_every=HEARTBEAT,
            poll_every=HEARTBEAT,
            stop_slots=4000,
        )
        worker = Worker(self.store, self.sender, clock=self._clock, chance=Chance(self._clock), settings=settings)
        self._working = asyncio.ensure_future(worker.run(self._stop, asyncio.Event()))

    async def kill_worker(self) -> None:
        """End it without a word to the store. Its connections go with it."""
        assert self._working is not None
        self._working.cancel()
        await asyncio.wait((self._working,))
        assert self._working.cancelled(), "it was dead already"
        self._working = None

    async def close(self) -> None:
        if self._working is not None:
            self._stop.set()
            async with asyncio.timeout(20):
                await self._working
        await self.sender.close()
        await self.service.close()
        await self.other_client.close()


@asynccontextmanager
async def running_rig(kind: StoreKind, name: str, folder: Path, redis_url: str) -> AsyncIterator[Rig]:
    """A rig over a fresh store. `name` tells it from the others of its kind."""
    callers, workers = (_store(kind, name, folder, redis_url) for _ in range(2))
    async with FakeTarget() as elsewhere:
        await callers.open()
        await workers.open()
        rig = Rig(callers, workers, elsewhere)
        try:
            yield rig
        finally:
            await rig.close()
            await workers.close()
            await callers.close()


def _store(kind: StoreKind, name: str, folder: Path, redis_url: str) -> Store:
    clock = SystemClock()
    chance = Chance(clock)
    signals = not kind.endswith("no signals")
    place = f"{name}-{kind.replace(', ', '-').replace(' ', '-')}"
    if kind.startswith("sqlite"):
        return SqliteStore(folder / f"{place}.db", clock=clock, chance=chance, signals=signals)
    return RedisStore(redis_url, chance=chance, namespace=place, signals=signals)
