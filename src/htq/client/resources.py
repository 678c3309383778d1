"""The verbs of groups, queues and schedules, written once as those in `htq.client.verbs`."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from htq.client.exchange import Call, Verb, checked, object_of, path_of
from htq.client.options import ScheduleOptions

__all__ = [
    "cancel_group",
    "delete",
    "delete_queue",
    "look",
    "look_all",
    "order",
    "put",
    "put_schedule",
]

_BULK = 570.0


def look_all(kind: str) -> Verb[list[dict[str, Any]]]:
    """Everything of a kind."""
    found: list[dict[str, Any]] = checked((yield Call("GET", path_of(kind))), 200).json()
    return found


def look(kind: str, name: str) -> Verb[dict[str, Any]]:
    return object_of(checked((yield Call("GET", path_of(kind, name))), 200))


def put(kind: str, name: str, fields: Mapping[str, Any]) -> Verb[dict[str, Any]]:
    """Say what holds for it; as it is after that."""
    wanted = {field: value for field, value in fields.items() if value is not None}
    return object_of(checked((yield Call("PUT", path_of(kind, name), json.dumps(wanted).encode())), 200))


def put_schedule(name: str, task: Mapping[str, Any], options: ScheduleOptions) -> Verb[dict[str, Any]]:
    return put("schedules", name, {**options, "task": task})


def order(kind: str, name: str, verb: str, fields: Mapping[str, Any] | None = None) -> Verb[dict[str, Any]]:
    """`pause` or `resume`; as it is after that."""
    wanted = {field: value for field, value in (fields or {}).items() if value is not None}
    body = json.dumps(wanted).encode() if wanted else None
    return object_of(checked((yield Call("POST", path_of(kind, name, verb), body)), 200))


def delete(kind: str, name: str) -> Verb[None]:
    checked((yield Call("DELETE", path_of(kind, name))), 204)


def delete_queue(name: str, tasks: str | None) -> Verb[None]:
    query = f"?{urlencode({'tasks': tasks})}" if tasks is not None else ""
    checked((yield Call("DELETE", path_of("queues", name) + query, waits=_BULK)), 204)


def cancel_group(name: str, reason: str | None, dry_run: bool) -> Verb[int]:
    given = {"reason": reason, "dry_run": 1 if dry_run else None}
    query = urlencode({field: value for field, value in given.items() if value is not None})
    answer = checked((yield Call("DELETE", path_of("groups", name) + (f"?{query}" if query else ""), waits=_BULK)), 200)
    return int(object_of(answer)["matching" if dry_run else "canceled"])
