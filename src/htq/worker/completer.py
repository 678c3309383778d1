"""The completer: brings results to the store, many in one step."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from htq.worker.persist import Persistence

__all__ = ["Completer"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_AT_ONCE = 256
"""Items in one step of the store, at most."""


class Completer(Generic[Item, Answer]):
    """Takes items at once and delivers them in batches: what comes while one batch is under way is the next one.

    It repeats a batch until the store answers; otherwise only the session's end ends it. `delivered` is told each answer.
    """

    def __init__(
        self,
        deliver: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        persist: Persistence,
        delivered: Callable[[Item, Answer], None],
    ) -> None:
        self._deliver = deliver
        self._persist = persist
        self._delivered = delivered
        self._waiting: list[Item] = []
        self._under_way = 0
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._waiting) + self._under_way

    def put(self, item: Item) -> None:
        """Take an item. It is not lost while the session lives."""
        self._waiting.append(item)
        self._idle.clear()
        self._more.set()

    async def idle(self) -> None:
        """Wait until everything that was put is in the store."""
        await self._idle.wait()

    async def run(self) -> None:
        """Deliver for ever."""
        while True:
            await self._more.wait()
            batch, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            self._under_way = len(batch)
            answers = await self._answered(batch)
            self._under_way = 0
            for item, answer in zip(batch, answers, strict=True):
                self._delivered(item, answer)
            if not self._waiting:
                self._more.clear()
                self._idle.set()

    async def _answered(self, batch: Sequence[Item]) -> Sequence[Answer]:
        return await self._persist(lambda: self._deliver(batch))
