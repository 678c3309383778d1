"""Connections that were kept after a complete exchange, for a moment."""

import asyncio

from htq.sender.connection import Connection

__all__ = ["IDLE_FOR", "Pool"]

IDLE_FOR = 1.0
"""Seconds for which a kept connection is used again. Many servers close at 2 or 5 s, and a POST into a closing one fails."""


class Pool:
    """Idle connections by key, the youngest used first. Whatever happens to one while it lies here ends it."""

    def __init__(self, most: int = 1024, idle_for: float = IDLE_FOR) -> None:
        self._most = most
        self._idle_for = idle_for
        self._kept: dict[tuple[str, str, int, str], list[Connection]] = {}
        self._count = 0
        self._sweeper: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return self._count

    def take(self, key: tuple[str, str, int, str]) -> Connection | None:
        """One that may be used again, which is the taker's from now on."""
        kept = self._kept.get(key)
        if not kept:
            return None
        connection = kept.pop()
        self._count -= 1
        if connection.is_open and connection.loop.time() - connection.idle_since <= self._idle_for:
            return connection
        connection.abort()  # and the others are older still: they are left to the sweep
        return None

    def put(self, connection: Connection) -> None:
        """Keep an open connection, or end it if there are too many."""
        if self._count >= self._most:
            connection.abort()
            return
        connection.idle_since = connection.loop.time()
        self._kept.setdefault(connection.key, []).append(connection)
        self._count += 1
        if self._sweeper is None:
            self._sweeper = connection.loop.call_later(self._idle_for, self._sweep, connection.loop)

    def discard(self, connection: Connection) -> None:
        """Forget a connection that has ended; harmless if it is not here."""
        kept = self._kept.get(connection.key)
        if kept and connection in kept:
            kept.remove(connection)
            self._count -= 1

    def drop(self, key: tuple[str, str, int, str]) -> None:
        """Abort those that are kept for a key."""
        kept = self._kept.pop(key, [])
        self._count -= len(kept)
        for connection in kept:
            connection.abort()

    def close(self) -> None:
        """Abort all that is kept."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        kept, self._kept, self._count = self._kept, {}, 0
        for connections in kept.values():
            for connection in connections:
                connection.abort()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        oldest_ok = loop.time() - self._idle_for
        for key, connections in list(self._kept.items()):
            fresh = [connection for connection in connections if connection.idle_since > oldest_ok]
            for connection in connections[: len(connections) - len(fresh)]:
                connection.abort()
            self._count -= len(connections) - len(fresh)
            if fresh:
                self._kept[key] = fresh
            else:
                del self._kept[key]
        self._sweeper = loop.call_later(self._idle_for / 2, self._sweep, loop) if self._kept else None
