"""`RedisStore`: the store contract over one namespace of a Redis or Valkey server. A thin front: the verbs are in the modules of
their themes, and run as functions inside the server (`lua/`)."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from htq.stores.base import (
    BodyRef,
    Cancel,
    Claims,
    DueSchedules,
    Enqueued,
    Expired,
    Filter,
    Finished,
    Firing,
    Heartbeat,
    Lane,
    LanePage,
    Outcome,
    OwedCallback,
    Page,
    Patch,
    Patched,
    Promoted,
    QueueSettings,
    QueueStats,
    Retried,
    Selection,
    SessionInfo,
    Signal,
    Stop,
    StopSettled,
    StoreInfo,
)
from htq.stores.redis import changes, groups, intake, lanes, listing, reading, schedules, work
from htq.stores.redis.functions import Functions
from htq.stores.redis.link import Link
from htq.stores.redis.server import inspect, require_schema
from htq.stores.redis.signals import Signals
from htq.words.attempt import AttemptRecord
from htq.words.callback import Callback
from htq.words.clock import Chance, Clock
from htq.words.errors import StoreRefused, StoreUnavailable
from htq.words.group import Group
from htq.words.limits import Hold, LaneLimits
from htq.words.schedule import Schedule
from htq.words.states import State
from htq.words.task import NewTask, Response, Task

__all__ = ["RedisStore"]

T = TypeVar("T")

_ANSWER_WITHIN: Final = 3.5
"""Seconds: the contract gives 4."""

_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""It stands inside the braces of a hash tag."""


