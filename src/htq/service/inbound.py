"""What an ASGI application receives: the request's body, and then that the client has gone, or that it is canceled."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import copy_context
from typing import Any

__all__ = ["Inbound", "Message", "Receive"]

_MOST_AHEAD = 64 * 1024

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class Inbound:
    """Stands before `receive`. Create it outside of the request's own context.

    It passes messages on until the body is complete. Then it reads on by itself, so that a word of a cancel (`disconnect`)
    reaches an application that listens, as one that the client has gone would. `on_gone` is called when the client goes;
    with `from_the_start` it reads on from the beginning, some 64 KiB ahead, to notice that whatever the application does.
    """

    def __init__(self, receive: Receive, on_gone: Callable[[], None], *, from_the_start: bool) -> None:
        self._receive = receive
        self._on_gone = on_gone
        self._context = copy_context()
        self._complete = False
        self._gone = False
        self._read: deque[Message] = deque()
        self._ahead = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._listeners: set[asyncio.Task[object] | None] = set()
        if from_the_start:
            self._start_reading()

    async def receive(self) -> Message:
        if self._reader is None:
            if not self._complete:
                message = await self._receive()
                self._complete = message["type"] == "http.disconnect" or not message.get("more_body", False)
                return message
            self._start_reading()
        listener = asyncio.current_task()
        self._listeners.add(listener)
        try:
            while not self._read:
                if self._gone:
                    return {"type": "http.disconnect"}
                self._news.clear()
                await self._news.wait()
        finally:
            self._listeners.discard(listener)
        message = self._read.popleft()
        self._ahead -= len(message.get("body", b""))
        self._room.set()
        return message

    def is_heard_beside(self, task: "asyncio.Task[None]") -> bool:
        """Whether another task of the application waits for a word: it is then for that one to end the handler."""
        return bool(self._listeners - {task})

    def disconnect(self) -> None:
        """Tell the application, now and whenever it asks, that nobody waits for its response any more."""
        self._gone = True
        self._news.set()

    def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()

    def _start_reading(self) -> None:
        # In the server's context: in the request's own it would be taken for a part of its work.
        self._reader = asyncio.get_running_loop().create_task(self._read_on(), context=self._context)

    async def _read_on(self) -> None:
        try:
            while (message := await self._receive())["type"] != "http.disconnect":
                self._read.append(message)
                self._ahead += len(message.get("body", b""))
                self._news.set()
                while self._ahead > _MOST_AHEAD:
                    self._room.clear()
                    await self._room.wait()
        finally:
            # Also where the server fails: an application that waits must not wait for ever.
            self.disconnect()
        self._on_gone()
