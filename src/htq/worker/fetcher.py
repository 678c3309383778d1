"""The fetcher: claims tasks while slots are free."""

import asyncio
from collections.abc import Callable

from htq.stores.base import Claim, Store
from htq.words.clock import Chance, Clock, wait_for
from htq.worker.persist import Persistence

__all__ = ["Fetcher"]

_CLAIM_AT_ONCE = 256
"""Tasks in one claim, at most: larger steps of the store would hold up everybody else's."""


class Fetcher:
    """Claims no more than can start at once. It is woken by signals and looks by itself every `poll_every` seconds."""

    def __init__(
        self,
        store: Store,
        session: str,
        *,
        clock: Clock,
        chance: Chance,
        persist: Persistence,
        poll_every: float,
        free_slots: Callable[[], int],
        start: Callable[[Claim], None],
    ) -> None:
        self._store = store
        self._session = session
        self._clock = clock
        self._chance = chance
        self._persist = persist
        self._poll_every = poll_every
        self._free_slots = free_slots
        self._start = start
        self._available = asyncio.Event()
        self._available.set()
        self._slot_freed = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """There may be something to claim."""
        self._available.set()

    def slot_freed(self) -> None:
        """A slot may be free again."""
        self._slot_freed.set()

    def stop(self) -> None:
        """Claim nothing more. What a claim that is under way brings is still started: it is this worker's by then."""
        self._stopping = True
        self._available.set()
        self._slot_freed.set()

    async def run(self) -> None:
        """Claim until `stop` is called."""
        seq = 0
        while True:
            await wait_for(self._available, self._chance.around(self._poll_every), self._clock)
            while (free := self._free_slots()) <= 0 and not self._stopping:
                self._slot_freed.clear()
                await self._slot_freed.wait()
            if self._stopping:
                return
            # Cleared before the claim: a signal that comes while it is under way leads to another look.
            self._available.clear()
            seq += 1
            limit = min(free, _CLAIM_AT_ONCE)
            claims = await self._claim(seq, limit)
            for claim in claims:
                self._start(claim)
            if len(claims) == limit:
                self._available.set()

    async def _claim(self, seq: int, limit: int) -> list[Claim]:
        """Repeated with the same `seq`, so that a lost reply strands nothing."""
        return await self._persist(lambda: self._store.claim(self._session, seq, limit))
