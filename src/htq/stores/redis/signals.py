"""Signals: hints that go by publish and subscribe, and are lost where nobody listens.

Every function of the library publishes what it has to tell, once a call, and gives the same to its caller with the reply: so
this store's own listeners hear of its deeds at once, and what comes back with its own origin is passed over.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

import msgspec
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from htq.stores.base import (
    CancelRequested,
    Gap,
    GroupsCompleted,
    RunningCancel,
    Signal,
    TaskFinished,
    TasksAvailable,
    ToDo,
)
from htq.stores.redis.link import Link, refusal
from htq.words.clock import Chance
from htq.words.errors import StoreError

__all__ = ["Signals"]

log = logging.getLogger("htq.stores.redis")

_QUIET: Final = 5.0
"""Seconds of silence after which the server is asked whether it is still there; as long again, and it is not."""

_BACKOFF: Final = (0.05, 5.0)
"""Seconds until the first try to connect again, and between two at most."""


class _News(msgspec.Struct, frozen=True, array_like=True):
    """A message, as lua/news.lua makes it."""

    origin: str
    available: bool
    due_at: int
    finished: list[str]
    cancels: list[tuple[str, str, int, str | bool, bool]]
    completed: list[str]
    todo: bool
    todo_at: int


_decode = msgspec.msgpack.Decoder(_News).decode


class Signals:
    """The listeners of one store object, and the connection that hears what others do."""

    def __init__(self, link: Link, channel: str, origin: str, chance: Chance) -> None:
        self._link = link
        self._channel = channel
        self._origin = origin
        self._chance = chance
        self._listeners: dict[object, Callable[[Signal], None]] = {}
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None

    def subscribe(self, listener: Callable[[Signal], None]) -> Callable[[], None]:
        key = object()
        self._listeners[key] = listener

        def unsubscribe() -> None:
            self._listeners.pop(key, None)

        return unsubscribe

    def tell(self, message: bytes) -> None:
        """Pass on the news that came with a reply."""
        if self._listeners:
            self._pass_on(_decode(message))

    def gap(self) -> None:
        """Say that something may have been missed."""
        self._emit(Gap())

    async def start(self) -> None:
        """Listen to the server from now on: what is published after this is heard."""
        self._closing.clear()
        connection = await self._connect()
        self._task = asyncio.create_task(self._run(connection), name="htq-redis-signals")

    async def stop(self) -> None:
        self._closing.set()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._disconnect()

    async def _run(self, connection: AbstractConnection) -> None:
        while True:
            try:
                await self._listen(connection)
            except (RedisError, OSError, TimeoutError) as error:
                log.debug("signals: the connection is lost: %s", error)
            await self._disconnect()
            connection = await self._connect_again()
            self.gap()

    async def _connect(self) -> AbstractConnection:
        # It is noted before it is made: whoever is interrupted here leaves it to `stop`.
        connection = self._connection = self._link.connection()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("SUBSCRIBE", self._channel)
            await connection.read_response()
        except RedisError as error:
            raise refusal(error) from error
        return connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)

    async def _connect_again(self) -> AbstractConnection:
        pause, longest = _BACKOFF
        while True:
            await self._rest(pause / 2 + self._chance.below(pause / 2))
            pause = min(2 * pause, longest)
            with contextlib.suppress(StoreError, OSError, TimeoutError):
                async with asyncio.timeout(_QUIET):
                    return await self._connect()
            await self._disconnect()

    async def _rest(self, seconds: float) -> None:
        # On the loop's clock, not the store's: a connection is real even where a test has stopped the time.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _listen(self, connection: AbstractConnection) -> None:
        asked = False
        while True:
            message = await connection.read_response(timeout=_QUIET)
            if message is None:
                if asked:
                    raise TimeoutError("the server does not answer")
                asked = True
                await connection.send_command("PING")
                continue
            asked = False
            if message[0] == b"message" and self._listeners:
                self._hear(message[2])

    def _hear(self, message: bytes) -> None:
        try:
            news = _decode(message)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.debug("signals: a message can't be read: %s", error)
            return
        if news.origin != self._origin:
            self._pass_on(news)

    def _pass_on(self, news: _News) -> None:
        heard: dict[str, list[RunningCancel]] = {}
        for session, uuid, attempt, reason, stop in news.cancels:
            cancel = RunningCancel(uuid, attempt, reason if isinstance(reason, str) else None, stop)
            heard.setdefault(session, []).append(cancel)
        for session, cancels in heard.items():
            self._emit(CancelRequested(session, tuple(cancels)))
        if news.finished:
            self._emit(TaskFinished(tuple(news.finished)))
        if news.available:
            self._emit(TasksAvailable())
        if news.due_at:
            self._emit(TasksAvailable(news.due_at))
        if news.completed:
            self._emit(GroupsCompleted(tuple(news.completed)))
        if news.todo:
            self._emit(ToDo())
        elif news.todo_at:
            self._emit(ToDo(news.todo_at))

    def _emit(self, signal: Signal) -> None:
        for listener in tuple(self._listeners.values()):
            try:
                listener(signal)
            except Exception:
                # A listener's defect is not the verb's that made the signal.
                log.exception("a listener failed on %s", type(signal).__name__)
