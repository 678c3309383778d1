"""The servers that the tests of the service library need: one of each for all tests."""

from collections.abc import Iterator

import pytest

from support.postgres_server import PostgresServer
from support.redis_server import RedisServer
from support.service_process import Witness


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    with RedisServer(appendonly=False) as server:
        yield server


@pytest.fixture
def witness() -> Iterator[Witness]:
    with Witness() as witness:
        yield witness
