"""Asking a store again that is away, where giving up would leave something half done."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from htq.words.clock import Chance, Clock
from htq.words.errors import Overloaded, StoreUnavailable

__all__ = ["Patience"]

Found = TypeVar("Found")

_PATIENCE: Final = 30.0
"""Seconds for which it is asked again."""
_FIRST_PAUSE: Final = 0.1
_LAST_PAUSE: Final = 2.0


class Patience:
    """Calls what may be called again."""

    def __init__(self, clock: Clock, chance: Chance) -> None:
        self._clock = clock
        self._chance = chance

    async def __call__(self, step: Callable[[], Awaitable[Found]]) -> Found:
        """What `step` gives, once the store has answered. Raises `StoreUnavailable` where that takes too long."""
        until = self._clock.steady() + _PATIENCE
        pause = _FIRST_PAUSE
        while True:
            try:
                return await step()
            except (StoreUnavailable, Overloaded) as error:
                if self._clock.steady() >= until:
                    raise StoreUnavailable(str(error), error.retry_after) from None
            await self._clock.sleep(self._chance.around(pause))
            pause = min(pause * 2, _LAST_PAUSE)
