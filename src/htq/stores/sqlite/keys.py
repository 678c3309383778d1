"""Idempotency keys: the same key with the same request is the same task."""

from typing import Any

from htq.stores.base import EnqueueOutcome
from htq.stores.sqlite.codec import uuid_of
from htq.stores.sqlite.step import Step
from htq.words.task import Idempotency

__all__ = ["drop_keys", "keep_key", "known_by_key"]


def known_by_key(step: Step, tenant: str, given: Idempotency) -> tuple[EnqueueOutcome, str] | None:
    """What the key says of a new task, and the uuid of the task that came with it before."""
    sql = "SELECT uuid, fingerprint FROM keys WHERE tenant = ? AND key = ? AND expires_at > ?"
    found: Any = step.db.execute(sql, (tenant, given.key, step.now)).fetchone()
    if found is None:
        return None
    key, fingerprint = found
    return ("replayed" if fingerprint == given.fingerprint else "mismatch"), uuid_of(key)


def keep_key(step: Step, tenant: str, given: Idempotency, task: bytes) -> None:
    """From now on the key is that task's. One whose time is over may still be in its place."""
    step.db.execute(
        "INSERT OR REPLACE INTO keys (tenant, key, fingerprint, uuid, expires_at) VALUES (?, ?, ?, ?, ?)",
        (tenant, given.key, given.fingerprint, task, step.now + round(given.keep_for * 1000)),
    )


def drop_keys(step: Step, limit: int) -> None:
    """Remove keys whose time is over."""
    sql = "SELECT tenant, key FROM keys WHERE expires_at <= ? ORDER BY expires_at LIMIT +?"
    step.many("DELETE FROM keys WHERE tenant = ? AND key = ?", step.rows(sql, (step.now, limit)))
