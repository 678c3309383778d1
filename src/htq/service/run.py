"""A running request, and what stops it.

A run is canceled once. From then on `stopped` can be waited for: it resolves when there is proof that the work is gone,
and never otherwise. Proof is that the request has ended, or that callbacks said so. Everything here may be called from any
thread.
"""

import asyncio
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Literal

from htq.service.contract import Answer, Ticket
from htq.service.crew import crew
from htq.service.tempo import settled

__all__ = ["Callback", "OnCancel", "Run"]

Callback = Callable[[], bool | None] | Callable[[], Awaitable[bool | None]]
"""Stops the work. True: it has stopped, for sure. None: asked, can't say. False, or an exception: it has not."""

_log = logging.getLogger("htq.service")


class OnCancel:
    """A callback that stands ready. Leave the `with` block (or call `remove`), and it will not be called any more.

    Leaving waits for a call that is under way, so that a connection that goes back to its pool afterwards can't be hit
    by a stop that was meant for the statement before. In a coroutine use `async with`, which waits without blocking the
    loop.
    """

    __slots__ = ("_callback", "_caller", "_run", "_state", "_task", "finished")

    def __init__(self, callback: Callback, run: "Run | None") -> None:
        self._callback = callback
        self._run = run
        self._state: Literal["ready", "called", "over"] = "ready"
        self._caller: int | None = None
        self._task: asyncio.Task[None] | None = None
        self.finished: Future[None] = Future()

    def remove(self) -> None:
        """Take it back. Returns when the callback will not run, or runs no more."""
        self._refuse_to_block_its_loop()
        if self._withdraw() and self._caller != threading.get_ident():
            self.finished.result()

    def _withdraw(self) -> bool:
        """Whether it is too late, and a call is under way."""
        if self._run is None:
            return False
        with self._run.lock:
            if self._state == "ready":
                self._state = "over"
                self._run.forget(self)
            return self._state == "called"

    def _is_async(self) -> bool:
        return inspect.iscoroutinefunction(self._callback)

    def _refuse_to_block_its_loop(self) -> None:
        if not self._is_async():
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        message = "an async on_cancel callback is left with 'async with': waiting for it here would block its loop"
        raise TypeError(message)

    def claim(self) -> bool:
        """Called by the run, under its lock: whether this is the one call there will be."""
        if self._state != "ready":
            return False
        self._state = "called"
        return True

    def call(self) -> None:
        """Begin the call, off this thread. Only after `claim`."""
        run = self._run
        assert run is not None
        if not self._is_async():
            crew.submit(self._call_here)
            return
        assert run.loop is not None
        try:
            run.loop.call_soon_threadsafe(self._start_task)
        except RuntimeError:  # the loop is closed: its process is about to end
            self._over(None, failed=True)

    def _call_here(self) -> None:
        self._caller = threading.get_ident()
        try:
            said = self._callback()
        except BaseException:  # whatever it was: in this thread nobody else would hear of it, and it must be over
            _log.exception("an on_cancel callback failed")
            self._over(None, failed=True)
        else:
            if inspect.iscoroutine(said):
                said.close()
                _log.error(
                    "an on_cancel callback returned a coroutine, which was not run: give the async function itself"
                )
                said = False
            self._over(said if isinstance(said, bool) else None, failed=said is False)

    def _start_task(self) -> None:
        self._task = asyncio.ensure_future(self._await_here())  # kept: a loop holds its tasks weakly

    async def _await_here(self) -> None:
        said: object = None
        failed = True
        try:
            pending = self._callback()
            assert inspect.isawaitable(pending)
            said = await pending
            failed = said is False
        except Exception:
            _log.exception("an on_cancel callback failed")
        finally:
            self._over(said if isinstance(said, bool) else None, failed=failed)

    def _over(self, said: bool | None, *, failed: bool) -> None:
        run = self._run
        assert run is not None
        with run.lock:
            self._state = "over"
        self.finished.set_result(None)
        run.heard(self, said, failed=failed)

    def __enter__(self) -> "OnCancel":
        self._refuse_to_block_its_loop()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    async def __aenter__(self) -> "OnCancel":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._withdraw():
            await settled([self.finished], None)


class Run:
    """One request that runs. Its middleware makes it, and calls `end` when the work is over, whatever the way."""

    __slots__ = (
        "_callbacks",
        "_failed",
        "_gone",
        "_interrupt",
        "_proven",
        "_stopped",
        "_under_way",
        "lock",
        "loop",
        "ticket",
    )

    def __init__(
        self,
        ticket: Ticket,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        gone: Callable[[], bool] | None = None,
    ) -> None:
        self.ticket = ticket
        self.loop = loop
        """Where async callbacks run; None in WSGI."""
        self.lock = threading.RLock()
        self._gone = gone
        self._callbacks: list[OnCancel] = []
        self._under_way = 0
        self._proven = False
        self._failed = False
        self._interrupt: Callable[[], object] | None = None
        self._stopped: Future[Answer] | None = None

    def is_asked(self) -> bool:
        """Whether it has been asked to stop."""
        return self._stopped is not None

    def is_canceled(self) -> bool:
        """Whether it is to stop: it was asked to, or its client has gone, which is looked at here."""
        if self._stopped is None and self._gone is not None and self._gone():
            self.cancel()
        return self._stopped is not None

    def interrupt_with(self, interrupt: Callable[[], object]) -> bool:
        """Name what else a cancel calls, at once and in its thread. False: too late, the run is canceled already."""
        with self.lock:
            self._interrupt = interrupt
            return self._stopped is None

    def on_cancel(self, callback: Callback) -> OnCancel:
        """Have `callback` called when this is canceled; at once, if it is."""
        if inspect.iscoroutinefunction(callback) and self.loop is None:
            message = "an async on_cancel callback needs the event loop of an ASGI server"
            raise TypeError(message)
        registered = OnCancel(callback, self)
        with self.lock:
            self._callbacks.append(registered)
            late = self._stopped is not None and self._claim(registered)
        if late:
            registered.call()
        return registered

    def cancel(self) -> Future[Answer]:
        """Ask it to stop, once, however often this is called. The future resolves when it has stopped for sure."""
        with self.lock:
            if self._stopped is not None:
                return self._stopped
            stopped = self._stopped = Future[Answer]()
            claimed = [registered for registered in reversed(self._callbacks) if self._claim(registered)]
            interrupt = self._interrupt
        for registered in claimed:
            registered.call()
        if interrupt is not None:
            interrupt()
        return stopped

    def end(self) -> None:
        """The work is over: nothing of it runs any more, in no thread."""
        with self.lock:
            self._callbacks.clear()
            self._interrupt = None
        self._prove()

    def forget(self, registered: OnCancel) -> None:
        """Called by a callback that was withdrawn, under the lock."""
        if registered in self._callbacks:
            self._callbacks.remove(registered)

    def heard(self, registered: OnCancel, said: bool | None, *, failed: bool) -> None:
        """Called by a callback that has returned: True alone is proof, and only if none failed or is still at it."""
        with self.lock:
            self.forget(registered)
            self._under_way -= 1
            self._proven = self._proven or said is True
            self._failed = self._failed or failed
            proven = self._proven and not self._failed and self._under_way == 0
        if proven:
            self._prove()

    def _claim(self, registered: OnCancel) -> bool:
        claimed = registered.claim()
        self._under_way += claimed
        return claimed

    def _prove(self) -> None:
        with self.lock:
            stopped = self._stopped
            if stopped is None or stopped.done():
                return
            # Under the lock, so that it is resolved once. Those who wait are woken through their own loops.
            stopped.set_result("stopped")
