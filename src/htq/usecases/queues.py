"""What an operator says of queues: the shape that validates it, and the settings as this server knows them."""

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from htq.stores.base import QueueSettings, QueueStats, Store
from htq.usecases.gather import Gatherer
from htq.usecases.submission import CancelWish
from htq.words.clock import Clock

__all__ = ["KnownSettings", "Queue", "QueueDefaults", "QueueWish", "empty_queue", "joined"]

_FRESH_FOR: Final = 1.0
"""Seconds for which settings that were read are good: so long another server's change may take to be seen here."""

_NONE: Final = QueueSettings()


class QueueDefaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of a task, for those of its tasks that don't say them."""

    cancel: Annotated[
        CancelWish | None,
        Meta(description="An object as in a task: how targets are told when a task of the queue is canceled."),
    ] = None


class QueueWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of a queue. It takes the place of all that was said before."""

    defaults: Annotated[
        QueueDefaults | None,
        Meta(
            description='An object such as {"cancel": {"delete": false}}: what holds for tasks that say nothing else.'
        ),
    ] = None


class Queue(NamedTuple):
    """A queue: the counts of its live tasks, and what was said of it (None: nothing)."""

    stats: QueueStats
    settings: QueueSettings | None


def joined(stats: list[QueueStats], settings: dict[str, QueueSettings]) -> list[Queue]:
    """Every queue that has tasks or settings, by name."""
    said = {name: each for name, each in settings.items() if each != _NONE}
    known = {each.name: each for each in stats}
    return [
        Queue(known[name], said.get(name)) if name in known else empty_queue(name)._replace(settings=said[name])
        for name in sorted(known.keys() | said.keys())
    ]


def empty_queue(name: str) -> Queue:
    """A queue of which there is nothing."""
    return Queue(QueueStats(name=name, scheduled=0, queued=0, pending=0, oldest_queued_at=None), None)


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

    async def put(self, name: str, settings: QueueSettings) -> None:
        """Keep settings. They hold for every task that comes after this."""
        try:
            await self._store.put_queue(name, settings)
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
