"""Groups: tasks that are counted together, and complete once."""

from typing import Any

import apsw

from htq.stores.sqlite.codec import decode_callback, encode
from htq.stores.sqlite.step import Step
from htq.words.callback import Callback
from htq.words.group import Group
from htq.words.states import STATES

__all__ = ["drop_groups", "group", "is_closed", "open_group", "put_group"]

_GROUP = f"""
SELECT created_at, closed_at, completed_at, callback, {", ".join(STATES)} FROM groups WHERE tenant = ? AND name = ?
"""  # noqa: S608
_PUT = """
INSERT INTO groups (tenant, name, created_at, closed_at, callback) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE
SET closed_at = coalesce(closed_at, ?4), callback = coalesce(?5, callback) RETURNING id
"""
_DROP = """
DELETE FROM groups WHERE id IN (
    SELECT id FROM groups WHERE tasks = 0 AND closed_at IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM callbacks WHERE grp = groups.id AND grp IS NOT NULL)
    LIMIT +?)
"""


def is_closed(step: Step, tenant: str, name: str) -> bool:
    sql = "SELECT 1 FROM groups WHERE tenant = ? AND name = ? AND closed_at IS NOT NULL"
    return step.db.execute(sql, (tenant, name)).get is not None


def open_group(step: Step, tenant: str, name: str) -> int:
    """The id of a group that takes a new task, made where it is missing."""
    found: int | None = step.db.execute("SELECT id FROM groups WHERE tenant = ? AND name = ?", (tenant, name)).get
    made: int = found or step.db.execute(_PUT, (tenant, name, step.now, None, None)).get
    return made


def put_group(step: Step, tenant: str, name: str, callback: Callback | None, *, close: bool) -> Group:
    packed = None if callback is None else encode(callback)
    group_id = step.db.execute(_PUT, (tenant, name, step.now, step.now if close else None, packed)).get
    if close:
        step.look_at_group(group_id)
        step.flush()
    found = group(step.db, tenant, name)
    assert found is not None
    return found


def group(db: apsw.Connection, tenant: str, name: str) -> Group | None:
    row: Any = db.execute(_GROUP, (tenant, name)).fetchone()
    if row is None:
        return None
    created_at, closed_at, completed_at, callback, *counts = row
    return Group(
        tenant=tenant,
        name=name,
        created_at=created_at,
        closed_at=closed_at,
        completed_at=completed_at,
        callback=None if callback is None else decode_callback(callback),
        counts=dict(zip(STATES, counts, strict=True)),
    )


def drop_groups(step: Step, limit: int) -> None:
    """Remove groups that are closed, and have neither tasks nor a callback to tell."""
    step.db.execute(_DROP, (limit,))
