"""`SqliteStore`: the store contract over one file. A thin front: each verb's step is in the module of its theme."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import apsw

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
    Gap,
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
from htq.stores.sqlite import (
    bodies,
    byhand,
    callbacks,
    claims,
    finishes,
    groups,
    lanes,
    listing,
    queues,
    reading,
    schedules,
    sessions,
    stops,
    tasks_in,
    upkeep,
)
from htq.stores.sqlite.cancels import cancel
from htq.stores.sqlite.codec import key_of
from htq.stores.sqlite.connection import require_library
from htq.stores.sqlite.expiry import expire
from htq.stores.sqlite.hints import Hints
from htq.stores.sqlite.news import News
from htq.stores.sqlite.readers import Reader
from htq.stores.sqlite.runner import Call
from htq.stores.sqlite.step import Step
from htq.stores.sqlite.writer import Writer
from htq.words.attempt import AttemptRecord
from htq.words.callback import Callback
from htq.words.clock import Chance, Clock
from htq.words.errors import StoreUnavailable
from htq.words.group import Group
from htq.words.limits import Hold, LaneLimits
from htq.words.schedule import Schedule
from htq.words.states import State
from htq.words.task import NewTask, Response, Task

__all__ = ["SqliteStore"]

log = logging.getLogger("htq.stores.sqlite")

T = TypeVar("T")

_ANSWER_WITHIN = 3.8
"""Seconds: the contract gives 4."""
_LOCK_WITHIN = 2.5
"""Seconds to wait for other processes' writes."""
_LOOK_EVERY = 0.75
"""Seconds between two looks at whether others have written."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SqliteStore:
    """Tasks in one SQLite file, shared by any number of processes of one machine."""

    def __init__(self, path: Path, *, clock: Clock, chance: Chance, signals: bool = True) -> None:
        self._path = path.absolute()
        self._clock = clock
        self._chance = chance
        self._signals = signals
        self._listeners: dict[object, Callable[[Signal], None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._hints: Hints | None = None
        self._watch: asyncio.Task[None] | None = None

    async def open(self) -> StoreInfo:
        require_library()
        self._loop = asyncio.get_running_loop()
        hints = Hints(self._path, f"{self._chance.token():016x}", self._tell) if self._signals else None
        writer = Writer(
            self._path,
            clock=self._clock,
            boot=_boot_id(),
            lock_for=_LOCK_WITHIN,
            told=self._tell if hints else _nobody,
            sent=hints.send if hints else _nobody,
        )
        await writer.start()
        self._writer = writer
        self._reader = Reader(self._path)
        try:
            await self._reader.start()
            if hints:
                hints.open()
                self._hints = hints
                self._watch = asyncio.create_task(self._watch_others(await self._write(_data_version)))
        except BaseException:
            await self.close()
            raise
        return StoreInfo(
            kind="sqlite",
            location=str(self._path),
            durability="On disk: a task is synced to the file before it is accepted.",
        )

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
            self._watch = None
        threads = (self._reader, self._writer)
        self._reader = self._writer = None
        for thread in threads:
            if thread is not None:
                await thread.stop(_ANSWER_WITHIN)
        if self._hints is not None:
            self._hints.close()
            self._hints = None

    def subscribe(self, listener: Callable[[Signal], None]) -> Callable[[], None]:
        token = object()
        self._listeners[token] = listener

        def end() -> None:
            self._listeners.pop(token, None)

        return end

    async def enqueue(self, tasks: Sequence[NewTask], *, atomic: bool = False) -> list[Enqueued]:
        return await self._write(lambda step: tasks_in.enqueue(step, tasks, atomic=atomic))

    async def open_session(self, info: SessionInfo, lease_for: float) -> str:
        session = self._chance.uuid()
        await self._write(lambda step: sessions.open_session(step, key_of(session), info, lease_for))
        return session

    async def close_session(self, session: str) -> None:
        await self._write(lambda step: upkeep.close_session(step, key_of(session)))

    async def heartbeat(self, session: str, lease_for: float) -> Heartbeat:
        return await self._write(lambda step: sessions.heartbeat(step, key_of(session), lease_for))

    async def claim(self, session: str, seq: int, limit: int) -> Claims:
        return await self._write(lambda step: claims.claim(step, key_of(session), seq, limit))

    async def finish(self, session: str, outcomes: Sequence[Outcome]) -> list[Finished]:
        return await self._write(lambda step: finishes.finish(step, key_of(session), outcomes))

    async def append_body(self, ref: BodyRef, index: int, chunks: Sequence[bytes]) -> bool:
        return await self._write(lambda step: bodies.append_body(step, ref, index, chunks))

    async def read_body(self, ref: BodyRef, index: int, limit: int) -> list[bytes]:
        return await self._read(lambda db: bodies.read_body(db, ref, index, limit))

    async def cancel(self, cancels: Sequence[Cancel]) -> list[State | None]:
        return await self._write(lambda step: cancel(step, cancels))

    async def claim_stops(self, session: str, seq: int, limit: int) -> list[Stop]:
        return await self._write(lambda step: stops.claim_stops(step, key_of(session), seq, limit))

    async def settle_stops(self, session: str, settled: Sequence[StopSettled]) -> list[bool]:
        return await self._write(lambda step: stops.settle_stops(step, key_of(session), settled))

    async def get(self, uuids: Sequence[str]) -> list[Task | None]:
        return await self._read(lambda db: reading.get(db, uuids))

    async def states(self, uuids: Sequence[str]) -> list[tuple[State, bool] | None]:
        return await self._read(lambda db: reading.states(db, uuids))

    async def responses(self, uuids: Sequence[str]) -> list[Response | None]:
        return await self._read(lambda db: reading.responses(db, uuids))

    async def attempts(self, uuid: str) -> list[AttemptRecord]:
        return await self._read(lambda db: reading.attempts(db, uuid))

    async def list_tasks(self, where: Filter, cursor: str | None, limit: int) -> Page:
        now = self._clock.now_ms()
        return await self._read(lambda db: listing.list_tasks(db, now, where, cursor, limit))

    async def select(self, where: Filter, cursor: str | None, limit: int) -> Selection:
        now = self._clock.now_ms()
        return await self._read(lambda db: listing.select(db, now, where, cursor, limit))

    async def retry(self, uuids: Sequence[str]) -> list[Retried | None]:
        return await self._write(lambda step: byhand.retry(step, uuids))

    async def run_now(self, uuids: Sequence[str]) -> list[State | None]:
        return await self._write(lambda step: byhand.run_now(step, uuids))

    async def patch(self, uuid: str, patch: Patch, version: int) -> Patched | None:
        return await self._write(lambda step: byhand.patch(step, uuid, patch, version))

    async def expire(self, limit: int) -> Expired:
        return await self._write(lambda step: expire(step, limit))

    async def put_queue(self, name: str, settings: QueueSettings) -> None:
        await self._write(lambda step: queues.put_queue(step, name, settings))

    async def queues(self) -> dict[str, QueueSettings]:
        return await self._read(queues.queues)

    async def pause_queue(self, name: str, until: int | None) -> None:
        await self._write(lambda step: queues.pause_queue(step, name, until))

    async def delete_queue(self, name: str) -> bool:
        return await self._write(lambda step: queues.delete_queue(step, name))

    async def put_lane(self, queue: str, key: str, limits: LaneLimits, hold: Hold | None) -> None:
        await self._write(lambda step: lanes.put_lane(step, queue, key, limits, hold))

    async def lane(self, queue: str, key: str) -> Lane:
        now = self._clock.now_ms()
        return await self._read(lambda db: lanes.lane(db, now, queue, key))

    async def lanes(self, queue: str, held: bool, cursor: str | None, limit: int) -> LanePage:
        now = self._clock.now_ms()
        return await self._read(lambda db: lanes.lanes(db, now, queue, held, cursor, limit))

    async def put_group(self, tenant: str, name: str, callback: Callback | None, *, close: bool) -> Group:
        return await self._write(lambda step: groups.put_group(step, tenant, name, callback, close=close))

    async def group(self, tenant: str, name: str) -> Group | None:
        return await self._read(lambda db: groups.group(db, tenant, name))

    async def owed_callbacks(self, limit: int) -> list[OwedCallback]:
        return await self._read(lambda db: callbacks.owed_callbacks(db, limit))

    async def settle_callbacks(self, owed: Sequence[OwedCallback]) -> None:
        await self._write(lambda step: callbacks.settle_callbacks(step, owed))

    async def put_schedule(self, schedule: Schedule) -> Schedule:
        return await self._write(lambda step: schedules.put_schedule(step, schedule))

    async def schedules(self, tenant: str) -> list[Schedule]:
        return await self._read(lambda db: schedules.schedules(db, tenant))

    async def delete_schedule(self, tenant: str, name: str) -> bool:
        return await self._write(lambda step: schedules.delete_schedule(step, tenant, name))

    async def due_schedules(self, limit: int) -> DueSchedules:
        now = self._clock.now_ms()
        return await self._read(lambda db: schedules.due_schedules(db, now, limit))

    async def fire(self, firings: Sequence[Firing]) -> list[Enqueued | None]:
        return await self._write(lambda step: schedules.fire(step, firings))

    async def stats(self) -> list[QueueStats]:
        return await self._read(reading.stats)

    async def delete_response(self, uuids: Sequence[str]) -> list[bool]:
        return await self._write(lambda step: finishes.delete_response(step, uuids))

    async def promote(self, limit: int) -> Promoted:
        return await self._write(lambda step: upkeep.promote(step, limit))

    async def reap(self, limit: int) -> int:
        return await self._write(lambda step: upkeep.reap(step, limit))

    async def forget(self, limit: int) -> int:
        return await self._write(lambda step: upkeep.forget(step, limit))

    async def _write(self, work: Callable[[Step], T]) -> T:
        return await self._call(self._writer, work)

    async def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        return await self._call(self._reader, work)

    async def _call(self, thread: Writer | Reader | None, work: Callable[[Any], T]) -> T:
        if thread is None or self._loop is None:
            raise StoreUnavailable("The store is closed.")
        future: asyncio.Future[T] = self._loop.create_future()
        timer = self._loop.call_later(_ANSWER_WITHIN, _give_up, future)
        thread.put(Call(work, future))
        try:
            return await future
        finally:
            timer.cancel()

    async def _watch_others(self, seen: int) -> None:
        """The safety net under the hints: look now and then whether another process has written."""
        while True:
            await self._clock.sleep(self._chance.around(_LOOK_EVERY))
            if not self._listeners:
                continue
            try:
                version = await self._write(_data_version)
            except StoreUnavailable:
                continue
            if version != seen:
                seen = version
                self._tell(None)

    def _tell(self, news: News | None) -> None:
        """Runs on the loop. None: something may have been missed."""
        signals: list[Signal] = [Gap()] if news is None else news.signals()
        for listener in list(self._listeners.values()):
            for signal in signals:
                try:
                    listener(signal)
                except Exception:
                    # A listener's defect is neither the other listeners' nor that of who tells.
                    log.exception("a listener failed on %s", type(signal).__name__)


def _boot_id() -> str:
    """Which run of the machine this is, where it tells: the steady clock begins anew with each."""
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""


def _data_version(step: Step) -> int:
    """A number that changes when another connection has written, and never by what this one writes."""
    return int(step.db.pragma("data_version"))


def _nobody(news: News) -> None:
    """Signals are off."""


def _give_up(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(StoreUnavailable("The store did not answer in time. Whether it did its work is unknown."))
