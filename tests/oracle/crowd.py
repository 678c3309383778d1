"""A service for thousands of requests at once: it holds every POST, and answers 404 to every DELETE."""

import asyncio
from collections import Counter
from types import TracebackType
from typing import Self, cast

__all__ = ["Crowd"]

_REPLY = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Crowd:
    """Counts by task what it got. Nothing here polls; `until` wakes when a connection or a request comes or goes."""

    def __init__(self) -> None:
        self.posts: Counter[str] = Counter()
        self.deletes: Counter[str] = Counter()
        self.arrived_at: dict[str, float] = {}
        """When the DELETE of a task came, on the loop's clock."""
        self.holding = 0
        self.connections: set[_Connection] = set()
        self.port = 0
        self._server: asyncio.Server | None = None
        self._waiting: tuple[str, int, asyncio.Future[None]] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/work"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in list(self.connections):
            connection.transport.abort()
        await self.empty(20)

    def clear(self) -> None:
        """Forget what was counted."""
        self.posts.clear()
        self.deletes.clear()
        self.arrived_at.clear()

    async def held(self, count: int, within: float) -> None:
        """Wait until that many requests are held."""
        await self._until("holding", count, within)

    async def released(self, within: float) -> None:
        """Wait until none is held any more."""
        await self._until("holding", 0, within)

    async def told(self, count: int, within: float) -> None:
        """Wait until DELETEs of that many tasks have come."""
        await self._until("deletes", count, within)

    async def empty(self, within: float) -> None:
        """Wait until no connection is open."""
        await self._until("connections", 0, within)

    async def _until(self, what: str, count: int, within: float) -> None:
        async with asyncio.timeout(within):
            while self._count(what) != count:
                future = asyncio.get_running_loop().create_future()
                self._waiting = (what, count, future)
                await future

    def _count(self, what: str) -> int:
        return self.holding if what == "holding" else len(self.deletes if what == "deletes" else self.connections)

    def notify(self) -> None:
        if self._waiting is not None and not self._waiting[2].done():
            what, count, future = self._waiting
            if self._count(what) == count:
                future.set_result(None)


class _Connection(asyncio.Protocol):
    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._buffer = b""
        self._holds = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._crowd.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
            self._take(head)
        self._crowd.notify()

    def _take(self, head: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        uuid = next(line[13:] for line in lines if line.startswith("HTQ-Task-Id: "))
        if lines[0].startswith("DELETE"):
            self._crowd.deletes[uuid] += 1
            self._crowd.arrived_at[uuid] = asyncio.get_running_loop().time()
            self.transport.write(_REPLY)
            return
        self._crowd.posts[uuid] += 1
        self._crowd.holding += 1
        self._holds = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.connections.discard(self)
        self._crowd.holding -= self._holds
        self._crowd.notify()
