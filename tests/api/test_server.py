"""The server over real sockets: what uvicorn's own protocol leaves open, and how it starts and ends."""

import asyncio
import json
import pathlib
import socket
from collections.abc import AsyncIterator

import psutil
import pytest

from htq.api.protocol import LINGER_BYTES, MAX_HEAD, BoundedProtocol
from htq.api.server import ApiServer
from htq.words.errors import ConfigError
from support.api import Api, api_over_sqlite

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Served:
    """A server on a free port, and raw connections to it."""

    def __init__(self, api: Api, server: ApiServer) -> None:
        self.api = api
        self.server = server

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.server.port)

    async def exchange(self, sent: bytes) -> bytes:
        """Send, and read to the end of the connection."""
        reader, writer = await self.open()
        try:
            async with asyncio.timeout(10):
                writer.write(sent)
                return await reader.read()
        finally:
            writer.transport.abort()


@pytest.fixture
async def served(tmp_path: pathlib.Path) -> AsyncIterator[Served]:
    before = asyncio.all_tasks()
    async with api_over_sqlite(tmp_path) as api:
        server = ApiServer(api.app, host="127.0.0.1", port=0, grace=2)
        await server.start()
        try:
            yield Served(api, server)
        finally:
            await server.stop()
    assert not asyncio.all_tasks() - before - {asyncio.current_task()}


def head_and_body(answer: bytes) -> tuple[bytes, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


def problem(answer: bytes) -> tuple[int, str]:
    """The status and the kind of a refusal, after which the connection is closed."""
    head, body = head_and_body(answer)
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    assert f"content-length: {len(body)}".encode() in head
    return int(head.split()[1]), json.loads(body)["type"].removeprefix("/problems/")


async def test_a_request_is_served_and_the_connection_kept(served: Served) -> None:
    reader, writer = await served.open()
    async with asyncio.timeout(5):
        for _ in range(3):
            writer.write(GET)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\nserver:" not in head.lower()
            assert b"\r\ndate: " in head
            assert await reader.readexactly(2) == b"[]"
    writer.transport.abort()


async def test_pipelined_requests_are_answered_in_order(served: Served) -> None:
    answer = await served.exchange(
        GET + GET.replace(b"/ ", b"/queues ") + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    )
    assert answer.count(b"HTTP/1.1 200 OK") == 3


async def test_links_carry_the_host_that_was_asked(served: Served) -> None:
    body = b'{"url": "http://127.0.0.1:9/"}'
    answer = await served.exchange(
        b"POST / HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        b"Connection: close\r\n\r\n%b" % (served.server.port, len(body), body)
    )
    assert b"HTTP/1.1 303 See Other" in answer
    assert b"location: http://localhost:%d/" % served.server.port in answer


async def test_a_key_in_a_path_may_be_a_url(served: Served) -> None:
    for path in (b"http%3A%2F%2Fhost%3A80/", b"http%3A%2F%2Fhost%3A80", b"http://host:80/"):
        line = b"GET /queues/default/keys/" + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        _, body = head_and_body(await served.exchange(line))
        assert json.loads(body)["key"] == "http://host:80"


async def test_a_head_above_64_kib_is_a_431(served: Served) -> None:
    endless = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * (MAX_HEAD + 1000)
    assert problem(await served.exchange(endless)) == (431, "headers-too-large")


async def test_a_url_above_64_kib_is_a_431(served: Served) -> None:
    assert problem(await served.exchange(b"GET /" + b"a" * MAX_HEAD * 2)) == (431, "headers-too-large")


async def test_a_hundred_thousand_headers_are_a_431(served: Served) -> None:
    many = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100_000 + b"\r\n"
    assert problem(await served.exchange(many)) == (431, "headers-too-large")


async def test_a_head_just_below_64_kib_is_served_with_its_body(served: Served) -> None:
    body = b'{"url": "http://127.0.0.1:9/", "data": "' + b"x" * 200_000 + b'"}'
    head = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\nX: "
        % len(body)
    )
    head += b"a" * (MAX_HEAD - len(head) - 4) + b"\r\n\r\n"
    assert b"HTTP/1.1 303 " in await served.exchange(head + body)


