"""Handlers of requests: queue, list, look, cancel."""

from functools import partial
from typing import Final

from htq.api.conditions import etag
from htq.api.decoding import read_submission
from htq.api.filters import check_some, page_size, read_filter, read_reason
from htq.api.http import EMPTY, RETRY_SOON, Call, Header, Reply, json_reply
from htq.api.idempotency import REPLAYED, idempotency
from htq.api.links import list_links, response_links, task_links
from htq.api.patience import unless_gone, wait_on
from htq.api.prefer import parse_prefer
from htq.api.query import flag, once
from htq.api.responses import envelope_reply
from htq.api.views import (
    CanceledView,
    ForgottenTask,
    MatchingView,
    StatusView,
    TaskView,
    listed,
    view_new,
    view_task,
)
from htq.words.errors import NotFound, Overloaded, StoreUnavailable

__all__ = [
    "cancel_task",
    "cancel_tasks",
    "get_attempts",
    "get_cancel",
    "get_status",
    "get_task",
    "list_tasks",
    "post_task",
]

_NO_WAIT: Final = (Overloaded, StoreUnavailable)
"""What can keep a caller from waiting when what he asked for is done already: he hears that, and not an error."""


async def post_task(call: Call) -> Reply:
    submission, body = await read_submission(call)
    prefer = parse_prefer(call.headers, call.settings.max_wait)
    submitted = await call.service.submit(submission, base=call.base, idempotency=idempotency(call, b"POST /", body))
    uuid = submitted.uuid
    url = f"{call.base}/{uuid}/"
    headers: list[Header] = [(b"location", url.encode())]
    if submitted.outcome == "replayed":
        headers.append(REPLAYED)
    if prefer.wait:
        try:
            result = await wait_on(call, partial(call.service.result, uuid), prefer.wait)
        except _NO_WAIT:
            prefer = prefer._replace(wait=None)
        else:
            if result is not None:
                headers += [(b"content-location", f"{url}response/".encode()), response_links(call.base, uuid)]
                return await envelope_reply(result, [*headers, *prefer.applied()])
    view = view_new(submitted.new) if submitted.outcome == "created" else await _view_of_other(call, uuid)
    return json_reply(202 if prefer.respond_async else 303, view, [*headers, *prefer.applied()])


async def _view_of_other(call: Call, uuid: str) -> TaskView | ForgottenTask:
    """The task that is there in place of a new one. Its key may be known for longer than the task itself."""
    try:
        return view_task(await call.service.task(uuid))
    except NotFound:
        return ForgottenTask(uuid)


async def list_tasks(call: Call) -> Reply:
    where, single = read_filter(call.query)
    page = await call.service.tasks(where, single.get("cursor"), page_size(call.query))
    parameters = [(name, value) for name, values in call.query.items() for value in values]
    return json_reply(
        200,
        [listed(task, call.base) for task in page.tasks],
        [list_links(call.base, parameters, page.cursor)],
    )


async def cancel_tasks(call: Call) -> Reply:
    where, single = read_filter(call.query)
    reason = read_reason(single.get("reason"))
    dry_run = flag(call.query, "dry_run")
    check_some(where)
    if dry_run:
        return json_reply(200, MatchingView(await unless_gone(call, call.service.count(where))))
    return json_reply(200, CanceledView(await unless_gone(call, call.service.cancel_all(where, reason))))


async def get_task(call: Call) -> Reply:
    task = await call.service.task(call.name)
    return json_reply(200, view_task(task), [task_links(call.base, task.uuid), etag(task)])


async def get_status(call: Call) -> Reply:
    return json_reply(200, StatusView(await call.service.status(call.name)))


async def cancel_task(call: Call) -> Reply:
    reason = read_reason(once(call.query, "reason"))
    prefer = parse_prefer(call.headers, call.settings.max_wait)
    await call.service.cancel(call.name, reason)
    if prefer.wait is None:
        return EMPTY
    try:
        record = await wait_on(call, partial(call.service.settled_cancel, call.name), prefer.wait)
        if record is not None:
            return json_reply(200, record, prefer.applied())
        return json_reply(202, await call.service.cancel_record(call.name), [RETRY_SOON, *prefer.applied()])
    except _NO_WAIT:
        return EMPTY


async def get_cancel(call: Call) -> Reply:
    return json_reply(200, await call.service.cancel_record(call.name))


async def get_attempts(call: Call) -> Reply:
    return json_reply(200, await call.service.attempts(call.name))
