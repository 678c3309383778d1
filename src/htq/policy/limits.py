"""Windows, as the generic cell rate algorithm (GCRA, ITU-T I.371): one number each, when all that was spent is paid.

That number is the window's `tat` (theoretical arrival time), in microseconds; 0 is as good as long ago. A task of a size s
may start while `tat + s * inc - tau` lies in the past, with `inc = per / limit` and `tau = burst * inc`; then `tat` moves on
from itself or from now, whichever is later, by `s * inc`. So in any interval of `per` start at most `limit + burst - s`. A
task that is larger than `burst` counts as `burst`, or it would never start.

Every function takes the `tats` in the order of their `rates`, as many as there are of these: what was kept goes through
`fitted` first. A store's clock counts milliseconds, and there it is exact: what opens at `at` is open from `ceil(at / 1000)`
on, and not a millisecond before; and what the clock cannot tell costs no rate anything: 900 a second are 900.
"""

import math
from collections.abc import Mapping, Sequence

from htq.words.limits import MAX_HOLD, Rate

__all__ = ["charge", "correct", "fitted", "opens_at", "room"]

_TICK = 900.0
"""Microseconds that a start may be taken to lie before now: it came in the millisecond that is now, and the window had opened
between two of them. Were it less, each start would lose up to one; with this and `_ROUNDING` below a whole one, no interval of
`per` can tell."""

_ROUNDING = 50.0
"""Microseconds that a sum of fractions may lack: a double of today's time is exact to a quarter of one. Where so many tasks go
that it would be one of them, half a task."""


def _inc(rate: Rate) -> float:
    return rate.per * 1_000_000 / rate.limit


def _size(rate: Rate, cost: Mapping[str, float]) -> float:
    return 1.0 if rate.unit is None else min(cost.get(rate.unit, 0.0), rate.burst)


def _memory(rate: Rate) -> float:
    """For how long, in microseconds, a window remembers a task that it was charged for."""
    return max(rate.burst * _inc(rate), rate.per * 1_000_000)


def _most(rate: Rate) -> float:
    """How far ahead of now a `tat` may be: the burst; and for units an hour, since answers bring to light what was spent."""
    tau = rate.burst * _inc(rate)
    return tau if rate.unit is None else max(tau, MAX_HOLD * 1_000_000)


def fitted(rates: Sequence[Rate], tats: Sequence[float], now: int) -> list[float]:
    """The `tats` that were kept, perhaps under other settings or by a clock that was set back, as these `rates` read them.

    They go by place, since a window has no other name. One that is further ahead than these rates ever lead, or is missing, is
    as good as long ago: so no slow rate that was, and no wrong clock, holds up what is now.
    """
    return [
        tats[at] if at < len(tats) and tats[at] <= now + _most(rate) + _ROUNDING else 0.0
        for at, rate in enumerate(rates)
    ]


def room(rates: Sequence[Rate], tats: Sequence[float], now: int) -> int | None:
    """How many tasks that cost nothing may start at `now`; None: as many as there are."""
    least: int | None = None
    for rate, tat in zip(rates, tats, strict=True):
        if rate.unit is None:
            inc = _inc(rate)
            left = rate.burst * inc - max(tat - now, -_TICK)
            fits = max(math.floor((left + min(_ROUNDING, inc / 2)) / inc), 0)
            least = fits if least is None else min(least, fits)
    return least


def opens_at(rates: Sequence[Rate], tats: Sequence[float], cost: Mapping[str, float]) -> float:
    """When a task of this cost may start, in microseconds; not after now: it may."""
    at = 0.0
    for rate, tat in zip(rates, tats, strict=True):
        size = _size(rate, cost)
        if size:
            inc = _inc(rate)
            at = max(at, tat + (size - rate.burst) * inc - min(_ROUNDING, inc / 2))
    return at


def charge(
    rates: Sequence[Rate], tats: Sequence[float], now: int, cost: Mapping[str, float], count: int = 1
) -> list[float]:
    """The `tats` after `count` tasks of this cost have started at `now`."""
    return [
        max(tat, now - _TICK) + size * count * _inc(rate) if (size := _size(rate, cost)) else tat
        for rate, tat in zip(rates, tats, strict=True)
    ]


def correct(
    rates: Sequence[Rate],
    tats: Sequence[float],
    now: int,
    charged_at: int,
    charged: Mapping[str, float],
    actual: Mapping[str, float],
) -> list[float]:
    """The `tats` once it is known that a task charged for one cost at `charged_at` had another one, of the units in `actual`.

    What it cost beyond that is owed from now on, in full; whatever answers say, they hold a window for an hour at most, as a
    `Retry-After` does. What it cost less is given back, unless its start lies so far back that the window has forgotten it:
    then others have had that room since.
    """
    corrected: list[float] = []
    for rate, tat in zip(rates, tats, strict=True):
        if rate.unit is not None and rate.unit in actual:
            more = (max(actual[rate.unit], 0.0) - _size(rate, charged)) * _inc(rate)
            if more > 0:
                tat = min(max(tat, now) + more, now + _most(rate))
            elif more < 0 and now - charged_at < _memory(rate):
                tat += more
        corrected.append(tat)
    return corrected
