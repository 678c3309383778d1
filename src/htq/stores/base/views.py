"""What a store shows: pages, counts, itself."""

from typing import Literal, NamedTuple

import msgspec

from htq.words.states import State
from htq.words.task import Task

__all__ = ["BodyRef", "Filter", "Page", "QueueStats", "Selection", "StoreInfo"]


class BodyRef(NamedTuple):
    """A body that lies beside its record. Attempt 0 is the task itself, with side `request`."""

    uuid: str
    attempt: int
    side: Literal["request", "response"]


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks a list takes: those that match every field that is given.

    With no `statuses`: what is queued and due (the seed's `GET /`). `scheduled` is a status word here only.
    `canceled` includes a pending task whose cancel was requested; `pending` excludes it.
    """

    tenant: str = ""
    statuses: tuple[State, ...] = ()
    queue: str | None = None
    key: str | None = None
    host: str | None = None
    name: str | None = None
    labels: dict[str, str] = {}
    group: str | None = None
    since: int | None = None
    """Created at or after."""
    until: int | None = None
    """Created before."""


class Page(NamedTuple):
    """Tasks, oldest first (by uuid, which is made in the order of time), and where to go on; `cursor` None: the end.

    A store looks at a bounded number of records a call, so a page may be short, even empty, with more behind it.
    """

    tasks: list[Task]
    cursor: str | None


class Selection(NamedTuple):
    """As `Page`, with the uuids alone."""

    uuids: list[str]
    cursor: str | None


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of a queue's live tasks. They are kept, not counted."""

    name: str
    scheduled: int
    queued: int
    pending: int
    oldest_queued_at: int | None
    """When the task at the front of the line was created, as far as it is cheap to know; None if none is queued."""


class StoreInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a store is, and what its 303 means, in words for a person."""

    kind: Literal["sqlite", "redis", "postgres"]
    location: str
    """Without any password."""
    durability: str
    """A sentence: what has happened to a task when `enqueue` returns."""
    warnings: tuple[str, ...] = ()
