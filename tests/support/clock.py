"""A clock that stands still until a test moves it."""

import asyncio
import heapq
import itertools

__all__ = ["ManualClock", "WrongClock"]


class ManualClock:
    """Wall and steady time that move together, by `advance` only. Sleepers wake in the order of their time."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self._now_ms = now_ms
        self._steady = 1000.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._asleep = asyncio.Event()

    def now_ms(self) -> int:
        return self._now_ms

    def steady(self) -> float:
        return self._steady

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._steady + seconds, next(self._order), future))
        self._asleep.set()
        await future

    async def somebody_sleeps(self, seconds: float) -> None:
        """Wait until somebody sleeps who will wake in exactly `seconds` from now."""
        while not any(
            abs(until - self._steady - seconds) < 1e-6 for until, _, future in self._sleepers if not future.done()
        ):
            self._asleep.clear()
            await self._asleep.wait()

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once, and wake those whose time has come."""
        self._steady += seconds
        self._now_ms += round(seconds * 1000)
        while self._sleepers and self._sleepers[0][0] <= self._steady:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)


class WrongClock:
    """The clock of a machine on which it is another time of day; steady time is the same everywhere."""

    def __init__(self, clock: ManualClock, ahead_ms: int) -> None:
        self._clock = clock
        self._ahead_ms = ahead_ms

    def now_ms(self) -> int:
        return self._clock.now_ms() + self._ahead_ms

    def steady(self) -> float:
        return self._clock.steady()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
