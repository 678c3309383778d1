"""Starlette, with a middleware of the kind that runs the application in a task of its own."""

import os

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from htq.service import AsgiMiddleware
from service.apps.common import hold, registry


class Passing(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


async def pid(request: Request) -> Response:
    return PlainTextResponse(str(os.getpid()))


async def work(request: Request) -> Response:
    await request.body()
    await hold("starlette")
    return PlainTextResponse("done")


app = Starlette(
    routes=[Route("/pid", pid), Route("/coroutine", work, methods=["POST"])],
    middleware=[Middleware(AsgiMiddleware, registry=registry()), Middleware(Passing)],
)
