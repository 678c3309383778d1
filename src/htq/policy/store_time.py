"""What the time is by the store's clock, as far as its answers tell: the machine that it runs on may have another one than this."""

import math

from htq.words.clock import Clock

__all__ = ["StoreTime"]


class StoreTime:
    """How far the store's clock is from this machine's steady one, measured at each answer that says what the time was.

    Whatever a store is told of a time, and whatever it says of one, is by its own clock: when a lane is ready again, when a task is
    due, until when a lane is held. With two clocks that are apart, holds would be too short and lanes slow.

    An answer was made between the question and its arrival, so each one gives bounds, and what fits all of them is good to half of
    what the quickest took. One that contradicts those before means that a clock was set: it begins anew. Until the first
    has come this machine's wall clock is believed.
    """

    __slots__ = ("_ahead", "_clock", "_least", "_most")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead: float | None = None
        """Milliseconds to be added to the steady clock: the middle of these two."""
        self._least = -math.inf
        self._most = math.inf

    def asks(self) -> float:
        """The moment of a question, for `heard`. Taken before its first try, if it is repeated."""
        return self._clock.steady()

    def heard(self, at: int, asked: float) -> None:
        """By the store's clock it was `at` (epoch milliseconds) when it answered what was asked at `asked`."""
        least = at - self._clock.steady() * 1000
        most = at + 1 - asked * 1000
        if least <= self._most and most >= self._least:
            least, most = max(least, self._least), min(most, self._most)
        self._least, self._most = least, most
        self._ahead = (least + most) / 2

    def now_ms(self) -> int:
        """Milliseconds since the epoch, by the store's clock."""
        if self._ahead is None:
            return self._clock.now_ms()
        return int(self._clock.steady() * 1000 + self._ahead)
