"""From what a caller asks for to a task that can be queued."""

from typing import Protocol

from htq.usecases.submission import Submission
from htq.words.task import Idempotency, NewTask

__all__ = ["Drafting"]


class Drafting(Protocol):
    """Makes the task that a submission asks for, and doesn't queue it. Raises `InvalidField` or `StoreUnavailable`."""

    async def __call__(self, submission: Submission, base: str, idempotency: Idempotency | None = None) -> NewTask:
        """`base` is this server's base URL."""
        ...
