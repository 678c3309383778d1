"""The library's only look at a clock, and its waits. (`htq.words.clock` is the server's, and out of reach here.)"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

__all__ = ["pause", "settled", "steady"]

steady = time.monotonic  # noqa: TID251 - see above
"""Seconds on a clock that never jumps. Its zero means nothing."""

pause = asyncio.sleep  # noqa: TID251 - see above


async def settled(futures: Sequence[Future[Any]], within: float | None) -> None:
    """Wait until all of them are done, `within` seconds at most.

    Not `asyncio.wrap_future`: canceling that cancels what it wraps, which others wait for as well.
    """
    all_done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def look() -> None:
        if all(future.done() for future in futures):
            all_done.set()

    def tell(_: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(look)

    for future in futures:
        future.add_done_callback(tell)
    if futures:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await all_done.wait()
