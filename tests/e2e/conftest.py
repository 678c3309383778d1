from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from e2e.system import System
from support.redis_server import RedisServer
from support.target import FakeTarget


@pytest.fixture(params=["sqlite", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh store of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/htq.db"
        return
    with RedisServer() as server:
        yield server.url


@pytest.fixture
async def system(store_url: str, tmp_path: Path) -> AsyncIterator[System]:
    async with System(store_url, tmp_path) as system:
        yield system


@pytest.fixture
async def deaf_system(store_url: str, tmp_path: Path) -> AsyncIterator[System]:
    """The same with signals switched off."""
    async with System(store_url, tmp_path, signals=False) as system:
        yield system


@pytest.fixture
async def target() -> AsyncIterator[FakeTarget]:
    async with FakeTarget() as target:
        yield target
