"""Waiting on a caller's behalf: for as long as he is there and the server runs."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from htq.api.http import Call, ClientGone
from htq.words.errors import Overloaded

__all__ = ["unless_gone"]

Found = TypeVar("Found")


async def unless_gone(call: Call, work: Coroutine[Any, Any, Found]) -> Found:
    """What `work` gives. It is canceled, and `ClientGone` raised, when the caller hangs up.

    When the server stops, `Overloaded` sends the caller home: with thousands of them a stop would wait for ever.
    """
    doing = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(call))
    stopping = asyncio.ensure_future(call.stopping.wait())
    try:
        await asyncio.wait((doing, gone, stopping), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        if gone.done():
            raise ClientGone
        raise Overloaded("The server is stopping: ask again in a moment.")
    finally:
        for task in (doing, gone, stopping):
            task.cancel()


async def _disconnected(call: Call) -> None:
    while (await call.receive())["type"] != "http.disconnect":
        pass
