"""A plain ASGI application."""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from htq.service import AsgiMiddleware
from service.apps.common import hold, registry

Message = MutableMapping[str, Any]


async def plain(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] != "http":
        raise RuntimeError("no lifespan here")
    if scope["path"] == "/work":
        await hold(scope["method"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


app = AsgiMiddleware(plain, registry=registry(), stop_on_disconnect=bool(os.environ.get("STOP_ON_DISCONNECT")))
