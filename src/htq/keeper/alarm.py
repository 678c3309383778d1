"""When a duty looks next: at a time that it knows of, on a signal, and after its period in any case."""

import asyncio
from typing import Final

from htq.policy.store_time import StoreTime
from htq.words.clock import Chance, Clock, wait_for

__all__ = ["Alarm"]

_LEAST: Final = 0.01
"""Seconds between two looks for what comes by itself, at least: times that lie closer together are looked at together."""

_MAX_SKEW: Final = 0.05
"""Seconds between two looks where the store's clock is behind what was thought: twice as many each time, up to this."""


class Alarm:
    """Belongs to one duty, which calls `reset`, looks, tells what it has learned with `note`, and calls `wait`.

    `hear` and `ring` are for signals, on the same event loop, at any time.
    """

    def __init__(self, period: float, *, clock: Clock, time: StoreTime, chance: Chance, spread: float = 0.0) -> None:
        """`spread`: seconds, at most, that a `ring` is put off, so that not all keepers who hear it do the same work."""
        self._period = period
        self._clock = clock
        self._time = time
        self._chance = chance
        self._spread = spread
        self._changed = asyncio.Event()
        self._rung = False
        self._next_at: int | None = None
        self._skew = _LEAST

    def reset(self) -> None:
        """Forget what is known. Before the look, so that what comes in during it is heard of in any case."""
        self._changed.clear()
        self._rung = False
        self._next_at = None

    def note(self, at: int | None) -> None:
        """Something will be due at this time."""
        if at is not None and (self._next_at is None or at < self._next_at):
            self._next_at = at

    def hear(self, at: int) -> None:
        """A signal says that something will be due at this time."""
        if at <= self._time.now_ms():
            self.ring()
        elif self._next_at is None or at < self._next_at:
            self._next_at = at
            self._changed.set()

    def ring(self) -> None:
        """A signal says that something is due."""
        self._rung = True
        self._changed.set()

    async def wait(self) -> None:
        """Until it is time to look."""
        while not self._rung:
            seconds = self._chance.around(self._period)
            if self._next_at is not None:
                seconds = min(seconds, self._left(self._next_at))
            if not await wait_for(self._changed, seconds, self._clock):
                return
            self._changed.clear()
        if self._spread:
            await self._clock.sleep(self._chance.below(self._spread))

    def _left(self, at: int) -> float:
        left = (at - self._time.now_ms()) / 1000
        if left > 0:
            self._skew = _LEAST
            return max(left, _LEAST)
        # What should be due already, and was left lying by the store, is not due yet by the store's clock.
        seconds = self._skew
        self._skew = min(seconds * 2, _MAX_SKEW)
        return seconds
