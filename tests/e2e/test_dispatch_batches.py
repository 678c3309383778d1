"""A batch whose server dies: what was answered is there, and the batch can be sent again."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from e2e.system import System
from htq.client import AsyncClient
from htq.words.states import STATES
from support.htq_process import HtqProcess
from support.target import FakeTarget

MANY = 5000
STORED = 1000
"""So many are in the store when the first server dies, at least; of those that it was sent by then, some are not yet."""


async def test_a_batch_whose_servers_are_killed_can_be_sent_again_and_makes_no_doubles(
    system: System, target: FakeTarget
) -> None:
    (taking, _), (answering, _), (_, client) = await asyncio.gather(*(system.server() for _ in range(3)))
    tasks = [{"url": target.url("/"), "queue": "bulk", "idempotency_key": f"item-{n}"} for n in range(MANY)]

    async with _batch(await taking.url(), tasks, MANY // 2) as answer:
        await _until_queued(client, STORED)
        assert await _answered(answer, taking) == []
    assert STORED <= await client.size() <= MANY // 2

    async with _batch(await answering.url(), tasks, MANY) as answer:
        answered = await _answered(answer, answering, 10)
    assert await client.size() == MANY

    results = await client.send_many(tasks)
    assert {item["outcome"] for item in results} == {"replayed"}
    uuids = [item["uuid"] for item in results]
    assert uuids[: len(answered)] == [item["uuid"] for item in answered], "what was answered has become something else"
    stored = [task["uuid"] for task in await client.requests(queue="bulk", status=STATES)]
    assert sorted(stored) == sorted(uuids), "something is missing, or there twice"
    assert len(set(stored)) == MANY


@asynccontextmanager
async def _batch(url: str, tasks: Sequence[dict[str, Any]], count: int) -> AsyncIterator[asyncio.StreamReader]:
    """The head of a batch of all tasks, and the first `count` of them; its answer can be read."""
    lines = [json.dumps(task).encode() + b"\n" for task in tasks]
    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    head = (
        "POST /batch/ HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        "Content-Type: application/x-ndjson",
        f"Content-Length: {sum(map(len, lines))}",
        "",
        "",
    )
    writer.write("\r\n".join(head).encode() + b"".join(lines[:count]))
    try:
        async with asyncio.timeout(20):
            await writer.drain()
        yield reader
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _answered(reader: asyncio.StreamReader, server: HtqProcess, count: int = 0) -> list[dict[str, Any]]:
    """Kill the server when `count` results have come; gives all that came, and nothing of one that came in part."""
    lines: list[bytes] = []
    async with asyncio.timeout(30):
        while sum(line.startswith(b"{") for line in lines) < count:
            line = await reader.readline()
            assert line, "the answer ended before its time: " + repr(lines[:10])
            lines.append(line)
        await server.kill()
        with suppress(ConnectionError):
            while line := await reader.readline():
                lines.append(line)
    return [json.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"}\n")]


async def _until_queued(client: AsyncClient, count: int) -> None:
    async with asyncio.timeout(30):
        while await client.size() < count:
            pass
