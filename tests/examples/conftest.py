"""The database that two of the examples need."""

from collections.abc import Iterator

import pytest

from support.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server
