"""What an application receives through the ASGI middleware."""

import asyncio
from collections.abc import Iterator

import pytest

from htq.service.inbound import Inbound, Message

pytestmark = pytest.mark.timeout(20)

DISCONNECT: Message = {"type": "http.disconnect"}


class Client:
    """Sends a body in parts, and goes away when told."""

    def __init__(self, parts: list[bytes]) -> None:
        self.read = 0
        self.leaves = asyncio.Event()
        self.noticed = asyncio.Event()
        self._parts: Iterator[tuple[int, bytes]] = iter(enumerate(parts, 1))
        self._many = len(parts)

    async def receive(self) -> Message:
        part = next(self._parts, None)
        if part is None:
            await self.leaves.wait()
            return dict(DISCONNECT)
        self.read += 1
        number, body = part
        return {"type": "http.request", "body": body, "more_body": number < self._many}


async def test_the_body_comes_as_it_is_and_then_the_disconnect_again_and_again() -> None:
    client = Client([b"a", b"b"])
    inbound = Inbound(client.receive, client.noticed.set, from_the_start=False)
    assert [(await inbound.receive())["body"] for _ in range(2)] == [b"a", b"b"]
    client.leaves.set()
    assert [await inbound.receive() for _ in range(2)] == [DISCONNECT, DISCONNECT]
    assert client.noticed.is_set()
    inbound.close()


async def test_a_cancel_reaches_one_who_listens_after_the_body() -> None:
    client = Client([b"a"])
    inbound = Inbound(client.receive, client.noticed.set, from_the_start=False)
    await inbound.receive()
    listener = asyncio.ensure_future(inbound.receive())
    us = asyncio.current_task()
    assert us is not None
    while not inbound.is_heard_beside(us):
        await asyncio.wait([listener], timeout=0.001)
    inbound.disconnect()
    assert await listener == DISCONNECT
    assert not client.noticed.is_set()
    inbound.close()


async def test_a_client_is_watched_from_the_start_though_nobody_reads_the_body() -> None:
    client = Client([b"a", b"b"])
    inbound = Inbound(client.receive, client.noticed.set, from_the_start=True)
    client.leaves.set()
    await client.noticed.wait()
    # What was sent before is not lost.
    assert [(await inbound.receive()).get("body") for _ in range(3)] == [b"a", b"b", None]
    inbound.close()


async def test_a_large_body_is_not_read_far_ahead() -> None:
    client = Client([b"x" * 50_000] * 10)
    inbound = Inbound(client.receive, client.noticed.set, from_the_start=True)
    first = await inbound.receive()
    assert client.read <= 3
    rest = [await inbound.receive() for _ in range(9)]
    assert sum(len(message["body"]) for message in [first, *rest]) == 500_000
    inbound.close()
