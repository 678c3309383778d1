"""The children of the benchmark: what they say, and that none outlives it."""

import asyncio
import sys
from pathlib import Path

import psutil
import pytest

from htq.bench.jobs import Flood
from htq.bench.processes import BenchFailed, Processes, free_port, reachable
from htq.words.clock import SystemClock

CLOCK = SystemClock()


async def test_child_that_ends_too_early_is_quoted(tmp_path: Path) -> None:
    async with asyncio.timeout(20), Processes(tmp_path) as processes:
        child = await processes.start("broken", [sys.executable, "-c", "raise SystemExit('no store here')"])
        with pytest.raises(BenchFailed, match="broken ended with 1: no store here"):
            await reachable(child, free_port(), CLOCK)


async def test_child_that_does_not_listen_in_time_is_given_up(tmp_path: Path) -> None:
    async with asyncio.timeout(20), Processes(tmp_path) as processes:
        child = await processes.start("deaf", [sys.executable, "-c", "input()"], piped=True)
        with pytest.raises(BenchFailed, match=r"deaf does not listen after 0 s: \(it said nothing\)"):
            await reachable(child, free_port(), CLOCK, within=0)


async def test_all_children_are_gone_afterwards(tmp_path: Path) -> None:
    async with asyncio.timeout(20):
        async with Processes(tmp_path) as processes:
            target = await processes.start_target()
            assert target > 0
            await processes.start_load_generator()
            children = psutil.Process().children()
            assert len(children) >= 2
        assert not any(child.is_running() for child in children)


async def test_children_do_not_see_the_callers_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTQ_STORE", "redis://precious")
    program = "import os; raise SystemExit(str(sorted(name for name in os.environ if name.startswith('HTQ_'))))"
    async with asyncio.timeout(20), Processes(tmp_path) as processes:
        child = await processes.start("curious", [sys.executable, "-c", program])
        await child.process.wait()
        assert child.last_words() == "[]"


async def test_job_that_fails_says_so_and_the_generator_goes_on(tmp_path: Path) -> None:
    async with asyncio.timeout(30), Processes(tmp_path) as processes:
        target = await processes.start_target()
        load = await processes.start_load_generator()
        nobody = Flood(api=free_port(), target=target, tasks=1)
        for _ in range(2):
            with pytest.raises(BenchFailed, match=r"flood: .*(refused|Connect)"):
                await load.do(nobody)


async def test_cancel_stops_the_children(tmp_path: Path) -> None:
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def bench() -> None:
        async with Processes(tmp_path) as processes:
            child = await processes.start("endless", [sys.executable, "-c", "input()"], piped=True)
            started.set_result(child.pid)
            await asyncio.Event().wait()

    async with asyncio.timeout(20):
        task = asyncio.create_task(bench())
        pid = await started
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not psutil.pid_exists(pid)
