"""The cells of the oracle: every combination of where a cancel finds a request and what the service makes of it.

They are a product of the tables below, less what can't be told apart. The tables' words are those of the page.
"""

import itertools
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, get_args

__all__ = [
    "BETWEEN",
    "CONNECTIONS",
    "MOMENTS",
    "OPEN",
    "OVER",
    "SERVICES",
    "STORES",
    "TOLD",
    "UNSENT",
    "WAITING",
    "WAYS",
    "Cell",
    "Connection",
    "Moment",
    "Service",
    "StoreKind",
    "Way",
    "cells",
]

Moment = Literal[
    "scheduled",
    "queued",
    "claimed",
    "resolving",
    "connecting",
    "sending",
    "sent",
    "receiving",
    "between_attempts",
    "between_told",
    "finished",
    "orphaned",
    "loose",
]
Service = Literal[
    "stops",
    "ends",
    "ends_later",
    "goes_on",
    "accepts",
    "runs_again",
    "not_found",
    "gone",
    "not_allowed",
    "not_implemented",
    "unauthorized",
    "forbidden",
    "breaks",
    "redirects",
    "busy",
    "recovers",
    "hangs",
    "drops",
    "unreachable",
    "one_at_a_time",
    "ten_at_once",
]
Way = Literal["once", "twice", "together", "superseded"]
Connection = Literal["keep-alive", "close"]
StoreKind = Literal["sqlite", "sqlite, no signals", "redis", "redis, no signals"]

MOMENTS: Final[dict[Moment, str]] = {
    "scheduled": "scheduled for later",
    "queued": "queued, no worker there",
    "claimed": "claimed, nothing begun",
    "resolving": "resolving the name",
    "connecting": "connecting: the service's backlog is full",
    "sending": "sending: the service doesn't read",
    "sent": "sent: the service is at work",
    "receiving": "receiving: a part of the answer is here",
    "between_attempts": "between two attempts",
    "between_told": "between two attempts, where the task says `between`",
    "finished": "finished",
    "orphaned": "running, its worker just killed",
    "loose": "queued again after its worker was killed",
}
SERVICES: Final[dict[Service, str]] = {
    "stops": "ends the request, 204, `HTQ-Cancel: stopped`",
    "ends": "ends the request, 204",
    "ends_later": "202, then ends the request",
    "goes_on": "204, and goes on",
    "accepts": "202, and goes on",
    "runs_again": "ignores the method: runs once more, 200",
    "not_found": "404",
    "gone": "410",
    "not_allowed": "405",
    "not_implemented": "501",
    "unauthorized": "401",
    "forbidden": "403",
    "breaks": "500",
    "redirects": "307 to elsewhere",
    "busy": "503, each time",
    "recovers": "503, then 204, and goes on",
    "hangs": "never answers",
    "drops": "closes the connection",
    "unreachable": "takes no connection any more",
    "one_at_a_time": "serves one connection at a time, then 405",
    "ten_at_once": "as the first, ten requests on one URL",
}
WAYS: Final[dict[Way, str]] = {
    "once": "once",
    "twice": "twice, and again when all is over",
    "together": "by two clients at once",
    "superseded": "by a newer request with the same `id`",
}
CONNECTIONS: Final[tuple[Connection, ...]] = get_args(Connection)
STORES: Final[tuple[StoreKind, ...]] = get_args(StoreKind)

WAITING: Final[frozenset[Moment]] = frozenset({"scheduled", "queued"})
"""No worker has taken it up."""
UNSENT: Final[frozenset[Moment]] = WAITING | {"claimed", "resolving", "connecting"}
"""Nothing has left: the service must never hear of the request."""
OPEN: Final[frozenset[Moment]] = frozenset({"sending", "sent", "receiving"})
"""The request is on the wire, and its worker alive."""
OVER: Final[frozenset[Moment]] = frozenset({"orphaned", "loose"})
"""The request is not on the wire any more, and nobody knows what the service makes of it."""
BETWEEN: Final[frozenset[Moment]] = frozenset({"between_attempts", "between_told"})
"""An attempt has failed, and the next one is not due."""
TOLD: Final[frozenset[Moment]] = OPEN | OVER | {"between_told"}
"""The service is told, unless the task says otherwise."""


class Cell(NamedTuple):
    """One cancel. `delete`: whether the task lets htq tell the service."""

    moment: Moment
    service: Service
    way: Way
    connection: Connection
    delete: bool
    store: StoreKind

    def __str__(self) -> str:
        policy = "delete" if self.delete else "no delete"
        return f"{self.moment}-{self.service}-{self.way}-{self.connection}-{policy}-{self.store}"

    @property
    def unusual(self) -> int:
        """In how many of the lesser dimensions it departs from the usual. An upload of megabytes counts as one."""
        closes = self.connection == "close" and self.moment not in BETWEEN
        return (self.way != "once") + closes + (not self.delete) + (self.moment == "sending")


def cells(*, all_of_them: bool) -> list[Cell]:
    """Every cell, or those that depart from the usual in one lesser dimension at most: what fits into a minute."""
    return [cell for cell in _product() if all_of_them or cell.unusual <= 1]


def _product() -> Iterator[Cell]:
    for values in itertools.product(MOMENTS, SERVICES, WAYS, CONNECTIONS, (True, False), STORES):
        cell = Cell(*values)
        if _differs(cell):
            yield cell


def _differs(cell: Cell) -> bool:
    """Whether the cell is another one than its simpler neighbours."""
    told = cell.delete and cell.moment in TOLD
    if not told and cell.service != "stops":
        return False  # a service that is never asked can't show what it would do
    if cell.moment in UNSENT and cell.connection == "close":
        return False  # there is no connection
    if cell.moment in BETWEEN and cell.connection == "keep-alive":
        return False  # over the connection that it left behind a DELETE would come through closed doors
    if cell.moment == "finished" and cell.way == "superseded":
        return False  # what has ended is not superseded
    return not (cell.service == "ten_at_once" and cell.moment not in ("sent", "receiving"))
