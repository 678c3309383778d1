"""What verbs yield and are sent: a call of the server, and its answer."""

import json
from collections.abc import Generator, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

from htq.client.errors import HtqClientError, NotFound, Rejected, Unavailable

__all__ = ["Answer", "Call", "SourceError", "Verb", "checked", "object_of", "path_of"]


class Call(NamedTuple):
    """A request to the server; `path` begins with a slash."""

    method: str
    path: str
    body: bytes | Iterable[bytes] | None = None
    """In pieces where it is not bytes: each goes out as it comes."""
    waits: float = 0.0
    """Seconds for which the server may hold the answer back."""
    media: str = "application/json"
    key: str | None = None
    """An `Idempotency-Key`: with it the call is made again when its connection was lost before the answer."""


class SourceError(Exception):
    """What the caller's own iterable raised, carried past those who would take it for an error of the connection."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


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


def path_of(*parts: str) -> str:
    """A path of these parts, each in its place whatever is in it."""
    return "".join(f"/{quote(str(part), safe='')}" for part in parts) + "/"


def checked(answer: Answer, *good: int) -> Answer:
    """`answer` if its code is one of `good`; else the error that it means."""
    if answer.code in good:
        return answer
    problem: Any = {}
    if "json" in answer.headers.get("content-type", ""):
        problem = answer.json()
    if not isinstance(problem, dict):
        problem = {}
    detail = str(problem.get("detail") or problem.get("title") or f"the server answered with code {answer.code}")
    if answer.code == 404:
        raise NotFound(detail)
    if answer.code in (429, 502, 503, 504):
        after = answer.headers.get("retry-after", "")
        raise Unavailable(detail, float(after) if after.isdecimal() else None)
    raise Rejected(detail, answer.code, problem.get("pointer"), problem.get("errors") or ())


def object_of(answer: Answer) -> dict[str, Any]:
    """The JSON object that an answer holds. Raises `HtqClientError`."""
    found = answer.json()
    if not isinstance(found, dict):
        raise HtqClientError("the answer is not a JSON object: is this an htq server?")
    return found
