"""The windows of a queue or a lane as they stand: its rates, and the number of each that `htq.policy.limits` reckons with."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from htq.policy import limits
from htq.words.limits import Rate

__all__ = ["FREE", "Windows", "decode_cost", "decode_rates", "encode_cost", "encode_rates"]

FREE: Mapping[str, float] = {}
"""The cost of a task that has none."""

_encoder = msgspec.msgpack.Encoder()
_rates = msgspec.msgpack.Decoder(tuple[Rate, ...])
_spent = msgspec.msgpack.Decoder(list[float])
_costs = msgspec.msgpack.Decoder(dict[str, float])


def encode_rates(rates: Sequence[Rate] | None) -> bytes | None:
    return None if rates is None else _encoder.encode(rates)


@lru_cache(256)
def decode_rates(packed: bytes) -> tuple[Rate, ...]:
    return _rates.decode(packed)


def decode_cost(packed: bytes | None) -> Mapping[str, float]:
    return FREE if packed is None else _costs.decode(packed)


def encode_cost(cost: Mapping[str, float]) -> bytes | None:
    return _encoder.encode(cost) if cost else None


class Windows:
    """Made for one step, and written back by whoever charges it. Times are microseconds, whole ones outside."""

    __slots__ = ("_tats", "charged", "counts_units", "now", "rates")

    def __init__(self, rates: bytes, spent: bytes | None, now: int) -> None:
        self.rates = decode_rates(rates)
        self.counts_units = any(rate.unit is not None for rate in self.rates)
        self.now = now
        self.charged = False
        self._tats = limits.fitted(self.rates, [] if spent is None else _spent.decode(spent), now)

    def room(self, most: int) -> int:
        """How many of `most` tasks the windows that count tasks let start now."""
        room = limits.room(self.rates, self._tats, self.now)
        return most if room is None else min(room, most)

    def opens_at(self, cost: Mapping[str, float] = FREE) -> int:
        """When a task of this cost may start; not after now: it may."""
        return math.ceil(limits.opens_at(self.rates, self._tats, cost))

    def charge(self, cost: Mapping[str, float], count: int) -> None:
        self.charged = True
        self._tats = limits.charge(self.rates, self._tats, self.now, cost, count)

    def correct(self, charged_at: int, charged: Mapping[str, float], actual: Mapping[str, float]) -> None:
        self._tats = limits.correct(self.rates, self._tats, self.now, charged_at, charged, actual)

    def paid_at(self) -> int:
        """When all that was spent is paid: from then on they need not be remembered."""
        return math.ceil(max(self._tats, default=0.0))

    def spent(self) -> bytes:
        return _encoder.encode(self._tats)
