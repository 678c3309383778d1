"""The service of the README's tutorial: GET /ip answers at once, GET /delay/<seconds> takes its time and can be canceled.

Run it with the Python that htq is installed in: it needs uvicorn, which htq brings.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from htq.service import AsgiMiddleware

Send = Callable[[dict[str, Any]], Awaitable[None]]


async def service(scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Send) -> None:
    if scope["type"] != "http":
        return
    _, word, *rest = scope["path"].split("/")
    if word == "ip":
        await answer(send, 200, {"origin": scope["client"][0]})
    elif word == "delay" and rest and rest[0].isdigit():
        await work(int(rest[0]))
        await answer(send, 200, {"delay": int(rest[0])})
    else:
        await answer(send, 404, {"try": ["/ip", "/delay/30"]})


async def work(seconds: int) -> None:
    """What takes so long. A cancel arrives as a `CancelledError`, like in any asyncio task."""
    print(f"working for {seconds} s", flush=True)  # noqa: T201
    try:
        await asyncio.sleep(seconds)  # noqa: TID251
    except asyncio.CancelledError:
        print("canceled: the work is stopped", flush=True)  # noqa: T201
        raise


async def answer(send: Send, code: int, body: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    print(f"listening on http://localhost:{port}/", flush=True)  # noqa: T201
    uvicorn.run(AsgiMiddleware(service), host="127.0.0.1", port=port, log_level="warning", lifespan="off")
