"""The bounds of an exchange in time, all behind one timer."""

import asyncio
from collections.abc import Callable

from htq.words.errors import SendError
from htq.words.reasons import Reason
from htq.words.task import Timeouts

__all__ = ["Watch"]


class Watch:
    """Calls `on_passed` with what it means when a bound is passed. Belongs to one connection, exchange after exchange.

    Told of what happens, it sets its timer only when a bound comes nearer: one that moves away is found out when the timer fires.
    So the timer is left running from one exchange to the next: to set and cancel one each time was a tenth of an exchange.
    """

    __slots__ = (
        "_answered",
        "_deadline",
        "_due",
        "_heard_at",
        "_loop",
        "_on",
        "_on_passed",
        "_sent_at",
        "_timeouts",
        "_timer",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, on_passed: Callable[[SendError], None]) -> None:
        self._loop = loop
        self._on_passed = on_passed
        self._on = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def begin(self, timeouts: Timeouts, deadline: float) -> None:
        """An exchange begins that must be over at `deadline`, on the loop's clock."""
        self._on = True
        self._timeouts = timeouts
        self._deadline = deadline
        self._answered = False
        self._sent_at: float | None = None
        self._heard_at: float | None = None
        if self._timer is None or self._due > deadline:
            self._set(deadline)

    def sent(self) -> None:
        """The last byte of the request has left."""
        if self._timeouts.first_byte is not None and not self._answered:
            self._sent_at = self._loop.time()
            self._look()

    def heard(self) -> None:
        """Something came, or reading has begun again."""
        self._answered = True
        if self._timeouts.idle is not None:
            was_set, self._heard_at = self._heard_at is not None, self._loop.time()
            if not was_set:
                self._look()

    def deaf(self) -> None:
        """Reading is paused: that nothing comes is not the target's fault."""
        self._heard_at = None

    def end(self) -> None:
        """The exchange is over."""
        self._on = False

    def close(self) -> None:
        """So is the connection."""
        self._on = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Report the nearest bound if it is passed, or see to it that the timer fires then."""
        timeouts = self._timeouts
        due: float = self._deadline
        reason: Reason = "total"
        detail = f"the exchange took longer than {timeouts.total:g} s"
        if self._sent_at is not None and timeouts.first_byte is not None and not self._answered:
            if (silent := self._sent_at + timeouts.first_byte) < due:
                due, reason, detail = silent, "first_byte", f"no byte of an answer within {timeouts.first_byte:g} s"
        elif (
            self._heard_at is not None and timeouts.idle is not None and (still := self._heard_at + timeouts.idle) < due
        ):
            due, reason, detail = still, "idle", f"the answer stood still for {timeouts.idle:g} s"
        if due <= self._loop.time():
            self._on_passed(SendError(reason, detail, sent=True))
        elif self._timer is None or self._due > due:
            self._set(due)

    def _set(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._loop.call_at(due, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        if self._on:
            self._look()
