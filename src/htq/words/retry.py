"""Retries: what a task's policy says about attempts that failed."""

import msgspec

__all__ = ["RETRY_CODES", "RETRY_ON", "RetryPolicy"]

RETRY_CODES = ("408", "425", "429", "500", "502", "503", "504")
"""The codes of an answer that are worth another attempt, unless a policy names others."""

RETRY_ON = (*RETRY_CODES, "connect", "timeout")
"""What is, where a policy doesn't say. `connect`: no byte had left (dns, connect, tls), or the connection was lost (reset,
connection_reused). `timeout`: connect excepted, the target did not answer in time (first_byte, idle, total)."""


class RetryPolicy(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Which failures lead to another attempt, how often and how soon. Resolved when the task is accepted.

    The n-th retry waits for full jitter below `min(base * factor ** (n - 1), longest)` seconds, or for `delays[n - 1]` (the last
    of them for all that follow), and never less than the target's `Retry-After`.
    """

    max: int
    """Attempts after the first, at most."""
    base: float = 1.0
    factor: float = 2.0
    longest: float = 300.0
    jitter: bool = True
    delays: tuple[float, ...] = ()
    on: tuple[str, ...] = RETRY_ON
    """Codes of answers ("503", or a class of them, "5xx"), and words of `htq.words.reasons`; see `RETRY_ON` for two of them."""
    max_elapsed: float | None = None
    """Seconds from the beginning of the first attempt after which no other begins."""
