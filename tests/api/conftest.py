import pathlib
from collections.abc import AsyncIterator

import pytest

from support.api import Api, api_over_sqlite


@pytest.fixture
async def api(tmp_path: pathlib.Path) -> AsyncIterator[Api]:
    async with api_over_sqlite(tmp_path) as made:
        yield made
