"""Signals and descriptors."""

import asyncio
import logging
import os
import resource
import signal

import pytest

from htq.process import Stopping, raise_descriptor_limit, run_until_stopped, threads_within


def test_the_first_signal_asks_and_the_second_hurries() -> None:
    stopping = Stopping()
    stopping.ask()
    assert stopping.asked.is_set()
    assert not stopping.hurried.is_set()
    stopping.ask()
    assert stopping.hurried.is_set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_what_runs_and_their_handlers_are_gone_afterwards(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    async def main(stopping: Stopping) -> None:
        async with asyncio.timeout(10):
            os.kill(os.getpid(), number)
            await stopping.asked.wait()
            os.kill(os.getpid(), number)
            await stopping.hurried.wait()

    assert run_until_stopped(main)
    # A loop leaves the default behind, so that a test run can still be interrupted.
    signal.signal(number, before)


def test_the_third_signal_ends_at_once(caplog: pytest.LogCaptureFixture) -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def main(stopping: Stopping) -> None:
        for waited in (stopping.asked, stopping.hurried, asyncio.Event()):
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(10):
                await waited.wait()

    assert not run_until_stopped(main)
    signal.signal(signal.SIGTERM, before)
    assert "stopped at once" in caplog.text


def test_threads_are_capped_by_the_descriptors_and_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "htq"):
        assert threads_within(700, 1024) == 700
        assert not caplog.records
        assert threads_within(1000, 1024) == 768
    assert "768" in caplog.text


def test_there_is_always_one_thread() -> None:
    assert threads_within(10, 64) == 1


def test_without_a_limit_threads_are_as_asked() -> None:
    assert threads_within(100_000, -1) == 100_000


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        assert raise_descriptor_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
