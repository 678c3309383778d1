"""What the operator decides about the use cases."""

from typing import Literal

import msgspec

__all__ = ["CancelDelete", "ServiceSettings"]

CancelDelete = Literal["always", "post", "never"]
"""Which canceled tasks are followed by a DELETE where they don't say so themselves: all, those with POST, or none."""


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults and bounds. Durations are in seconds."""

    retention: float = 7 * 86400.0
    """How long a final task is kept where it doesn't say so itself."""
    cancel_delete: CancelDelete = "always"
    idempotency_window: float = 86400.0
    """For how long an `Idempotency-Key` is known."""
    timeout: float = 60.0
    """The total timeout of a task that names none."""
    max_response: int = 64 * 1024 * 1024
    """The largest response, in bytes, of a task that names no other."""
    max_waiters: int = 10_000
    """Callers that may wait for something at the same time; the next one is told to come back."""
    poll_every: float = 1.0
    """How often the states of all that is waited for are read, in case a signal was lost."""
    batch: int = 500
    """Items of one store call."""
