"""Handlers of queues: counts of what has not ended, and what holds for it."""

from htq.api.bodies import read_queue
from htq.api.http import Call, Reply, json_reply
from htq.api.links import queue_url
from htq.api.views import REDACTED, view_queue
from htq.usecases import Queue, QueueWish
from htq.words.errors import InvalidField

__all__ = ["get_queue", "list_queues", "put_queue"]


async def list_queues(call: Call) -> Reply:
    queues = await call.service.queues()
    return json_reply(200, [view_queue(queue, queue_url(call.base, queue.stats.name)) for queue in queues])


async def get_queue(call: Call) -> Reply:
    return _shown(call, await call.service.queue(call.name))


async def put_queue(call: Call) -> Reply:
    wish = await read_queue(call)
    _refuse_redacted(wish)
    return _shown(call, await call.service.put_queue(call.name, wish))


def _shown(call: Call, queue: Queue) -> Reply:
    return json_reply(200, view_queue(queue, queue_url(call.base, queue.stats.name)))


def _refuse_redacted(wish: QueueWish) -> None:
    """What was got and is put back lacks the secrets that it had."""
    cancel = wish.defaults.cancel if wish.defaults is not None else None
    for name, value in (cancel.headers or {}).items() if cancel is not None else ():
        if value == REDACTED:
            pointer = "/defaults/cancel/headers/" + name.replace("~", "~0").replace("/", "~1")
            raise InvalidField(
                f"{name} holds what stands for a secret when it is shown: give the secret itself.", pointer
            )
