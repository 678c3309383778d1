"""What is measured: each measure takes a running system and gives the figures of one run."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from htq.bench.jobs import Accuracy, Cancels, Check, Depth, Fairness, Figures, Flood, Paced
from htq.bench.processes import BenchFailed
from htq.bench.system import Mode, System

__all__ = ["MEASURES", "Measure", "Sizes"]

_MIB = 1024 * 1024
_PER = 100_000


class Sizes(NamedTuple):
    """How much of everything."""

    tasks: int = 20_000
    queued: int = 100_000
    paced: int = 500
    rate: float = 50.0
    cancels: int = 200
    wide: int = 1_000
    flood: int = 10_000
    limit: float = 100.0
    seconds: float = 10.0
    few: int = 1_000
    deep: int = 1_000_000
    connections: int = 64

    @property
    def singles(self) -> int:
        return max(self.flood // 50, 5)

    @property
    def warm_up(self) -> int:
        return max(self.tasks // 10, 50)


class Measure(NamedTuple):
    """A row of the table below. `about` may name fields of `Sizes` in braces."""

    name: str
    about: str
    modes: tuple[Mode, ...]
    threads: Callable[[Sizes], int]
    run: Callable[[System, Sizes], Awaitable[Figures]]
    asked_for: bool = False
    """Only done where somebody names it: it takes long."""


def _per_task(before: dict[str, float], after: dict[str, float], tasks: int) -> Figures:
    """CPU µs a task: of each part, and all told."""
    figures = {f"cpu_{part}_us": (after[part] - before[part]) * 1e6 / tasks for part in before}
    return {**figures, "cpu_all_us": sum(figures.values())}


async def _queue(system: System, sizes: Sizes) -> Figures:
    memory, size, cpu = system.server_memory(), system.store_size(), system.cpu()
    flood = Flood(api=system.api, target=system.target, tasks=sizes.queued, connections=sizes.connections, finish=False)
    figures = await system.load.do(flood)
    share = _PER / sizes.queued
    return {
        "submits_per_s": sizes.queued / figures["submit_s"],
        "submit_p50_ms": figures["submit_p50_ms"],
        "submit_p99_ms": figures["submit_p99_ms"],
        **_per_task(cpu, system.cpu(), sizes.queued),
        "server_memory_mib": (system.server_memory() - memory) * share / _MIB,
        "store_size_mib": (system.store_size() - size) * share / _MIB,
    }


async def _throughput(system: System, sizes: Sizes) -> Figures:
    cpu = system.cpu()
    figures = await system.load.do(
        Flood(api=system.api, target=system.target, tasks=sizes.tasks, connections=sizes.connections)
    )
    used = _per_task(cpu, system.cpu(), sizes.tasks)
    await _all_succeeded(system, sizes.tasks)
    return {
        "submits_per_s": sizes.tasks / figures["submit_s"],
        "tasks_per_s": sizes.tasks / figures["done_s"],
        **used,
    }


async def _latency(system: System, sizes: Sizes) -> Figures:
    return await system.load.do(Paced(api=system.api, target=system.target, tasks=sizes.paced, rate=sizes.rate))


async def _cancel(system: System, sizes: Sizes) -> Figures:
    return await system.load.do(Cancels(api=system.api, target=system.target, tasks=sizes.cancels))


async def _wide(system: System, sizes: Sizes) -> Figures:
    figures = await system.load.do(
        Flood(
            api=system.api,
            target=system.target,
            path="/slow/1000",
            tasks=sizes.wide,
            connections=sizes.connections,
        )
    )
    await _all_succeeded(system, sizes.wide)
    return {"wall_s": figures["done_s"]}


async def _depth(system: System, sizes: Sizes) -> Figures:
    return await system.load.do(Depth(store_url=system.store_url, few=sizes.few, deep=sizes.deep))


async def _fairness(system: System, sizes: Sizes) -> Figures:
    job = Fairness(api=system.api, target=system.target, flood=sizes.flood, singles=sizes.singles)
    return await system.load.do(job)


async def _accuracy(system: System, sizes: Sizes) -> Figures:
    job = Accuracy(api=system.api, target=system.target, rate=sizes.limit, seconds=sizes.seconds)
    return await system.load.do(job)


async def _all_succeeded(system: System, tasks: int) -> None:
    """What is fast and loses something is not measured."""
    statuses = await system.load.do(Check(api=system.api))
    if statuses != {"success": float(tasks)}:
        raise BenchFailed(f"{tasks} requests were queued, and afterwards there are {statuses}")


_WORKING: tuple[Mode, ...] = ("up", "split")

MEASURES: tuple[Measure, ...] = (
    Measure(
        "queue",
        "{queued:,} requests queued over {connections} connections while no worker runs; memory a 100,000",
        ("server",),
        lambda sizes: 1,
        _queue,
    ),
    Measure(
        "throughput",
        "{tasks:,} requests over {connections} connections to a target that answers at once, 256 in flight at most",
        _WORKING,
        lambda sizes: 256,
        _throughput,
    ),
    Measure(
        "latency",
        "{rate:g} requests a second, {paced:,} in all: from the POST to the response in the caller's hand",
        _WORKING,
        lambda sizes: 256,
        _latency,
    ),
    Measure(
        "cancel",
        "{cancels:,} requests on the wire, canceled one by one: from the 204 to the DELETE at the target",
        _WORKING,
        lambda sizes: sizes.cancels,
        _cancel,
    ),
    Measure(
        "wide",
        "{wide:,} requests to a target that takes 1 s, as many in flight",
        _WORKING,
        lambda sizes: sizes.wide,
        _wide,
    ),
    Measure(
        "fairness",
        "a request of 20 ms alone, and beside {flood:,} queued ones of another key, 10 in flight: POST to response",
        _WORKING,
        lambda sizes: 10,
        _fairness,
    ),
    Measure(
        "accuracy",
        "{limit:g} a second allowed, so many for {seconds:g} s queued at once: how they arrive at the target",
        _WORKING,
        lambda sizes: 256,
        _accuracy,
    ),
    Measure(
        "depth",
        "a claim and an enqueue of ten tasks, in the store by itself, beside {few:,} queued ones and beside {deep:,}",
        ("server",),
        lambda sizes: 1,
        _depth,
        asked_for=True,
    ),
)
"""What `htq bench` measures, in the order of the report."""
