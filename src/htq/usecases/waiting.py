"""Callers that wait for a task: woken by signals, and never dependent on them.

One task of this module reads the states of everything that is waited for about once a second, in batches: however many wait,
and however many signals are lost, nobody waits longer than that for what has happened already. A `Gap` brings the next round
forward. It says nothing of any task, and every write of another process makes one, so it wakes nobody itself.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from htq.stores.base import CancelRequested, Gap, Signal, Store, TaskFinished
from htq.words.clock import Chance, Clock
from htq.words.errors import Overloaded, StoreUnavailable
from htq.words.states import FINAL

__all__ = ["Waiting"]

log = logging.getLogger(__name__)

Found = TypeVar("Found")


class Waiting:
    """Who waits for which task. A waiter is woken when something may have changed, and looks for itself."""

    def __init__(
        self, store: Store, *, clock: Clock, chance: Chance, poll_every: float, max_waiters: int, batch: int
    ) -> None:
        self._store = store
        self._clock = clock
        self._chance = chance
        self._poll_every = poll_every
        self._max_waiters = max_waiters
        self._batch = batch
        self._waiters: dict[str, set[asyncio.Event]] = {}
        self._count = 0
        self._due = asyncio.Event()
        self._poller: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None

    def __len__(self) -> int:
        return self._count

    async def until(
        self, uuid: str, look: Callable[[], Awaitable[Found | None]], seconds: float | None
    ) -> Found | None:
        """What `look` finds as soon as it finds anything, or None when `seconds` have passed (None: no bound).

        `look` is called at once, each time when the task may have changed, and at the end. What it raises ends the waiting, but
        `StoreUnavailable` does so only at the first and the last look: a store that is back in time has done no harm.
        """
        found = await look()
        if found is not None or seconds == 0:
            return found
        if self._count >= self._max_waiters:
            raise Overloaded(f"{self._max_waiters} callers wait already: ask again in a moment, or with wait=0.", 5.0)
        changed = asyncio.Event()
        self._add(uuid, changed)
        bell = None if seconds is None else asyncio.ensure_future(self._ring(changed, seconds))
        try:
            while True:
                # What has happened between the last look and now is not lost: the event stays set until it is cleared here.
                over = bell is not None and bell.done()
                try:
                    found = await look()
                except StoreUnavailable:
                    if over:
                        raise
                if found is not None or over:
                    return found
                await changed.wait()
                changed.clear()
        finally:
            if bell is not None:
                bell.cancel()
            self._remove(uuid, changed)

    def wake(self, uuids: Sequence[str]) -> None:
        """Let those who wait for any of these tasks look again."""
        for uuid in uuids:
            for changed in self._waiters.get(uuid, ()):
                changed.set()

    async def close(self) -> None:
        """End the poll and stop listening. Whoever still waits is left to his own deadline."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        poller, self._poller = self._poller, None
        if poller is not None:
            poller.cancel()
            await asyncio.wait((poller,))

    def _add(self, uuid: str, changed: asyncio.Event) -> None:
        self._waiters.setdefault(uuid, set()).add(changed)
        self._count += 1
        if self._unsubscribe is None:
            self._unsubscribe = self._store.subscribe(self._hear)
        if self._poller is None:
            self._poller = asyncio.ensure_future(self._poll())

    def _remove(self, uuid: str, changed: asyncio.Event) -> None:
        waiters = self._waiters[uuid]
        waiters.discard(changed)
        if not waiters:
            del self._waiters[uuid]
        self._count -= 1
        if not self._count and self._poller is not None:
            self._poller.cancel()
            self._poller = None

    async def _ring(self, changed: asyncio.Event, seconds: float) -> None:
        await self._clock.sleep(seconds)
        changed.set()

    def _hear(self, signal: Signal) -> None:
        if not self._count:
            return
        if isinstance(signal, Gap):
            self._due.set()
        else:
            self.wake(self._named_in(signal))

    def _named_in(self, signal: Signal) -> Sequence[str]:
        """What a signal says something of."""
        if isinstance(signal, TaskFinished):
            return signal.uuids
        if isinstance(signal, CancelRequested):
            return [cancel.uuid for cancel in signal.cancels]
        return ()

    async def _ended(self, names: Sequence[str]) -> list[str]:
        """Which of those that are waited for may have come to an end: whether it is the one he waits for, a waiter sees himself."""
        states = await self._store.states(names)
        # Final, gone, or canceled.
        return [
            uuid for uuid, found in zip(names, states, strict=True) if found is None or found[1] or found[0] in FINAL
        ]

    async def _next_round(self) -> None:
        """Return when a round is due. Gaps during a round make one more, however many they are."""
        bell = asyncio.ensure_future(self._ring(self._due, self._chance.around(self._poll_every)))
        try:
            await self._due.wait()
        finally:
            bell.cancel()
        self._due.clear()

    async def _poll(self) -> None:
        while True:
            await self._next_round()
            names = list(self._waiters)
            for start in range(0, len(names), self._batch):
                part = names[start : start + self._batch]
                try:
                    ended = await self._ended(part)
                except StoreUnavailable:
                    break  # the next round asks again
                except Exception:
                    log.exception("the poll for %d waiting callers failed; it goes on", self._count)
                    break
                self.wake(ended)
