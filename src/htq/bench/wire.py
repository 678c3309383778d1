"""The benchmark's own HTTP client: keep-alive connections on a bare protocol, driven by callbacks, so that the load costs little.

It reads what a local server of ours sends and no more: a status line, headers, and a body with a Content-Length.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple, cast

__all__ = ["Answer", "Connection", "ConnectionLost", "connected", "request_bytes"]


class ConnectionLost(Exception):
    """The server closed a connection with a request on it, or sent what this client does not read."""


class Answer(NamedTuple):
    """A response. `head` is everything before the empty line, as it came."""

    code: int
    head: bytes
    body: bytes

    def header(self, name: bytes) -> bytes:
        """The value of a header, given in lower case; empty if there is none."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == name:
                return value.strip()
        return b""


Callback = Callable[[Answer | None], None]
"""Takes the answer, or None if the connection was lost before it came."""


def request_bytes(method: str, path: str, host: str, body: bytes = b"") -> bytes:
    """A request as it goes out."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode("latin-1") + b"\r\n" + body


class Connection(asyncio.Protocol):
    """One connection, one request at a time. `ask` from a callback of `ask` is the fast way."""

    __slots__ = ("_body_at", "_buffer", "_callback", "_code", "_end", "_lost", "_transport")

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._lost = asyncio.Event()
        self._buffer = b""
        self._callback: Callback | None = None
        self._code = 0
        self._body_at = 0
        self._end = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost.set()
        callback, self._callback = self._callback, None
        if callback is not None:
            callback(None)

    def ask(self, request: bytes, callback: Callback) -> None:
        """Send a request; `callback` is called once, in the loop."""
        if self._transport is None:
            callback(None)
            return
        self._callback = callback
        self._transport.write(request)

    async def exchange(self, request: bytes) -> Answer:
        """`ask` for those who can wait. Raises `ConnectionLost`."""
        future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()

        def done(answer: Answer | None) -> None:
            if not future.done():
                future.set_result(answer)

        self.ask(request, done)
        answer = await future
        if answer is None:
            raise ConnectionLost("the connection was lost before the answer came")
        return answer

    def abort(self) -> None:
        """Close at once; what was asked is answered with None."""
        if self._transport is not None:
            self._transport.abort()

    async def lost(self) -> None:
        """Return when the connection is closed."""
        await self._lost.wait()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._end and not self._read_head():
            return
        if len(self._buffer) < self._end:
            return
        answer = Answer(self._code, self._buffer[: self._body_at - 4], self._buffer[self._body_at : self._end])
        self._buffer = self._buffer[self._end :]
        self._end = 0
        callback, self._callback = self._callback, None
        if callback is not None:
            callback(answer)

    def _read_head(self) -> bool:
        """Learn from a complete head where the message ends; False while it is not complete or can't be read."""
        at = self._buffer.find(b"\r\n\r\n")
        if at < 0:
            return False
        head = self._buffer[:at].lower()
        self._code = int(head[9:12])
        length = 0
        mark = head.find(b"\r\ncontent-length:")
        if mark >= 0:
            length = int(head[mark + 17 :].partition(b"\r\n")[0])
        elif self._code not in (204, 304):
            self.abort()
            return False
        self._body_at = at + 4
        self._end = self._body_at + length
        return True


@asynccontextmanager
async def connected(port: int, count: int = 1) -> AsyncIterator[list[Connection]]:
    """`count` connections to a port on loopback, closed at the end."""
    loop = asyncio.get_running_loop()
    connections: list[Connection] = []
    try:
        for _ in range(count):
            _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
            connections.append(connection)
        yield connections
    finally:
        for connection in connections:
            connection.abort()
        for connection in connections:
            await connection.lost()
