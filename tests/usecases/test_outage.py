"""A server says once that its store is away, and once that it is back."""

import logging
from collections.abc import Sequence

import pytest

from htq.usecases.gather import Gatherer
from htq.usecases.outage import Outage
from htq.words.errors import StoreUnavailable


async def test_an_outage_is_two_lines_however_many_calls_meet_it(caplog: pytest.LogCaptureFixture) -> None:
    away = True

    async def verb(items: Sequence[int]) -> Sequence[int]:
        if away:
            raise StoreUnavailable("It does not answer.")
        return items

    outage = Outage()
    first: Gatherer[int, int] = Gatherer(verb, limit=10, outage=outage)
    second: Gatherer[int, int] = Gatherer(verb, limit=10, outage=outage)
    with caplog.at_level(logging.WARNING, "htq.server"):
        for ask in (first, second, first):
            with pytest.raises(StoreUnavailable):
                await ask(1)
        away = False
        assert [await first(1), await second(2)] == [1, 2]
    assert [record.message for record in caplog.records] == [
        "the store is away, requests are answered with 503: It does not answer.",
        "the store is back",
    ]
