"""What a batch asks of the store: one call for many, and the same one again when its answer was lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from htq.stores.base import Enqueued, Filter
from htq.usecases.batches import BatchService
from htq.usecases.outcomes import Accepted
from htq.usecases.patience import Patience
from htq.usecases.submission import Submission
from htq.words.clock import Chance
from htq.words.errors import StoreUnavailable
from htq.words.states import STATES
from htq.words.task import NewTask
from support.api import Api, api_over_sqlite
from support.clock import ManualClock


class Hurried(ManualClock):
    """Time passes at once."""

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with asyncio.timeout(20), api_over_sqlite(tmp_path) as made:
        yield made


class LosesAnswers:
    """Carries every call out, and loses the answers of the first ones."""

    def __init__(self, api: Api, lost: int) -> None:
        self._api = api
        self._lost = lost
        self.calls: list[int] = []

    async def enqueue(self, tasks: Sequence[NewTask]) -> list[Enqueued]:
        self.calls.append(len(tasks))
        found = await self._api.store.enqueue(tasks)
        if len(self.calls) <= self._lost:
            raise StoreUnavailable("The answer was lost.")
        return found


async def test_a_call_whose_answer_was_lost_is_made_again_and_takes_nothing_twice(api: Api) -> None:
    clock = Hurried()
    store = LosesAnswers(api, 3)
    woken: list[str] = []
    batches = BatchService(
        api.store,
        patience=Patience(clock, Chance(clock, seed=1)),
        draft=api.service.draft,
        enqueue=store.enqueue,
        wake=woken.extend,
    )
    old = await api.queue(id="one")
    items = [(Submission(url="http://127.0.0.1:9/", id=name), None) for name in (None, "one", None)]
    outcomes = await batches.take(items, "http://me")
    assert store.calls == [3] * 4
    assert all(isinstance(outcome, Accepted) and outcome.outcome == "created" for outcome in outcomes)
    assert len((await api.store.select(Filter(statuses=STATES), None, 100)).uuids) == 4
    assert woken == [old]
