"""Waiting on a caller's behalf: for as long as he is there and the server runs."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from htq.api.http import Call, ClientGone
from htq.words.errors import Overloaded

__all__ = ["unless_gone", "wait_on"]

Found = TypeVar("Found")


async def wait_on(
    call: Call, look: Callable[[float | None], Coroutine[Any, Any, Found | None]], seconds: float | None
) -> Found | None:
    """What `look`, which waits for at most the seconds that it is called with, finds. Raises `ClientGone`.

    When the server stops, it looks once more: what ended last is still handed out. Then `Overloaded` sends the caller home:
    with thousands of them a stop would wait for ever.
    """
    if seconds == 0:
        return await look(0)
    looking = asyncio.ensure_future(look(seconds))
    stopping = asyncio.ensure_future(call.stopping.wait())
    if await _first(call, looking, stopping) is looking:
        return looking.result()
    found = await look(0)
    if found is None:
        raise Overloaded("The server is stopping: ask again in a moment.")
    return found


async def unless_gone(call: Call, work: Awaitable[Found]) -> Found:
    """What `work` gives. It is canceled, and `ClientGone` raised, when the caller hangs up."""
    doing = asyncio.ensure_future(work)
    await _first(call, doing)
    return doing.result()


async def _first(call: Call, *things: asyncio.Future[Any]) -> asyncio.Future[Any]:
    """The first of `things`, in their order, that is over; the others are canceled."""
    gone = asyncio.ensure_future(_disconnected(call))
    try:
        await asyncio.wait((*things, gone), return_when=asyncio.FIRST_COMPLETED)
        for thing in things:
            if thing.done():
                return thing
        raise ClientGone
    finally:
        for thing in (*things, gone):
            thing.cancel()


async def _disconnected(call: Call) -> None:
    while (await call.receive())["type"] != "http.disconnect":
        pass
