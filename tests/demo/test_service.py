"""The example service: what it makes of requests, of DELETEs and of callers that go away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from htq.demo.service import ExampleService
from support.clock import ManualClock

FIRST = ("HTQ-Task-Id: first", "HTQ-Attempt: 1")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def service(clock: ManualClock) -> AsyncIterator[ExampleService]:
    service = ExampleService(clock)
    await service.start()
    yield service
    await service.close()


class _Caller:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, line: str, *headers: str) -> None:
        head = "\r\n".join((f"{line} HTTP/1.1", "Host: service", *headers))
        self.writer.write(f"{head}\r\n\r\n".encode())

    async def answer(self) -> tuple[str, bytes]:
        """The head and the body of the next answer."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0] or 0)
        return head, await self.reader.readexactly(length)


@asynccontextmanager
async def calling(service: ExampleService) -> AsyncIterator[_Caller]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rpartition(":")[2]))
    try:
        async with asyncio.timeout(10):
            yield _Caller(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


def _whats(service: ExampleService, task_id: str = "first") -> list[str]:
    return [seen.what for seen in service.seen(task_id)]


async def _advance_until_answered(clock: ManualClock, answer: asyncio.Task[tuple[str, bytes]]) -> tuple[str, bytes]:
    clock.advance(2)
    return await answer


async def test_work_takes_its_time_and_is_answered(service: ExampleService, clock: ManualClock) -> None:
    async with calling(service) as caller:
        caller.send("POST /report/2", *FIRST)
        await service.until("first", "request")
        answer = asyncio.create_task(caller.answer())
        clock.advance(1)
        assert _whats(service) == ["request"]
        head, body = await _advance_until_answered(clock, answer)
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert body == b'{"report": "ready", "took_seconds": 2.0}'
    assert _whats(service) == ["request", "answered"]


async def test_delete_stops_the_work_of_its_own_attempt(service: ExampleService) -> None:
    async with calling(service) as first, calling(service) as second, calling(service) as canceler:
        first.send("POST /report/30", *FIRST)
        second.send("POST /report/30", "HTQ-Task-Id: second", "HTQ-Attempt: 1")
        await service.until("first", "request")
        await service.until("second", "request")
        canceler.send("DELETE /report/30", *FIRST, "HTQ-Cancel: requested")
        head, _ = await canceler.answer()
        assert head.startswith("HTTP/1.1 204 No Content\r\n")
        assert "HTQ-Cancel: stopped" in head
        assert (await first.answer())[0].startswith("HTTP/1.1 503 ")
        assert _whats(service, "second") == ["request"]
    await service.until("first", "closed")
    assert _whats(service) == ["request", "cancel", "stopped", "answered", "closed"]
    assert service.seen("first")[1].while_open


@pytest.mark.parametrize("attempt", ["HTQ-Attempt: 2", "X-None: 1"])
async def test_delete_of_another_attempt_stops_nothing(service: ExampleService, attempt: str) -> None:
    async with calling(service) as caller, calling(service) as canceler:
        caller.send("POST /report/30", *FIRST)
        await service.until("first", "request")
        canceler.send("DELETE /report/30", "HTQ-Task-Id: first", attempt)
        assert (await canceler.answer())[0].startswith("HTTP/1.1 404 ")
        assert _whats(service) == ["request", "cancel"]
        assert not service.seen("first")[1].while_open


async def test_stubborn_service_knows_no_delete_and_sees_its_caller_go(service: ExampleService) -> None:
    async with calling(service) as canceler:
        async with calling(service) as caller:
            caller.send("POST /stubborn/30", *FIRST)
            await service.until("first", "request")
            canceler.send("DELETE /stubborn/30", *FIRST)
            head, _ = await canceler.answer()
            assert head.startswith("HTTP/1.1 405 ")
            assert "Allow: POST" in head
        closed = await service.until("first", "closed")
    assert closed.while_open
    assert _whats(service) == ["request", "cancel", "refused", "closed"]


async def test_connection_is_kept_for_the_next_request(service: ExampleService, clock: ManualClock) -> None:
    async with calling(service) as caller:
        for number in ("1", "2"):
            caller.send("POST /report/1", f"HTQ-Task-Id: {number}", "HTQ-Attempt: 1")
            await service.until(number, "request")
            head, _ = await _advance_until_answered(clock, asyncio.create_task(caller.answer()))
            assert " 200 " in head
        caller.send("GET /elsewhere")
        assert (await caller.answer())[0].startswith("HTTP/1.1 404 ")


@pytest.mark.parametrize("line", ["nonsense", "POST /report/soon"])
async def test_what_can_not_be_read_closes_the_connection(service: ExampleService, line: str) -> None:
    async with calling(service) as caller:
        caller.send(line)
        assert await caller.reader.read() == b""


async def test_close_ends_work_and_connections(service: ExampleService) -> None:
    async with calling(service) as caller:
        caller.send("POST /report/30", *FIRST)
        await service.until("first", "request")
        await service.close()
        assert await caller.reader.read() == b""
