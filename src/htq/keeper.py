"""The keeper: what has to be done from time to time, by any process and as many as there are."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from htq.stores.base import Signal, Store, TasksAvailable
from htq.words.clock import Chance, Clock, wait_for
from htq.words.errors import StoreUnavailable

__all__ = ["FORGET_EVERY", "PROMOTE_EVERY", "REAP_EVERY", "Keeper"]

log = logging.getLogger(__name__)

PROMOTE_EVERY = 1.0
"""Seconds after which scheduled tasks are looked at, at the latest; sooner when one is known to be due."""

REAP_EVERY = 2.0
FORGET_EVERY = 10.0

_SKEW = 0.05
"""Seconds between two looks at a store whose clock is behind this one's."""

_AT_ONCE = 500
"""Tasks in one step of the store, at most."""


class Keeper:
    """Promotes what is due, reaps dead sessions, forgets what is past its retention.

    Each duty is one guarded step of the store, harmless when two do it, so there is no leader.
    """

    def __init__(self, store: Store, *, clock: Clock, chance: Chance) -> None:
        self._store = store
        self._clock = clock
        self._chance = chance
        self._due_sooner = asyncio.Event()
        self._next_due_at: int | None = None

    async def run(self) -> None:
        """Keep house for ever."""
        unsubscribe = self._store.subscribe(self._hear)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._promote())
                group.create_task(self._every(REAP_EVERY, self._store.reap))
                group.create_task(self._every(FORGET_EVERY, self._store.forget))
        finally:
            unsubscribe()

    def _hear(self, signal: Signal) -> None:
        if not isinstance(signal, TasksAvailable) or signal.due_at is None:
            return
        self._note(signal.due_at)
        if self._next_due_at == signal.due_at:
            self._due_sooner.set()

    async def _promote(self) -> None:
        while True:
            # Forgotten before the call, so that a task which comes in during it is heard of in any case.
            self._due_sooner.clear()
            self._next_due_at = None
            try:
                promoted = await self._store.promote(_AT_ONCE)
            except StoreUnavailable as error:
                log.debug("not promoted: %s", error)
            else:
                if promoted.promoted == _AT_ONCE:
                    continue
                if promoted.next_due_at is not None:
                    self._note(promoted.next_due_at)
            await self._until_due()

    def _note(self, due_at: int) -> None:
        if self._next_due_at is None or due_at < self._next_due_at:
            self._next_due_at = due_at

    async def _until_due(self) -> None:
        """Wait for the next task's time, for a signal that one is due sooner, or for the period."""
        while True:
            period = self._chance.around(PROMOTE_EVERY)
            if self._next_due_at is not None:
                left = (self._next_due_at - self._clock.now_ms()) / 1000
                # What is due already by this clock, and was not promoted, is not due yet by the store's.
                period = min(period, left if left > 0 else _SKEW)
            if not await wait_for(self._due_sooner, period, self._clock):
                return
            self._due_sooner.clear()
            if self._next_due_at is not None and self._next_due_at <= self._clock.now_ms():
                return

    async def _every(self, seconds: float, duty: Callable[[int], Awaitable[int]]) -> None:
        while True:
            try:
                done = await duty(_AT_ONCE)
            except StoreUnavailable as error:
                log.debug("put off: %s", error)
                done = 0
            if not done:
                await self._clock.sleep(self._chance.around(seconds))
