"""`list_tasks` and `select`: pages by uuid, along the narrowest index that holds everything the filter can take."""

import apsw

from htq.stores.base import Filter, Page, Selection
from htq.stores.sqlite.codec import CODES, key_of, uuid_of
from htq.stores.sqlite.reading import get_by_keys
from htq.words.errors import Malformed
from htq.words.states import FINAL, State

__all__ = ["list_tasks", "select"]

_ODD: frozenset[State] = FINAL - {"success"}

_LEAST_LOOKED_AT = 1000
"""Records that a call looks at, or ten times its limit if that is more: a page that takes few of them comes short."""


def list_tasks(db: apsw.Connection, now: int, where: Filter, cursor: str | None, limit: int) -> Page:
    keys, last = _look(db, now, where, cursor, limit)
    return Page([task for task in get_by_keys(db, keys) if task is not None], last)


def select(db: apsw.Connection, now: int, where: Filter, cursor: str | None, limit: int) -> Selection:
    keys, last = _look(db, now, where, cursor, limit)
    return Selection([uuid_of(key) for key in keys], last)


def _look(
    db: apsw.Connection, now: int, where: Filter, cursor: str | None, limit: int
) -> tuple[list[bytes], str | None]:
    """The keys of a page, and its cursor."""
    after = b"" if cursor is None else key_of(cursor)
    if cursor is not None and not after:
        raise Malformed("The cursor is none that a page has given.")
    look_at = max(_LEAST_LOOKED_AT, 10 * limit)
    hit, values = _condition(where, now)
    sql = f"""
    SELECT t.uuid, {hit} FROM (SELECT * FROM tasks {_along(where)} AND uuid > ? ORDER BY uuid LIMIT +?) t
    {"CROSS JOIN requests r ON r.id = t.id" if "r." in hit else ""}
    """  # noqa: S608
    along: tuple[object, ...] = ()
    if where.name is not None:
        along = (where.tenant, where.name)
    elif where.group is not None:
        along = (where.tenant, where.group)
    keys: list[bytes] = []
    last = after
    for looked_at, (key, taken) in enumerate(db.execute(sql, (*values, *along, after, look_at + 1))):
        if len(keys) == limit or looked_at == look_at:
            return keys, uuid_of(last)
        last = key
        if taken:
            keys.append(key)
    return keys, None


def _along(where: Filter) -> str:
    """The index to go along, with its own condition, word for word, so that the planner knows it again."""
    if where.name is not None:
        return "INDEXED BY tasks_named WHERE tenant = ? AND name = ? AND name IS NOT NULL"
    if where.group is not None:
        return "INDEXED BY tasks_grouped WHERE grp = (SELECT id FROM groups WHERE tenant = ? AND name = ?) AND grp IS NOT NULL"
    if not FINAL.intersection(where.statuses):
        return "INDEXED BY tasks_live WHERE state < 3"
    if _ODD.issuperset(where.statuses):
        return "INDEXED BY tasks_odd WHERE (state > 3 OR cancel_at IS NOT NULL)"
    return "INDEXED BY tasks_uuid WHERE TRUE"


def _condition(where: Filter, now: int) -> tuple[str, list[object]]:
    """The filter as an expression over `t` (tasks) and `r` (requests), and its values."""
    parts = ["t.tenant = ?"]
    values: list[object] = [where.tenant]
    if not where.statuses:
        parts.append("(t.state = 1 OR t.state = 0 AND t.due_at <= ?)")
        values.append(now)
    else:
        ways = []
        for status in where.statuses:
            ways.append("t.cancel_at IS NOT NULL" if status == "canceled" else "t.state = ? AND t.cancel_at IS NULL")
            if status != "canceled":
                values.append(CODES[status])
        parts.append(f"({' OR '.join(ways)})")
    if where.queue is not None:
        parts.append("t.queue = (SELECT id FROM queues WHERE name = ?)")
        values.append(where.queue)
    if where.group is not None:
        parts.append("t.grp = (SELECT id FROM groups WHERE tenant = ? AND name = ?)")
        values += [where.tenant, where.group]
    if where.key is not None:
        parts.append("EXISTS (SELECT 1 FROM lanes WHERE id = t.lane AND key = ?)")
        values.append(where.key)
    if where.host is not None:
        parts.append("r.host = ?")
        values.append(where.host)
    for label, value in where.labels.items():
        parts.append("EXISTS (SELECT 1 FROM json_each(r.labels) WHERE key = ? AND atom = ?)")
        values += [label, value]
    if where.since is not None:
        parts.append("r.created_at >= ?")
        values.append(where.since)
    if where.until is not None:
        parts.append("r.created_at < ?")
        values.append(where.until)
    return " AND ".join(parts), values
