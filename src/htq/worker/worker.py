"""The worker: one session after another, until it is told to stop."""

import asyncio
import logging
import os
import socket

from htq import __version__
from htq.keeper import Keeper
from htq.policy.signing import signing_key
from htq.policy.store_time import StoreTime
from htq.sender.base import Sender
from htq.stores.base import SessionInfo, Signal, Store
from htq.words.clock import Chance, Clock, first_of
from htq.words.errors import SessionLost
from htq.worker.context import Context
from htq.worker.persist import Persistence
from htq.worker.session import WorkerSession
from htq.worker.settings import WorkerSettings

__all__ = ["Worker"]

log = logging.getLogger("htq.worker")


class Worker:
    """Sends requests and receives responses (the seed's `htq worker`), on one event loop.

    Raises `ConfigError` if one of its secrets is none.
    """

    def __init__(self, store: Store, sender: Sender, *, clock: Clock, chance: Chance, settings: WorkerSettings) -> None:
        self._store = store
        self._sender = sender
        self._clock = clock
        self._chance = chance
        self._settings = settings
        self._persist = Persistence(clock, chance)
        self._time = StoreTime(clock)
        self._keeper = Keeper(store, clock=clock, time=self._time, chance=chance)
        self._signing_keys = tuple(signing_key(secret) for secret in settings.webhook_secrets)
        self._session: WorkerSession | None = None

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """Work until `stop` is set and what was on the wire has ended; once `hurry` is set, that is handed back.

        Canceling the call aborts everything at once and tells the store nothing: the lease runs out by itself.
        """
        unsubscribe = self._store.subscribe(self._hear)
        try:
            async with asyncio.TaskGroup() as group:
                keeping = group.create_task(self._keeper.run())
                log.info("Started %d workers...", self._settings.threads)
                await self._sessions(stop, hurry)
                keeping.cancel()
        finally:
            unsubscribe()

    def _hear(self, signal: Signal) -> None:
        if self._session is not None:
            self._session.hear(signal)

    async def _sessions(self, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        while not stop.is_set():
            session = await self._open(stop)
            if session is None:
                return
            self._session = session
            try:
                await session.run(stop, hurry)
            except* SessionLost as lost:
                log.warning("the lease is lost (%s): all requests in flight are aborted", lost.exceptions[0])
            finally:
                self._session = None

    async def _open(self, stop: asyncio.Event) -> WorkerSession | None:
        """A session under a fresh lease, or None if it was told to stop before the store answered."""
        opening = asyncio.ensure_future(self._persist(self._open_once))
        try:
            await first_of(opening, stop.wait())
            return opening.result() if opening.done() else None
        finally:
            opening.cancel()

    async def _open_once(self) -> WorkerSession:
        info = SessionInfo(
            host=socket.gethostname(), pid=os.getpid(), threads=self._settings.threads, version=__version__
        )
        # Counted from before the call: the store's lease can only end later than this worker's trust in it.
        opened_at = self._clock.steady()
        session = await self._store.open_session(info, self._settings.lease)
        context = Context(
            session,
            self._store,
            self._sender,
            self._clock,
            self._time,
            self._chance,
            self._persist,
            self._settings,
            self._signing_keys,
        )
        return WorkerSession(context, opened_at)
