"""Bodies that lie beside their record, in chunks."""

from collections.abc import Sequence

import apsw

from htq.stores.base import CHUNK, BodyRef
from htq.stores.sqlite.codec import PENDING, key_of
from htq.stores.sqlite.step import Step

__all__ = ["append_body", "drop_bodies", "drop_body", "read_body", "write_body"]

_INSERT = "INSERT OR REPLACE INTO chunks (task, attempt, number, data) VALUES (?, ?, ?, ?)"


def write_body(step: Step, task: int, attempt: int, body: bytes) -> None:
    """Lay a whole body beside `task`."""
    view = memoryview(body)
    pieces = range(0, len(body), CHUNK)
    step.many(_INSERT, ((task, attempt, at // CHUNK, view[at : at + CHUNK]) for at in pieces))


def append_body(step: Step, ref: BodyRef, index: int, chunks: Sequence[bytes]) -> bool:
    sql = "UPDATE tasks SET spooled = attempt WHERE uuid = ? AND state = ? AND attempt = ? RETURNING id"
    task = step.db.execute(sql, (key_of(ref.uuid), PENDING, ref.attempt)).get
    if task is None:
        return False
    step.many(_INSERT, ((task, ref.attempt, index + place, chunk) for place, chunk in enumerate(chunks)))
    return True


def read_body(db: apsw.Connection, ref: BodyRef, index: int, limit: int) -> list[bytes]:
    sql = """
    SELECT data FROM chunks WHERE task = (SELECT id FROM tasks WHERE uuid = ?) AND attempt = ? AND number >= ?
    ORDER BY number LIMIT +?
    """
    attempt = 0 if ref.side == "request" else ref.attempt
    return [data for (data,) in db.execute(sql, (key_of(ref.uuid), attempt, index, limit))]


def drop_body(step: Step, task: int, attempt: int) -> None:
    """Remove what an attempt has laid down."""
    step.db.execute("DELETE FROM chunks WHERE task = ? AND attempt = ?", (task, attempt))


def drop_bodies(step: Step, task: int) -> None:
    """Remove the bodies of all responses; the request's stays."""
    step.db.execute("DELETE FROM chunks WHERE task = ? AND attempt > 0", (task,))
