"""Callbacks that are owed: written where a task or a group ends (`leave`, `counters`), settled by a keeper."""

from collections.abc import Sequence

import apsw

from htq.stores.base import OwedCallback
from htq.stores.sqlite.codec import key_of, uuid_of
from htq.stores.sqlite.step import Step

__all__ = ["owed_callbacks", "settle_callbacks"]

_OWED = """
SELECT t.tenant, t.uuid, g.tenant, g.name, c.number, c.at
FROM callbacks c LEFT JOIN tasks t ON t.id = c.task LEFT JOIN groups g ON g.id = c.grp ORDER BY c.id LIMIT +?
"""
_SETTLE_TASK = "DELETE FROM callbacks WHERE task = (SELECT id FROM tasks WHERE uuid = ?) AND number = ? AND at = ?"
_SETTLE_GROUP = "DELETE FROM callbacks WHERE grp = (SELECT id FROM groups WHERE tenant = ? AND name = ?)"


def owed_callbacks(db: apsw.Connection, limit: int) -> list[OwedCallback]:
    owed: list[OwedCallback] = []
    for tenant, key, group_tenant, group, number, at in db.execute(_OWED, (limit,)):
        if group is None:
            owed.append(OwedCallback("task", tenant, uuid_of(key), number, at))
        else:
            owed.append(OwedCallback("group", group_tenant, group, number, at))
    return owed


def settle_callbacks(step: Step, owed: Sequence[OwedCallback]) -> None:
    for each in owed:
        if each.kind == "task":
            step.db.execute(_SETTLE_TASK, (key_of(each.subject), each.number, each.at))
        else:
            step.db.execute(_SETTLE_GROUP, (each.tenant, each.subject))
