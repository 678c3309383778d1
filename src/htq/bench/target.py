"""The target of the benchmark: a service on loopback that costs as little as it can.

Run as a process of its own (`python -m htq.bench.target`), it writes one line, its port, and serves until its standard
input is closed: so it can't outlive the benchmark that started it.

    /                  any method: 200 and a small JSON body, at once
    /slow/<ms>         the same after so many milliseconds
    /hold              never answers
    /note              answers at once, and the moment of its arrival is kept
    DELETE on any      204, and the moment of its arrival is kept under its HTQ-Task-Id
    /bench/reached/<n> answers once n requests (those to /bench/ and DELETEs apart) have arrived since the last reset
    /bench/deletes     {task id: moment of arrival}, in seconds of the steady clock, which all processes share
    /bench/notes       the moments of arrival at /note
    /bench/reset       forgets what it has counted
"""

import asyncio
import sys
from typing import cast

import httptools
import msgspec
import uvloop

from htq.words.clock import Clock, SystemClock

__all__ = ["Target", "main", "serve"]

_BODY = b'{"ok": true}'
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY) + _BODY
_NO_CONTENT = b"HTTP/1.1 204 No Content\r\nHTQ-Cancel: stopped\r\n\r\n"
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def _json(value: object) -> bytes:
    body = msgspec.json.encode(value)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Target:
    """What all connections share: the counts, the deletes, and who waits for a count."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.requests = 0
        self.deletes: dict[str, float] = {}
        self.notes: list[float] = []
        self._open: set[asyncio.Transport] = set()
        self._waiting: list[tuple[int, asyncio.Transport]] = []

    def opened(self, transport: asyncio.Transport) -> None:
        self._open.add(transport)

    def closed(self, transport: asyncio.Transport) -> None:
        self._open.discard(transport)
        self._waiting = [waiting for waiting in self._waiting if waiting[1] is not transport]

    def close(self) -> None:
        """Abort every connection."""
        for transport in self._open:
            transport.abort()

    def arrived(self) -> None:
        """Count a request, and answer those that waited for this many."""
        self.requests += 1
        if self._waiting:
            self._answer_waiting()

    def await_count(self, count: int, transport: asyncio.Transport) -> None:
        """Answer on `transport` once `count` requests have arrived."""
        self._waiting.append((count, transport))
        self._answer_waiting()

    def reset(self) -> None:
        self.requests = 0
        self.deletes.clear()
        self.notes.clear()

    def _answer_waiting(self) -> None:
        still = []
        for count, transport in self._waiting:
            if self.requests >= count:
                transport.write(_OK)
            else:
                still.append((count, transport))
        self._waiting = still


class _Connection(asyncio.Protocol):
    """One connection. Requests on it come one after another: neither htq nor the load generator pipelines."""

    __slots__ = ("_parser", "_target", "_task_id", "_transport", "_url")

    def __init__(self, target: Target) -> None:
        self._target = target
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._url = b""
        self._task_id = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._target.opened(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._target.closed(self._transport)
            self._transport = None

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.abort()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) == 11 and name.lower() == b"htq-task-id":
            self._task_id = value

    def on_message_complete(self) -> None:
        url, self._url = self._url, b""
        task_id, self._task_id = self._task_id, b""
        transport = self._transport
        if transport is None:
            return
        if self._parser.get_method() == b"DELETE":
            self._target.deletes[task_id.decode("latin-1")] = self._target.clock.steady()
            transport.write(_NO_CONTENT)
        elif url == b"/":
            transport.write(_OK)
            self._target.arrived()
        else:
            self._other(url, transport)

    def _other(self, url: bytes, transport: asyncio.Transport) -> None:
        match url.decode("latin-1").strip("/").split("/"):
            case ["hold"]:
                self._target.arrived()
            case ["slow", milliseconds] if milliseconds.isdecimal():
                self._target.arrived()
                asyncio.get_running_loop().call_later(int(milliseconds) / 1000, self._answer_late)
            case ["bench", "reached", count] if count.isdecimal():
                self._target.await_count(int(count), transport)
            case ["note"]:
                self._target.notes.append(self._target.clock.steady())
                transport.write(_OK)
                self._target.arrived()
            case ["bench", "deletes"]:
                transport.write(_json(self._target.deletes))
            case ["bench", "notes"]:
                transport.write(_json(self._target.notes))
            case ["bench", "reset"]:
                self._target.reset()
                transport.write(_OK)
            case _:
                transport.write(_NOT_FOUND)

    def _answer_late(self) -> None:
        if self._transport is not None:
            self._transport.write(_OK)


async def serve(target: Target, port: int = 0) -> asyncio.Server:
    """Listen on loopback; port 0 takes a free one."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: _Connection(target), "127.0.0.1", port, backlog=4096)


async def _until_input_ends() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def _main() -> None:
    target = Target(SystemClock())
    server = await serve(target)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await _until_input_ends()
    server.close()
    target.close()


def main() -> None:
    """Serve until standard input ends."""
    uvloop.run(_main())


if __name__ == "__main__":
    main()
