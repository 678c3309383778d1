"""All duties in one task group, each in its own rhythm."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from htq.keeper.alarm import Alarm
from htq.keeper.callbacks import Callbacks
from htq.keeper.slots import Slots
from htq.policy.store_time import StoreTime
from htq.stores.base import Gap, Signal, Store, TasksAvailable, ToDo
from htq.words.clock import Chance, Clock
from htq.words.errors import StoreUnavailable

__all__ = [
    "CALLBACKS_EVERY",
    "EXPIRE_EVERY",
    "FIRE_EVERY",
    "FORGET_EVERY",
    "PROMOTE_EVERY",
    "REAP_EVERY",
    "Keeper",
]

log = logging.getLogger("htq.keeper")

PROMOTE_EVERY: Final = 1.0
"""Seconds after which scheduled tasks are looked at, at the latest; sooner when one is known to be due. So for the next two."""

EXPIRE_EVERY: Final = 1.1
FIRE_EVERY: Final = 1.2

CALLBACKS_EVERY: Final = 1.3
"""Seconds after which callbacks are looked for, at the latest; sooner when one is known to be owed."""

REAP_EVERY: Final = 2.0
FORGET_EVERY: Final = 10.0

_SPREAD: Final = 0.02
"""Seconds for which callbacks gather, at most."""

_AT_ONCE: Final = 500
"""Tasks in one step of the store, at most."""


class Keeper:
    """Promotes and expires what is due, fires schedules, queues callbacks, reaps dead sessions, forgets what is past its time."""

    def __init__(self, store: Store, *, clock: Clock, time: StoreTime, chance: Chance) -> None:
        self._store = store
        self._clock = clock
        self._chance = chance
        self._promoting = Alarm(PROMOTE_EVERY, clock=clock, time=time, chance=chance)
        self._expiring = Alarm(EXPIRE_EVERY, clock=clock, time=time, chance=chance)
        self._firing = Alarm(FIRE_EVERY, clock=clock, time=time, chance=chance)
        self._calling = Alarm(CALLBACKS_EVERY, clock=clock, time=time, chance=chance, spread=_SPREAD)
        self._slots = Slots(store, self._firing, time)
        self._callbacks = Callbacks(store)

    async def run(self) -> None:
        """Keep house for ever."""
        unsubscribe = self._store.subscribe(self._hear)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep(self._promoting, self._promote))
                group.create_task(self._keep(self._expiring, self._expire))
                group.create_task(self._keep(self._firing, self._slots.look))
                group.create_task(self._keep(self._calling, self._callbacks.look))
                group.create_task(self._every(REAP_EVERY, self._store.reap))
                group.create_task(self._every(FORGET_EVERY, self._store.forget))
        finally:
            unsubscribe()

    def _hear(self, signal: Signal) -> None:
        match signal:
            case TasksAvailable(due_at=int(due_at)):
                self._promoting.hear(due_at)
            case ToDo(at=int(at)):
                self._expiring.hear(at)
                self._firing.hear(at)
            case ToDo():
                self._calling.ring()
            case Gap():
                for alarm in (self._promoting, self._expiring, self._firing, self._calling):
                    alarm.ring()
            case _:
                pass

    async def _promote(self) -> bool:
        promoted, next_due_at = await self._store.promote(_AT_ONCE)
        self._promoting.note(next_due_at)
        return promoted == _AT_ONCE

    async def _expire(self) -> bool:
        expired, next_at = await self._store.expire(_AT_ONCE)
        self._expiring.note(next_at)
        return expired == _AT_ONCE

    async def _keep(self, alarm: Alarm, look: Callable[[], Awaitable[bool]]) -> None:
        """Look whenever the alarm says so, and at once again as long as there is more than one look takes."""
        while True:
            alarm.reset()
            try:
                if await look():
                    continue
            except StoreUnavailable as error:
                log.debug("put off: %s", error)
            await alarm.wait()

    async def _every(self, seconds: float, duty: Callable[[int], Awaitable[int]]) -> None:
        while True:
            try:
                done = await duty(_AT_ONCE)
            except StoreUnavailable as error:
                log.debug("put off: %s", error)
                done = 0
            if not done:
                await self._clock.sleep(self._chance.around(seconds))
