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
        self._away = False

    async def __call__(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        delay = _FIRST_DELAY
        while True:
            try:
                answer = await call()
            except StoreUnavailable as error:
                self._missed(error)
                await self._clock.sleep(delay / 2 + self._chance.below(delay / 2))
                delay = min(delay * 2, _MAX_DELAY)
            else:
                self.answered()
                return answer

    def _missed(self, error: StoreUnavailable) -> None:
        if not self._away:
            self._away = True
            log.warning("the store is away, waiting for it: %s", error)

    def answered(self) -> None:
        """Somebody had an answer from the store."""
        if self._away:
            self._away = False
            log.warning("the store is back")
