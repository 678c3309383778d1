"""What the store made of a new task, in the caller's terms."""

from typing import Literal, NamedTuple

from htq.stores.base import Enqueued
from htq.words.errors import Conflict, KeyReused, RequestError
from htq.words.task import NewTask

__all__ = ["Accepted", "accepted"]


class Accepted(NamedTuple):
    """A task that is there: `created`, `existing` in its place, or `replayed` from an earlier call with its key."""

    uuid: str
    outcome: Literal["created", "existing", "replayed"]


def accepted(new: NewTask, found: Enqueued) -> Accepted | RequestError:
    """The task that is there now, or why there is none."""
    if found.outcome in ("created", "existing", "replayed"):
        return Accepted(found.uuid, found.outcome)
    if found.outcome == "mismatch":
        return KeyReused("This Idempotency-Key came before with another request: take a new one for a new request.")
    if found.outcome == "rejected":
        return Conflict(
            f"The request {found.uuid} has this id and has not ended: wait for it, cancel it, or take another id.",
            found.uuid,
        )
    if found.outcome == "closed":
        return Conflict(f"The group {new.group} is closed: no request is taken into it any more. Name another one.")
    return Conflict("It was not taken since another one of its batch was refused.")
