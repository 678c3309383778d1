"""Handlers of queues: counts of what has not ended."""

from htq.api.http import Call, Reply, json_reply
from htq.api.links import queue_url
from htq.api.views import view_queue

__all__ = ["get_queue", "list_queues"]


async def list_queues(call: Call) -> Reply:
    queues = await call.service.queues()
    return json_reply(200, [view_queue(stats, queue_url(call.base, stats.name)) for stats in queues])


async def get_queue(call: Call) -> Reply:
    stats = await call.service.queue(call.name)
    return json_reply(200, view_queue(stats, queue_url(call.base, stats.name)))