async def test_a_head_that_never_ends_is_a_408(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_deadline", 0.05)
    assert problem(await served.exchange(b"GET / HTTP/1.1\r\nHost: loc")) == (408, "too-slow")


async def test_a_connection_that_says_nothing_is_closed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_deadline", 0.05)
    assert await served.exchange(b"") == b""
    assert await served.exchange(b"\r\n\r\n") == b""


async def test_a_body_that_never_ends_is_a_408(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedProtocol, "body_deadline", 0.05)
    short = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    assert problem(await served.exchange(short)) == (408, "too-slow")


async def test_a_large_body_is_waited_for_as_long_as_it_comes_at_a_fair_pace(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocols: list[BoundedProtocol] = []
    begun, enough = asyncio.Event(), asyncio.Event()
    feed = BoundedProtocol._feed

    def counted(self: BoundedProtocol, data: bytes) -> bytes:
        protocols.append(self)
        rest = feed(self, data)
        begun.set()
        if self._body_bytes >= self.body_pace:
            enough.set()
        return rest

    monkeypatch.setattr(BoundedProtocol, "_feed", counted)
    monkeypatch.setattr(BoundedProtocol, "body_pace", 1000)
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
    reader, writer = await served.open()
    async with asyncio.timeout(10):
        writer.write(head)
        await begun.wait()  # what comes with the head says nothing of the pace
        writer.write(b" " * 1000)
        await enough.wait()
        (protocol,) = set(protocols)
        protocol._too_late()  # its time is over, and it has earned another one
        assert not protocol.transport.is_closing()
        protocol._too_late()  # and has sent nothing since
        assert problem(await reader.read()) == (408, "too-slow")
    writer.transport.abort()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\x00c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n A: obs-fold\r\n\r\n",
        b"CONNECT example.com:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_a_400(served: Served, sent: bytes) -> None:
    head, body = head_and_body(await served.exchange(sent + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")))
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert b'"type":"/problems/malformed"' in body


async def test_broken_chunks_are_a_400(served: Served) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert problem(await served.exchange(head + b"zz\r\n{}\r\n0\r\n\r\n")) == (400, "malformed")


async def test_a_chunked_body_is_taken(served: Served) -> None:
    body = b'{"url": "http://127.0.0.1:9/"}'
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    assert b"HTTP/1.1 303 " in await served.exchange(head + chunks)


async def test_a_body_that_is_announced_too_large_is_refused_before_it_comes(served: Served) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50000000\r\n\r\n"
    assert problem(await served.exchange(head)) == (413, "too-large")


async def test_a_body_that_is_refused_is_not_read_to_its_end(served: Served) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000000\r\n\r\n"
    reader, writer = await served.open()
    async with asyncio.timeout(10):
        writer.write(head)
        assert problem(await reader.read()) == (415, "unsupported-media")
        sent = 0
        try:
            while sent < 50_000_000:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
        except ConnectionError:
            pass
        assert sent < LINGER_BYTES + 8 * 1024 * 1024  # and what the two sockets hold
    writer.transport.abort()


async def test_a_sender_in_full_flow_gets_to_read_why_it_was_refused(served: Served) -> None:
    body = b"x" * 2_000_000
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert problem(await served.exchange(head + body)) == (415, "unsupported-media")


async def test_an_upgrade_is_passed_over_and_answered(served: Served) -> None:
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    answer = await served.exchange(head)
    assert answer.startswith(b"HTTP/1.1 200 OK")


async def test_expect_100_continue_is_heeded(served: Served) -> None:
    body = b'{"url": "http://127.0.0.1:9/"}'
    reader, writer = await served.open()
    async with asyncio.timeout(5):
        writer.write(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 303 ")
    writer.transport.abort()


async def test_a_waiting_client_that_hangs_up_is_waited_for_no_longer(served: Served) -> None:
    uuid = await served.api.queue()
    _, writer = await served.open()
    writer.write(f"GET /{uuid}/response/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await served.api.clock.pass_when_slept_on(0)
    waiting = served.api.service._waiting
    assert len(waiting) == 1
    writer.transport.abort()
    async with asyncio.timeout(5):
        while len(waiting):
            await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(asyncio.to_thread(int))), 5)


async def test_a_stop_sends_waiting_clients_home(served: Served) -> None:
    uuid = await served.api.queue()
    asked = asyncio.create_task(served.exchange(f"GET /{uuid}/response/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()))
    await served.api.clock.pass_when_slept_on(0)
    async with asyncio.timeout(5):
        await served.server.stop()
        head, body = head_and_body(await asked)
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: " in head
    assert json.loads(body)["type"] == "/problems/overloaded"


async def test_a_port_that_is_taken_is_a_config_error(served: Served) -> None:
    other = ApiServer(served.api.app, host="127.0.0.1", port=served.server.port)
    with pytest.raises(ConfigError, match="choose another"):
        await other.start()


async def test_localhost_is_listened_to_on_all_its_addresses(tmp_path: pathlib.Path) -> None:
    async with api_over_sqlite(tmp_path) as api:
        server = ApiServer(api.app, host="localhost", port=0)
        await server.start()
        assert server.url == f"http://localhost:{server.port}"
        found = await asyncio.get_running_loop().getaddrinfo("localhost", server.port, type=socket.SOCK_STREAM)
        for host in {str(address[4][0]) for address in found}:
            _, writer = await asyncio.open_connection(host, server.port)
            writer.transport.abort()
        await server.stop()


async def test_starting_and_stopping_leaves_no_descriptor(tmp_path: pathlib.Path) -> None:
    process = psutil.Process()
    async with api_over_sqlite(tmp_path) as api:
        counts = []
        for _ in range(4):
            server = ApiServer(api.app, host="127.0.0.1", port=0, grace=1)
            api.app.stopping.clear()
            await server.start()
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            await server.stop()
            writer.transport.abort()
            await asyncio.to_thread(int)
            counts.append(process.num_fds())
    assert counts[-1] <= counts[1]
