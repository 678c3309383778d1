"""Names: what becomes of a new task where a live one has its name, and whose exchange or end it waits for."""

from typing import Any, NamedTuple

from htq.stores.base import EnqueueOutcome
from htq.stores.sqlite.cancels import cancel_one
from htq.stores.sqlite.codec import PENDING, uuid_of
from htq.stores.sqlite.leave import has_owed_stop
from htq.stores.sqlite.rows import find
from htq.stores.sqlite.step import Step
from htq.words.task import OnConflict

__all__ = ["Naming", "is_taken", "name_task", "next_rank"]

_ALIVE = """
SELECT id, uuid FROM tasks WHERE tenant = ? AND name = ? AND name IS NOT NULL AND state < 3 AND cancel_at IS NULL ORDER BY rank
"""
_LATEST = """
SELECT id, state, blocked_by, rank FROM tasks WHERE tenant = ? AND name = ? AND name IS NOT NULL ORDER BY rank DESC LIMIT 1
"""
_TAKEN = "SELECT 1 FROM tasks WHERE tenant = ? AND name = ? AND name IS NOT NULL AND state < 3"


class Naming(NamedTuple):
    """What a name makes of a new task."""

    outcome: EnqueueOutcome = "created"
    key: bytes = b""
    """Of the task in its place, where it is not made."""
    rank: int | None = None
    superseded: tuple[str, ...] = ()
    blocked_by: int | None = None
    """The id of the task that it waits behind."""
    to_its_end: bool = False
    """Whether it waits until that one has ended, however long that takes, and not for its exchange alone."""


def name_task(step: Step, tenant: str, name: str, on_conflict: OnConflict) -> Naming:
    """Make room for a new task of that name, or tell why it is not made."""
    alive = step.rows(_ALIVE, (tenant, name))
    if not alive:
        return _after_latest(step, tenant, name)
    latest, key = alive[-1]
    if on_conflict == "return_existing":
        return Naming("existing", key)
    if on_conflict == "reject":
        return Naming("rejected", key)
    if on_conflict == "queue_after":
        return Naming(rank=next_rank(step, tenant, name), blocked_by=latest, to_its_end=True)
    for _, each in alive:
        old = find(step, each)
        assert old is not None
        cancel_one(step, old, "superseded")
    return _after_latest(step, tenant, name)._replace(superseded=tuple(uuid_of(each) for _, each in alive))


def _after_latest(step: Step, tenant: str, name: str) -> Naming:
    """Behind the exchange of the latest, if that is not over. One that was canceled while it waited hands that on."""
    found: Any = step.db.execute(_LATEST, (tenant, name)).fetchone()
    if found is None:
        return Naming(rank=1)
    task, state, blocked_by, rank = found
    behind = task if state == PENDING or has_owed_stop(step, task) else blocked_by
    return Naming(rank=rank + 1, blocked_by=behind)


def next_rank(step: Step, tenant: str, name: str) -> int:
    """What makes a task the latest of its name."""
    found: Any = step.db.execute(_LATEST, (tenant, name)).fetchone()
    return 1 if found is None else found[3] + 1


def is_taken(step: Step, tenant: str, name: str) -> bool:
    """Whether a live task has that name, one that is being canceled too."""
    return step.db.execute(_TAKEN, (tenant, name)).get is not None
