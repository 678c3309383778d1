import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from worker.world import World, make_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    before = asyncio.all_tasks()
    async with make_world(tmp_path) as world:
        yield world
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, "the worker left tasks behind"
