"""Handlers of what is done to a request by hand: again, now, otherwise."""

from htq.api.conditions import etag, if_match
from htq.api.decoding import read_change
from htq.api.filters import check_some, read_filter
from htq.api.http import Call, Reply, json_reply
from htq.api.links import task_links
from htq.api.patience import unless_gone
from htq.api.query import flag
from htq.api.views import MatchingView, RetriedView, refuse_redacted, view_task

__all__ = ["patch_task", "retry_task", "retry_tasks", "run_task"]


async def retry_task(call: Call) -> Reply:
    await call.service.changes.retry(call.name)
    return await _see(call)


async def retry_tasks(call: Call) -> Reply:
    where, _ = read_filter(call.query)
    dry_run = flag(call.query, "dry_run")
    check_some(where)
    if dry_run:
        return json_reply(200, MatchingView(await unless_gone(call, call.service.changes.count_retries(where))))
    return json_reply(200, RetriedView(await unless_gone(call, call.service.changes.retry_all(where))))


async def run_task(call: Call) -> Reply:
    await call.service.changes.run_now(call.name)
    return await _see(call)


async def patch_task(call: Call) -> Reply:
    versions = if_match(call.headers)
    change = await read_change(call)
    refuse_redacted(change.wish.headers, "/headers")
    if change.wish.cancel is not None:
        refuse_redacted(change.wish.cancel.headers, "/cancel/headers")
    await call.service.changes.change(call.name, change, versions, call.base)
    task = await call.service.task(call.name)
    return json_reply(200, view_task(task), [task_links(call.base, task.uuid), etag(task)])


async def _see(call: Call) -> Reply:
    """The request is at its place, and this is how it looks there."""
    task = await call.service.task(call.name)
    return json_reply(303, view_task(task), [(b"location", f"{call.base}/{task.uuid}/".encode()), etag(task)])
