"""What belongs to the process as a whole: its event loop, its signals, its descriptors."""

import asyncio
import gc
import logging
import resource
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

__all__ = ["Stopping", "calm_collector", "kept_within", "raise_descriptor_limit", "run_until_stopped", "threads_within"]

log = logging.getLogger("htq")

_YOUNG: Final = 10_000
"""New objects that outlive their making, more or less, before the collector looks at them."""

_MOST_KEPT: Final = 1024

_RESERVED: Final = 256
"""Descriptors that are not for requests: the store, the listeners, the DELETEs of canceled requests, the logs."""


class Stopping:
    """What SIGTERM and SIGINT mean: the first asks for an orderly end, the second to hurry, the third ends at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()

    def ask(self) -> None:
        """Count one signal."""
        if not self.asked.is_set():
            self.asked.set()
        else:
            self.hurried.set()


def run_until_stopped(main: Callable[[Stopping], Coroutine[Any, Any, None]]) -> bool:
    """Run `main` on a uvloop (asyncio's own where there is none) with the signals turned into a `Stopping`.

    Whether it came to its own end; False after the third signal.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_with_signals(main))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _with_signals(main: Callable[[Stopping], Awaitable[None]]) -> bool:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    stopping = Stopping()

    def heard() -> None:
        if stopping.hurried.is_set():
            task.cancel()
        elif stopping.asked.is_set():
            log.info("Stopping without waiting for what is in flight...")
        else:
            log.info("Stopping...")
        stopping.ask()

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, heard)
    try:
        await main(stopping)
    except asyncio.CancelledError:
        log.warning("stopped at once: what was in flight is left to its lease")
        return False
    else:
        return True
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def calm_collector() -> None:
    """Spare the garbage collector what lives as long as the process, and let it look less often.

    Called once everything is imported and made. Requests are freed by their reference counts; the collector stays on for
    aborted TLS connections, which leave cycles behind. It was 4 to 5 % of a worker's CPU time before.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])


def raise_descriptor_limit() -> int:
    """Raise the soft limit on open files to the hard one; the limit that holds."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # macOS takes less than the "unlimited" that it reports
            return soft
    return hard


def kept_within(threads: int, limit: int) -> int:
    """How many idle connections may be kept beside `threads` busy ones, of `limit` descriptors."""
    return _MOST_KEPT if limit < 0 else max(min(limit - _RESERVED - threads, _MOST_KEPT), 0)


def threads_within(threads: int, limit: int) -> int:
    """`threads`, or as many requests in flight as `limit` descriptors admit, one each."""
    most = max(limit - _RESERVED, 1)
    if limit < 0 or threads <= most:  # below zero: no limit
        return threads
    log.warning("%d requests in flight need more than the %d open files allowed: %d it is", threads, limit, most)
    return most
