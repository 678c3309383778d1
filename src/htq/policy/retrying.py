"""Whether an attempt is followed by another, and when: the arithmetic of `htq.words.retry`.

Pure: the time, the jitter and what the target asked for are handed in. Points in time are epoch milliseconds, durations seconds.
"""

import math
from typing import Final, NamedTuple

from htq.words.reasons import Reason
from htq.words.retry import RetryPolicy
from htq.words.task import Delivery, Headers

__all__ = ["TIMEOUTS", "Again", "Over", "asks_for_no_other", "is_failure", "next_attempt", "wait"]

TIMEOUTS: Final[frozenset[Reason]] = frozenset({"first_byte", "idle", "total"})
"""The target did not answer in time: such a task ends in `timeout`."""

_GROUPS: Final[dict[str, frozenset[Reason]]] = {
    "connect": frozenset({"dns", "connect", "tls", "reset", "connection_reused"}),
    "timeout": TIMEOUTS,
}


class Again(NamedTuple):
    """Another attempt may begin at `due_at`."""

    due_at: int


class Over(NamedTuple):
    """This attempt was the last one. `because` goes on from "…, and "."""

    because: str


def is_failure(policy: RetryPolicy, code: int | None, reason: Reason | None) -> bool:
    """Whether the policy takes an answer with this `code`, or the lack of one for this `reason`, for a failure."""
    if code is not None:
        return str(code) in policy.on or f"{code // 100}xx" in policy.on
    return any(reason == word or reason in _GROUPS.get(word, ()) for word in policy.on)


def asks_for_no_other(headers: Headers) -> bool:
    """Whether the target said `HTQ-Retry: no`: it knows that another attempt would come to the same."""
    return any(name.lower() == "htq-retry" and value.strip().lower() == "no" for name, value in headers)


def next_attempt(
    policy: RetryPolicy,
    *,
    failures: int,
    delivery: Delivery,
    sent: bool,
    headers: Headers = (),
    retry_after: float | None = None,
    begun_at: int,
    now: int,
    fraction: float,
) -> Again | Over:
    """What follows an attempt that failed, after `failures` others that did.

    `sent`: whether a byte of the request may have left, which is the last that an at-most-once task allows. `headers` are those of
    the answer, `retry_after` is what it asks for. `fraction` (0 to 1) is this retry's jitter.
    """
    if delivery == "at_most_once" and sent:
        return Over("it may be sent once only")
    if asks_for_no_other(headers):
        return Over("the target wants no other attempt (HTQ-Retry: no)")
    if failures >= policy.max:
        return Over("no retry is left" if policy.max else "its policy allows no retry")
    due_at = now + math.ceil(max(wait(policy, failures, fraction), retry_after or 0.0) * 1000)
    if policy.max_elapsed is not None and due_at > begun_at + policy.max_elapsed * 1000:
        return Over(f"another attempt would begin later than {policy.max_elapsed:g} s after the first (max_elapsed)")
    return Again(due_at)


def wait(policy: RetryPolicy, failures: int, fraction: float) -> float:
    """Seconds before the retry that follows `failures` others. Full jitter spreads a crowd that failed together."""
    if policy.delays:
        return policy.delays[min(failures, len(policy.delays) - 1)]
    try:
        longest = min(policy.base * policy.factor**failures, policy.longest)
    except OverflowError:
        longest = policy.longest
    return longest * fraction if policy.jitter else longest
