"""The middleware for ASGI: a cancel cancels the asyncio task of the handler."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any

from htq.service.contract import CANCELED, REFUSED, REPLIES, WAIT_SECONDS, Reply, Ticket, read_asgi
from htq.service.current import CURRENT
from htq.service.desk import Desk
from htq.service.inbound import Inbound, Message, Receive
from htq.service.leftovers import Lookout
from htq.service.registry import Registry
from htq.service.run import Run
from htq.service.tempo import settled

__all__ = ["AsgiMiddleware"]

# The shapes of the ASGI specification (3.0). `Any` is the application's: frameworks disagree on the details.
_Scope = MutableMapping[str, Any]
_Send = Callable[[Message], Awaitable[None]]
_App = Callable[[Any, Any, Any], Awaitable[Any]]

_LISTENER_SECONDS = 0.3
"""How long an application that listens for a disconnect may take to end by itself, before its task is canceled."""


class AsgiMiddleware:
    """Makes the requests that htq sends stoppable. Put it outermost.

    `registry`: where there are several processes. `stop_on_disconnect`: a client that goes away stops its request too.
    """

    def __init__(self, app: _App, *, registry: Registry | None = None, stop_on_disconnect: bool = False) -> None:
        self._app = app
        self._desk = Desk(registry)
        self._stop_on_disconnect = stop_on_disconnect
        self._lookout = Lookout()

    async def __call__(self, scope: _Scope, receive: Receive, send: _Send) -> None:
        if scope["type"] == "http":
            sighting = read_asgi(scope["headers"])
            if sighting is not None:
                ticket, is_stop = sighting
                if is_stop and scope["method"] == "DELETE":
                    # One with a broken id must not pass for a real deletion either.
                    await _answer(send, await self._stop(ticket) if ticket is not None else REPLIES["unknown"])
                    return
                if ticket is not None and not is_stop:
                    await self._run(ticket, scope, receive, send)
                    return
        elif scope["type"] == "lifespan" and self._desk.registry is not None:
            send = _closing(self._desk.registry, send)
        await self._app(scope, receive, send)

    async def _stop(self, ticket: Ticket) -> Reply:
        stops = self._desk.cancel(ticket)
        await settled(stops.futures, WAIT_SECONDS)
        return stops.reply()

    async def _run(self, ticket: Ticket, scope: _Scope, receive: Receive, send: _Send) -> None:
        run = Run(ticket, loop=asyncio.get_running_loop())
        begun = self._desk.begin(run)
        try:
            if isinstance(begun, Future):
                await settled([begun], WAIT_SECONDS)
                may_start = self._desk.may_start(begun)
            else:
                may_start = begun
            if may_start and not run.is_asked():
                try:
                    await self._handle(run, scope, receive, send)
                finally:
                    if run.is_asked() and not _is_server_canceling():
                        await self._lookout.until_gone(run)
            else:
                await _answer(send, REFUSED)
        finally:
            self._desk.end(run, registered=isinstance(begun, Future))

    async def _handle(self, run: Run, scope: _Scope, receive: Receive, send: _Send) -> None:
        response = _Response(send)

        def client_gone() -> None:
            # Servers say the same of a response that is complete: what a handler does after it is not stopped by that.
            if self._stop_on_disconnect and not response.complete:
                run.cancel()

        inbound = Inbound(receive, client_gone, from_the_start=self._stop_on_disconnect)
        context = copy_context()
        context.run(CURRENT.set, run)
        # A task of its own: the server's must not be canceled, and its end is what a stop waits for.
        task = asyncio.get_running_loop().create_task(
            _call(self._app, scope, inbound.receive, response.send), context=context
        )
        _interrupt_by(run, task, inbound)
        try:
            await task
        except asyncio.CancelledError:
            if not (run.is_asked() and task.cancelled()) or _is_server_canceling():
                raise
            if not response.begun:
                await _answer(send, CANCELED)
            # One that has begun stays unfinished, and the server closes the connection: cut short, it must not look whole.
        finally:
            inbound.close()


async def _call(app: _App, scope: _Scope, receive: Receive, send: _Send) -> None:
    await app(scope, receive, send)


def _is_server_canceling() -> bool:
    """Whether the server's own task for the request is being canceled: it shuts down, and must not be held up."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _interrupt_by(run: Run, task: "asyncio.Task[None]", inbound: Inbound) -> None:
    """What a cancel of `run` does to its handler.

    Some frameworks (Django, Quart) do their work in a child task, and another listens for the client's leaving. They clean up
    after a disconnect, and lose the child when their own task is canceled. So one that listens is told first.
    """
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if inbound.is_heard_beside(task):
            late = loop.call_later(_LISTENER_SECONDS, task.cancel)
            task.add_done_callback(lambda _: late.cancel())
        else:
            task.cancel()
        inbound.disconnect()

    def from_any_thread() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing of it runs
            loop.call_soon_threadsafe(interrupt)

    if not run.interrupt_with(from_any_thread):
        task.cancel()


async def _answer(send: _Send, reply: Reply) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def _closing(registry: Registry, send: _Send) -> _Send:
    """Leave the registry when the application has shut down."""

    async def send_then_close(message: Message) -> None:
        if message["type"].startswith("lifespan.shutdown."):
            await asyncio.to_thread(registry.close)
        await send(message)

    return send_then_close


class _Response:
    """How far the response has come."""

    def __init__(self, send: _Send) -> None:
        self._send = send
        self.begun = False
        self.complete = False

    async def send(self, message: Message) -> None:
        kind = message["type"]
        self.begun = self.begun or kind == "http.response.start"
        self.complete = kind == "http.response.pathsend" or (
            kind == "http.response.body" and not message.get("more_body", False)
        )
        await self._send(message)
