"""What goes on when the task of a canceled handler has ended: to call that stopped would be a lie.

A task that waits for a thread ends when it is canceled, and the thread goes on (a `def` endpoint); a task that waits for
others with `asyncio.wait` leaves them behind. All of them work in a copy of the request's context, and the run is in it.
"""

import asyncio
import gc
import sys
import threading
from collections.abc import Iterable, Iterator
from contextvars import Context
from types import FrameType

from htq.service.contract import TOMBSTONE_SECONDS
from htq.service.current import CURRENT
from htq.service.run import Run
from htq.service.tempo import pause, steady

__all__ = ["Lookout", "at_work"]


def at_work() -> set[Run]:
    """The runs that a thread other than this one, or a task of this loop, works for.

    One look for all of them: it costs about a microsecond a task, and 10 to 50 a thread.
    """
    found = {context.get(CURRENT) for context in _contexts_of_tasks(asyncio.all_tasks())}
    found |= {context.get(CURRENT) for context in _contexts_of_threads() if _is_entered(context)}
    return {run for run in found if run is not None}


class Lookout:
    """Tells those who wait when nothing is left of their run. All who wait share one look."""

    _PAUSE_SECONDS = 0.02
    _MOST_OF_THE_TIME = 0.1
    """The share of the loop's time that the looks may take."""

    def __init__(self) -> None:
        self._waiting: dict[Run, asyncio.Event] = {}
        self._looking: asyncio.Task[None] | None = None

    async def until_gone(self, run: Run) -> None:
        """Return when nothing works for `run`, or when nobody will ask about it any more."""
        loop = asyncio.get_running_loop()
        if self._looking is None or self._looking.done() or self._looking.get_loop() is not loop:
            # None is at it, or one of a loop that is gone (test clients make a loop for each call).
            self._waiting = {}
            # In a context of its own, or it would be taken for a leftover itself.
            self._looking = loop.create_task(self._look(self._waiting), context=Context())
        waiting = self._waiting
        gone = waiting[run] = asyncio.Event()
        try:
            async with asyncio.timeout(TOMBSTONE_SECONDS):
                await gone.wait()
        except TimeoutError:
            return
        finally:
            waiting.pop(run, None)

    async def _look(self, waiting: dict[Run, asyncio.Event]) -> None:
        while waiting:
            began_at = steady()
            busy = at_work()
            for run, gone in waiting.items():
                if run not in busy:
                    gone.set()
            await pause(max(self._PAUSE_SECONDS, (steady() - began_at) / self._MOST_OF_THE_TIME))


def _contexts_of_tasks(tasks: Iterable[asyncio.Task[object]]) -> Iterator[Context]:
    for task in tasks:
        if sys.version_info >= (3, 12):
            yield task.get_context()
        else:
            # 3.11 has no such method; the collector knows what a task holds.
            yield from (held for held in gc.get_referents(task) if isinstance(held, Context))


def _contexts_of_threads() -> Iterator[Context]:
    """Thread pools run a function inside a copy of its caller's context, which a frame of theirs holds while it runs."""
    frames = sys._current_frames()
    frames.pop(threading.get_ident(), None)
    for innermost in frames.values():
        frame: FrameType | None = innermost
        while frame is not None:
            for value in tuple(frame.f_locals.values()):
                context = _context_of(value)
                if context is not None:
                    yield context
            frame = frame.f_back


_CARRIES = {"_WorkItem": "fn", "Thread": "_target", "partial": "func", "builtin_function_or_method": "__self__"}


def _context_of(value: object) -> Context | None:
    """The context that `value` is (in frames of anyio and asgiref) or carries: `context.run`, a partial of it (asyncio.to_thread),
    or a work item or thread with either of them inside (concurrent.futures, threading)."""
    while not isinstance(value, Context):
        carries = _CARRIES.get(type(value).__name__)
        if carries is None:
            return None
        value = getattr(value, carries, None)
    return value


def _is_entered(context: Context) -> bool:
    try:
        context.run(bool)
    except RuntimeError:  # a context can be entered once at a time: a thread is at work in it
        return True
    return False
