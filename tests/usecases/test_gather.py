"""Coalescing: one call for many callers, and nobody is left waiting."""

import asyncio
from collections.abc import Sequence

import pytest

from htq.usecases.gather import Gatherer
from htq.words.errors import Overloaded, StoreUnavailable


class Verb:
    """A store verb that answers when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Event()

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.begun.set()
        await self.gate.wait()
        return [item * 10 for item in items]


async def test_calls_of_one_turn_share_a_batch() -> None:
    verb = Verb()
    gather = Gatherer(verb, limit=500)
    assert await asyncio.gather(*(gather(n) for n in range(5))) == [0, 10, 20, 30, 40]
    assert verb.batches == [[0, 1, 2, 3, 4]]


async def test_what_comes_during_a_call_is_the_next_batch() -> None:
    verb = Verb()
    gather = Gatherer(verb, limit=500)
    verb.gate.clear()
    first = asyncio.create_task(gather(1))
    await verb.begun.wait()
    rest = [asyncio.create_task(gather(n)) for n in (2, 3)]
    verb.gate.set()
    assert [await first, *[await one for one in rest]] == [10, 20, 30]
    assert verb.batches == [[1], [2, 3]]


async def test_a_batch_is_bounded_in_items_and_in_weight() -> None:
    verb = Verb()
    by_items = Gatherer(verb, limit=2)
    await asyncio.gather(*(by_items(n) for n in range(5)))
    assert verb.batches == [[0, 1], [2, 3], [4]]
    verb.batches.clear()
    by_weight = Gatherer(verb, limit=500, weigh=lambda item: item, heavy=10)
    await asyncio.gather(*(by_weight(n) for n in (6, 4, 50, 1)))
    assert verb.batches == [[6, 4], [50], [1]]


async def test_an_unavailable_store_reaches_every_caller_as_an_error_of_his_own() -> None:
    async def away(items: Sequence[int]) -> list[int]:
        raise StoreUnavailable("away", 3.0)

    gather = Gatherer(away, limit=500)
    found = await asyncio.gather(*(gather(n) for n in range(3)), return_exceptions=True)
    assert all(isinstance(error, StoreUnavailable) and error.retry_after == 3.0 for error in found)
    assert len({id(error) for error in found}) == 3


async def test_a_verb_that_answers_too_little_leaves_nobody_waiting() -> None:
    async def short(items: Sequence[int]) -> list[int]:
        return [1]

    gather = Gatherer(short, limit=500)
    found = await asyncio.gather(gather(1), gather(2), return_exceptions=True)
    assert all(isinstance(error, ValueError) for error in found)
    assert await gather(3) == 1


async def test_a_caller_who_leaves_takes_nobody_with_him() -> None:
    verb = Verb()
    verb.gate.clear()
    gather = Gatherer(verb, limit=500)
    leaver, stayer = asyncio.create_task(gather(1)), asyncio.create_task(gather(2))
    await verb.begun.wait()
    leaver.cancel()
    verb.gate.set()
    assert await stayer == 20
    with pytest.raises(asyncio.CancelledError):
        await leaver
    assert verb.batches == [[1, 2]]


async def test_a_backlog_that_is_full_turns_callers_away() -> None:
    verb = Verb()
    verb.gate.clear()
    gather = Gatherer(verb, limit=500, backlog=1)
    first = asyncio.create_task(gather(1))
    await verb.begun.wait()
    second = asyncio.create_task(gather(2))
    third = asyncio.create_task(gather(3))
    with pytest.raises(Overloaded):
        await third
    verb.gate.set()
    assert (await first, await second) == (10, 20)
    await gather.close()


async def test_many_items_of_one_caller_are_answered_in_order_and_in_batches() -> None:
    verb = Verb()
    gather = Gatherer(verb, limit=2)
    assert await gather.all([3, 1, 2]) == [30, 10, 20]
    assert verb.batches == [[3, 1], [2]]
    assert await gather.all([]) == []


async def test_many_items_above_the_backlog_are_refused_without_a_trace() -> None:
    verb = Verb()
    verb.gate.clear()
    gather = Gatherer(verb, limit=500, backlog=2)
    with pytest.raises(Overloaded):
        await gather.all([1, 2, 3])
    verb.gate.set()
    await gather.close()
    assert await gather(4) == 40
