"""A thread that works off calls in batches, and hands each batch's results back to the event loop at once."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

__all__ = ["Call", "Runner"]

log = logging.getLogger("htq.stores.sqlite")

_SWITCH = 0.0005
"""Seconds after which a thread that waits for the interpreter's lock may demand it. SQLite gives it away at each step of a
statement, and beside a busy event loop each of these waits may last that long; Python's own 5 ms add up. It holds for the whole
process: a much shorter one makes all its threads change places all the time, and the store no faster."""


class Call:
    """One verb on its way: `work` is done in the thread, `future` belongs to the loop."""

    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Callable[[Any], Any], future: asyncio.Future[Any]) -> None:
        self.work = work
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None

    @property
    def is_abandoned(self) -> bool:
        """Whether its caller has gone: what has not begun need not be done, since its outcome counts as unknown."""
        return self.future.done()


class Runner:
    """Owns the thread. `begin`, `handle` and `end` run in it; `handle` gives every call its result or error.

    `begin`'s error is raised by `start`, and the thread is gone then.
    """

    def __init__(
        self,
        name: str,
        *,
        begin: Callable[[], None],
        handle: Callable[[Sequence[Call]], Callable[[], None] | None],
        end: Callable[[], None],
        most: int,
    ) -> None:
        """`most` calls make a batch at most. What `handle` returns is called on the loop after the results are set."""
        self._begin = begin
        self._handle = handle
        self._end = end
        self._most = most
        self._inbox: SimpleQueue[Call | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None

    async def start(self) -> None:
        sys.setswitchinterval(min(_SWITCH, sys.getswitchinterval()))
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.create_future()
        self._ended = self._loop.create_future()
        self._thread.start()
        try:
            await self._started
        except BaseException:
            self._inbox.put(None)
            if self._started.done() and not self._started.cancelled():
                self._thread.join()
            raise

    async def stop(self, patience: float) -> None:
        """Work off what waits, then end. A thread that is stuck in the disk for longer than `patience` seconds is left behind."""
        if self._ended is None:
            return
        self._inbox.put(None)
        done, _ = await asyncio.wait([self._ended], timeout=patience)
        if done:
            self._thread.join()

    def put(self, call: Call) -> None:
        self._inbox.put(call)

    def _run(self) -> None:
        try:
            self._begin()
        except BaseException as error:
            self._tell(_fail, self._started, error)
            self._tell(_succeed, self._ended)
            return
        self._tell(_succeed, self._started)
        try:
            while calls := self._gather():
                self._tell(_settle, calls, self._work_off(calls))
        finally:
            self._end()
            self._tell(_succeed, self._ended)

    def _work_off(self, calls: Sequence[Call]) -> Callable[[], None] | None:
        try:
            return self._handle(calls)
        except Exception as error:
            # A defect. These callers are told of it, and the thread goes on: without it the store would be away for good.
            log.exception("%s failed", self._thread.name)
            for call in calls:
                call.error = call.error or error
            return None

    def _gather(self) -> list[Call]:
        """Everything that waits, at least one call; nothing at the end."""
        first = self._inbox.get()
        if first is None:
            return []
        calls = [first]
        try:
            while len(calls) < self._most:
                call = self._inbox.get_nowait()
                if call is None:
                    self._inbox.put(None)
                    break
                calls.append(call)
        except Empty:
            pass
        return calls

    def _tell(self, function: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        # The loop may have been closed without `stop`: then nobody is left to hear.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)


def _succeed(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def _settle(calls: Sequence[Call], afterwards: Callable[[], None] | None) -> None:
    for call in calls:
        if call.future.done():
            continue
        if call.error is None:
            call.future.set_result(call.result)
        else:
            call.future.set_exception(call.error)
    if afterwards is not None:
        afterwards()
