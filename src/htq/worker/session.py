"""A worker's session: everything that lives and dies with one lease."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple

from htq.stores.base import (
    CancelRequested,
    Claim,
    Done,
    Finished,
    Gap,
    Interrupted,
    Outcome,
    Signal,
    Stop,
    StopSettled,
    TasksAvailable,
)
from htq.words.attempt import UNSENT_PHASES
from htq.words.clock import first_of
from htq.worker.attempt import Attempts
from htq.worker.cancels import Canceler
from htq.worker.completer import Completer
from htq.worker.context import Context
from htq.worker.fetcher import Fetcher
from htq.worker.lease import Lease
from htq.worker.run import Run, Running
from htq.worker.stops import StopPool

__all__ = ["WorkerSession"]

log = logging.getLogger("htq.worker")

_UNFINISHED = 1000
"""Outcomes that may wait for the store before no more is claimed."""

_UNFINISHED_BYTES = 64 * 1024 * 1024
"""The same for the bodies that they hold in memory."""

_LAST_STOPS = 12.0
"""Seconds for the DELETEs of a graceful stop. What is still owed then is sent by another worker."""

_HURRIED_STOPS = 2.0
"""The same once a second signal has come: long enough for a service that answers at all."""


class _Ended(NamedTuple):
    run: Run
    outcome: Outcome


def _weight(ended: _Ended) -> int:
    result = ended.outcome.result
    return len(result.response.body or b"") if isinstance(result, Done) else 0


class WorkerSession:
    """Claims, attempts and finishes under one lease, until it is told to stop or the lease is lost."""

    def __init__(self, context: Context, opened_at: float) -> None:
        """`opened_at`: the steady time from which its lease is counted."""
        settings, persist = context.settings, context.persist
        self._context = context
        self._store = context.store
        self._session = context.session
        self._clock = context.clock
        self._settings = settings
        self._group = asyncio.TaskGroup()
        self._ending = False
        self._running = Running()
        self._canceler = Canceler(
            self._running,
            StopPool(context.sender, clock=context.clock, chance=context.chance, slots=settings.stop_slots),
            clock=context.clock,
            time=context.time,
            spawn=self._spawn,
            settle=self._settle,
        )
        self._attempts = Attempts(context, ended=self._ended)
        self._completer: Completer[_Ended, Finished] = Completer(
            self._finish, persist=persist, delivered=self._finished, weigh=_weight
        )
        self._settler: Completer[StopSettled, bool] = Completer(
            self._settle_stops, persist=persist, delivered=lambda _settled, _applied: None
        )
        self._fetcher = Fetcher(context, free_slots=self._free_slots, start=self._start)
        self._lease = Lease(context, opened_at, on_cancels=self._canceler.hear_all)

    def hear(self, signal: Signal) -> None:
        """A hint from the store. Nothing depends on it but the speed."""
        if self._ending:
            return
        if isinstance(signal, CancelRequested):
            if signal.session == self._session:
                self._canceler.hear(signal.cancels)
        elif isinstance(signal, Gap) or (isinstance(signal, TasksAvailable) and signal.due_at is None):
            self._fetcher.wake()

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """Work until `stop` is set, then let what is on the wire end, for `drain_timeout` at most or until `hurry` is set.

        Raises `SessionLost` when the lease is over; every connection of the session is aborted by then.
        """
        async with self._group as group:
            fetching = group.create_task(self._duty(self._fetcher.run()))
            adopting = group.create_task(self._duty(self._adopt_stops()))
            duties = [
                group.create_task(self._duty(duty))
                for duty in (
                    self._lease.renew(),
                    self._lease.watch(),
                    self._completer.run(),
                    self._settler.run(),
                )
            ]
            await stop.wait()
            self._fetcher.stop()
            # What a claim of stops that is under way brings is freed by `close_session`.
            adopting.cancel()
            await asyncio.wait((adopting,))
            await self._drain(fetching, hurry)
            await self._context.persist(lambda: self._store.close_session(self._session))
            for duty in duties:
                duty.cancel()

    async def _duty(self, duty: Coroutine[Any, Any, None]) -> None:
        """One of the tasks without which there is no session."""
        try:
            await duty
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._ending = True
            raise

    async def _drain(self, fetching: asyncio.Task[None], hurry: asyncio.Event) -> None:
        await first_of(self._all_ended(fetching), self._clock.sleep(self._settings.drain_timeout), hurry.wait())
        await asyncio.wait((fetching,))
        runs = self._running.all()
        if runs:
            log.warning("%d requests are still on the wire: handing them back", len(runs))
        for run in runs:
            run.exchange.halt()
            run.abort("drained" if run.cancel is None else "canceled")
        await self._running.empty.wait()
        await self._completer.idle()
        await first_of(self._canceler.idle(), self._clock.sleep(_LAST_STOPS), self._hurried(hurry))
        self._canceler.drop()
        await self._settler.idle()

    async def _hurried(self, hurry: asyncio.Event) -> None:
        await hurry.wait()
        await self._clock.sleep(_HURRIED_STOPS)

    async def _all_ended(self, fetching: asyncio.Task[None]) -> None:
        await asyncio.wait((fetching,))
        await self._running.empty.wait()

    def _free_slots(self) -> int:
        if len(self._completer) >= _UNFINISHED + self._settings.threads or self._completer.weight >= _UNFINISHED_BYTES:
            return 0
        return self._settings.threads - len(self._running)

    def _spawn(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._group.create_task(job)

    def _start(self, claim: Claim) -> None:
        run = Run(claim)
        self._running.add(run)
        run.task = self._group.create_task(self._attempt(run))
        self._canceler.begin(run)

    async def _attempt(self, run: Run) -> None:
        try:
            await self._attempts.make(run)
        finally:
            self._running.remove(run)
            self._fetcher.slot_freed()

    def _ended(self, run: Run, outcome: Outcome) -> None:
        self._running.remove(run)
        self._completer.put(_Ended(run, outcome))

    async def _finish(self, ended: Sequence[_Ended]) -> Sequence[Finished]:
        return await self._store.finish(self._session, [each.outcome for each in ended])

    def _finished(self, ended: _Ended, result: Finished) -> None:
        """A stop that was written without this worker hearing of it, or by this very step, is this session's to send."""
        run, outcome = ended
        self._fetcher.slot_freed()
        if result == "lost":
            log.warning("[%s] attempt %d was somebody else's by the time it ended", outcome.uuid, outcome.attempt)
        if result == "lost" or run.stopping or not run.claim.request.stop.delete:
            return
        owed = result == "canceled" or outcome.owes_stop or isinstance(outcome.result, Interrupted)
        if owed and outcome.phase not in UNSENT_PHASES and outcome.phase != "finished":
            run.stopping = True
            self._canceler.owe(outcome.uuid, outcome.attempt, run.claim.request, run.link)

    def _settle(self, settled: StopSettled) -> None:
        self._settler.put(settled)

    async def _settle_stops(self, settled: Sequence[StopSettled]) -> Sequence[bool]:
        return await self._store.settle_stops(self._session, settled)

    async def _adopt_stops(self) -> None:
        """Look about once a second for stops that nobody holds: their workers died, or the task was not running.

        They take half of the slots at most: what a dead worker left must not hold up what is canceled now.
        """
        most = max(self._settings.stop_slots // 2, 1)
        seq = 0
        while True:
            seq += 1
            room = await self._canceler.room(most)
            stops = await self._claim_stops(seq, room)
            self._canceler.adopt(stops)
            if len(stops) < room:
                await self._clock.sleep(self._context.chance.around(self._settings.poll_every))

    async def _claim_stops(self, seq: int, limit: int) -> Sequence[Stop]:
        return await self._context.persist(lambda: self._store.claim_stops(self._session, seq, limit))
