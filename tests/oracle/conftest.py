import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from oracle.crowd import Crowd
from support.redis_server import RedisServer


@pytest.fixture(autouse=True)
def no_test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes that are started refuse every HTQ_* that they don't know."""
    for name in [name for name in os.environ if name.startswith("HTQ_TEST_")]:
        monkeypatch.delenv(name)


@pytest.fixture(params=["sqlite", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/htq.db"
        return
    with RedisServer(appendonly=False) as server:
        yield server.url


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    async with Crowd() as crowd:
        yield crowd
