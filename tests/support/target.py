"""A scripted HTTP server on loopback, which records what arrives and how each connection ends.

    async with FakeTarget() as target:
        target.on("/slow", hold())
        ... a request to target.url("/slow") ...
        request = await target.arrived("/slow")
        await request.disconnected()

What a path answers is a script: one of the functions at the end of this module, or any coroutine function that takes a
`Received`. Every wait is bounded, and none of them polls.
"""

import asyncio
import itertools
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast

import trustme

__all__ = [
    "FakeTarget",
    "Received",
    "Script",
    "answer",
    "drip",
    "early",
    "hold",
    "huge",
    "in_turn",
    "late",
    "raw",
    "redirect",
    "reset",
]

WITHIN = 5.0
"""Seconds for which a wait lasts at most, unless told otherwise."""

Pairs = Sequence[tuple[str, str]]
T = TypeVar("T")


class Received:
    """A request that arrived, and the means to answer it."""

    def __init__(
        self, connection: "_Connection", number: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        self.connection = connection
        self.connection_id = connection.id
        self.number = number
        """Counts all requests of the target in the order of their arrival, from 1."""
        self.method = method
        self.path = path
        self.headers = headers
        self.body = b""
        self.arrived_at = asyncio.get_running_loop().time()
        self.closed_at: float | None = None
        """When its connection ended, on the loop's clock; None while it is open."""
        self.closed_by: Literal["client", "target"] | None = None
        self.released = asyncio.Event()
        self.gone = asyncio.Event()
        self.answered = False

    def header(self, name: str) -> str | None:
        """The first value of a field, in any case."""
        return next((value for given, value in self.headers if given.lower() == name.lower()), None)

    def release(self) -> None:
        """Let a script that holds go on."""
        self.released.set()

    async def disconnected(self, within: float = WITHIN) -> None:
        """Wait until the connection has ended, by whomever."""
        async with asyncio.timeout(within):
            await self.gone.wait()

    async def write(self, data: bytes) -> None:
        """Send bytes, and wait until the kernel has taken them or the client has gone."""
        await self.connection.write(data)

    def close(self) -> None:
        """A FIN, after what was written."""
        self.connection.end("target", abort=False)

    def reset(self) -> None:
        """An RST, at once."""
        self.connection.end("target", abort=True)


Script = Callable[[Received], Awaitable[None]]


class FakeTarget:
    """See the module. `tls` makes it an https target; `client_context` trusts it.

    With `bound`, a socket that is bound and does not listen, it takes the place of one that refused every connection.
    """

    def __init__(
        self,
        *,
        tls: bool = False,
        default: Script | None = None,
        host: str = "127.0.0.1",
        bound: socket.socket | None = None,
    ) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.open_connections = 0
        self.host = host
        self.port = 0
        self._scheme = "https" if tls else "http"
        self._bound = bound
        self._default = default or answer()
        self._scripts: dict[tuple[str | None, str], Script] = {}
        self._live: set[_Connection] = set()
        self._changed: asyncio.Future[None] | None = None
        self._server: asyncio.Server | None = None
        self._ids = itertools.count(1)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._changed = loop.create_future()
        context = _server_context() if self._scheme == "https" else None
        place: dict[str, Any] = {"host": self.host, "port": 0} if self._bound is None else {"sock": self._bound}
        self._server = await loop.create_server(lambda: _Connection(self), **place, ssl=context, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        tasks = [connection.task for connection in self._live]
        for connection in list(self._live):
            connection.task.cancel()
            connection.end("target", abort=True)
        async with asyncio.timeout(WITHIN):
            if tasks:
                await asyncio.wait(tasks)
            await self._until(lambda: True if not self._live else None)

    @property
    def origin(self) -> str:
        """An https target's certificate is for `localhost` and for its address."""
        return f"{self._scheme}://{self.host}:{self.port}"

    def url(self, path: str = "/") -> str:
        return self.origin + path

    @staticmethod
    def client_context() -> ssl.SSLContext:
        """Trusts https targets of this kind."""
        context = ssl.create_default_context()
        _authority().configure_trust(context)
        return context

    def on(self, path: str, script: Script, method: str | None = None) -> None:
        """Answer requests to `path` (with its query) by `script`; those of one method only, where it is given."""
        self._scripts[(method, path)] = script

    def received(self, path: str | None = None, method: str | None = None) -> list[Received]:
        """The requests so far, oldest first."""
        return [
            request
            for request in self.requests
            if (path is None or request.path == path) and (method is None or request.method == method)
        ]

    async def arrived(
        self, path: str | None = None, method: str | None = None, *, count: int = 1, within: float = WITHIN
    ) -> Received:
        """Wait until `count` such requests are here with their bodies; gives the last of them."""

        def last() -> Received | None:
            found = self.received(path, method)
            return found[count - 1] if len(found) >= count else None

        async with asyncio.timeout(within):
            return await self._until(last)

    async def all_disconnected(self, within: float = WITHIN) -> None:
        """Wait until no connection is open."""
        async with asyncio.timeout(within):
            await self._until(lambda: True if self.open_connections == 0 else None)

    async def _until(self, look: Callable[[], T | None]) -> T:
        while (found := look()) is None:
            assert self._changed is not None
            await asyncio.shield(self._changed)
        return found

    # --- called by connections ------------------------------------------------------------------

    def _notify(self) -> None:
        assert self._changed is not None
        changed, self._changed = self._changed, asyncio.get_running_loop().create_future()
        changed.set_result(None)

    def _opened(self, connection: "_Connection") -> None:
        self.connections += 1
        self.open_connections += 1
        self._live.add(connection)
        self._notify()

    def _lost(self, connection: "_Connection") -> None:
        self.open_connections -= 1
        self._live.discard(connection)
        self._notify()

    def _take(self, request: Received) -> None:
        self.requests.append(request)
        self._notify()

    def _script(self, method: str, path: str) -> Script:
        return self._scripts.get((method, path)) or self._scripts.get((None, path)) or self._default


class _Connection(asyncio.Protocol):
    def __init__(self, target: FakeTarget) -> None:
        self.target = target
        self.id = next(target._ids)
        self.request: Received | None = None
        self.ended_by: Literal["client", "target"] | None = None
        self._buffer = bytearray()
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._lost = False
        self._dropping = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self.task = asyncio.get_running_loop().create_task(self._serve())
        self.target._opened(self)

    def data_received(self, data: bytes) -> None:
        if self._dropping:
            return
        self._buffer += data
        self._more.set()

    def eof_received(self) -> None:
        self.ended_by = self.ended_by or "client"

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self.ended_by = self.ended_by or "client"
        if self.request is not None and not self.request.gone.is_set():
            self.request.closed_by = self.ended_by
            self.request.closed_at = asyncio.get_running_loop().time()
            self.request.gone.set()
        self._more.set()
        self._room.set()
        self.target._lost(self)

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    async def write(self, data: bytes) -> None:
        if not self._lost:
            self.transport.write(data)
            await self._room.wait()

    def end(self, by: Literal["client", "target"], *, abort: bool) -> None:
        if self._lost or self.transport.is_closing():
            return
        self.ended_by = by
        if abort:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.close()

    async def _serve(self) -> None:
        while not self._lost:
            head = await self._read_head()
            if head is None:
                return
            lines = head.decode("latin-1").split("\r\n")
            method, path, _ = lines[0].split(" ", 2)
            headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
            self.request = request = Received(self, len(self.target.requests) + 1, method, path, headers)
            script = self.target._script(method, path)
            if getattr(script, "reads_body", True):
                body = await self._read(int(request.header("content-length") or 0))
                if body is None:
                    return
                request.body = body
            else:
                self._dropping = True
                if getattr(script, "reads_nothing", False):
                    self.transport.pause_reading()
            self.target._take(request)
            await script(request)
            request.answered = True
            if self._dropping:
                # What comes now is the rest of a body: a next request can't be found any more.
                if not self.transport.is_closing():
                    self.transport.resume_reading()
                await request.gone.wait()
            if self.transport.is_closing():
                return

    async def _read_head(self) -> bytes | None:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if not await self._wait():
                return None
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        return head

    async def _read(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            if not await self._wait():
                return None
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    async def _wait(self) -> bool:
        if self._lost:
            return False
        self._more.clear()
        await self._more.wait()
        return not self._lost


@cache
def _authority() -> trustme.CA:
    return trustme.CA()


@cache
def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _authority().issue_cert("localhost", "127.0.0.1", "::1").configure_cert(context)
    return context


# --- scripts ----------------------------------------------------------------------------------------


def answer(code: int = 200, body: bytes = b"ok", headers: Pairs = (), phrase: str = "OK") -> Script:
    """A complete reply at once, with the connection kept."""
    lines = [
        f"HTTP/1.1 {code} {phrase}",
        *(f"{name}: {value}" for name, value in headers),
        f"Content-Length: {len(body)}",
    ]
    data = "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    async def script(request: Received) -> None:
        await request.write(data)

    return script


def redirect(location: str, code: int = 302) -> Script:
    """A redirect with a body of its own."""
    return answer(code, b"elsewhere", (("Location", location),), "Found")


def hold(then: Script | None = None) -> Script:
    """Answer by `then` (a plain 200) once the test calls `request.release()`; never, if it does not."""
    after = then or answer()

    async def script(request: Received) -> None:
        await _either(request, None)
        if not request.gone.is_set():
            await after(request)

    return script


def late(seconds: float, then: Script | None = None) -> Script:
    """Answer by `then` (a plain 200) after that time: only for tests in which real time has to pass."""
    after = then or answer()

    async def script(request: Received) -> None:
        await _either(request, seconds)
        if not request.gone.is_set():
            await after(request)

    return script


def raw(*parts: bytes, close: bool = True) -> Script:
    """These very bytes, and then a FIN unless told not to."""

    async def script(request: Received) -> None:
        for part in parts:
            await request.write(part)
        if close:
            request.close()
        else:
            await request.gone.wait()

    return script


def reset(after: bytes = b"") -> Script:
    """These bytes, and then an RST (once the client has had the chance to read them)."""

    async def script(request: Received) -> None:
        if after:
            await request.write(after)
            await _either(request, 0.05)
        request.reset()

    return script


def drip(piece: bytes, every: float, head: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> Script:
    """`head`, and then `piece` again and again until the client has gone."""

    async def script(request: Received) -> None:
        await request.write(head)
        while not request.gone.is_set():
            await request.write(piece)
            await _either(request, every)

    return script


def huge(size: int, *, chunked: bool = False, piece: int = 64 * 1024) -> Script:
    """A body of `size` bytes, byte n being n % 251, at the pace that the client takes it."""
    pattern = bytes(range(251)) * (piece // 251 + 2)

    async def script(request: Received) -> None:
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
        await request.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        sent = 0
        while sent < size and not request.gone.is_set():
            data = pattern[sent % 251 : sent % 251 + min(piece, size - sent)]
            sent += len(data)
            await request.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
        if chunked:
            await request.write(b"0\r\n\r\n")

    return script


def early(then: Script, *, reads: bool = False) -> Script:
    """Answer by `then` as soon as the headers are here, whether or not the body comes.

    The body is dropped if the target `reads`; else it is left in the kernel, and the upload gets stuck. A disconnect can't be
    noticed then until `then` is done.
    """

    async def script(request: Received) -> None:
        await then(request)

    script.reads_body = False  # type: ignore[attr-defined]
    script.reads_nothing = not reads  # type: ignore[attr-defined]
    return script


def in_turn(*scripts: Script) -> Script:
    """The first request gets the first script, and so on; the last one goes on."""
    left = list(scripts)

    async def script(request: Received) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(request)

    return script


async def _either(request: Received, seconds: float | None) -> None:
    """Until the request is released, its client has gone, or the time is over."""
    released = asyncio.ensure_future(request.released.wait())
    gone = asyncio.ensure_future(request.gone.wait())
    try:
        await asyncio.wait((released, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        released.cancel()
        gone.cancel()
