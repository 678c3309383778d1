"""Runs programs that take their time, and ends them when htq says so. Starlette."""

import asyncio
import os
import signal

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from htq.service import AsgiMiddleware

# What may be run, by name. Nothing of a request becomes a part of a command.
PROGRAMS = {
    "nap": ["sleep", "600"],
    "pipeline": ["sh", "-c", "sleep 600 | cat"],
    "stubborn": ["sh", "-c", "trap '' TERM; while :; do sleep 600; done"],
    "uname": ["uname", "-a"],
}


async def run(request: Request) -> Response:
    command = PROGRAMS.get(request.path_params["program"])
    if command is None:
        return PlainTextResponse("no such program\n", 404)
    # A session of its own, so that the signal below reaches what the program starts as well.
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, start_new_session=True)
    try:
        output, _ = await process.communicate()
    finally:
        # A cancel cancels this coroutine, and comes by here.
        if process.returncode is None:
            await end(process)
    return PlainTextResponse(output, 200 if process.returncode == 0 else 500)


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask the whole group to end; half a second later, don't ask any more."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(0.5):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


app = Starlette(
    routes=[Route("/{program}", run, methods=["POST"])],
    middleware=[Middleware(AsgiMiddleware)],
)
