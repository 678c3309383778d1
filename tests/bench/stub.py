"""A stand-in for the system under test: as much of the HTTP interface as the load generator asks for, in a few lines."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

__all__ = ["StubApi", "stub_api"]


class StubApi:
    """Queues a request and sends it at once. `refuse` answers every POST with a 503, `lossy` never sends anything."""

    def __init__(self) -> None:
        self.port = 0
        self.refuse = False
        self.lossy = False
        self.statuses: dict[str, str] = {}
        self._urls: dict[str, str] = {}
        self._attempts: dict[str, asyncio.Task[None]] = {}
        self.connections: set[asyncio.Task[None]] = set()

    async def _attempt(self, task_id: str, method: str) -> None:
        parts = urlsplit(self._urls[task_id])
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            head = f"{method} {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nHTQ-Task-Id: {task_id}\r\n"
            writer.write(f"{head}Content-Length: 0\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        if method == "POST":
            self.statuses[task_id] = "success"

    async def _answer(self, method: str, path: str, body: bytes) -> tuple[str, bytes]:
        match (method, *path.strip("/").split("/")):
            case ("POST", ""):
                return self._queue(json.loads(body))
            case ("DELETE", task_id):
                self._attempts[task_id].cancel()
                self.statuses[task_id] = "canceled"
                await self._attempt(task_id, "DELETE")
                return "204 No Content\r\n", b""
            case ("GET", task_id, "status"):
                return "200 OK\r\n", json.dumps({"status": self.statuses[task_id]}).encode()
            case ("GET", task_id, "response"):
                await self._attempts[task_id]
                return "200 OK\r\n", b'{"code": 200}'
        return "404 Not Found\r\n", b"{}"

    def _queue(self, body: dict[str, Any]) -> tuple[str, bytes]:
        if self.refuse:
            return "503 Service Unavailable\r\n", b'{"detail": "the store is away"}'
        task_id = str(uuid.UUID(int=len(self._urls) + 1))
        self._urls[task_id] = body["url"]
        self.statuses[task_id] = "queued"
        if not self.lossy:
            self._attempts[task_id] = asyncio.create_task(self._attempt(task_id, "POST"))
        return f"303 See Other\r\nLocation: http://127.0.0.1:{self.port}/{task_id}/\r\n", b"{}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path, _ = head.split(" ", 2)
                length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0] or 0)
                start, answer = await self._answer(method, path, await reader.readexactly(length))
                framing = "" if start.startswith("204") else f"Content-Length: {len(answer)}\r\n"
                writer.write(f"HTTP/1.1 {start}{framing}\r\n".encode() + answer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.connections.discard(task)
            writer.close()

    async def close(self) -> None:
        open_ones = [*self.connections, *self._attempts.values()]
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)


@asynccontextmanager
async def stub_api() -> AsyncIterator[StubApi]:
    stub = StubApi()
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0)
    stub.port = server.sockets[0].getsockname()[1]
    try:
        yield stub
    finally:
        server.close()
        await stub.close()
        await server.wait_closed()
