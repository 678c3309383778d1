"""Cancels of what is on the wire: the DELETE goes out while the request is open, then the request is aborted.

The order, and every number in it, is from `docs/design/cancellation.md`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from htq.policy.store_time import StoreTime
from htq.stores.base import STOP_LAPSES_AFTER, RunningCancel, Stop, StopSettled
from htq.words.clock import Clock, first_of
from htq.words.task import Proof, Request
from htq.worker.run import Run, Running
from htq.worker.stops import StopAnswer, StopPool

__all__ = ["Canceler"]

PATIENCE = 5.0
"""Seconds after the worker heard of the cancel in which the request is aborted, whatever happened."""


class Canceler:
    """Acts on cancels, and on stops that are owed for attempts which are not running here.

    It goes straight to the table of runs. Whether it hears of a cancel by signal or by heartbeat, once or ten times, is the
    same: a run remembers that it was told.
    """

    def __init__(
        self,
        running: Running,
        stops: StopPool,
        *,
        clock: Clock,
        time: StoreTime,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        settle: Callable[[StopSettled], None],
    ) -> None:
        self._running = running
        self._stops = stops
        self._clock = clock
        self._time = time
        self._spawn = spawn
        self._settle = settle
        self._jobs: set[asyncio.Task[None]] = set()
        self._adopted: set[asyncio.Task[None]] = set()
        self._early: dict[tuple[str, int], RunningCancel] = {}

    def hear(self, cancels: Iterable[RunningCancel]) -> None:
        """Somebody canceled these attempts."""
        for cancel in cancels:
            run = self._running.find(cancel.uuid, cancel.attempt)
            if run is None:
                # Mostly one that has ended here. But a claim and a cancel may share a commit, and then the signal is faster.
                self._early[cancel.uuid, cancel.attempt] = cancel
            else:
                self._cancel(run, cancel)

    def hear_all(self, cancels: Iterable[RunningCancel]) -> None:
        """What the heartbeat brought: all that the store has of this session."""
        self._early.clear()
        self.hear(cancels)

    def begin(self, run: Run) -> None:
        """A run was made. Whoever canceled it before that was heard too early."""
        cancel = self._early.pop((run.claim.uuid, run.claim.attempt), None)
        if cancel is not None:
            self._cancel(run, cancel)

    def _cancel(self, run: Run, cancel: RunningCancel) -> None:
        if run.cancel is not None or run.ending is not None:
            return
        run.cancel = cancel
        run.cancel_phase = run.exchange.phase
        run.exchange.halt()
        if run.is_unsent or not cancel.stop:
            run.abort("canceled")
        else:
            run.stopping = True
            self._start(self._interrupt(run))

    def owe(self, uuid: str, attempt: int, request: Request, link: str | None = None) -> None:
        """Send the DELETE for an attempt that is over here, whose stop this session holds."""
        self._start(self._stop(uuid, attempt, request, self._lapse(request), link))

    def adopt(self, stops: Iterable[Stop]) -> None:
        """Send stops that were owed by others."""
        for stop in stops:
            until = self._clock.steady() + (stop.lapses_at - self._time.now_ms()) / 1000
            task = self._start(self._stop(stop.uuid, stop.attempt, stop.request, until, None))
            self._adopted.add(task)
            task.add_done_callback(self._adopted.discard)

    async def room(self, most: int) -> int:
        """How many more stops may be adopted, so that `most` are under way; waits until that is one at least.

        A service that hangs holds its own DELETEs up, not those for everybody else.
        """
        while len(self._adopted) >= most:
            await asyncio.wait(self._adopted, return_when=asyncio.FIRST_COMPLETED)
        return most - len(self._adopted)

    async def idle(self) -> None:
        """Wait until no DELETE is under way."""
        while self._jobs:
            await asyncio.wait(self._jobs)

    def drop(self) -> None:
        """Let go of what is still under way: when the session is closed, another worker's session takes it over."""
        for job in self._jobs:
            job.cancel()

    def _start(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._spawn(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        return task

    def _lapse(self, request: Request) -> float:
        """When a stop that is owed from now on lapses."""
        return self._clock.steady() + max(request.timeouts.total, STOP_LAPSES_AFTER)

    async def _stop(self, uuid: str, attempt: int, request: Request, until: float, link: str | None) -> None:
        answer = await self._stops.send(uuid, attempt, request, until, link)
        self._settled(uuid, attempt, answer, ended=False)

    async def _interrupt(self, run: Run) -> None:
        claim, exchange_task = run.claim, run.task
        assert exchange_task is not None
        begun = asyncio.Event()

        def first_byte() -> None:
            run.stop_begun = True
            begun.set()

        until = self._lapse(claim.request)
        delete = run.delete = asyncio.ensure_future(
            self._stops.send(claim.uuid, claim.attempt, claim.request, until, run.link, first_byte)
        )
        try:
            grace = self._grace(delete, begun, claim.request.stop.grace)
            await first_of(exchange_task, grace, self._clock.sleep(PATIENCE))
            ended = exchange_task.done() and (run.completed or run.exchange.closed_by == "target")
            run.abort("canceled")
            if run.completed and not run.stop_begun:
                # The reply came whole before the DELETE could leave: nothing is running, and `finish` says so.
                return
            answer = await delete
        finally:
            delete.cancel()
        self._settled(claim.uuid, claim.attempt, answer, ended=ended)

    async def _grace(self, delete: asyncio.Future[StopAnswer], begun: asyncio.Event, seconds: float) -> None:
        """Return when the request has been left open for long enough: `seconds` from the DELETE's first byte."""
        await first_of(begun.wait(), delete)
        bell = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await first_of(bell, delete)
            if delete.done() and not delete.cancelled() and delete.result().is_promising:
                await bell
        finally:
            bell.cancel()

    def _settled(self, uuid: str, attempt: int, answer: StopAnswer, *, ended: bool) -> None:
        proof: Proof = "header" if answer.stopped else "ended" if ended else "none"
        self._settle(StopSettled(uuid, attempt, answer.state, answer.code, answer.tries, answer.elapsed_ms, proof))
