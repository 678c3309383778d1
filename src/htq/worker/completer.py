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

_HEAVY = 8 * 1024 * 1024
"""Bytes in one step, more or less: a larger one would hold up the heartbeat behind it."""


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
        weigh: Callable[[Item], int] | None = None,
    ) -> None:
        self._deliver = deliver
        self._persist = persist
        self._delivered = delivered
        self._weigh = weigh
        self.weight = 0
        """Bytes that are not delivered yet."""
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
        if self._weigh is not None:
            self.weight += self._weigh(item)
        self._idle.clear()
        self._more.set()

    async def idle(self) -> None:
        """Wait until everything that was put is in the store."""
        await self._idle.wait()

    async def run(self) -> None:
        """Deliver for ever."""
        while True:
            await self._more.wait()
            size, weight = self._next_size()
            batch, self._waiting = self._waiting[:size], self._waiting[size:]
            self._under_way = len(batch)
            answers = await self._answered(batch)
            self._under_way = 0
            self.weight -= weight
            for item, answer in zip(batch, answers, strict=True):
                self._delivered(item, answer)
            if not self._waiting:
                self._more.clear()
                self._idle.set()

    def _next_size(self) -> tuple[int, int]:
        """How many of the waiting items make the next batch, and their weight."""
        if self._weigh is None:
            return _AT_ONCE, 0
        size = weight = 0
        for item in self._waiting[:_AT_ONCE]:
            size += 1
            weight += self._weigh(item)
            if weight >= _HEAVY:
                break
        return size, weight

    async def _answered(self, batch: Sequence[Item]) -> Sequence[Answer]:
        return await self._persist(lambda: self._deliver(batch))
