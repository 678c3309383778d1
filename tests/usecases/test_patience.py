"""A store that is away is asked again, for so long and no longer."""

import asyncio

import pytest

from htq.usecases.patience import Patience
from htq.words.clock import Chance
from htq.words.errors import InvalidField, Overloaded, StoreUnavailable
from support.clock import ManualClock


class Hurried(ManualClock):
    """Time passes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.advance(seconds)


async def test_a_step_is_repeated_until_it_is_answered() -> None:
    clock = Hurried()
    answers = iter([StoreUnavailable("away"), Overloaded("too much"), StoreUnavailable("away")])

    async def step() -> str:
        error = next(answers, None)
        if error is not None:
            raise error
        return "done"

    async with asyncio.timeout(10):
        assert await Patience(clock, Chance(clock, seed=1))(step) == "done"
    assert [round(pause / base) for pause, base in zip(clock.pauses, (0.1, 0.2, 0.4), strict=True)] == [1, 1, 1]


@pytest.mark.parametrize("error", [StoreUnavailable("away", 3.0), Overloaded("too much", 3.0)])
async def test_after_half_a_minute_the_store_is_unavailable(error: Exception) -> None:
    clock = Hurried()

    async def step() -> str:
        raise error

    async with asyncio.timeout(10):
        with pytest.raises(StoreUnavailable) as caught:
            await Patience(clock, Chance(clock, seed=1))(step)
    assert caught.value.retry_after == 3.0
    assert 30 <= sum(clock.pauses) < 35


async def test_any_other_error_is_passed_on_at_once() -> None:
    clock = Hurried()

    async def step() -> str:
        raise InvalidField("no", "/url")

    with pytest.raises(InvalidField):
        await Patience(clock, Chance(clock, seed=1))(step)
    assert clock.pauses == []
