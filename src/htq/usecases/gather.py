"""Many callers, one store call: on every store a call for one item costs about twenty times its share of a batch.

Batching is natural, without a timer: what is asked for in one turn of the event loop goes out together, and what comes
while a call is under way is the next batch. So an idle server adds no delay, and a busy one makes larger batches.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from htq.usecases.outage import Outage
from htq.words.errors import Overloaded, StoreUnavailable

__all__ = ["Gatherer"]

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Gatherer(Generic[Item, Answer]):
    """Turns calls for one item into calls of `verb`, which answers a batch item by item, in order.

    `limit` bounds a batch in items and `heavy` in weight (`weigh` says how much an item adds: bytes, say). More than `backlog`
    items are not kept: with a store that slow the caller is better told at once.
    """

    def __init__(
        self,
        verb: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        limit: int,
        backlog: int = 20_000,
        weigh: Callable[[Item], int] | None = None,
        heavy: int = 8 * 1024 * 1024,
        heaviest: int = 256 * 1024 * 1024,
        outage: Outage | None = None,
    ) -> None:
        self._verb = verb
        self._outage = outage or Outage()
        self._limit = limit
        self._backlog = backlog
        self._weigh = weigh
        self._heavy = heavy
        self._heaviest = heaviest
        self._weight = 0
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._flight: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Answer:
        """The answer for `item`. Raises what the store raised for its batch, or `Overloaded`."""
        return await self._put(item)

    async def all(self, items: Sequence[Item]) -> list[Answer]:
        """The answers for `items`, in order. Raises as a call for one of them."""
        futures: list[asyncio.Future[Answer]] = []
        try:
            for item in items:
                future = self._put(item)
                futures.append(future)
        except Overloaded:
            for future in futures:
                future.cancel()  # carried out all the same, and nobody asks how
            raise
        return await asyncio.gather(*futures)

    async def close(self) -> None:
        """Return when nothing is under way any more."""
        while self._flight is not None:
            await asyncio.wait((self._flight,))

    def _put(self, item: Item) -> asyncio.Future[Answer]:
        weight = self._weigh(item) if self._weigh is not None else 0
        if len(self._waiting) >= self._backlog or self._weight + weight > self._heaviest:
            raise Overloaded("Too much is waiting for the store: try again in a moment.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, future))
        self._weight += weight
        if self._flight is None:
            self._flight = loop.create_task(self._fly())
        return future

    async def _fly(self) -> None:
        try:
            while self._waiting:
                await self._call(self._next_batch())
        finally:
            self._flight = None

    def _next_batch(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        waiting, weigh = self._waiting, self._weigh
        if weigh is None:
            return [waiting.popleft() for _ in range(min(len(waiting), self._limit))]
        batch = [waiting.popleft()]
        weight = weigh(batch[0][0])
        while waiting and len(batch) < self._limit:
            more = weigh(waiting[0][0])
            if weight + more > self._heavy:
                break
            weight += more
            batch.append(waiting.popleft())
        self._weight -= weight
        return batch

    async def _call(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        # Nobody waits for an item whose caller has gone, and yet it is carried out: its caller can't know how far it got.
        try:
            answers = await self._verb([item for item, _ in batch])
            answered = list(zip(batch, answers, strict=True))
        except StoreUnavailable as error:
            self._outage.missed(error)
            # One for each: an exception that several tasks raise collects the tracebacks of them all.
            for _, future in batch:
                if not future.done():
                    future.set_exception(StoreUnavailable(str(error), error.retry_after))
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:
            log.exception("a store call for %d items failed", len(batch))
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            self._outage.answered()
            for (_, future), answer in answered:
                if not future.done():
                    future.set_result(answer)
