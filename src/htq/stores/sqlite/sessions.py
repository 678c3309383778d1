"""Sessions: a worker's leased presence. How one ends is in `upkeep`.

A lease runs on the steady clock of one boot of the machine: after a reboot every session counts as lapsed.
"""

from typing import Literal

from htq.stores.base import Heartbeat, RunningCancel, SessionInfo
from htq.stores.sqlite.codec import encode, uuid_of
from htq.stores.sqlite.step import Step
from htq.words.errors import SessionLost

__all__ = ["heartbeat", "open_session", "require_session"]

_LOST = "The lease of this session is over. Abort what it has on the wire, and open a new one."
_CANCELING = """
SELECT t.uuid, t.attempt, c.reason, EXISTS (SELECT 1 FROM stops s WHERE s.task = t.id AND s.attempt = t.attempt)
FROM tasks t CROSS JOIN cancels c ON c.id = t.id
WHERE t.state = 2 AND t.cancel_at IS NOT NULL AND t.session = +?
"""


def open_session(step: Step, session: bytes, info: SessionInfo, lease_for: float) -> None:
    step.db.execute(
        "INSERT INTO sessions (id, boot, expires, opened_at, info) VALUES (?, ?, ?, ?, ?)",
        (session, step.boot, step.steady + lease_for, step.now, encode(info)),
    )


def require_session(step: Step, session: bytes, column: Literal["claim_seq", "stops_seq"]) -> int:
    """The last number that `session` claimed with. Raises `SessionLost`."""
    sql = f"SELECT {column} FROM sessions WHERE id = ? AND boot = ? AND expires > ?"  # noqa: S608
    found: int | None = step.db.execute(sql, (session, step.boot, step.steady)).get
    if found is None:
        raise SessionLost(_LOST)
    return found


def heartbeat(step: Step, session: bytes, lease_for: float) -> Heartbeat:
    step.db.execute(
        "UPDATE sessions SET expires = ? WHERE id = ? AND boot = ? AND expires > ?",
        (step.steady + lease_for, session, step.boot, step.steady),
    )
    if not step.db.changes():
        raise SessionLost(_LOST)
    found = step.db.execute(_CANCELING, (session,))
    return Heartbeat([RunningCancel(uuid_of(key), attempt, reason, bool(stop)) for key, attempt, reason, stop in found])
