"""FastAPI (and so Starlette): coroutines, functions in threads, a stream."""

import os
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse

from htq.service import AsgiMiddleware, canceled, on_cancel
from service.apps.common import connect_to_witness, hold, registry

app = FastAPI()
app.add_middleware(AsgiMiddleware, registry=registry())


@app.get("/pid", response_class=PlainTextResponse)
async def pid() -> str:
    return str(os.getpid())


@app.post("/coroutine")
async def coroutine() -> str:
    await hold("coroutine")
    return "done"


@app.post("/thread")
def thread() -> str:
    """Has no idea of cancels."""
    with connect_to_witness("thread") as witness:
        witness.recv(1)
    return "done"


@app.post("/thread-with-callback")
def thread_with_callback() -> str:
    with connect_to_witness("thread-with-callback") as witness:

        def stop() -> bool:
            witness.shutdown(2)
            return True

        with on_cancel(stop):
            witness.recv(1)
    return "done"


@app.post("/thread-that-looks")
def thread_that_looks() -> str:
    with connect_to_witness("thread-that-looks") as witness:
        witness.settimeout(0.01)
        while not canceled():
            try:
                witness.recv(1)
                break
            except TimeoutError:
                continue
    return "done"


@app.post("/stream")
async def stream() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first\n"
        await hold("stream")
        yield b"last\n"

    return StreamingResponse(parts())
