"""The use cases of queues and lanes."""

import re
from collections.abc import Awaitable, Callable
from typing import Final, Literal, NamedTuple

import msgspec

from htq.stores.base import Filter, Lane, LanePage, QueueSettings, QueueStats, Store
from htq.usecases.known import KnownSettings
from htq.usecases.queue_limits import lane_hold, lane_limits, paused_until, settings_of
from htq.usecases.queue_wishes import LaneWish, PauseWish, QueueWish
from htq.usecases.wishes import NAME_PATTERN, QUEUE_PATTERN
from htq.words.clock import Clock
from htq.words.errors import Conflict, NotFound
from htq.words.limits import LaneLimits

__all__ = ["Queue", "QueueService", "TasksOfQueue"]

TasksOfQueue = Literal["refuse", "cancel", "keep"]
"""What becomes of the live tasks of a queue that is deleted: while there are any, it is not; they are canceled; they stay."""

_QUEUE: Final = re.compile(QUEUE_PATTERN)
_KEY: Final = re.compile(NAME_PATTERN)
_LONGEST_QUEUE: Final = 64
_LONGEST_KEY: Final = 255
_NONE: Final = QueueSettings()
_NO_QUEUE: Final = "No such queue: one is there while it has settings, or requests that have not ended."
_CALLS: Final = 8
"""Pages of a store that are put together for one of ours, at most."""


class Queue(NamedTuple):
    """A queue: the counts of its live tasks, and what was said of it (None: nothing), as things stand at `now`."""

    stats: QueueStats
    settings: QueueSettings | None
    now: int

    @property
    def is_paused(self) -> bool:
        """Whether nothing of it starts now."""
        until = self.settings.paused_until if self.settings is not None else None
        return until is not None and until > self.now

    @property
    def oldest_age(self) -> float | None:
        """Seconds since the task at the front of the line was accepted; None if none is queued."""
        at = self.stats.oldest_queued_at
        return None if at is None else max(self.now - at, 0) / 1000


class QueueService:
    """Look at queues and lanes, set what holds for them, pause and resume them, take them away.

    Every method may raise `StoreUnavailable`, and `NotFound` where there can't be a queue or lane of that name.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        known: KnownSettings,
        cancel_all: Callable[[Filter, str | None], Awaitable[int]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._known = known
        self._cancel_all = cancel_all

    async def all(self) -> list[Queue]:
        """Every queue with live tasks or settings, by name."""
        stats = {each.name: each for each in await self._store.stats()}
        settings = await self._store.queues()
        now = self._clock.now_ms()
        said = {name: each for name, each in settings.items() if _says_something(each, now)}
        return [
            Queue(stats.get(name) or _empty(name), said.get(name), now) for name in sorted(stats.keys() | said.keys())
        ]

    async def one(self, name: str) -> Queue:
        """One queue. `NotFound` where it has neither live tasks nor settings, unless it is the default one."""
        for queue in await self.all():
            if queue.stats.name == name:
                return queue
        if name == "default":
            return Queue(_empty(name), None, self._clock.now_ms())
        raise NotFound(_NO_QUEUE)

    async def put(self, name: str, wish: QueueWish) -> Queue:
        """Set what holds for a queue; the queue after it. Raises `InvalidField`."""
        _check_queue(name)
        settings = settings_of(wish, self._clock.now_ms())
        await self._known.changed_by(self._store.put_queue(name, settings))
        return await self._with(name, settings)

    async def pause(self, name: str, wish: PauseWish) -> Queue:
        """Start nothing of it for a time; the queue after it. Raises `InvalidField`."""
        return await self._pause(name, paused_until(wish, self._clock.now_ms()))

    async def resume(self, name: str) -> Queue:
        """Go on; the queue after it."""
        return await self._pause(name, None)

    async def delete(self, name: str, tasks: TasksOfQueue) -> None:
        """Forget a queue's settings and those of its lanes. `Conflict` where it is to be refused.

        That is decided, or its tasks are canceled, before they are forgotten, which is another step of the store: a task that
        comes in between stays, and goes out without limits.
        """
        _check_queue(name)
        counts = (
            each.scheduled + each.queued + each.pending for each in await self._store.stats() if each.name == name
        )
        live = next(counts, 0)
        if live and tasks == "refuse":
            raise Conflict(
                f"The queue has {live} requests that have not ended: say what becomes of them, with tasks=cancel or tasks=keep."
            )
        if live and tasks == "cancel":
            # Before its limits are forgotten, or they would all go out at once.
            await self._cancel_all(Filter(queue=name), None)
        if not await self._known.changed_by(self._store.delete_queue(name)) and not live:
            raise NotFound(_NO_QUEUE)

    async def lanes(self, queue: str, held: bool, cursor: str | None, limit: int) -> LanePage:
        """A page of a queue's lanes. It is short only at the end, or where matches are rare."""
        _check_queue(queue)
        lanes: list[Lane] = []
        for _ in range(_CALLS):
            page = await self._store.lanes(queue, held, cursor, limit - len(lanes))
            lanes += page.lanes
            cursor = page.cursor
            if cursor is None or len(lanes) >= limit:
                break
        return LanePage(lanes, cursor)

    async def lane(self, queue: str, key: str) -> Lane:
        """A lane as it stands; one of which there is nothing stands empty."""
        _check_lane(queue, key)
        return await self._store.lane(queue, key)

    async def put_lane(self, queue: str, key: str, wish: LaneWish) -> Lane:
        """Set what holds for one lane; the lane after it. Raises `InvalidField`."""
        _check_lane(queue, key)
        await self._store.put_lane(queue, key, lane_limits(wish), lane_hold(wish, self._clock.now_ms()))
        return await self._store.lane(queue, key)

    async def reset_lane(self, queue: str, key: str) -> None:
        """Let what its queue says hold for a lane again, and nothing hold it."""
        _check_lane(queue, key)
        await self._store.put_lane(queue, key, LaneLimits(), None)

    async def _pause(self, name: str, until: int | None) -> Queue:
        _check_queue(name)
        await self._store.pause_queue(name, until)
        settings = (await self._store.queues()).get(name, _NONE)
        return await self._with(name, settings)

    async def _with(self, name: str, settings: QueueSettings) -> Queue:
        found = (stats for stats in await self._store.stats() if stats.name == name)
        now = self._clock.now_ms()
        return Queue(next(found, _empty(name)), settings if _says_something(settings, now) else None, now)


def _empty(name: str) -> QueueStats:
    return QueueStats(name=name, scheduled=0, queued=0, pending=0, oldest_queued_at=None)


def _says_something(settings: QueueSettings, now: int) -> bool:
    """Whether anything of it holds: a pause that is over doesn't."""
    if settings.paused_until is not None and settings.paused_until <= now:
        settings = msgspec.structs.replace(settings, paused_until=None)
    return settings != _NONE


def _check_queue(name: str) -> None:
    if not _QUEUE.match(name) or len(name) > _LONGEST_QUEUE:
        raise NotFound(
            "There can't be a queue of this name: it is 1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit."
        )


def _check_lane(queue: str, key: str) -> None:
    _check_queue(queue)
    if not key or len(key) > _LONGEST_KEY or not _KEY.match(key):
        raise NotFound("There can't be a lane of this key: it is 1 to 255 characters without control characters.")
