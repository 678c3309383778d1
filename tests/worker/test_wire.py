"""A worker on a real wire: what leaves it, and what comes back, with the clock of the machine."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from htq.policy.egress import Egress
from htq.sender import HttpSender
from htq.stores.base import CHUNK, BodyRef, Signal, TaskFinished
from htq.stores.sqlite import SqliteStore
from htq.words.clock import Chance, SystemClock
from htq.words.retry import RetryPolicy
from htq.words.task import NewTask, Request, Task
from htq.worker import Worker, WorkerSettings
from support.target import FakeTarget, answer, in_turn

WITHIN = 30.0
SECRETS = tuple("whsec_" + base64.b64encode(key * 32).decode() for key in (b"n", b"o"))
RETRY = RetryPolicy(max=3, base=0.05, longest=0.1)

Run = Callable[[Request, bytes], Awaitable[Task]]


@pytest.fixture
async def target() -> AsyncIterator[FakeTarget]:
    async with FakeTarget() as target:
        yield target


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    clock = SystemClock()
    store = SqliteStore(tmp_path / "htq.db", clock=clock, chance=Chance(clock))
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def run(store: SqliteStore, target: FakeTarget) -> AsyncIterator[Run]:
    """Queues a request and waits until its task has ended."""
    clock = SystemClock()
    chance = Chance(clock)
    sender = HttpSender(clock=clock, egress=Egress())
    worker = Worker(store, sender, clock=clock, chance=chance, settings=WorkerSettings(webhook_secrets=SECRETS))
    stop, finished = asyncio.Event(), asyncio.Event()

    def hear(signal: Signal) -> None:
        if isinstance(signal, TaskFinished):
            finished.set()

    async def run(request: Request, body: bytes) -> Task:
        uuid = chance.uuid()
        await store.enqueue([NewTask(uuid=uuid, request=request, body=body, key=target.origin, host=target.host)])
        async with asyncio.timeout(WITHIN):
            await finished.wait()
        (task,) = await store.get([uuid])
        assert task is not None
        return task

    unsubscribe = store.subscribe(hear)
    working = asyncio.create_task(worker.run(stop, asyncio.Event()))
    yield run
    stop.set()
    async with asyncio.timeout(WITHIN):
        await working
    unsubscribe()
    await sender.close()


async def test_two_failures_and_a_success(target: FakeTarget, store: SqliteStore, run: Run) -> None:
    large = b"x" * (2 * CHUNK)
    target.on("/work", in_turn(answer(503, large), answer(429, b"slower"), answer(200, b"done")))
    task = await run(Request(url=target.url("/work"), method="post", retry=RETRY), b"{}")
    assert (task.state, task.attempt, task.failures) == ("success", 3, 2)
    arrived = target.received("/work")
    assert [request.header("HTQ-Attempt") for request in arrived] == ["1", "2", "3"]
    assert {request.header("Idempotency-Key") for request in arrived} == {f'"{task.uuid}"'}
    assert [each.code for each in await store.attempts(task.uuid)] == [503, 429, 200]
    assert await store.read_body(BodyRef(task.uuid, 1, "response"), 0, 9) == []


async def test_the_target_is_left_alone_for_as_long_as_it_asks(target: FakeTarget, run: Run) -> None:
    target.on("/work", in_turn(answer(503, b"", (("Retry-After", "1"),)), answer(200)))
    await run(Request(url=target.url("/work"), method="post", retry=RETRY), b"")
    first, second = target.received("/work")
    assert second.arrived_at - first.arrived_at >= 0.99


@pytest.mark.parametrize("size", [10, 100_000])
async def test_a_receiver_with_either_secret_verifies_what_arrived(target: FakeTarget, run: Run, size: int) -> None:
    body = json.dumps({"text": "x" * size}).encode()
    target.on("/hook", in_turn(answer(503), answer(204, b"")))
    task = await run(Request(url=target.url("/hook"), method="post", retry=RETRY, signed=True), body)
    assert task.state == "success"
    arrived = target.received("/hook")
    assert len(arrived) == 2
    for request in arrived:
        for secret in SECRETS:
            assert Webhook(secret).verify(request.body, dict(request.headers)) == {"text": "x" * size}
        assert request.header("webhook-id") == task.uuid
