"""Handlers of requests: queue, list, look, cancel."""

from collections.abc import Mapping
from functools import partial
from typing import Final, get_args

from htq.api.bodies import read_submission
from htq.api.http import EMPTY, Call, Header, Reply, json_reply
from htq.api.links import list_links, response_links, task_links
from htq.api.patience import unless_gone, wait_on
from htq.api.prefer import parse_prefer
from htq.api.responses import envelope_reply
from htq.api.views import CanceledView, MatchingView, StatusView, listed, view_new, view_task
from htq.stores.base import Filter
from htq.words.errors import Malformed, Overloaded, StoreUnavailable
from htq.words.states import STATES, State

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

_DEFAULT_LIMIT: Final = 100
_MOST: Final = 1000
_LONGEST_REASON: Final = 500
_NO_WAIT: Final = (Overloaded, StoreUnavailable)
"""What can keep a caller from waiting when what he asked for is done already: he hears that, and not an error."""
_RETRY_SOON: Final[Header] = (b"retry-after", b"1")


async def post_task(call: Call) -> Reply:
    submission = await read_submission(call)
    prefer = parse_prefer(call.headers, call.settings.max_wait)
    new = await call.service.submit(submission)
    url = f"{call.base}/{new.uuid}/"
    headers: list[Header] = [(b"location", url.encode())]
    if prefer.wait:
        try:
            result = await wait_on(call, partial(call.service.result, new.uuid), prefer.wait)
        except _NO_WAIT:
            prefer = prefer._replace(wait=None)
        else:
            if result is not None:
                headers += [(b"content-location", f"{url}response/".encode()), response_links(call.base, new.uuid)]
                return await envelope_reply(result, [*headers, *prefer.applied()])
    return json_reply(202 if prefer.respond_async else 303, view_new(new), [*headers, *prefer.applied()])


async def list_tasks(call: Call) -> Reply:
    where, single = _filter(call.query)
    limit = _integer("limit", single.get("limit"), 1, _MOST)
    page = await call.service.tasks(where, single.get("cursor"), _DEFAULT_LIMIT if limit is None else limit)
    parameters = [(name, value) for name, values in call.query.items() for value in values]
    return json_reply(
        200,
        [listed(task, call.base) for task in page.tasks],
        [list_links(call.base, parameters, page.cursor)],
    )


async def cancel_tasks(call: Call) -> Reply:
    where, single = _filter(call.query)
    reason = _reason(single.get("reason"))
    dry_run = _flag("dry_run", single.get("dry_run"))
    if where == Filter():
        raise Malformed("Nothing says which requests: give a filter, such as status=queued or queue=mail.")
    if dry_run:
        return json_reply(200, MatchingView(await unless_gone(call, call.service.count(where))))
    return json_reply(200, CanceledView(await unless_gone(call, call.service.cancel_all(where, reason))))


async def get_task(call: Call) -> Reply:
    task = await call.service.task(call.name)
    return json_reply(200, view_task(task), [task_links(call.base, task.uuid), (b"etag", b'"%d"' % task.version)])


async def get_status(call: Call) -> Reply:
    return json_reply(200, StatusView(await call.service.status(call.name)))


async def cancel_task(call: Call) -> Reply:
    values = call.query.get("reason", [])
    if len(values) > 1:
        raise _twice("reason")
    reason = _reason(values[0] if values else None)
    prefer = parse_prefer(call.headers, call.settings.max_wait)
    await call.service.cancel(call.name, reason)
    if prefer.wait is None:
        return EMPTY
    try:
        record = await wait_on(call, partial(call.service.settled_cancel, call.name), prefer.wait)
        if record is not None:
            return json_reply(200, record, prefer.applied())
        return json_reply(202, await call.service.cancel_record(call.name), [_RETRY_SOON, *prefer.applied()])
    except _NO_WAIT:
        return EMPTY


async def get_cancel(call: Call) -> Reply:
    return json_reply(200, await call.service.cancel_record(call.name))


async def get_attempts(call: Call) -> Reply:
    return json_reply(200, await call.service.attempts(call.name))


def _filter(query: Mapping[str, list[str]]) -> tuple[Filter, dict[str, str]]:
    """The filter in a query, and all parameters that can be given once only."""
    single: dict[str, str] = {}
    labels: dict[str, str] = {}
    statuses: list[State] = []
    for name, values in query.items():
        if name == "status":
            statuses = [_status(word) for value in values for word in value.split(",")]
            continue
        if len(values) > 1:
            raise _twice(name)
        if name.startswith("label."):
            labels[name.removeprefix("label.")] = values[0]
        else:
            single[name] = values[0]
    where = Filter(
        statuses=tuple(dict.fromkeys(statuses)),
        queue=single.get("queue"),
        key=single.get("key"),
        host=single["host"].lower() if "host" in single else None,
        name=single.get("id"),
        labels=labels,
        since=_integer("since", single.get("since"), 0, 253402300799999),
        until=_integer("until", single.get("until"), 0, 253402300799999),
    )
    return where, single


def _twice(name: str) -> Malformed:
    return Malformed(f"The parameter {name} stands there more than once: give it once.")


def _status(word: str) -> State:
    for state in STATES:
        if state == word:
            return state
    raise Malformed(f"{word[:32]!r} is not a status: take one of {', '.join(get_args(State))}.")


def _integer(name: str, text: str | None, least: int, most: int) -> int | None:
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 15 and least <= int(text) <= most:
        return int(text)
    raise Malformed(f"{name} is an integer from {least} to {most}.")


def _flag(name: str, text: str | None) -> bool:
    if text in ("1", "true"):
        return True
    if text in (None, "0", "false"):
        return False
    raise Malformed(f"{name} is 1 or 0.")


def _reason(text: str | None) -> str | None:
    if text and (len(text) > _LONGEST_REASON or not text.isprintable()):
        raise Malformed(f"reason is one line of at most {_LONGEST_REASON} characters.")
    return text or None
