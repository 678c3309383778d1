"""The composition root: makes the one clock and the one source of chance, and hands them down with everything concrete.

Nothing else names a store, a sender and a server in one breath. `run` is what the command line calls.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from htq.policy.config import is_loopback
from htq.policy.settings import Command, ServerSettings, Settings
from htq.process import Stopping, calm_collector, kept_within, raise_descriptor_limit, run_until_stopped, threads_within
from htq.stores.base import Store, StoreInfo
from htq.words.clock import Chance, Clock, SystemClock, first_of
from htq.words.errors import HtqError, StoreUnavailable

if TYPE_CHECKING:
    from htq.api.settings import ApiSettings
    from htq.usecases.settings import ServiceSettings
    from htq.worker import WorkerSettings

__all__ = ["make_store", "run"]

log = logging.getLogger("htq")

_SQLITE: Final = "sqlite:///"
_OPEN_FIRST: Final = 1.0
"""Seconds that the store has to open before the rest begins without it."""
_FIRST_RETRY: Final = 0.1
_LAST_RETRY: Final = 2.0


def run(settings: Settings, command: Command) -> bool:
    """Run a server, a worker or both until a signal ends it; whether it ended in order.

    Raises what stopped it otherwise, a `HtqError` mostly.
    """
    limit = raise_descriptor_limit()

    async def main(stopping: Stopping) -> None:
        await _System(settings, limit, stopping).run(command)

    try:
        return run_until_stopped(main)
    except BaseExceptionGroup as group:
        raise _cause(group) from group


def make_store(url: str, *, clock: Clock, chance: Chance, signals: bool = True) -> Store:
    """The store that `url` names, not opened yet."""
    if url.startswith(_SQLITE):
        from htq.stores.sqlite import SqliteStore

        # `sqlite:////var/x` as other tools write it is the same file as `sqlite:///var/x`.
        path = Path("/" + url.removeprefix(_SQLITE).lstrip("/"))
        return SqliteStore(path, clock=clock, chance=chance, signals=signals)
    from htq.stores.redis import RedisStore

    return RedisStore(url, chance=chance, signals=signals)


class _System:
    """What one process runs. Every part takes its time and chance from here."""

    def __init__(self, settings: Settings, descriptors: int, stopping: Stopping) -> None:
        self._settings = settings
        self._descriptors = descriptors
        self._stopping = stopping
        self._clock = SystemClock()
        self._chance = Chance(self._clock)

    async def run(self, command: Command) -> None:
        """Run until told to stop. In `up` the API goes on while the worker drains, so that whoever waits gets a response."""
        async with self._store() as store, asyncio.TaskGroup() as group:
            if command != "worker":
                log.info("Starting htq REST server...")
            opening = group.create_task(self._open(store))
            # Mostly it is open at once, and is spoken of before anything begins. If not, nothing waits for it here.
            await asyncio.wait((opening,), timeout=_OPEN_FIRST)
            if opening.done() and opening.exception() is not None:
                return  # the group raises it
            async with contextlib.AsyncExitStack() as stack:
                if command != "worker":
                    await stack.enter_async_context(self._api(store))
                if command == "server":
                    calm_collector()
                    await self._stopping.asked.wait()
                else:
                    await self._work(store, opening)
            opening.cancel()

    @contextlib.asynccontextmanager
    async def _store(self) -> AsyncIterator[Store]:
        given = self._settings.store
        store = make_store(given.store, clock=self._clock, chance=self._chance, signals=given.signals)
        try:
            yield store
        finally:
            await store.close()

    async def _open(self, store: Store) -> None:
        """Open the store, as often as it takes. One line when it is away, one when it is there."""
        delay = _FIRST_RETRY
        said = False
        while True:
            try:
                info = await store.open()
            except StoreUnavailable as error:
                if not said:
                    log.warning("the store is away, waiting for it: %s", error)
                    said = True
                await self._clock.sleep(self._chance.around(delay))
                delay = min(delay * 2, _LAST_RETRY)
            else:
                _say(info)
                return

    @contextlib.asynccontextmanager
    async def _api(self, store: Store) -> AsyncIterator[None]:
        """The HTTP interface. Without a store it answers 503."""
        from htq.api.app import make_app
        from htq.api.server import ApiServer
        from htq.usecases import TaskService

        server = self._settings.server
        service = TaskService(store, clock=self._clock, chance=self._chance, settings=service_settings(self._settings))
        api = ApiServer(make_app(service, api_settings(server)), host=server.host, port=server.port)
        await api.start()
        log.info(" * Running on %s/", api.url)
        try:
            yield
        finally:
            await api.stop()
            await service.close()

    async def _work(self, store: Store, opening: "asyncio.Task[None]") -> None:
        """Send what is queued, until told to stop and until what was in flight has ended."""
        from htq.policy.egress import Egress
        from htq.sender import HttpSender, Pool
        from htq.worker import Worker

        await first_of(opening, self._stopping.asked.wait())
        if not opening.done() or opening.exception() is not None:
            return
        settings = worker_settings(self._settings, self._descriptors)
        pool = Pool(kept_within(settings.threads, self._descriptors))
        sender = HttpSender(clock=self._clock, egress=Egress(), pool=pool)
        worker = Worker(store, sender, clock=self._clock, chance=self._chance, settings=settings)
        calm_collector()
        try:
            await worker.run(self._stopping.asked, self._stopping.hurried)
        finally:
            await sender.close()


# --- from the tree of settings to what each part takes --------------------------------------------


def service_settings(settings: Settings) -> "ServiceSettings":
    """The defaults of new tasks, and bounds of the use cases."""
    from htq.usecases.settings import ServiceSettings

    server = settings.server
    return ServiceSettings(
        retention=server.retention,
        idempotency_window=server.idempotency_window,
        cancel_delete=server.cancel_delete,
        timeout=server.timeout,
        max_waiters=server.max_waiters,
        poll_every=settings.store.poll_every,
    )


def api_settings(server: ServerSettings) -> "ApiSettings":
    """How the API looks from outside. Open to the network it answers to any name, unless names are given."""
    from htq.api.settings import LOOPBACK_HOSTS, ApiSettings

    names: tuple[str, ...] | None = (*LOOPBACK_HOSTS, server.host, *server.allowed_hosts)
    if not is_loopback(server.host) and not server.allowed_hosts:
        names = None
    return ApiSettings(public_url=server.public_url or None, allowed_hosts=names)


def worker_settings(settings: Settings, descriptors: int) -> "WorkerSettings":
    """What a worker can be told. It has no more requests in flight than there are descriptors for."""
    from htq.worker import WorkerSettings

    worker = settings.worker
    return WorkerSettings(
        threads=threads_within(worker.threads, descriptors),
        lease=worker.lease,
        lease_margin=worker.lease / 5,
        heartbeat_every=worker.heartbeat,
        drain_timeout=worker.drain_timeout,
        poll_every=settings.store.poll_every,
        webhook_secrets=worker.webhook_secrets,
    )


def _say(info: StoreInfo) -> None:
    log.info("Tasks are kept in %s. %s", info.location, info.durability)
    for warning in info.warnings:
        log.warning("%s", warning)


def _cause(error: BaseException) -> BaseException:
    """The error of ours inside a group, which is what the operator is told; the group itself where there is none."""
    if isinstance(error, BaseExceptionGroup):
        ours = error.subgroup(HtqError)
        if ours is not None:
            return _first(ours)
    return error


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
