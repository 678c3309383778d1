import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keeper.world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    before = asyncio.all_tasks()
    world = World(tmp_path)
    await world.open()
    yield world
    await world.close()
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, "the keeper left tasks behind"
