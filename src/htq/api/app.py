"""The ASGI application: from a request to the row of the table that answers it."""

import asyncio
from typing import BinaryIO, Final

from htq.api.guard import Guard
from htq.api.http import Call, ClientGone, Receive, Reply, Scope, Send
from htq.api.openapi import openapi_route
from htq.api.problems import problem_reply
from htq.api.query import parse_query
from htq.api.router import Router
from htq.api.routes import ROUTES
from htq.api.settings import ApiSettings
from htq.api.table import Route
from htq.usecases import TaskService
from htq.words.errors import NotAllowed, NotFound

__all__ = ["App", "make_app"]

_PIECE: Final = 64 * 1024
_SEND_DEADLINE: Final = 60.0
"""Seconds in which a reader has to make room for the next piece."""


class App:
    """An ASGI 3 application. `stopping` is set by whoever serves it, and sends those home who wait."""

    def __init__(self, service: TaskService, settings: ApiSettings) -> None:
        self.stopping = asyncio.Event()
        self._service = service
        self._settings = settings
        self._guard = Guard(settings)
        self._router = Router((*ROUTES, openapi_route(ROUTES)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"{scope['type']} is not served")
        try:
            reply = await self._reply(scope, receive)
        except ClientGone:
            return
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        if reply.more is not None:
            await _send_all(reply.body, reply.more, send)
            return
        # HEAD has all of GET but its body (RFC 9110, 9.3.2).
        body = b"" if scope["method"] == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body})

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        verb: str = scope["method"]
        try:
            base = self._guard.check(scope)
            found = self._router.find(scope["path"], scope.get("raw_path") or scope["path"].encode())
            if found is None:
                raise NotFound("There is no such page. A request is at /<uuid>/, and /openapi.json has them all.")
            route = found.route
            operation = route.verbs.get("GET" if verb == "HEAD" else verb)
            if operation is None:
                if verb == "OPTIONS":
                    return _options(route)
                raise NotAllowed(f"{verb} is not done here; what is: {', '.join(route.allow)}.", route.allow)
            asked = scope["query_string"]
            query = parse_query(asked, operation.known) if asked else {}
            call = Call(
                self._service,
                self._settings,
                scope,
                receive,
                base=base,
                name=found.name,
                key=found.key,
                query=query,
                stopping=self.stopping,
            )
            return await operation.handler(call)
        except ClientGone:
            raise
        except Exception as error:
            return problem_reply(error)


def make_app(service: TaskService, settings: ApiSettings | None = None) -> App:
    """The API over `service`."""
    return App(service, ApiSettings() if settings is None else settings)


async def _send_all(body: bytes, more: BinaryIO, send: Send) -> None:
    """A reply in pieces, at its reader's pace. One who stops reading is left."""
    with more:
        body = body or more.read(_PIECE)
        while body:
            try:
                async with asyncio.timeout(_SEND_DEADLINE):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            except TimeoutError:
                return
            body = more.read(_PIECE)
    await send({"type": "http.response.body", "body": b""})


def _options(route: Route) -> Reply:
    return Reply(204, b"", [(b"allow", ", ".join(route.allow).encode())])
