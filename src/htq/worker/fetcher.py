"""The fetcher: claims tasks while slots are free."""

import asyncio
import math
from collections.abc import Callable

from htq.stores.base import Claim, Claims
from htq.words.clock import wait_for
from htq.worker.context import Context

__all__ = ["Fetcher"]

_CLAIM_AT_ONCE = 256
"""Tasks in one claim, at most: larger steps of the store would hold up everybody else's."""

_SKEW = 0.0025
"""Seconds: half of the first wait where the store's clock is behind what was thought. Each that follows is twice as long."""


class Fetcher:
    """Claims no more than can start at once.

    It looks when a store signals that something may be claimed (a task came, a limit or a hold went, an attempt ended in a lane
    that was full), when the first lane that waits for a time is ready, and every `poll_every` seconds whatever was signaled.
    """

    def __init__(self, context: Context, *, free_slots: Callable[[], int], start: Callable[[Claim], None]) -> None:
        self._context = context
        self._free_slots = free_slots
        self._start = start
        self._early = _SKEW
        self._available = asyncio.Event()
        self._available.set()
        self._slot_freed = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """There may be something to claim."""
        self._available.set()

    def slot_freed(self) -> None:
        """A slot may be free again."""
        self._slot_freed.set()

    def stop(self) -> None:
        """Claim nothing more. What a claim that is under way brings is still started: it is this worker's by then."""
        self._stopping = True
        self._available.set()
        self._slot_freed.set()

    async def run(self) -> None:
        """Claim until `stop` is called."""
        seq = 0
        again_at: int | None = None
        while True:
            await wait_for(self._available, self._until_next_look(again_at), self._context.clock)
            while (free := self._free_slots()) <= 0 and not self._stopping:
                self._slot_freed.clear()
                await self._slot_freed.wait()
            if self._stopping:
                return
            # Cleared before the claim: a signal that comes while it is under way leads to another look.
            self._available.clear()
            seq += 1
            limit = min(free, _CLAIM_AT_ONCE)
            claims, again_at = await self._claim(seq, limit)
            for claim in claims:
                self._early = _SKEW
                self._start(claim)
            if len(claims) == limit:
                self._available.set()

    def _until_next_look(self, again_at: int | None) -> float:
        """Seconds: the period, or less where a lane will be ready sooner."""
        period = self._context.chance.around(self._context.settings.poll_every)
        left = math.inf if again_at is None else (again_at - self._context.time.now_ms()) / 1000
        if left > 0:
            self._early = _SKEW
            return min(period, left)
        # It should be ready, and by the store's clock it is not yet: however far off it is, a few looks bridge that.
        self._early *= 2
        return min(period, self._early)

    async def _claim(self, seq: int, limit: int) -> Claims:
        """Repeated with the same `seq`, so that a lost reply strands nothing."""
        store, session, time = self._context.store, self._context.session, self._context.time
        asked = time.asks()
        found = await self._context.persist(lambda: store.claim(session, seq, limit))
        if found.claims:
            time.heard(found.claims[0].claimed_at, asked)
        return found
