"""The services that are called in the oracle: one for each cell, with the behavior that the cell names."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from oracle.cells import BETWEEN, Cell
from support.target import FakeTarget, Received, _Connection, answer, early

__all__ = ["CellService", "running_service"]

WORK = "/work?job=7"

_CODES = {
    "not_found": 404,
    "gone": 410,
    "not_allowed": 405,
    "not_implemented": 501,
    "unauthorized": 401,
    "forbidden": 403,
    "breaks": 500,
    "goes_on": 204,
    "accepts": 202,
    "one_at_a_time": 405,
}


class CellService(FakeTarget):
    """Works for as long as it is not told to end, and answers a DELETE as its cell says."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self._cell = cell
        self._ending: dict[str, asyncio.Event] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._let_go = asyncio.Event()
        self._shut: socket.socket | None = None
        self.on(WORK, early(self._work) if cell.moment == "sending" else self._work, "POST")
        self.on(WORK, self._delete, "DELETE")
        self.on("/else", self._delete)
        self.on("/plain", answer())

    def work_of(self, uuid: str) -> list[Received]:
        """The requests of one task."""
        return [each for each in self.received(WORK, "POST") if each.header("HTQ-Task-Id") == uuid]

    @property
    def deletes(self) -> list[Received]:
        return [each for each in self.requests if each.method == "DELETE"]

    def let_go(self) -> None:
        """Nobody waits any more for what is going on: let it end."""
        self._let_go.set()
        self._notify()

    def shut_door(self) -> None:
        """Take no connection any more. Those that are open stay.

        The port is bound again at once, to a socket that never listens: a free one is soon another service's.
        """
        assert self._server is not None
        self._server.close()
        self._shut = socket.socket()
        self._shut.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._shut.bind((self.host, self.port))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shut is not None:
            self._shut.close()
        await super().__aexit__(kind, error, trace)

    def open_door(self) -> None:
        """Serve those who came while nobody was accepting. Here: they all were."""

    # --- the work -----------------------------------------------------------------------------------

    async def _work(self, request: Received) -> None:
        uuid = request.header("HTQ-Task-Id") or ""
        if self._cell.moment == "finished" or self._cell.moment in BETWEEN:
            await self._reply(request, 200 if self._cell.moment == "finished" else 503)
            return
        ending = self._ending.setdefault(uuid, asyncio.Event())
        ended = self._ended.setdefault(uuid, asyncio.Event())
        drips = self._cell.moment == "receiving"
        if drips:
            await request.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n.\r\n")
        await self._until(lambda: True if ending.is_set() or self._is_left(request) else None)
        if drips:
            await request.write(b"0\r\n\r\n")
            if self._cell.connection == "close":
                request.close()
        else:
            await self._reply(request, 200)
        ended.set()

    def _is_left(self, request: Received) -> bool:
        if self._let_go.is_set():
            return True
        return request.gone.is_set() and self._cell.service != "one_at_a_time"

    def _end(self, uuid: str) -> None:
        self._ending.setdefault(uuid, asyncio.Event()).set()
        self._notify()

    async def _reply(self, request: Received, code: int, *fields: tuple[str, str]) -> None:
        close = self._cell.connection == "close"
        if close:
            fields = (*fields, ("Connection", "close"))
        await answer(code, b"" if code == 204 else b"so it is", fields)(request)
        if close:
            request.close()

    # --- the DELETE ---------------------------------------------------------------------------------

    async def _delete(self, request: Received) -> None:
        uuid = request.header("HTQ-Task-Id") or ""
        running = any(not each.gone.is_set() for each in self.work_of(uuid))
        match self._cell.service:
            case "stops" | "ten_at_once" | "ends":
                self._end(uuid)
                if running:
                    await self._ended[uuid].wait()
                stopped = () if self._cell.service == "ends" else (("HTQ-Cancel", "stopped"),)
                await self._reply(request, 204, *stopped)
            case "ends_later":
                await self._reply(request, 202)
                self._end(uuid)
            case "runs_again":
                await self._reply(request, 200)
            case "redirects":
                await self._reply(request, 307, ("Location", self.url("/else")))
            case "busy":
                await self._reply(request, 503)
            case "recovers":
                await self._reply(request, 503 if len(self.deletes) == 1 else 204)
            case "hangs":
                await request.gone.wait()
            case "drops":
                request.reset()
            case plain:
                await self._reply(request, _CODES[plain])


class _BlackHole(CellService):
    """Listens, and does not accept: its backlog is full, and a SYN gets no answer."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._hole = socket.socket()
        self._hole.bind((self.host, 0))
        self._hole.listen(0)
        self.port = self._hole.getsockname()[1]
        self._fillers = [socket.create_connection((self.host, self.port)), socket.socket()]
        self._fillers[1].setblocking(False)
        self._fillers[1].connect_ex((self.host, self.port))
        self._late: asyncio.Server | None = None
        self._opening: asyncio.Task[None] | None = None
        return self

    def open_door(self) -> None:
        self._opening = asyncio.ensure_future(self._open_door())

    async def _open_door(self) -> None:
        for filler in self._fillers:
            filler.close()
        loop = asyncio.get_running_loop()
        self._late = await loop.create_server(lambda: _Connection(self), sock=self._hole.dup())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opening is not None:
            await self._opening
        for sock in (*self._fillers, self._hole):
            sock.close()
        if self._late is not None:
            self._late.close()
        await super().__aexit__(kind, error, trace)


class _OneAtATime(CellService):
    """Accepts a connection when the one before it has ended; meanwhile others lie in its backlog."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._door = socket.socket()
        self._door.bind((self.host, 0))
        self._door.listen(16)
        self._door.setblocking(False)
        self.port = self._door.getsockname()[1]
        self._accepting = asyncio.ensure_future(self._accept())
        return self

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._door)
            await loop.connect_accepted_socket(lambda: _Connection(self), sock)
            await self._until(lambda: True if not self._live else None)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._accepting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._accepting
        self._door.close()
        await super().__aexit__(kind, error, trace)


@asynccontextmanager
async def running_service(cell: Cell) -> AsyncIterator[CellService]:
    """The service of a cell."""
    kind = (
        _BlackHole if cell.moment == "connecting" else _OneAtATime if cell.service == "one_at_a_time" else CellService
    )
    async with kind(cell) as service:
        yield service
