"""The settings of queues as this server knows them."""

from collections.abc import Awaitable, Sequence
from typing import Final, TypeVar

from htq.stores.base import QueueSettings, Store
from htq.usecases.gather import Gatherer
from htq.words.clock import Clock

__all__ = ["KnownSettings"]

Found = TypeVar("Found")

_FRESH_FOR: Final = 1.0
"""Seconds for which settings that were read are good: so long another server's change may take to be seen here."""


class KnownSettings:
    """The settings of all queues, read again when what is known is a second old: no task costs a read of its own.

    Nothing runs between tasks: the first one after a second waits for the read, together with whoever comes meanwhile.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, QueueSettings] = {}
        self._good_until = float("-inf")
        self._changes = 0
        self._read: Gatherer[None, dict[str, QueueSettings]] = Gatherer(self._read_for, limit=20_000)

    def fresh(self) -> dict[str, QueueSettings] | None:
        """What is known, if it is fresh."""
        return self._known if self._clock.steady() < self._good_until else None

    async def read(self) -> dict[str, QueueSettings]:
        """What is known, read before if it is stale. Raises `StoreUnavailable`."""
        known = self.fresh()
        return await self._read(None) if known is None else known

    async def changed_by(self, change: Awaitable[Found]) -> Found:
        """Wait for a change of settings. It holds for every task that comes after this."""
        try:
            return await change
        finally:
            # Whether or not it was heard to be done. A read that is under way may have missed it.
            self._changes += 1
            self._good_until = float("-inf")

    async def close(self) -> None:
        """Return when nothing is under way any more."""
        await self._read.close()

    async def _read_for(self, asked: Sequence[None]) -> list[dict[str, QueueSettings]]:
        known = self.fresh()  # the batch before may have brought it
        if known is None:
            began, changes = self._clock.steady(), self._changes
            known = await self._store.queues()
            if changes == self._changes:
                self._known = known
                self._good_until = began + _FRESH_FOR
        return [known] * len(asked)
