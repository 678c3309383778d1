"""The load generator and the target, against a stand-in for the system under test."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bench.stub import StubApi, stub_api
from htq.bench.flow import Unexpected
from htq.bench.jobs import Cancels, Check, Figures, Flood, Job, Paced
from htq.bench.load import Generator
from htq.bench.target import Target, serve
from htq.bench.wire import ConnectionLost, connected, request_bytes
from htq.words.clock import SystemClock

CLOCK = SystemClock()


class BoundedGenerator(Generator):
    """Gives up on a job that hangs."""

    async def do(self, job: Job) -> Figures:
        async with asyncio.timeout(20):
            return await super().do(job)


@pytest.fixture
async def target() -> AsyncIterator[tuple[Target, int]]:
    target = Target(CLOCK)
    server = await serve(target)
    yield target, server.sockets[0].getsockname()[1]
    server.close()
    target.close()
    await server.wait_closed()


@pytest.fixture
async def api() -> AsyncIterator[StubApi]:
    async with stub_api() as stub:
        yield stub


async def test_flood_queues_every_task_once_and_waits_until_all_are_done(
    api: StubApi, target: tuple[Target, int]
) -> None:
    generator = BoundedGenerator(CLOCK)
    figures = await generator.do(Flood(api=api.port, target=target[1], tasks=100, connections=8))
    assert target[0].requests == 100
    assert list(api.statuses.values()) == ["success"] * 100
    assert 0 < figures["submit_s"] <= figures["done_s"]
    assert 0 < figures["submit_p50_ms"] <= figures["submit_p99_ms"] <= figures["submit_s"] * 1000
    assert await generator.do(Check(api=api.port)) == {"success": 100}


async def test_flood_that_need_not_finish_only_queues(api: StubApi, target: tuple[Target, int]) -> None:
    api.lossy = True
    generator = BoundedGenerator(CLOCK)
    figures = await generator.do(Flood(api=api.port, target=target[1], tasks=20, connections=3, finish=False))
    assert "done_s" not in figures
    assert await generator.do(Check(api=api.port)) == {"queued": 20}
    assert target[0].requests == 0


async def test_flood_with_more_connections_than_tasks_ends(api: StubApi, target: tuple[Target, int]) -> None:
    await BoundedGenerator(CLOCK).do(Flood(api=api.port, target=target[1], tasks=2, connections=8))
    assert target[0].requests == 2


async def test_refused_flood_says_what_the_system_said(api: StubApi, target: tuple[Target, int]) -> None:
    api.refuse = True
    with pytest.raises(Unexpected, match=r"503.*the store is away"):
        await BoundedGenerator(CLOCK).do(Flood(api=api.port, target=target[1], tasks=5, connections=2))


async def test_paced_load_follows_each_task_to_its_response(api: StubApi, target: tuple[Target, int]) -> None:
    figures = await BoundedGenerator(CLOCK).do(Paced(api=api.port, target=target[1], tasks=40, rate=2000))
    assert target[0].requests == 40
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]
    assert figures["late_ms"] >= 0


async def test_refused_paced_load_fails_as_one(api: StubApi, target: tuple[Target, int]) -> None:
    api.refuse = True
    with pytest.raises(ExceptionGroup) as caught:
        await BoundedGenerator(CLOCK).do(Paced(api=api.port, target=target[1], tasks=3, rate=2000))
    assert caught.group_contains(Unexpected)


async def test_cancels_are_timed_to_their_delete_at_the_target(api: StubApi, target: tuple[Target, int]) -> None:
    figures = await BoundedGenerator(CLOCK).do(Cancels(api=api.port, target=target[1], tasks=10))
    assert sorted(target[0].deletes) == sorted(api.statuses)
    assert set(api.statuses.values()) == {"canceled"}
    # The stand-in answers only when its DELETE has been answered: so the DELETE comes before the 204.
    assert figures["p50_ms"] < 0 < figures["whole_p50_ms"] <= figures["whole_p99_ms"]


async def test_target_answers_by_path_and_counts(target: tuple[Target, int]) -> None:
    async with asyncio.timeout(20), connected(target[1]) as [connection]:

        async def ask(method: str, path: str) -> int:
            return (await connection.exchange(request_bytes(method, path, "target", b"{}"))).code

        assert await ask("POST", "/") == 200
        assert await ask("GET", "/slow/0") == 200
        assert await ask("GET", "/nowhere") == 404
        assert await ask("DELETE", "/hold") == 204
        assert target[0].requests == 2
        assert await ask("GET", "/bench/reached/2") == 200
        assert await ask("GET", "/bench/reset") == 200
        assert (target[0].requests, target[0].deletes) == (0, {})


async def test_target_holds_a_count_until_it_is_reached(target: tuple[Target, int]) -> None:
    async with asyncio.timeout(20), connected(target[1], 2) as [waiting, working]:
        reached = asyncio.create_task(waiting.exchange(request_bytes("GET", "/bench/reached/1", "target")))
        await working.exchange(request_bytes("GET", "/bench/deletes", "target"))
        assert not reached.done()
        await working.exchange(request_bytes("POST", "/", "target"))
        assert (await reached).code == 200


async def test_target_aborts_what_is_not_http(target: tuple[Target, int]) -> None:
    async with asyncio.timeout(20), connected(target[1]) as [connection]:
        with pytest.raises(ConnectionLost):
            await connection.exchange(b"this is no request\r\n\r\n")


async def test_answer_in_pieces_is_put_together() -> None:
    async def in_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in (b"HTTP/1.1 200 O", b"K\r\nX-Much: a\r\nContent-", b"Length: 4\r\n", b"\r\nfo", b"ur"):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(piece)
        writer.close()

    server = await asyncio.start_server(in_pieces, "127.0.0.1", 0)
    async with asyncio.timeout(5), connected(server.sockets[0].getsockname()[1]) as [connection]:
        answer = await connection.exchange(request_bytes("GET", "/", "pieces") * 5)
    assert (answer.code, answer.body, answer.header(b"x-much"), answer.header(b"x-none")) == (200, b"four", b"a", b"")
    server.close()
    await server.wait_closed()
