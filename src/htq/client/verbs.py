"""The verbs, each written once: a generator that yields the calls it wants made, is sent their answers, and returns its result.

The two clients differ in how they make a call, and in nothing else.
"""

import base64
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from htq.client.errors import NotYet
from htq.client.exchange import Call, SourceError, Verb, checked, object_of, path_of

__all__ = [
    "cancel",
    "cancel_all",
    "fields_of",
    "listed",
    "new_key",
    "purge",
    "request",
    "response",
    "retry",
    "retry_all",
    "run_now",
    "send",
    "send_many",
    "size",
    "status",
    "wait",
]

_WAIT_EACH: Final = 30
"""Seconds that one long poll asks for; `wait` makes as many as it needs."""

_PAGE: Final = 1000

_BULK: Final = 570.0
"""Seconds that what is done to very many may take, besides the usual ones."""

_PIECE: Final = 64 * 1024


def new_key() -> str:
    """An `Idempotency-Key` that nobody else has."""
    return os.urandom(16).hex()


def fields_of(
    url: str | None,
    method: str | None,
    data: Any,
    headers: Mapping[str, str] | None,
    name: str | None,
    timeout: float | Mapping[str, float] | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """A request as the server takes it. `data` is a string, bytes, or what JSON can say."""
    fields: dict[str, Any] = {"url": url, "method": method, "headers": headers, "id": name, "timeout": timeout}
    if isinstance(data, bytes | bytearray | memoryview):
        fields["data_base64"] = base64.b64encode(data).decode("ascii")
    else:
        fields["data"] = data
    return {name: value for name, value in {**fields, **options}.items() if value is not None}


def send(fields: Mapping[str, Any], key: str) -> Verb[dict[str, Any]]:
    body = json.dumps(fields).encode()
    return object_of(checked((yield Call("POST", "/", body, key=key)), 200, 202, 303))


def send_many(
    tasks: Iterable[Mapping[str, Any]], group: str | None, close: bool, atomic: bool, key: str
) -> Verb[list[dict[str, Any]]]:
    query: dict[str, Any] = {"atomic": 1} if atomic else {}
    if group is not None:
        query["group"] = group
        if not close:
            query["close"] = 0
    path = f"/batch/?{urlencode(query)}" if query else "/batch/"
    lines = _lines(_own(tasks))
    # What is to be asked for again must be had again.
    body = b"".join(lines) if atomic else lines
    media = "application/x-ndjson"
    answer = checked((yield Call("POST", path, body, _BULK, media, key if atomic else None)), 200)
    return [json.loads(line) for line in answer.body.splitlines() if line]


def _own(tasks: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """`tasks`, with what is raised in their making told from what happens to the connection. Raises `SourceError`."""
    try:
        yield from tasks
    except Exception as error:
        raise SourceError(error) from error


def _lines(tasks: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """One task a line, several lines a piece."""
    piece: list[bytes] = []
    size = 0
    for task in tasks:
        data = task.get("data")
        rest = {name: value for name, value in task.items() if name != "data"}
        line = json.dumps(fields_of(None, None, data, None, None, None, rest)).encode() + b"\n"
        piece.append(line)
        size += len(line)
        if size >= _PIECE:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)


def request(uuid: str) -> Verb[dict[str, Any]]:
    return object_of(checked((yield Call("GET", path_of(uuid))), 200))


def status(uuid: str) -> Verb[str]:
    return str(object_of(checked((yield Call("GET", path_of(uuid, "status"))), 200))["status"])


def response(uuid: str) -> Verb[dict[str, Any] | None]:
    answer = checked((yield Call("GET", f"{path_of(uuid, 'response')}?wait=0")), 200, 202)
    return object_of(answer) if answer.code == 200 else None


def wait(path: str, what: str, timeout: float | None, now: Callable[[], float]) -> Verb[dict[str, Any]]:
    """What `path`, which waits, gives at last."""
    ends = None if timeout is None else now() + timeout
    while True:
        left = _WAIT_EACH if ends is None else min(_WAIT_EACH, max(0.0, ends - now()))
        seconds = math.ceil(left)  # the server takes whole ones
        answer = yield Call("GET", f"{path}?wait={seconds}", waits=seconds)
        if checked(answer, 200, 202).code == 200:
            return object_of(answer)
        if ends is not None and now() >= ends:
            raise NotYet(f"{what} has not ended within {timeout:g} s")


def cancel(uuid: str) -> Verb[None]:
    checked((yield Call("DELETE", path_of(uuid))), 200, 204)


def retry(uuid: str) -> Verb[dict[str, Any]]:
    return object_of(checked((yield Call("POST", path_of(uuid, "retry"))), 200, 303))


def run_now(uuid: str) -> Verb[dict[str, Any]]:
    return object_of(checked((yield Call("POST", path_of(uuid, "run"))), 200, 303))


def cancel_all(
    dry_run: bool, reason: str | None, labels: Mapping[str, str] | None, filters: Mapping[str, Any]
) -> Verb[int]:
    query = _query(filters, labels, reason=reason, dry_run=1 if dry_run else None)
    answer = checked((yield Call("DELETE", f"/?{query}", waits=_BULK)), 200)
    return int(object_of(answer)["matching" if dry_run else "canceled"])


def retry_all(dry_run: bool, labels: Mapping[str, str] | None, filters: Mapping[str, Any]) -> Verb[int]:
    query = _query(filters, labels, dry_run=1 if dry_run else None)
    answer = checked((yield Call("POST", f"/retry/?{query}", waits=_BULK)), 200)
    return int(object_of(answer)["matching" if dry_run else "retried"])


def purge(uuid: str) -> Verb[None]:
    checked((yield Call("DELETE", path_of(uuid, "response"))), 204)


def listed(
    labels: Mapping[str, str] | None, filters: Mapping[str, Any], limit: int | None
) -> Verb[list[dict[str, Any]]]:
    """What the filters take, oldest first, `limit` at most; with none, what is queued and due."""
    found: list[dict[str, Any]] = []
    path: str | None = f"/?{_query(filters, labels, limit=min(limit or _PAGE, _PAGE))}"
    while path and (limit is None or len(found) < limit):
        answer = checked((yield Call("GET", path)), 200)
        found += answer.json()
        path = _next(answer.headers.get("link", ""))
    return found if limit is None else found[:limit]


def _query(filters: Mapping[str, Any], labels: Mapping[str, str] | None, **more: Any) -> str:
    given = {**filters, **{f"label.{name}": value for name, value in (labels or {}).items()}, **more}
    return urlencode({name: value for name, value in given.items() if value is not None}, doseq=True)


def _next(link: str) -> str | None:
    """Path and query of the `next` link (RFC 8288); None at the end."""
    for target, parameters in re.findall(r"<([^>]*)>([^<]*)", link):
        if re.search(r';\s*rel="?next"?', parameters):
            parts = urlsplit(target)
            return f"/?{parts.query}"
    return None


def size() -> Verb[int]:
    answer = checked((yield Call("GET", "/queues/")), 200)
    return sum(int(queue["queued"]) for queue in answer.json())
