"""Handlers of requests: queue, list, look, cancel."""

from collections.abc import Mapping
from typing import Final, get_args

from htq.api.bodies import read_submission
from htq.api.http import EMPTY, Call, Header, Reply, json_reply
from htq.api.links import list_links, response_links, task_links
from htq.api.patience import unless_gone
from htq.api.prefer import parse_prefer
from htq.api.responses import envelope_reply
from htq.api.views import StatusView, listed, view_task
from htq.stores.base import Filter
from htq.words.errors import Malformed
from htq.words.states import STATES, State

__all__ = ["cancel_task", "get_attempts", "get_cancel", "get_status", "get_task", "list_tasks", "post_task"]

_DEFAULT_LIMIT: Final = 100
_MOST: Final = 1000
_LONGEST_REASON: Final = 500
_RETRY_SOON: Final[Header] = (b"retry-after", b"1")


async def post_task(call: Call) -> Reply:
    submission = await read_submission(call)
    prefer = parse_prefer(call.headers, call.settings.max_wait)
    task = await call.service.submit(submission)
    url = f"{call.base}/{task.uuid}/"
    headers: list[Header] = [(b"location", url.encode()), *prefer.applied()]
    if prefer.wait:
        result = await unless_gone(call, call.service.result(task.uuid, prefer.wait))
        if result is not None:
            headers += [(b"content-location", f"{url}response/".encode()), response_links(call.base, task.uuid)]
            return await envelope_reply(result, headers)
    return json_reply(202 if prefer.respond_async else 303, view_task(task), headers)


async def list_tasks(call: Call) -> Reply:
    where, cursor, limit = _filter(call.query)
    page = await call.service.tasks(where, cursor, limit)
    parameters = [(name, value) for name, values in call.query.items() for value in values]
    return json_reply(
        200,
        [listed(task, call.base) for task in page.tasks],
        [list_links(call.base, parameters, page.cursor)],
    )


async def get_task(call: Call) -> Reply:
    task = await call.service.task(call.name)
    return json_reply(200, view_task(task), [task_links(call.base, task.uuid), (b"etag", b'"%d"' % task.version)])


async def get_status(call: Call) -> Reply:
    return json_reply(200, StatusView(await call.service.status(call.name)))


async def cancel_task(call: Call) -> Reply:
    reason = _reason(call.query.get("reason"))
    prefer = parse_prefer(call.headers, call.settings.max_wait)
    await call.service.cancel(call.name, reason)
    if prefer.wait is None:
        return EMPTY
    record = await unless_gone(call, call.service.settled_cancel(call.name, prefer.wait))
    if record is not None:
        return json_reply(200, record, prefer.applied())
    return json_reply(202, await call.service.cancel_record(call.name), [_RETRY_SOON, *prefer.applied()])


async def get_cancel(call: Call) -> Reply:
    return json_reply(200, await call.service.cancel_record(call.name))


async def get_attempts(call: Call) -> Reply:
    return json_reply(200, await call.service.attempts(call.name))


def _filter(query: Mapping[str, list[str]]) -> tuple[Filter, str | None, int]:
    single: dict[str, str] = {}
    labels: dict[str, str] = {}
    statuses: list[State] = []
    for name, values in query.items():
        if name == "status":
            statuses = [_status(word) for value in values for word in value.split(",")]
            continue
        if len(values) > 1:
            raise Malformed(f"The parameter {name} stands there more than once: give it once.")
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
    limit = _integer("limit", single.get("limit"), 1, _MOST)
    return where, single.get("cursor"), _DEFAULT_LIMIT if limit is None else limit


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


def _reason(values: list[str] | None) -> str | None:
    if values is None or not values[0]:
        return None
    text = values[0]
    if len(values) > 1 or len(text) > _LONGEST_REASON or not text.isprintable():
        raise Malformed(f"reason is one line of at most {_LONGEST_REASON} characters, given once.")
    return text
