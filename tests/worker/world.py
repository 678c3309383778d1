"""A worker with everything around it: a real store on a file, a scripted wire, and a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from htq.sender.base import BodyStream, Exchange, Message, Reply, Sink
from htq.stores.base import Signal
from htq.stores.sqlite import SqliteStore
from htq.words.attempt import Phase
from htq.words.clock import Chance
from htq.words.errors import SendError
from htq.words.reasons import Reason
from htq.words.retry import RetryPolicy
from htq.words.task import Delivery, Headers, NewTask, Request, StopPolicy, Task
from htq.worker import Worker, WorkerSettings
from support.clock import ManualClock, WrongClock

LATE = 2.0
"""Seconds that the clock of a world may move on beyond what somebody waits for."""


class Sent:
    """One request on the scripted wire."""

    def __init__(self, message: Message, exchange: Exchange) -> None:
        self.message = message
        self.exchange = exchange
        self.aborted = asyncio.Event()
        self.answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.message.headers if key.lower() == name.lower()), None)

    def reply(self, code: int = 200, body: bytes = b"", headers: Headers = ()) -> None:
        self.answer.set_result(Reply(code=code, phrase="OK", headers=headers, body=body, body_size=len(body)))

    def fail(self, reason: Reason, *, sent: bool = True) -> None:
        self.answer.set_exception(SendError(reason, f"it failed: {reason}", sent=sent))


class ScriptedSender:
    """A wire on which nothing moves until the test says so. Requests stand at `hold_at`, DELETEs of htq at `sent`."""

    def __init__(self) -> None:
        self.hold_at: Phase = "sent"
        self.requests: asyncio.Queue[Sent] = asyncio.Queue()
        self.deletes: asyncio.Queue[Sent] = asyncio.Queue()
        self.bodies: list[bytes] = []

    async def send(self, message: Message, exchange: Exchange, sink: Sink | None = None, inline: int = 0) -> Reply:
        sent = Sent(message, exchange)
        is_stop = sent.header("HTQ-Cancel") is not None
        exchange.phase = "connecting"
        exchange.phase = "sent" if is_stop else self.hold_at
        if isinstance(message.body, BodyStream):
            self.bodies.append(b"".join([chunk async for chunk in message.body.open()]))
        (self.deletes if is_stop else self.requests).put_nowait(sent)
        try:
            reply = await sent.answer
        except asyncio.CancelledError:
            sent.aborted.set()
            raise
        if sink is not None and reply.body is not None and len(reply.body) > inline:
            await sink([reply.body[at : at + inline] for at in range(0, len(reply.body), inline)])
            return Reply(
                code=reply.code, phrase=reply.phrase, headers=reply.headers, body=None, body_size=reply.body_size
            )
        return reply

    async def close(self) -> None:
        pass


class World:
    """A store with a worker on it."""

    def __init__(self, store: SqliteStore, clock: ManualClock, chance: Chance) -> None:
        self.store = store
        self.clock = clock
        self.chance = chance
        self.sender = ScriptedSender()
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self.settings = WorkerSettings()
        self._working: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def seconds_since(self, begun: int) -> float:
        return (self.clock.now_ms() - begun) / 1000

    def hear(self, signal: Signal) -> None:
        self._changed.set()

    def start(self, settings: WorkerSettings | None = None, *, ahead_ms: int = 0) -> None:
        """Start a worker, on a machine whose clock is so far ahead of the store's."""
        self.settings = settings or self.settings
        clock = WrongClock(self.clock, ahead_ms)
        worker = Worker(self.store, self.sender, clock=clock, chance=self.chance, settings=self.settings)
        self._working = asyncio.create_task(worker.run(self.stop, self.hurry))

    async def stopped(self) -> None:
        """Ask the worker to stop, and wait until it has."""
        self.stop.set()
        if self._working is not None:
            await self._working
            self._working = None

    async def drain_time_passes(self) -> None:
        """What was on the wire when the worker was told to stop is still there at the end of its patience."""
        await self.clock.somebody_sleeps(self.settings.drain_timeout)
        self.clock.advance(self.settings.drain_timeout)

    def kill(self) -> None:
        """End the worker without a word to the store."""
        assert self._working is not None
        self._working.cancel()

    async def died(self) -> None:
        assert self._working is not None
        await asyncio.wait((self._working,))
        self._working = None

    async def close(self) -> None:
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait((self._working,))
        await self.store.close()

    async def enqueue(
        self,
        *,
        method: str = "post",
        body: bytes = b"",
        delete: bool = True,
        delivery: Delivery = "at_least_once",
        run_at: int | None = None,
        stop: StopPolicy | None = None,
        retry: RetryPolicy | None = None,
        signed: bool = False,
        key: str = "http://127.0.0.1:9",
        cost: dict[str, float] | None = None,
        cost_from: dict[str, str] | None = None,
    ) -> str:
        request = Request(
            url="http://127.0.0.1:9/work",
            method=method,
            stop=stop or StopPolicy(delete=delete),
            retry=retry,
            signed=signed,
            cost_from=cost_from or {},
        )
        task = NewTask(
            uuid=self.chance.uuid(),
            request=request,
            body=body,
            key=key,
            host="127.0.0.1",
            delivery=delivery,
            run_at=run_at,
            cost=cost or {},
        )
        await self.store.enqueue([task])
        return task.uuid

    async def next_request(self) -> Sent:
        """The next request on the wire, with as much time as it takes, a little at a time."""
        return await self._next(self.sender.requests)

    async def next_delete(self) -> Sent:
        """The next DELETE on the wire, in the same way."""
        return await self._next(self.sender.deletes)

    async def _next(self, wire: asyncio.Queue[Sent]) -> Sent:
        async with asyncio.timeout(30):
            while wire.empty():
                self.clock.advance(0.25)
                # Two steps of the writer: whatever woke up, a heartbeat above all, gets its turn before more time passes.
                await self.store.promote(1)
                await self.store.promote(1)
            return await wire.get()

    async def task(self, uuid: str) -> Task:
        (task,) = await self.store.get([uuid])
        assert task is not None
        return task

    async def settled(self, uuid: str) -> Task:
        """The task, as soon as nothing more will happen to it."""
        return await self._until(uuid, lambda task: task.is_settled)

    async def waits_again(self, uuid: str) -> Task:
        """The task, as soon as an attempt of it has failed and another is to follow."""
        return await self._until(uuid, lambda task: task.state == "scheduled" and task.failures > 0)

    async def _until(self, uuid: str, is_so: Callable[[Task], bool]) -> Task:
        async with asyncio.timeout(30):
            while True:
                self._changed.clear()
                task = await self.task(uuid)
                if is_so(task):
                    return task
                await self._changed.wait()


@asynccontextmanager
async def make_world(folder: Path) -> AsyncIterator[World]:
    clock = ManualClock()
    chance = Chance(clock, seed=7)
    store = SqliteStore(folder / "htq.db", clock=clock, chance=chance)
    await store.open()
    world = World(store, clock, chance)
    unsubscribe = store.subscribe(world.hear)
    try:
        yield world
    finally:
        unsubscribe()
        await world.close()
