"""Handlers of queues: counts of what has not ended, what holds for it, a pause, its end."""

from typing import Final, get_args

import msgspec

from htq.api.decoding import read_wish, read_wish_if_any
from htq.api.http import EMPTY, Call, Reply, json_reply
from htq.api.links import queue_url
from htq.api.patience import unless_gone
from htq.api.query import once
from htq.api.queue_views import view_queue
from htq.api.views import refuse_redacted
from htq.usecases import PauseWish, Queue, QueueWish
from htq.usecases.queues import TasksOfQueue
from htq.words.errors import Malformed

__all__ = ["delete_queue", "get_queue", "list_queues", "pause_queue", "put_queue", "resume_queue"]

_wish: Final = msgspec.json.Decoder(QueueWish)
_pause: Final = msgspec.json.Decoder(PauseWish)


async def list_queues(call: Call) -> Reply:
    queues = await call.service.queues.all()
    return json_reply(200, [view_queue(queue, queue_url(call.base, queue.stats.name)) for queue in queues])


async def get_queue(call: Call) -> Reply:
    return _shown(call, await call.service.queues.one(call.name))


async def put_queue(call: Call) -> Reply:
    wish = await read_wish(call, _wish)
    if wish.defaults is not None:
        refuse_redacted(wish.defaults.headers, "/defaults/headers")
        if wish.defaults.cancel is not None:
            refuse_redacted(wish.defaults.cancel.headers, "/defaults/cancel/headers")
    return _shown(call, await call.service.queues.put(call.name, wish))


async def delete_queue(call: Call) -> Reply:
    await unless_gone(call, call.service.queues.delete(call.name, _tasks(once(call.query, "tasks"))))
    return EMPTY


async def pause_queue(call: Call) -> Reply:
    wish = await read_wish_if_any(call, _pause)
    return _shown(call, await call.service.queues.pause(call.name, wish or PauseWish()))


async def resume_queue(call: Call) -> Reply:
    return _shown(call, await call.service.queues.resume(call.name))


def _shown(call: Call, queue: Queue) -> Reply:
    return json_reply(200, view_queue(queue, queue_url(call.base, queue.stats.name)))


def _tasks(word: str | None) -> TasksOfQueue:
    known: tuple[TasksOfQueue, ...] = get_args(TasksOfQueue)
    for each in known:
        if word in (None, each):
            return each
    raise Malformed(f"tasks is one of {', '.join(known)}.")
