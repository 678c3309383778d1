"""Limits: how many at once, how many in a time, at what cost, and until when not at all.

Where each stands: a queue has its own, and says what holds for each of its lanes; a lane may have its own in place of those.
Points in time are epoch milliseconds, durations seconds.
"""

from typing import Literal, get_args

import msgspec

__all__ = ["FOREVER", "HOLD_REASONS", "MAX_HOLD", "Breaker", "Health", "Hold", "HoldReason", "LaneLimits", "Rate"]

FOREVER = 253402300799999
"""The last millisecond of the year 9999: what is put off until then waits until somebody says otherwise."""

MAX_HOLD = 3600.0
"""Seconds for which a target's answer may hold a lane, at most."""


class Rate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A window: `limit` a `per`, of which `burst` may go at once when nothing went before.

    In any interval of `per` seconds start at most `limit + burst - 1` tasks; with `unit` None, the usual `burst` is 1, which
    spreads them evenly. With a `unit` it is units of cost that are counted, and the usual `burst` is the whole `limit`.
    `limit` and `per` are above 0, `burst` is 1 at least where tasks are counted. The arithmetic is `htq.policy.limits`.
    """

    limit: float
    per: float = 1.0
    burst: float = 1.0
    unit: str | None = None
    """Which of a task's costs it counts; None: tasks. A task without such a cost passes it freely."""


class LaneLimits(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What holds for a lane. None: nothing is said; what the queue says of each lane holds, else the usual."""

    weight: int | None = None
    """Tasks that it gets in its turn; 1 is usual."""
    concurrency: int | None = None
    rate: tuple[Rate, ...] | None = None


class Breaker(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """After so many failures in a row a lane is held, then probed by one task at a time until one succeeds.

    A failure is an attempt that was `bad`; a `good` one begins the count anew. What is on its way when the lane is held says
    nothing new if it turns out `bad` before the hold is over, and is not counted; if it is `good`, no probing follows, but the
    hold stands until its time.
    """

    failures: int = 5
    hold: float = 10.0
    """Seconds of the first hold; each that follows without a success between is twice as long, up to `max_hold`."""
    max_hold: float = 600.0


HoldReason = Literal["rate_limited", "unavailable", "quota", "breaker", "operator"]
"""Why a lane is held: the target said 429, or 503 with a time; its `RateLimit` fields say that nothing is left; too many
failures in a row; or somebody said so."""

HOLD_REASONS: tuple[HoldReason, ...] = get_args(HoldReason)


class Hold(msgspec.Struct, frozen=True):
    """Nothing of a lane starts before `until`."""

    until: int
    reason: HoldReason


Health = Literal["good", "bad"]
"""What an attempt says of its target: that it answers, or that it is unwell (no answer, or a 5xx)."""