class RedisStore:
    """Tasks in one namespace of a server, shared by any number of processes on any number of machines.

    `url`: `redis://`, `rediss://` or `unix://`, with user, password and database as redis-py takes them. `clock` None: the
    server's time holds; a clock that is given (in tests) holds in its place. `allow_eviction`: use a server that may throw
    tasks away when its memory is full.
    """

    def __init__(
        self,
        url: str,
        *,
        chance: Chance,
        clock: Clock | None = None,
        namespace: str = "htq",
        signals: bool = True,
        allow_eviction: bool = False,
    ) -> None:
        if not _NAMESPACE.fullmatch(namespace):
            raise StoreRefused("A namespace is 1 to 64 letters, digits, dots, dashes and underscores.")
        self._url = url
        self._chance = chance
        self._allow_eviction = allow_eviction
        self._listens = signals
        prefix = f"{{htq:{namespace}}}:"
        origin = f"{chance.token():016x}" if signals else ""
        self._link = Link(url)
        self._signals = Signals(self._link, f"{prefix}signals", origin, chance)
        self._functions = Functions(self._link, prefix=prefix, clock=clock, origin=origin, tell=self._signals.tell)

    async def open(self) -> StoreInfo:
        return await self._within(self._open())

    async def _open(self) -> StoreInfo:
        self._link.open()
        try:
            info = await inspect(self._link, self._url, allow_eviction=self._allow_eviction)
            await self._functions.load()
            await require_schema(self._functions)
            if self._listens:
                await self._signals.start()
        except BaseException:
            await self.close()
            raise
        return info

    async def close(self) -> None:
        await self._signals.stop()
        await self._link.close()

    def subscribe(self, listener: Callable[[Signal], None]) -> Callable[[], None]:
        return self._signals.subscribe(listener)

    async def enqueue(self, tasks: Sequence[NewTask], *, atomic: bool = False) -> list[Enqueued]:
        return await self._within(intake.enqueue(self._functions, tasks, atomic=atomic))

    async def open_session(self, info: SessionInfo, lease_for: float) -> str:
        session = self._chance.uuid()
        await self._within(work.open_session(self._functions, session, info, lease_for))
        return session

    async def close_session(self, session: str) -> None:
        await self._within(work.close_session(self._functions, session))

    async def heartbeat(self, session: str, lease_for: float) -> Heartbeat:
        return await self._within(work.heartbeat(self._functions, session, lease_for))

    async def claim(self, session: str, seq: int, limit: int) -> Claims:
        return await self._within(work.claim(self._functions, session, seq, limit))

    async def finish(self, session: str, outcomes: Sequence[Outcome]) -> list[Finished]:
        return await self._within(work.finish(self._functions, session, outcomes))

    async def append_body(self, ref: BodyRef, index: int, chunks: Sequence[bytes]) -> bool:
        return await self._within(work.append_body(self._functions, ref, index, chunks))

    async def read_body(self, ref: BodyRef, index: int, limit: int) -> list[bytes]:
        return await self._within(reading.read_body(self._link, self._functions.prefix, ref, index, limit))

    async def cancel(self, cancels: Sequence[Cancel]) -> list[State | None]:
        return await self._within(intake.cancel(self._functions, cancels))

    async def claim_stops(self, session: str, seq: int, limit: int) -> list[Stop]:
        return await self._within(work.claim_stops(self._functions, session, seq, limit))

    async def settle_stops(self, session: str, settled: Sequence[StopSettled]) -> list[bool]:
        return await self._within(work.settle_stops(self._functions, session, settled))

    async def get(self, uuids: Sequence[str]) -> list[Task | None]:
        return await self._within(reading.get(self._functions, uuids))

    async def states(self, uuids: Sequence[str]) -> list[tuple[State, bool] | None]:
        return await self._within(reading.states(self._functions, uuids))

    async def responses(self, uuids: Sequence[str]) -> list[Response | None]:
        return await self._within(reading.responses(self._functions, uuids))

    async def attempts(self, uuid: str) -> list[AttemptRecord]:
        return await self._within(reading.attempts(self._functions, uuid))

    async def list_tasks(self, where: Filter, cursor: str | None, limit: int) -> Page:
        return await self._within(listing.list_tasks(self._functions, where, cursor, limit))

    async def select(self, where: Filter, cursor: str | None, limit: int) -> Selection:
        return await self._within(listing.select(self._functions, where, cursor, limit))

    async def retry(self, uuids: Sequence[str]) -> list[Retried | None]:
        return await self._within(changes.retry(self._functions, uuids))

    async def run_now(self, uuids: Sequence[str]) -> list[State | None]:
        return await self._within(changes.run_now(self._functions, uuids))

    async def patch(self, uuid: str, patch: Patch, version: int) -> Patched | None:
        return await self._within(changes.patch(self._functions, uuid, patch, version))

    async def expire(self, limit: int) -> Expired:
        return await self._within(intake.expire(self._functions, limit))

    async def put_queue(self, name: str, settings: QueueSettings) -> None:
        await self._within(lanes.put_queue(self._functions, name, settings))

    async def pause_queue(self, name: str, until: int | None) -> None:
        await self._within(lanes.pause_queue(self._functions, name, until))

    async def delete_queue(self, name: str) -> bool:
        return await self._within(lanes.delete_queue(self._functions, name))

    async def queues(self) -> dict[str, QueueSettings]:
        return await self._within(lanes.queues(self._functions))

    async def put_lane(self, queue: str, key: str, limits: LaneLimits, hold: Hold | None) -> None:
        await self._within(lanes.put_lane(self._functions, queue, key, limits, hold))

    async def lane(self, queue: str, key: str) -> Lane:
        return await self._within(lanes.lane(self._functions, queue, key))

    async def lanes(self, queue: str, held: bool, cursor: str | None, limit: int) -> LanePage:
        return await self._within(lanes.lanes(self._functions, queue, held, cursor, limit))

    async def put_group(self, tenant: str, name: str, callback: Callback | None, *, close: bool) -> Group:
        return await self._within(groups.put_group(self._functions, tenant, name, callback, close=close))

    async def group(self, tenant: str, name: str) -> Group | None:
        return await self._within(groups.group(self._functions, tenant, name))

    async def owed_callbacks(self, limit: int) -> list[OwedCallback]:
        return await self._within(groups.owed_callbacks(self._functions, limit))

    async def settle_callbacks(self, owed: Sequence[OwedCallback]) -> None:
        await self._within(groups.settle_callbacks(self._functions, owed))

    async def put_schedule(self, schedule: Schedule) -> Schedule:
        return await self._within(schedules.put_schedule(self._functions, schedule))

    async def schedules(self, tenant: str) -> list[Schedule]:
        return await self._within(schedules.schedules(self._functions, tenant))

    async def delete_schedule(self, tenant: str, name: str) -> bool:
        return await self._within(schedules.delete_schedule(self._functions, tenant, name))

    async def due_schedules(self, limit: int) -> DueSchedules:
        return await self._within(schedules.due_schedules(self._functions, limit))

    async def fire(self, firings: Sequence[Firing]) -> list[Enqueued | None]:
        return await self._within(schedules.fire(self._functions, firings))

    async def stats(self) -> list[QueueStats]:
        return await self._within(reading.stats(self._functions))

    async def delete_response(self, uuids: Sequence[str]) -> list[bool]:
        return await self._within(intake.delete_response(self._functions, uuids))

    async def promote(self, limit: int) -> Promoted:
        return await self._within(intake.promote(self._functions, limit))

    async def reap(self, limit: int) -> int:
        return await self._within(work.reap(self._functions, limit))

    async def forget(self, limit: int) -> int:
        return await self._within(intake.forget(self._functions, limit))

    async def _within(self, verb: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                return await verb
        except TimeoutError:
            raise StoreUnavailable(f"The Redis server has not answered within {_ANSWER_WITHIN} s.") from None
