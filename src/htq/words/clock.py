"""Time and chance: the only module that reads a clock, sleeps, or makes ids and random numbers.

Everything else takes a `Clock` and a `Chance` from the composition root, so that a test can stop the one and replay
the other.
"""

import asyncio
import hashlib
import random
import time
from collections.abc import Coroutine
from typing import Any, Protocol

__all__ = ["Chance", "Clock", "SystemClock", "derived_uuid", "first_of", "wait_for"]

# Linux counts suspended time in CLOCK_BOOTTIME and not in CLOCK_MONOTONIC: a lease must run out while a laptop sleeps.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What the time is, and how to let some of it pass."""

    def now_ms(self) -> int:
        """The wall clock: milliseconds since the epoch. It can jump."""
        ...

    def steady(self) -> float:
        """Seconds on a clock that never jumps and counts suspended time. Its zero means nothing."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed."""
        ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def steady(self) -> float:
        return time.clock_gettime(_STEADY)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Chance:
    """Ids and jitter, from one generator each.

    Ids come from the operating system, since to know one is to be able to cancel its task. Jitter is replayable: give a
    `seed`, and a failing run can be had again.
    """

    __slots__ = ("_bits", "_clock", "_counter", "_jitter", "_last_ms")

    def __init__(self, clock: Clock, seed: int | None = None) -> None:
        self._clock = clock
        self._jitter = random.Random(seed)
        source: random.Random = random.SystemRandom() if seed is None else random.Random(seed)
        self._bits = source.getrandbits
        self._last_ms = 0
        self._counter = 0

    def uuid(self) -> str:
        """A UUIDv7 (RFC 9562, 5.7) in its 36-character form.

        Ids made by one process sort in the order of their making: the 12 bits after the milliseconds count, and carry
        into the time when they are used up (method 1 of RFC 9562, 6.2).
        """
        now = self._clock.now_ms()
        if now > self._last_ms:
            self._last_ms = now
            self._counter = 0
        else:
            self._counter += 1
            if self._counter > 0xFFF:
                self._last_ms += 1
                self._counter = 0
        tail = self._bits(62) | (0b10 << 62)
        digits = f"{self._last_ms:012x}7{self._counter:03x}{tail:016x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def token(self, bits: int = 64) -> int:
        """A number that nobody can guess, below 2**bits."""
        return self._bits(bits)

    def around(self, seconds: float, share: float = 0.1) -> float:
        """`seconds`, give or take `share` of it: for periods that must not march in step."""
        return seconds * (1 + share * (2 * self._jitter.random() - 1))

    def below(self, seconds: float) -> float:
        """Full jitter: anything from 0 to `seconds`."""
        return seconds * self._jitter.random()


def derived_uuid(at_ms: int, *parts: str) -> str:
    """A UUIDv7 of the time `at_ms` that is always the same for the same `parts`: so that two who make one task make the same."""
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=10).hexdigest()
    variant = "89ab"[int(digest[3], 16) & 3]
    digits = f"{at_ms:012x}7{digest[:3]}{variant}{digest[4:19]}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


async def wait_for(event: asyncio.Event, seconds: float, clock: Clock) -> bool:
    """Wait until `event` is set, for `seconds` at most; whether it is set."""
    if not event.is_set():
        await first_of(event.wait(), clock.sleep(seconds))
    return event.is_set()


async def first_of(*things: Coroutine[Any, Any, object] | asyncio.Future[Any]) -> None:
    """Wait until one of `things` is over. Coroutines are canceled then; tasks and futures are their owners' and go on."""
    futures = [asyncio.ensure_future(thing) for thing in things]
    try:
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for thing, future in zip(things, futures, strict=True):
            if future is not thing:
                future.cancel()
