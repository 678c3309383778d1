"""The shared place of several processes, as a registry needs it: five verbs, each over a batch.

An entry says that a process runs a ticket, and a mark that a ticket was canceled. The one who runs writes its entry and
then looks for a mark; the one who cancels writes the mark and then looks for entries. So at least one of them sees the
other, whatever the order, without a lock.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from htq.service.contract import Ticket

__all__ = ["LEASE_SECONDS", "Board", "Found"]

LEASE_SECONDS = 30.0
"""How long an entry is believed after its process last confirmed it. Confirmed at a third of that."""


class Found(NamedTuple):
    """What the board knew of a ticket when it was marked."""

    processes: tuple[str, ...]
    """Those that run it by a fresh entry."""
    stopped: bool
    """A process that ran it has noted since an earlier mark that its work has ended."""


class Board(Protocol):
    """An open connection, used by one coroutine at a time. A verb that raises means that the connection is of no use any more."""

    async def put(self, tickets: Collection[Ticket]) -> set[Ticket]:
        """Write or confirm an entry of this process for each, then say which of them are marked as canceled."""
        ...

    async def drop(self, tickets: Mapping[Ticket, bool]) -> None:
        """Remove the entries of this process; True: it ended after a cancel, which is noted in the mark."""
        ...

    async def mark(self, tickets: Collection[Ticket]) -> dict[Ticket, Found]:
        """Mark each as canceled, for `TOMBSTONE_SECONDS`, then say who runs it."""
        ...

    async def tell(self, messages: Sequence[tuple[str, str]]) -> None:
        """Send each text to the process before it. May be lost: what matters is in the marks."""
        ...

    async def sweep(self) -> None:
        """Remove what has expired, within bounds."""
        ...

    async def close(self) -> None:
        """Let go of the connection. Never raises."""
        ...
