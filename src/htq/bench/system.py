"""The system under test: the real commands as real processes over a store of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple, get_args

from htq.bench import redis_server
from htq.bench.jobs import Flood
from htq.bench.processes import Child, LoadGenerator, Processes, free_port, reachable
from htq.bench.redis_server import RedisUnderTest
from htq.bench.usage import cpu_seconds, rss_bytes, tree_bytes
from htq.words.clock import Clock

__all__ = ["MODES", "STORES", "Layout", "Mode", "StoreName", "System", "running"]

StoreName = Literal["sqlite", "redis"]
Mode = Literal["up", "split", "server"]
"""`up`: server and worker in one process. `split`: a process each. `server`: no worker at all."""

STORES: tuple[StoreName, ...] = get_args(StoreName)
MODES: tuple[Mode, ...] = get_args(Mode)


class Layout(NamedTuple):
    """What runs over which store."""

    store: StoreName
    mode: Mode


class System:
    """A running system: where its parts are, and what they have used."""

    def __init__(self, *, api: int, target: int, load: LoadGenerator, store: Path | RedisUnderTest) -> None:
        self.api = api
        self.target = target
        self.load = load
        self._store = store
        self._children: dict[str, Child] = {}

    def add(self, part: str, child: Child) -> None:
        """A process whose usage counts: `server`, `worker`, or `up`, which is both."""
        self._children[part] = child

    def check(self) -> None:
        """Raise `BenchFailed` if a part has ended."""
        for child in self._children.values():
            child.check()

    @property
    def store_url(self) -> str:
        """The store as the command line names it."""
        return _store_url(self._store)

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU by part. SQLite runs inside the others; Redis is `store`."""
        self.check()
        seconds = {part: cpu_seconds(child.pid) for part, child in self._children.items()}
        if isinstance(self._store, RedisUnderTest):
            seconds["store"] = self._store.cpu_seconds()
        return seconds

    def server_memory(self) -> int:
        """Resident bytes of the process that serves the API."""
        child = self._children.get("server") or self._children["up"]
        return rss_bytes(child.pid)

    def store_size(self) -> int:
        """Bytes of the store: files, or Redis's memory."""
        if isinstance(self._store, RedisUnderTest):
            return self._store.used_memory()
        return tree_bytes(self._store)


@asynccontextmanager
async def running(
    layout: Layout,
    *,
    threads: int,
    clock: Clock,
    folder: Path | None = None,
    redis_url: str | None = None,
    warm_up: int = 0,
) -> AsyncIterator[System]:
    """A system with its target and its load generator, whose store lies inside `folder`; all of it is gone afterwards.

    `warm_up` requests have gone through it when it is handed over. Raises `BenchFailed`, `ConfigError`.
    """
    # Logs and sockets stay out of `folder`: the path of a socket must be short.
    with TemporaryDirectory(prefix="htq-bench-") as home, TemporaryDirectory(prefix="htq-bench-", dir=folder) as files:
        async with Processes(Path(home)) as processes:
            target = await processes.start_target()
            load = await processes.start_load_generator()
            store = await _store(layout, processes, Path(files), redis_url, clock)
            try:
                system = System(api=free_port(), target=target, load=load, store=store)
                await _start_parts(system, layout, processes, threads, clock)
                if warm_up:
                    done = layout.mode != "server"
                    await load.do(Flood(api=system.api, target=target, tasks=warm_up, connections=16, finish=done))
                yield system
            finally:
                if isinstance(store, RedisUnderTest):
                    store.close()


async def _store(
    layout: Layout, processes: Processes, files: Path, redis_url: str | None, clock: Clock
) -> Path | RedisUnderTest:
    if layout.store == "sqlite":
        return files
    return redis_server.given(redis_url) if redis_url else await redis_server.start(processes, files, clock)


def _store_url(store: Path | RedisUnderTest) -> str:
    return store.url if isinstance(store, RedisUnderTest) else f"sqlite:///{store / 'htq.db'}"


async def _start_parts(system: System, layout: Layout, processes: Processes, threads: int, clock: Clock) -> None:
    over = ("--store", system.store_url)
    listen = ("--port", str(system.api))
    send = ("--threads", str(threads))
    if layout.mode == "up":
        server = await processes.start_module("up", "htq", "up", *listen, *send, *over)
    else:
        server = await processes.start_module("server", "htq", "server", *listen, *over)
    system.add(server.name, server)
    await reachable(server, system.api, clock)
    if layout.mode == "split":
        system.add("worker", await processes.start_module("worker", "htq", "worker", *send, *over))
