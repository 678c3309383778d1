"""Handlers of a request's response."""

import asyncio
from functools import partial
from typing import Final

from htq.api.envelope import envelope
from htq.api.http import EMPTY, RETRY_SOON, Call, Header, Reply, json_reply
from htq.api.links import response_links
from htq.api.patience import wait_on
from htq.api.prefer import asked_wait
from htq.api.views import StatusView
from htq.usecases import Result

__all__ = ["delete_response", "envelope_reply", "get_response"]

_LARGE: Final = 256 * 1024
"""Bytes of a body."""


async def get_response(call: Call) -> Reply:
    """Blocks until it is there, as in the seed, unless the caller says how long he waits."""
    wait, applied = asked_wait(call.headers, call.query.get("wait"), call.settings.max_wait)
    result = await wait_on(call, partial(call.service.result, call.name), wait)
    if result is None:
        status = StatusView(await call.service.status(call.name))
        return json_reply(202, status, [RETRY_SOON, *applied])
    return await envelope_reply(result, [response_links(call.base, call.name), *applied])


async def envelope_reply(result: Result, headers: list[Header]) -> Reply:
    """The envelope of `result`. A large one is made in a thread, since the loop has others to serve."""
    if len(result.body) > _LARGE:
        return await asyncio.to_thread(_envelope_reply, result, headers)
    return _envelope_reply(result, headers)


def _envelope_reply(result: Result, headers: list[Header]) -> Reply:
    return json_reply(200, envelope(result), headers)


async def delete_response(call: Call) -> Reply:
    await call.service.delete_response(call.name)
    return EMPTY
