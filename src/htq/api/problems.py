"""Errors on the wire: problem+json (RFC 9457), from one table."""

import logging
from typing import Final, NamedTuple

import msgspec

from htq.api.http import Header, Reply, json_reply
from htq.api.refusals import ForeignHost, ForeignOrigin, HeadersTooLarge, TooSlow
from htq.words import errors

__all__ = ["INTERNAL", "PROBLEMS", "Problem", "ProblemType", "problem_of", "problem_reply", "problem_type"]

log = logging.getLogger(__name__)


class ProblemType(NamedTuple):
    """A kind of error, under a name that never changes."""

    status: int
    slug: str
    title: str
    meaning: str

    @property
    def uri(self) -> str:
        return f"/problems/{self.slug}"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error, after RFC 9457."""

    type: str
    """A URI reference that names the kind, and leads to its description."""
    title: str
    status: int
    detail: str
    """A sentence that says what to do."""
    pointer: str | msgspec.UnsetType = msgspec.UNSET
    """A JSON pointer (RFC 6901) to the field that can't be taken."""
    header: str | msgspec.UnsetType = msgspec.UNSET
    """The header that can't be taken."""
    task: str | msgspec.UnsetType = msgspec.UNSET
    """A URI reference to the request that stands in the way."""
    errors: "tuple[Problem, ...] | msgspec.UnsetType" = msgspec.UNSET
    """Where several things are wrong: each of them."""


PROBLEMS: Final[dict[type[errors.HtqError], ProblemType]] = {
    errors.Malformed: ProblemType(
        400, "malformed", "The request can't be read", "The body is not JSON, or the query or a header is broken."
    ),
    ForeignOrigin: ProblemType(
        403,
        "foreign-origin",
        "Pages of other origins are not served",
        "A browser sent the request for a page that does not come from this server.",
    ),
    errors.NotFound: ProblemType(
        404, "not-found", "Nothing is there", "There is no such request, response or page, or not any more."
    ),
    errors.NotAllowed: ProblemType(
        405, "method-not-allowed", "The resource does not do this", "The header Allow lists the methods that it does."
    ),
    TooSlow: ProblemType(408, "too-slow", "The request did not arrive in time", "Its head or its body took too long."),
    errors.Conflict: ProblemType(
        409, "conflict", "The request's state does not admit this", "What was asked does not fit where it stands."
    ),
    errors.PreconditionFailed: ProblemType(
        412, "changed", "The request has changed since", "If-Match named a version that it does not have any more."
    ),
    errors.TooLarge: ProblemType(413, "too-large", "The body is too large", "The detail names the limit."),
    errors.UnsupportedMedia: ProblemType(
        415, "unsupported-media", "The body's type or coding is not taken", "The detail says which one is."
    ),
    ForeignHost: ProblemType(
        421,
        "foreign-host",
        "The request was meant for another host",
        "Its header Host carries a name that this server does not answer to.",
    ),
    errors.InvalidField: ProblemType(
        422,
        "invalid-field",
        "A field can't be taken",
        "A field is missing, unknown, or has a bad value; pointer says which one.",
    ),
    errors.KeyReused: ProblemType(
        422,
        "key-reused",
        "The Idempotency-Key belongs to another request",
        "It came before, with another body. Nothing was done.",
    ),
    errors.BatchRefused: ProblemType(
        422,
        "batch-refused",
        "Nothing of the batch was taken",
        "It was to be taken whole, and errors says what is wrong with which of its items.",
    ),
    HeadersTooLarge: ProblemType(
        431, "headers-too-large", "The headers are too large", "The request line and headers are limited to 64 KiB."
    ),
    errors.Overloaded: ProblemType(
        503, "overloaded", "Too many are waiting", "Nothing was done. Retry-After says when to try again."
    ),
    errors.StoreUnavailable: ProblemType(
        503,
        "store-unavailable",
        "The store is not available",
        "It is unknown whether anything was done. Retry-After says when to try again.",
    ),
}
"""Each class that can reach the wire, in the order of its code. A subclass is shown as the nearest class that is here."""

INTERNAL: Final = ProblemType(500, "internal", "htq made a mistake", "This is a defect of htq; its log says more.")

_MEDIA: Final = b"application/problem+json"


def problem_type(error: BaseException) -> ProblemType:
    """The row of the table for an error; `INTERNAL` for what nobody meant to raise."""
    for kind in type(error).__mro__:
        found = PROBLEMS.get(kind)
        if found is not None:
            return found
    return INTERNAL


def problem_reply(error: Exception) -> Reply:
    """What the caller is told. What is not in the table goes to the log, and its text to nobody."""
    kind = problem_type(error)
    if kind is INTERNAL:
        log.error("a request failed in a way that nobody foresaw", exc_info=error)
    more: list[Header] = []
    if isinstance(error, errors.NotAllowed):
        more.append((b"allow", ", ".join(error.allow).encode()))
    if isinstance(error, errors.StoreUnavailable | errors.Overloaded):
        more.append((b"retry-after", b"%d" % max(1, round(error.retry_after + 0.5))))
    return json_reply(kind.status, problem_of(error, kind), more, media=_MEDIA)


def problem_of(error: BaseException, kind: ProblemType | None = None, item: int | None = None) -> Problem:
    """What is said of an error. `item`: its place in a batch, at which its pointer begins."""
    kind = kind or problem_type(error)
    pointer: str | msgspec.UnsetType = msgspec.UNSET if item is None else f"/{item}"
    if isinstance(error, errors.InvalidField):
        pointer = error.pointer if item is None else f"/{item}{error.pointer}"
    return Problem(
        type=kind.uri,
        title=kind.title,
        status=kind.status,
        detail=kind.meaning if kind is INTERNAL else str(error),
        pointer=pointer,
        header="Idempotency-Key" if isinstance(error, errors.KeyReused) else msgspec.UNSET,
        task=f"/{error.uuid}/" if isinstance(error, errors.Conflict) and error.uuid else msgspec.UNSET,
        errors=tuple(problem_of(each, item=at) for at, each in error.items)
        if isinstance(error, errors.BatchRefused)
        else msgspec.UNSET,
    )
