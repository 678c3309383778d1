"""The lease of a session, and how far this worker trusts it."""

from collections.abc import Callable

from htq.stores.base import RunningCancel
from htq.words.errors import SessionLost
from htq.worker.context import Context

__all__ = ["Lease"]


class Lease:
    """Renews a session's lease, and gives it up in time.

    The worker trusts its lease from the moment at which it *sent* the last heartbeat that was answered, for the lease's
    length less a margin. Past that it raises `SessionLost`, which aborts every socket of the session: until the store may
    give the tasks to another, two runs of one task never overlap.
    """

    def __init__(
        self, context: Context, opened_at: float, *, on_cancels: Callable[[list[RunningCancel]], None]
    ) -> None:
        settings = context.settings
        self._context = context
        self._clock = context.clock
        self._every = settings.heartbeat_every
        self._trusted_for = settings.lease - settings.lease_margin
        self._trusted_until = opened_at + self._trusted_for
        self._on_cancels = on_cancels

    async def renew(self) -> None:
        """Send a heartbeat every second or so, and pass the cancels on that it brings. Ends by `SessionLost` only."""
        while True:
            await self._clock.sleep(self._context.chance.around(self._every))
            self._on_cancels(await self._context.persist(self._beat))

    async def _beat(self) -> list[RunningCancel]:
        sent_at = self._clock.steady()
        context = self._context
        heartbeat = await context.store.heartbeat(context.session, context.settings.lease)
        self._trusted_until = sent_at + self._trusted_for
        return heartbeat.cancels

    async def watch(self) -> None:
        """Raise `SessionLost` when the lease may not be trusted any more, whatever the heartbeat is waiting for."""
        while (left := self._trusted_until - self._clock.steady()) > 0:
            # In small steps: a timer of the loop stands still while the machine is suspended, and this clock does not.
            await self._clock.sleep(min(left, self._every))
        raise SessionLost(f"no heartbeat was answered in {self._trusted_for:g} s")
