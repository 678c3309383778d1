"""Numbers that are part of the contract."""

__all__ = ["BLOCKED_FOR", "BODY_INLINE", "CHUNK", "MAX_CRASHES", "STOP_LAPSES_AFTER"]

BODY_INLINE = 4096
"""Bytes up to which a body lies in the record; above that it lies beside it, in chunks."""

CHUNK = 256 * 1024
"""Bytes of a stored chunk, at most."""

MAX_CRASHES = 3
"""A task that was reaped more often than this ends in `error`, reason `interrupted`."""

STOP_LAPSES_AFTER = 300.0
"""Seconds after which an unsent stop lapses, unless the task's total timeout is longer."""

BLOCKED_FOR = 15.0
"""Seconds for which a task waits behind another's exchange, at most."""
