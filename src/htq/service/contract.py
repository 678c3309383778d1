"""The contract on the wire, as a service sees it: what to read in a request, and what to answer to a stop.

Pure: no clock, no thread, no socket. docs/service-contract.md says the same in prose, for authors in any language.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

__all__ = [
    "CANCELED",
    "REFUSED",
    "REPLIES",
    "TOMBSTONE_SECONDS",
    "WAIT_SECONDS",
    "Answer",
    "Reply",
    "Sighting",
    "Ticket",
    "combine",
    "read_asgi",
    "read_wsgi",
]

WAIT_SECONDS = 1.0
"""How long an answer to a stop may wait for proof: htq gives the old request a grace of 2 s, so this stays below it."""

TOMBSTONE_SECONDS = 60.0
"""How long a canceled attempt is refused if it arrives after its own cancel, out of some backlog."""

Answer = Literal["stopped", "stopping", "unknown"]
"""What became of a stop: the work has ended, for sure · it was asked to · nothing by that name runs here."""


class Ticket(NamedTuple):
    """One attempt of one task, and who may stop it.

    `digest` stands for the request's `Authorization` and `Cookie`: they are compared, never kept.
    """

    task_id: str
    attempt: int
    digest: bytes


class Sighting(NamedTuple):
    """What the headers of a request say. `ticket` is None where they are there but are no id and attempt."""

    ticket: Ticket | None
    is_stop: bool


class Reply(NamedTuple):
    """An answer that the middleware gives itself."""

    status: int
    phrase: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def _text(status: int, phrase: str, body: str, *headers: tuple[str, str]) -> Reply:
    content = body.encode()
    described = (("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(content))))
    return Reply(status, phrase, (*described, *headers), content)


REPLIES: Mapping[Answer | Literal["away"], Reply] = {
    "stopped": Reply(204, "No Content", (("HTQ-Cancel", "stopped"),), b""),
    "stopping": _text(202, "Accepted", "Asked to stop, and still stopping.\n"),
    "unknown": _text(404, "Not Found", "No such request runs here.\n"),
    # 503 and not 404: htq asks again, and by then the registry may be able to say who runs it.
    "away": _text(503, "Service Unavailable", "The other processes can't be asked now.\n", ("Retry-After", "1")),
}
REFUSED = _text(409, "Conflict", "This attempt was canceled before it arrived; it was not run.\n")
CANCELED = _text(499, "Client Closed Request", "Canceled.\n")
"""The end of the canceled request itself, where its handler has not begun to answer. Nobody may be left to read it."""

_TASK_ID = re.compile(rb"[0-9A-Za-z-]{1,64}")
_ATTEMPT = re.compile(rb"[0-9]{1,9}")
_READ = frozenset({b"htq-task-id", b"htq-attempt", b"htq-cancel", b"authorization", b"cookie"})


def read_asgi(headers: Iterable[tuple[bytes, bytes]]) -> Sighting | None:
    """What the headers of an ASGI scope (lower-case names) say; None if the request is none of htq's."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _READ:
            # HTTP/2 may split a Cookie, and a repeated HTQ-* must not pass for a good one: joined, it is no id.
            found[name] = found[name] + b"; " + value if name in found else value
    if b"htq-task-id" not in found:
        return None
    return _sighting(
        found[b"htq-task-id"],
        found.get(b"htq-attempt"),
        b"htq-cancel" in found,
        found.get(b"authorization", b""),
        found.get(b"cookie", b""),
    )


def read_wsgi(environ: Mapping[str, object]) -> Sighting | None:
    """The same for a WSGI environ."""
    if "HTTP_HTQ_TASK_ID" not in environ:
        return None

    def field(name: str) -> bytes:
        return str(environ.get(name, "")).encode("latin-1", "replace")

    return _sighting(
        field("HTTP_HTQ_TASK_ID"),
        field("HTTP_HTQ_ATTEMPT") if "HTTP_HTQ_ATTEMPT" in environ else None,
        "HTTP_HTQ_CANCEL" in environ,
        field("HTTP_AUTHORIZATION"),
        field("HTTP_COOKIE"),
    )


def _sighting(
    task_id: bytes, attempt: bytes | None, is_stop: bool, authorization: bytes, cookie: bytes
) -> Sighting | None:
    if attempt is None:
        return None
    task_id, attempt = task_id.strip(), attempt.strip()
    if not _TASK_ID.fullmatch(task_id) or not _ATTEMPT.fullmatch(attempt):
        return Sighting(None, is_stop)
    # The id salts the digest, and the lengths keep ("ab", "c") apart from ("a", "bc").
    spelled = b"%d %d %s %s%s" % (len(authorization), len(cookie), task_id, authorization, cookie)
    return Sighting(Ticket(task_id.decode(), int(attempt), hashlib.sha256(spelled).digest()), is_stop)


def combine(answers: Iterable[Answer]) -> Answer:
    """One answer out of those of everybody who was asked: stopped only if nobody is still at it."""
    given = set(answers)
    if "stopping" in given:
        return "stopping"
    return "stopped" if "stopped" in given else "unknown"
