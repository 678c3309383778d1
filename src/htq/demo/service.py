"""The example service of the tour: slow on purpose, and it keeps what comes over the wire for the tour to show.

    POST   /report/<seconds>    works for so long, then answers 200
    DELETE /report/<seconds>    stops the work of the request whose HTQ-Task-Id and HTQ-Attempt it names: 204, or 404
    POST   /stubborn/<seconds>  the same work
    DELETE /stubborn/<seconds>  405: a service that nobody taught to be canceled

It is written out over asyncio's streams, to show what a service sees; a service of yours takes `htq.service` instead.
"""

import asyncio
import json
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from htq.words.clock import Clock

__all__ = ["ExampleService", "Seen", "What"]

What = Literal["request", "cancel", "stopped", "refused", "answered", "closed"]


class Seen(NamedTuple):
    """Something that happened at the service. `at`: steady seconds; `while_open`: the POST it is about had not ended."""

    at: float
    what: What
    task_id: str
    line: str
    """A request's or a response's first line."""
    headers: dict[str, str]
    while_open: bool = False


class _Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    """By name as it came."""
    body: bytes

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")

    @property
    def attempt(self) -> tuple[str, str]:
        return self.header("HTQ-Task-Id"), self.header("HTQ-Attempt")

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


class ExampleService:
    """Listens on loopback from `start` to `close`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._working: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._seen: list[Seen] = []
        self._news = asyncio.Condition()
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Stop all work, and close every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def seen(self, task_id: str) -> list[Seen]:
        """What has happened to a request so far, first to last."""
        return [seen for seen in self._seen if seen.task_id == task_id]

    async def until(self, task_id: str, what: What) -> Seen:
        """Return when it has happened to a request."""
        async with self._news:
            while True:
                for seen in self.seen(task_id):
                    if seen.what == what:
                        return seen
                await self._news.wait()

    async def _note(
        self, what: What, request: _Request, line: str, headers: dict[str, str], while_open: bool = False
    ) -> None:
        async with self._news:
            self._seen.append(
                Seen(self._clock.steady(), what, request.header("HTQ-Task-Id"), line, headers, while_open)
            )
            self._news.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            first = await _next_byte(reader)
            while first:
                request = await _read_request(first, reader)
                following = asyncio.ensure_future(_next_byte(reader))
                try:
                    await self._answer(request, writer, following)
                    first = await following
                finally:
                    following.cancel()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass  # the caller went away in the middle of a request, or sent none: there is nobody to tell
        except asyncio.CancelledError:
            pass  # `close`; as the outermost frame of this task, nobody waits for it to say so
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(self, request: _Request, writer: asyncio.StreamWriter, following: asyncio.Future[bytes]) -> None:
        match (request.method, *request.path.strip("/").split("/")):
            case ("POST", "report" | "stubborn", seconds):
                await self._work(request, float(seconds), writer, following)
            case ("DELETE", "report", _):
                await self._cancel(request, writer)
            case ("DELETE", "stubborn", _):
                await self._refuse(request, writer)
            case _:
                await _reply(writer, "404 Not Found", {})

    async def _work(
        self, request: _Request, seconds: float, writer: asyncio.StreamWriter, following: asyncio.Future[bytes]
    ) -> None:
        """The slow part: a report, a query, a model. Ends when it is done, when it is stopped, or when nobody waits for it."""
        work = self._working[request.attempt] = asyncio.create_task(self._clock.sleep(seconds))
        await self._note("request", request, request.line, request.headers)
        try:
            either: set[asyncio.Future[Any]] = {work, following}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await self._note("closed", request, "", {}, while_open=True)
            elif work.cancelled():
                answer = "503 Service Unavailable"
                await _reply(writer, answer, {"stopped": True})
                await self._note("answered", request, answer, {})
                await following
                await self._note("closed", request, "", {})
            else:
                answer = "200 OK"
                await _reply(writer, answer, {"report": "ready", "took_seconds": seconds})
                await self._note("answered", request, answer, {})
        finally:
            del self._working[request.attempt]
            work.cancel()

    async def _cancel(self, request: _Request, writer: asyncio.StreamWriter) -> None:
        """What a service does about a DELETE: find the work by its id and attempt, stop it, say so."""
        work = self._working.get(request.attempt)
        await self._note("cancel", request, request.line, request.headers, while_open=work is not None)
        if work is None:
            await _reply(writer, "404 Not Found", {})
            return
        work.cancel()
        await self._note("stopped", request, "204 No Content", {"HTQ-Cancel": "stopped"})
        await _reply(writer, "204 No Content", None, "HTQ-Cancel: stopped\r\n")

    async def _refuse(self, request: _Request, writer: asyncio.StreamWriter) -> None:
        is_open = request.attempt in self._working
        await self._note("cancel", request, request.line, request.headers, while_open=is_open)
        answer = "405 Method Not Allowed"
        await self._note("refused", request, answer, {})
        await _reply(writer, answer, {}, "Allow: POST\r\n")


async def _next_byte(reader: asyncio.StreamReader) -> bytes:
    """The first byte of another request on a connection, or b"" when the caller has gone, politely or not."""
    try:
        return await reader.read(1)
    except ConnectionError:
        return b""


async def _read_request(first: bytes, reader: asyncio.StreamReader) -> _Request:
    """A request of htq's own: a head, and a body by its Content-Length. Raises `ValueError` for anything else."""
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = start.split(" ")
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    request = _Request(method, path, headers, b"")
    return request._replace(body=await reader.readexactly(int(request.header("Content-Length") or 0)))


async def _reply(
    writer: asyncio.StreamWriter, answer: str, document: dict[str, object] | None, headers: str = ""
) -> None:
    body = b"" if document is None else json.dumps(document).encode()
    if document is not None:
        headers += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"HTTP/1.1 {answer}\r\n{headers}\r\n".encode() + body)
    with suppress(ConnectionError):
        await writer.drain()
