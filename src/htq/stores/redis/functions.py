"""Calls of the function library: what a verb sends, and what comes back."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from htq.stores.redis.library import LIBRARY, source
from htq.stores.redis.link import Link, UnknownFunction
from htq.words.clock import Clock

__all__ = ["Functions", "Reply"]

log = logging.getLogger("htq.stores.redis")

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode

Reply = tuple[Any, list[bytes]]
"""What a function answers, and the blobs beside it."""


class Functions:
    """The library on one server, for one namespace.

    `clock` None: the server's own time holds. `origin` marks the news of this store object, and `tell` takes them as they come
    with the replies; with an empty origin none are made.
    """

    def __init__(
        self, link: Link, *, prefix: str, clock: Clock | None, origin: str, tell: Callable[[bytes], None]
    ) -> None:
        self.prefix = prefix
        self._link = link
        self._clock = clock
        self._origin = origin
        self._tell = tell

    async def load(self) -> None:
        """Give the server the library, where it does not have just this one."""
        found = await self._link.command("FUNCTION", "LIST", "LIBRARYNAME", LIBRARY, "WITHCODE")
        if not found or source().encode() not in found[0]:
            await self._link.command("FUNCTION", "LOAD", "REPLACE", source())

    async def step(self, verb: str, header: object, blobs: Sequence[bytes] = ()) -> Reply:
        """Run a function that writes."""
        packed, news, *beside = await self.read(verb, header, blobs)
        if news is not None:
            self._tell(news)
        return _decode(packed), beside

    async def read(self, verb: str, header: object, blobs: Sequence[bytes] = ()) -> Any:
        """Run a function; its reply as it comes. Raises `StoreUnavailable`, `SessionLost`."""
        now = "" if self._clock is None else str(self._clock.now_ms())
        command: tuple[str | bytes, ...] = (
            "FCALL",
            f"{LIBRARY}_{verb}",
            "1",
            self.prefix,
            now,
            self._origin,
            _encode(header),
            *blobs,
        )
        try:
            return await self._link.command(*command)
        except UnknownFunction:
            # The server was restarted without its data, or another took its place.
            log.warning("the Redis server does not have the functions of htq any more: loading them")
            await self.load()
            return await self._link.command(*command)
