"""Repeating a store's verb until the store answers."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from htq.words.clock import Chance, Clock
from htq.words.errors import StoreUnavailable

__all__ = ["Persistence"]

log = logging.getLogger("htq.worker")

Answer = TypeVar("Answer")

_FIRST_DELAY = 0.05
_MAX_DELAY = 2.0


class Persistence:
    """Repeats calls while the store is away, with jittered back-off; says once that it is gone, and once that it is back.

    Every verb may be repeated when its outcome is unknown (`htq.stores.base`). Nothing here gives up: the caller's task
    group is canceled when the lease is over, and that ends the waiting.
    """

    def __init__(self, clock: Clock, chance: Chance) -> None:
        self._clock = clock
        self._chance = chance
        self._waiting = 0
        """Calls that wait for the store at this moment."""

    async def __call__(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            answer = await call()
        except StoreUnavailable as error:
            return await self._again(call, error)
        return answer

    async def _again(self, call: Callable[[], Awaitable[Answer]], error: StoreUnavailable) -> Answer:
        self._waiting += 1
        if self._waiting == 1:
            log.warning("the store is away, waiting for it: %s", error)
        try:
            answer = await self._until_answered(call)
        finally:
            self._waiting -= 1
        if not self._waiting:
            log.warning("the store is back")
        return answer

    async def _until_answered(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        delay = _FIRST_DELAY
        while True:
            await self._clock.sleep(delay / 2 + self._chance.below(delay / 2))
            delay = min(delay * 2, _MAX_DELAY)
            try:
                return await call()
            except StoreUnavailable:
                continue
