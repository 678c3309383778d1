"""The sender against a scripted target, on both event loops."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

import htq
from htq.policy.egress import Egress
from htq.sender import HttpSender
from htq.words.clock import SystemClock
from support.target import FakeTarget


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def target() -> AsyncIterator[FakeTarget]:
    async with FakeTarget() as target:
        yield target


@pytest.fixture
async def sender() -> AsyncIterator[HttpSender]:
    """Closed at the end, with no task of its own left."""
    sender = HttpSender(clock=SystemClock(), egress=Egress(), tls=FakeTarget.client_context)
    yield sender
    async with asyncio.timeout(5):
        await sender.close()
    home = str(Path(htq.__file__).parent)
    assert [task for task in asyncio.all_tasks() if task.get_coro().cr_code.co_filename.startswith(home)] == []  # type: ignore[union-attr]
