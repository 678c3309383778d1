"""The way to the server: its connections, and what a failure means.

Nothing is retried behind the caller's back, but for one thing that is safe because every verb may be repeated: where a kept
connection turns out dead, the command goes out again over the next, until that is a new one.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

import redis.exceptions as refusals
from redis.asyncio.connection import AbstractConnection, ConnectionPool

from htq.words.errors import HtqError, SessionLost, StoreRefused, StoreUnavailable

__all__ = ["Link", "UnknownFunction", "refusal"]

_CONNECTIONS: Final = 16
"""Calls under way at once, at most. The layers above gather, so that few are needed."""


class Link:
    """Connections to one server, made as they are needed and kept."""

    def __init__(self, url: str) -> None:
        try:
            self._maker = ConnectionPool.from_url(url, protocol=2, socket_timeout=None, socket_connect_timeout=None)
        except (ValueError, TypeError) as error:
            raise StoreRefused(f"The address of the Redis server can't be read: {error}") from None
        self._idle: list[AbstractConnection] = []
        self._busy: set[AbstractConnection] = set()
        self._slots = asyncio.Semaphore(_CONNECTIONS)
        self._closed = True

    def open(self) -> None:
        self._closed = False

    def connection(self) -> AbstractConnection:
        """A new connection, not connected yet, that is its caller's to close."""
        made: AbstractConnection = self._maker.make_connection()  # type: ignore[no-untyped-call]
        return made

    async def command(self, *parts: str | bytes) -> Any:
        """Send one command, and give back its reply. Raises what `refusal` makes of a failure."""
        async with self._slots:
            while True:
                if self._closed:
                    raise StoreUnavailable("The store is not open.")
                kept = bool(self._idle)
                connection = self._idle.pop() if kept else self.connection()
                self._busy.add(connection)
                try:
                    reply = await _exchange(connection, parts)
                except refusals.ResponseError as error:
                    await self._keep(connection)
                    raise refusal(error) from error
                except (refusals.RedisError, OSError) as error:
                    await self._drop(connection)
                    if kept and not isinstance(error, _SAID_BY_THE_SERVER):
                        # Each turn uses up a kept connection, so this ends with a new one.
                        continue
                    raise refusal(error) from error
                except BaseException:
                    # The reply may still come: nobody may read it as another's.
                    await self._drop(connection)
                    raise
                await self._keep(connection)
                return reply

    async def close(self) -> None:
        self._closed = True
        for connection in (*self._idle, *self._busy):
            await self._drop(connection)
        self._idle.clear()

    async def _keep(self, connection: AbstractConnection) -> None:
        if self._closed:
            await self._drop(connection)
            return
        self._busy.discard(connection)
        self._idle.append(connection)

    async def _drop(self, connection: AbstractConnection) -> None:
        self._busy.discard(connection)
        with contextlib.suppress(refusals.RedisError, OSError):
            await connection.disconnect(nowait=True)


async def _exchange(connection: AbstractConnection, parts: Sequence[str | bytes]) -> Any:
    await connection.connect()  # type: ignore[no-untyped-call]
    await connection.send_command(*parts)
    return await connection.read_response()


class UnknownFunction(StoreUnavailable):
    """The server does not have the library."""


_SAID_BY_THE_SERVER = (refusals.AuthenticationError, refusals.AuthorizationError, refusals.BusyLoadingError)
"""Connection errors, by redis-py's tree, of a connection that works."""

_ASKS_TOO_MUCH = (
    refusals.AuthenticationError,
    refusals.AuthorizationError,
    refusals.NoPermissionError,
    refusals.AuthenticationWrongNumberOfArgsError,
)


def refusal(error: Exception) -> HtqError:
    """What a failure of the driver or an error reply means to the one who called a verb."""
    text = str(error) or type(error).__name__
    if text.startswith("HTQLOST"):
        return SessionLost("The lease of this session is over. Abort what it has on the wire, and open a new one.")
    if "Function not found" in text:
        return UnknownFunction("The Redis server does not have the functions of htq, and could not be given them.")
    if isinstance(error, _ASKS_TOO_MUCH):
        return StoreRefused(f"The Redis server does not let htq in, or not far enough: {text}")
    if isinstance(error, refusals.BusyLoadingError):
        return StoreUnavailable("The Redis server is still loading its data.")
    if isinstance(error, refusals.ConnectionError | OSError):
        return StoreUnavailable(f"The Redis server can't be reached: {text}")
    return StoreUnavailable(f"The Redis server refuses: {text}")
