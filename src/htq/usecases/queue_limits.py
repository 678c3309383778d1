"""From what an operator says of a queue or a lane to what a store keeps, and back."""

from typing import Final

import msgspec

from htq.stores.base import QueueSettings
from htq.usecases.defaults import QueueDefaults, check_defaults, stored_defaults
from htq.usecases.queue_wishes import BreakerWish, LaneWish, LimitsWish, PauseWish, QueueWish, RateWish
from htq.usecases.stops import queue_settings
from htq.usecases.times import moment, plain, seconds
from htq.words.errors import InvalidField
from htq.words.limits import FOREVER, Breaker, Hold, LaneLimits, Rate

__all__ = [
    "breaker_wish",
    "lane_hold",
    "lane_limits",
    "limits_wish",
    "paused_until",
    "rate_wishes",
    "settings_of",
]

_DAY: Final = 86400.0
_LONGEST: Final = 31 * _DAY
_FILLS_WITHIN: Final = 366 * _DAY
"""Seconds in which a window that was used up is full again, at most: its arithmetic stays within what a double holds exactly."""

_USUAL_BREAKER: Final = Breaker()


def settings_of(wish: QueueWish, now_ms: int) -> QueueSettings:
    """What a queue keeps. Raises `InvalidField`."""
    defaults = wish.defaults or QueueDefaults()
    check_defaults(defaults)
    return msgspec.structs.replace(
        queue_settings(defaults.cancel),
        defaults=stored_defaults(defaults),
        concurrency=wish.concurrency,
        rate=_rates(wish.rate, "/rate") or (),
        per_key=LaneLimits() if wish.per_key is None else lane_limits(wish.per_key, "/per_key"),
        breaker=None if wish.breaker is None else _breaker(wish.breaker),
        paused_until=_ahead(wish.paused_until, now_ms, "/paused_until"),
    )


def lane_limits(wish: LimitsWish, pointer: str = "") -> LaneLimits:
    """Raises `InvalidField`; `pointer` leads to `wish`."""
    return LaneLimits(weight=wish.weight, concurrency=wish.concurrency, rate=_rates(wish.rate, f"{pointer}/rate"))


def lane_hold(wish: LaneWish, now_ms: int) -> Hold | None:
    """Raises `InvalidField`."""
    until = _ahead(wish.held_until, now_ms, "/held_until")
    return None if until is None else Hold(until, "operator")


def paused_until(wish: PauseWish, now_ms: int) -> int:
    """Until when a queue is paused. Raises `InvalidField`."""
    if wish.for_ is not None:
        if wish.until is not None:
            raise InvalidField("Give until or for, not both.", "/for")
        return now_ms + round(seconds(wish.for_, "/for", least=0.001) * 1000)
    if wish.until is None:
        return FOREVER
    until = _ahead(wish.until, now_ms, "/until")
    if until is None:
        raise InvalidField("until lies in the past: it is in epoch milliseconds.", "/until")
    return until


def rate_wishes(rates: tuple[Rate, ...]) -> list[RateWish]:
    """How an operator would have said it, without what is usual."""
    return [
        RateWish(
            limit=plain(rate.limit),
            per=plain(rate.per),
            burst=None if rate.burst == _usual_burst(rate.limit, rate.unit) else plain(rate.burst),
            unit=rate.unit,
        )
        for rate in rates
    ]


def limits_wish(limits: LaneLimits) -> LimitsWish:
    """As `rate_wishes`."""
    rate = None if limits.rate is None else rate_wishes(limits.rate)
    return LimitsWish(weight=limits.weight, concurrency=limits.concurrency, rate=rate)


def breaker_wish(breaker: Breaker) -> BreakerWish:
    """All of it: an empty object would say little to its reader."""
    return BreakerWish(failures=breaker.failures, hold=plain(breaker.hold), max_hold=plain(breaker.max_hold))


def _rates(wishes: list[RateWish] | None, pointer: str) -> tuple[Rate, ...] | None:
    return None if wishes is None else tuple(_rate(wish, f"{pointer}/{at}") for at, wish in enumerate(wishes))


def _rate(wish: RateWish, pointer: str) -> Rate:
    per = 1.0 if wish.per is None else seconds(wish.per, f"{pointer}/per", least=0.001, most=_LONGEST)
    burst = _usual_burst(wish.limit, wish.unit) if wish.burst is None else wish.burst
    if wish.unit is None and burst < 1:
        raise InvalidField(
            "burst is 1 at least where requests are counted: nothing could ever start.", f"{pointer}/burst"
        )
    if burst * per / wish.limit > _FILLS_WITHIN:
        raise InvalidField(
            "burst would take longer than a year to be there again: give a smaller one, or a higher limit.",
            f"{pointer}/burst",
        )
    return Rate(limit=wish.limit, per=per, burst=burst, unit=wish.unit)


def _usual_burst(limit: float, unit: str | None) -> float:
    return 1.0 if unit is None else limit


def _breaker(wish: BreakerWish) -> Breaker:
    usual = _USUAL_BREAKER
    hold = usual.hold if wish.hold is None else seconds(wish.hold, "/breaker/hold", least=0.001, most=_DAY)
    longest = max(usual.max_hold, hold)
    if wish.max_hold is not None:
        longest = seconds(wish.max_hold, "/breaker/max_hold", least=0.001, most=_DAY)
        if longest < hold:
            raise InvalidField("max_hold is shorter than hold, the first of them.", "/breaker/max_hold")
    return Breaker(failures=wish.failures or usual.failures, hold=hold, max_hold=longest)


def _ahead(given: int | str | None, now_ms: int, pointer: str) -> int | None:
    """A point in time, None where it has passed."""
    if given is None:
        return None
    at = moment(given, now_ms, pointer, latest=FOREVER)
    return at if at > now_ms else None
