"""Every store, fresh for each test, and what must be left of it afterwards: nothing."""

import asyncio
import itertools
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from htq.words.clock import Chance
from stores.conformance.lab import Lab, Opener, counts_of, recount, recount_groups
from support.clock import ManualClock
from support.redis_server import Flavour, RedisServer, flavours

KINDS = ("sqlite", *flavours())

_namespaces = itertools.count(1)


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[Flavour], RedisServer]]:
    """One server of a flavour for the whole run, started when it is first asked for. Stores differ by namespace."""
    with ExitStack() as running:
        started: dict[Flavour, RedisServer] = {}

        def server(flavour: Flavour) -> RedisServer:
            if flavour not in started:
                # What a server syncs is not what a contract test looks at.
                started[flavour] = running.enter_context(RedisServer(flavour, fsync="no"))
            return started[flavour]

        yield server


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which store."""
    return str(request.param)


@pytest.fixture(params=[True, False], ids=["signals", "silent"])
def signals(request: pytest.FixtureRequest) -> bool:
    """Whether signals are on. Everything but `test_signals` must be right without them."""
    return bool(request.param)


@pytest.fixture
def fresh(kind: str, servers: Callable[[Flavour], RedisServer], tmp_path: Path) -> Callable[[bool], Opener]:
    """Makes an empty store; the opener that comes back makes store objects on it."""

    def make(signals: bool) -> Opener:
        number = next(_namespaces)
        if kind == "sqlite":
            from htq.stores.sqlite import SqliteStore

            path = tmp_path / f"{number}.db"
            return lambda clock, chance: SqliteStore(path, clock=clock, chance=chance, signals=signals)
        from htq.stores.redis import RedisStore

        url = servers("redis" if kind == "redis" else "valkey").url
        return lambda clock, chance: RedisStore(
            url, clock=clock, chance=chance, namespace=f"t{number}", signals=signals
        )

    return make


@pytest.fixture
async def lab(fresh: Callable[[bool], Opener], signals: bool) -> AsyncIterator[Lab]:
    """A fresh store with one store object open. Afterwards its counts must be right, and nothing may be left running."""
    before = _held()
    clock = ManualClock()
    lab = Lab(fresh(signals), clock, Chance(clock, seed=7), signals=signals)
    await lab.open()
    try:
        yield lab
        tasks = await lab.everything()
        assert counts_of(await lab.store.stats()) == recount(tasks)
        kept = [
            {state: count for state, count in group.counts.items() if count}
            for group in await lab.groups(tasks)
            if group
        ]
        assert kept == recount_groups(tasks)
    finally:
        await lab.close()
    await _loop_idles()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left
    assert _held() == before


def _held() -> tuple[int, list[str]]:
    """Descriptors that are open, and the names of threads."""
    return len(os.listdir("/proc/self/fd")), sorted(thread.name for thread in threading.enumerate())  # noqa: PTH208


async def _loop_idles() -> None:
    """Let what was closed be gone: transports close in the loop's next rounds, and idle helper threads can end."""
    loop = asyncio.get_running_loop()
    await loop.shutdown_default_executor()
    for _ in range(3):
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn
