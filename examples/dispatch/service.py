"""The service that the how-to pages call. It needs uvicorn, which htq brings.

/quick          answers at once
/slow/<s>       takes so many seconds; a cancel stops it
/flaky/<n>      answers 503 to the first n attempts of a task, then 200
/busy/<s>       answers its first request with 429 and Retry-After: <s>, all that follow with 200
/complete       answers like a language model, with the tokens that were used
/hook           takes callbacks and prints them; with HOOK_SECRET it tells whether they are signed
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from htq.service import AsgiMiddleware

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

seen: Counter[str] = Counter()


async def service(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    body = await read(receive)
    match scope["path"].strip("/").split("/"):
        case ["quick"]:
            await answer(send, 200, {"ok": True})
        case ["slow", seconds]:
            await asyncio.sleep(float(seconds))  # noqa: TID251
            await answer(send, 200, {"slept": float(seconds)})
        case ["flaky", failures]:
            task = headers.get("htq-task-id", "")
            seen[task] += 1
            good = seen[task] > int(failures)
            await answer(send, 200 if good else 503, {"attempt": seen[task]})
        case ["busy", seconds]:
            seen["busy"] += 1
            if seen["busy"] == 1:
                await answer(send, 429, {"error": "slow down"}, ("retry-after", seconds))
            else:
                await answer(send, 200, {"ok": True})
        case ["complete"]:
            await answer(send, 200, {"text": "Forty-two.", "usage": {"total_tokens": 700}})
        case ["hook"]:
            event = json.loads(body)
            print(f"{event['type']} {event['subject']} {signed(headers, body)}", flush=True)  # noqa: T201
            await answer(send, 200, {})
        case _:
            await answer(send, 404, {"try": ["/quick", "/slow/5", "/flaky/2", "/busy/3", "/complete"]})


def signed(headers: dict[str, str], body: bytes) -> str:
    """Standard Webhooks: HMAC-SHA256 over id, time and body. A receiver also refuses what is older than some minutes."""
    secret = os.environ.get("HOOK_SECRET")
    if secret is None:
        return "(not checked)"
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mine = "v1," + base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()
    good = any(hmac.compare_digest(mine, theirs) for theirs in headers.get("webhook-signature", "").split())
    return "(signature good)" if good else "(signature wrong)"


async def read(receive: Receive) -> bytes:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def answer(send: Send, code: int, body: dict[str, Any], *more: tuple[str, str]) -> None:
    headers = [(b"content-type", b"application/json"), *((name.encode(), value.encode()) for name, value in more)]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    print(f"listening on http://localhost:{port}/", flush=True)  # noqa: T201
    uvicorn.run(AsgiMiddleware(service), host="127.0.0.1", port=port, log_level="warning", lifespan="off")
