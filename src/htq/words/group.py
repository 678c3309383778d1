"""A group: tasks that are counted, awaited and canceled together."""

import msgspec

from htq.words.callback import Callback
from htq.words.states import LIVE, State

__all__ = ["Group"]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group as a store shows it. It is complete once it is closed and none of its tasks is alive: that happens once.

    It is there as long as one of its tasks is kept, or until it was closed.
    """

    tenant: str = ""
    name: str
    created_at: int
    closed_at: int | None
    """Since when no task is taken into it any more; None: it may grow."""
    completed_at: int | None
    callback: Callback | None
    counts: dict[State, int]
    """Its tasks by stored state; those that were forgotten are not counted."""

    @property
    def live(self) -> int:
        """Tasks that have not ended."""
        return sum(count for state, count in self.counts.items() if state in LIVE)
