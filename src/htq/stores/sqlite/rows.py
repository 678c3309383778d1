"""A task's row, as far as the verbs need it to decide."""

from typing import NamedTuple

from htq.stores.sqlite.step import Step

__all__ = ["BETWEEN", "BETWEEN_OWES", "COLUMNS", "Row", "find"]

BETWEEN = 1
"""In `retrying`: the last attempt ended with `Retry`."""
BETWEEN_OWES = 2
"""Besides, a cancel that comes before the next one owes a stop for it."""

COLUMNS = (
    "id, uuid, state, queue, lane, attempt, session, claimed_at, run_at, ttl_ms, stop_ms, once, crashes, loose, spooled, "
    "cancel_at, blocked_by, has_response, tenant, name, start_by, deadline, retrying, grp, callback"
)


class Row(NamedTuple):
    """`COLUMNS` of `tasks`."""

    id: int
    key: bytes
    state: int
    queue: int
    lane: int
    attempt: int
    session: bytes | None
    claimed_at: int | None
    run_at: int
    ttl_ms: int
    stop_ms: int | None
    once: int
    crashes: int
    loose: int
    spooled: int
    cancel_at: int | None
    blocked_by: int | None
    has_response: int
    tenant: str
    name: str | None
    start_by: int | None
    deadline: int | None
    retrying: int | None
    group: int | None
    callback: int | None


_FIND = f"SELECT {COLUMNS} FROM tasks WHERE uuid = ?"  # noqa: S608


def find(step: Step, key: bytes) -> Row | None:
    """The row of a task, as this step sees it now."""
    for row in step.db.execute(_FIND, (key,)):
        return Row._make(row)
    return None
