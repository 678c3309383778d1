"""The verbs, each written once: a generator that yields the calls it wants made, is sent their answers, and returns its result.

The two clients differ in how they make a call, and in nothing else.
"""

import base64
import json
import math
import re
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from htq.client.errors import HtqClientError, NotFound, NotYet, Rejected, Unavailable

__all__ = [
    "Answer",
    "Call",
    "Verb",
    "cancel",
    "cancel_all",
    "purge",
    "queued",
    "request",
    "response",
    "send",
    "size",
    "status",
    "wait",
]

_WAIT_EACH: Final = 30
"""Seconds that one long poll asks for; `wait` makes as many as it needs."""

_PAGE: Final = 1000

_BULK: Final = 570.0
"""Seconds that a cancel of very many may take, besides the usual ones."""


class Call(NamedTuple):
    """A request to the server; `path` begins with a slash."""

    method: str
    path: str
    body: bytes | None = None
    waits: float = 0.0
    """Seconds for which the server may hold the answer back."""


class Answer(NamedTuple):
    """What came back."""

    code: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes

    def json(self) -> Any:
        """The body, read as JSON. Raises `HtqClientError`."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise HtqClientError(f"the answer with code {self.code} is not JSON: is this an htq server?") from None


Result = TypeVar("Result")
Verb = Generator[Call, Answer, Result]


def _path(uuid: str) -> str:
    return f"/{quote(str(uuid), safe='')}/"


def _checked(answer: Answer, *good: int) -> Answer:
    """`answer` if its code is one of `good`; else the error that it means."""
    if answer.code in good:
        return answer
    problem: Any = {}
    if "json" in answer.headers.get("content-type", ""):
        problem = answer.json()
    detail = problem.get("detail") or problem.get("title") if isinstance(problem, dict) else None
    detail = str(detail or f"the server answered with code {answer.code}")
    if answer.code == 404:
        raise NotFound(detail)
    if answer.code in (429, 502, 503, 504):
        after = answer.headers.get("retry-after", "")
        raise Unavailable(detail, float(after) if after.isdecimal() else None)
    raise Rejected(detail, answer.code, problem.get("pointer") if isinstance(problem, dict) else None)


def send(
    url: str,
    method: str | None,
    data: Any,
    headers: Mapping[str, str] | None,
    name: str | None,
    timeout: float | Mapping[str, float] | None,
    options: Mapping[str, Any],
) -> Verb[dict[str, Any]]:
    fields: dict[str, Any] = {"url": url, "method": method, "headers": headers, "id": name, "timeout": timeout}
    if isinstance(data, bytes | bytearray | memoryview):
        fields["data_base64"] = base64.b64encode(data).decode("ascii")
    else:
        fields["data"] = data
    wanted = {name: value for name, value in {**fields, **options}.items() if value is not None}
    answer = _checked((yield Call("POST", "/", json.dumps(wanted).encode())), 200, 202, 303)
    return _object(answer)


def request(uuid: str) -> Verb[dict[str, Any]]:
    return _object(_checked((yield Call("GET", _path(uuid))), 200))


def status(uuid: str) -> Verb[str]:
    return str(_object(_checked((yield Call("GET", f"{_path(uuid)}status/")), 200))["status"])


def response(uuid: str) -> Verb[dict[str, Any] | None]:
    answer = _checked((yield Call("GET", f"{_path(uuid)}response/?wait=0")), 200, 202)
    return _object(answer) if answer.code == 200 else None


def wait(uuid: str, timeout: float | None, now: Callable[[], float]) -> Verb[dict[str, Any]]:
    ends = None if timeout is None else now() + timeout
    while True:
        left = _WAIT_EACH if ends is None else min(_WAIT_EACH, max(0.0, ends - now()))
        seconds = math.ceil(left)  # the server takes whole ones
        answer = yield Call("GET", f"{_path(uuid)}response/?wait={seconds}", waits=seconds)
        if _checked(answer, 200, 202).code == 200:
            return _object(answer)
        if ends is not None and now() >= ends:
            raise NotYet(f"{uuid} has not ended within {timeout:g} s")


def cancel(uuid: str) -> Verb[None]:
    _checked((yield Call("DELETE", _path(uuid))), 200, 204)


def cancel_all(
    dry_run: bool, reason: str | None, labels: Mapping[str, str] | None, filters: Mapping[str, Any]
) -> Verb[int]:
    given: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
    given |= {f"label.{name}": value for name, value in (labels or {}).items()}
    if reason is not None:
        given["reason"] = reason
    if dry_run:
        given["dry_run"] = 1
    answer = _checked((yield Call("DELETE", f"/?{urlencode(given, doseq=True)}", waits=_BULK)), 200)
    return int(_object(answer)["matching" if dry_run else "canceled"])


def purge(uuid: str) -> Verb[None]:
    _checked((yield Call("DELETE", f"{_path(uuid)}response/")), 204)


def queued() -> Verb[list[dict[str, Any]]]:
    found: list[dict[str, Any]] = []
    path: str | None = f"/?limit={_PAGE}"
    while path:
        answer = _checked((yield Call("GET", path)), 200)
        found += answer.json()
        path = _next(answer.headers.get("link", ""))
    return found


def _next(link: str) -> str | None:
    """Path and query of the `next` link (RFC 8288); None at the end."""
    for target, parameters in re.findall(r"<([^>]*)>([^<]*)", link):
        if re.search(r';\s*rel="?next"?', parameters):
            parts = urlsplit(target)
            return f"/?{parts.query}"
    return None


def size() -> Verb[int]:
    answer = _checked((yield Call("GET", "/queues/")), 200)
    return sum(int(queue["queued"]) for queue in answer.json())


def _object(answer: Answer) -> dict[str, Any]:
    found = answer.json()
    if not isinstance(found, dict):
        raise HtqClientError("the answer is not a JSON object: is this an htq server?")
    return found
